//! What a process has used, as the system says: /proc.

use std::collections::BTreeMap;
use std::fs;

/// The unit of /proc's processor times, the same on every Linux for programs.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor time so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl Cpu {
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    pub fn since(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

/// Of the whole process, threads that have ended included.
pub fn cpu(pid: u32) -> Cpu {
    times(&format!("/proc/{pid}/stat")).map_or_else(Cpu::default, |(_, cpu)| cpu)
}

/// Of each thread that still runs; threads of one name are added up.
pub fn threads(pid: u32) -> BTreeMap<String, Cpu> {
    let mut threads = BTreeMap::<String, Cpu>::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for (name, cpu) in tasks.filter_map(|task| times(task.path().join("stat").to_str()?)) {
        let sum = threads.entry(name).or_default();
        sum.user += cpu.user;
        sum.system += cpu.system;
    }
    threads
}

/// A line of the process's status, in KiB: `VmRSS:` is resident memory, `VmHWM:` its largest so far.
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}

fn times(stat: &str) -> Option<(String, Cpu)> {
    let stat = fs::read_to_string(stat).ok()?;
    // the name stands in parentheses and may hold any
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map(|ticks| ticks.parse().unwrap_or(0.0));
    let (user, system) = (ticks.next()? / TICKS_A_SECOND, ticks.next()? / TICKS_A_SECOND);
    Some((name.to_owned(), Cpu { user, system }))
}
