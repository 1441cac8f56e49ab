//! What a second intake thread brings where neither broker nor client library is in the way: the records lie in memory.
//!
//! Each thread has a [`Reader`] of its own, the one that the daemon drives, and partitions of its own, as the group would
//! share them out. Records go the whole way: hashed, decoded, routed, looked up in the cache, put into frames that are sealed when
//! they are full or when their interval is over; what is sealed is counted and thrown away.
//!
//! Threads are tied to a processor each with `taskset`, where there is one. Limits: the rate is by the clock on the wall, so
//! others on the machine spoil it; processor time an event beside it tells how much the threads are in one another's way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;

use missived::config::{self, Environment};
use missived::event::HashKey;
use missived::route::Source;
use missived::shell::clock;
use missived::shell::intake::{Arrived, Footing, GROUP_MAX, Progress, Reader};
use missived::shell::kafka::Partition;

use crate::load::{BODY_BYTES, Events, Load};
use crate::meter;
use crate::run::CONFIG;
use crate::support::config::ACCOUNT;

/// Records that are taken between two looks at the clock, as in the daemon.
const BATCH: usize = 1_000;

/// What so many threads did.
pub struct Run {
    pub threads: usize,
    pub seconds: f64,
    pub cpu: meter::Cpu,
    /// Observations and drops, to be sure that all was done.
    pub consumed: u64,
    pub frame_bytes: u64,
}

/// The whole load by partition.
pub struct Prefetched {
    partitions: Vec<Vec<u8>>,
    sources: Arc<[Source]>,
    intake: config::Intake,
}

impl Prefetched {
    pub fn of(load: &Load) -> Self {
        let mut partitions = vec![Vec::new(); usize::from(load.partitions)];
        let mut events = Events::new(load);
        for _ in 0..load.events {
            let (group, body) = events.next();
            partitions[(group % u64::from(load.partitions)) as usize].extend_from_slice(body);
        }
        let words = [
            ("token_file = \"{dir}/token\"", "insecure_inline_token = \"none\""),
            ("{topic}", "t"),
            ("{account}", ACCOUNT),
            ("{missive_url}", "http://127.0.0.1:1"),
            ("{bootstrap}", "127.0.0.1:1"),
            ("{namespace}", "bench"),
        ];
        let text = words.iter().fold(CONFIG.to_owned(), |text, (word, value)| text.replace(word, value));
        let loaded = config::Config::parse(&text, Path::new("bench.toml"), &Environment::default());
        let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
        Self { partitions, sources: config.sources.into(), intake: config.intake }
    }

    /// Reads all of it with so many threads.
    pub fn read(&self, threads: usize) -> Run {
        let before = meter::cpu(std::process::id());
        let start = Barrier::new(threads + 1);
        let (seconds, reports) = thread::scope(|scope| {
            let spawn = |number| {
                let start = &start;
                scope.spawn(move || self.thread(number, threads, start))
            };
            let readers: Vec<_> = (0..threads).map(spawn).collect();
            start.wait();
            let began = clock::monotonic();
            let reports: Vec<_> = readers.into_iter().map(|reader| reader.join().expect("it doesn't panic")).collect();
            ((clock::monotonic() - began).as_secs_f64(), reports)
        });
        Run {
            threads,
            seconds,
            cpu: meter::cpu(std::process::id()).since(before),
            consumed: reports.iter().map(|(consumed, _)| consumed).sum(),
            frame_bytes: reports.iter().map(|(_, bytes)| bytes).sum(),
        }
    }

    /// Reads every `threads`th partition; how many events there were, and how many bytes of frames.
    fn thread(&self, number: usize, threads: usize, start: &Barrier) -> (u64, u64) {
        tie_to_processor(number);
        let mut reader =
            Reader::new(Arc::clone(&self.sources), HashKey::new([7; 16]), &self.intake, 1 << 20, &BTreeMap::new());
        let own: Vec<usize> = (number..self.partitions.len()).step_by(threads).collect();
        for partition in &own {
            reader.hold(named(*partition), Footing::default());
        }
        start.wait();
        let mut taken = Taken { sealed_at: clock::monotonic(), consumed: 0, frame_bytes: 0 };
        let longest = own.iter().map(|partition| self.partitions[*partition].len()).max().unwrap_or(0);
        for begin in (0..longest).step_by(BATCH * BODY_BYTES) {
            for partition in &own {
                let bytes = self.partitions[*partition].get(begin..).unwrap_or_default();
                let batch = &bytes[..bytes.len().min(BATCH * BODY_BYTES)];
                taken.batch(&mut reader, *partition, (begin / BODY_BYTES) as i64, batch, &self.intake);
            }
        }
        taken.seal(&mut reader);
        (taken.consumed, taken.frame_bytes)
    }
}

/// What one thread has done.
struct Taken {
    sealed_at: std::time::Instant,
    consumed: u64,
    frame_bytes: u64,
}

impl Taken {
    fn batch(&mut self, reader: &mut Reader, partition: usize, first: i64, batch: &[u8], intake: &config::Intake) {
        let (now, mut progress) = (clock::now(), Progress::Nothing);
        let arrived = |(offset, body)| Arrived {
            topic: "t",
            partition: i32::try_from(partition).expect("few"),
            offset,
            timestamp: Some(now.as_millis() as i64),
            key: None,
            payload: Some(body),
            headers: &[],
        };
        let mut records = (first..).zip(batch.chunks(BODY_BYTES)).map(arrived).peekable();
        while records.peek().is_some() {
            let group = records.by_ref().take(GROUP_MAX).collect();
            progress = progress.max(reader.take(now, &group, &mut |_| panic!("nothing is refused")));
        }
        if progress == Progress::Full || clock::monotonic() - self.sealed_at >= intake.frame_interval {
            self.seal(reader);
        }
    }

    fn seal(&mut self, reader: &mut Reader) {
        self.sealed_at = clock::monotonic();
        let sealed = reader.seal(&mut |_, frame| self.frame_bytes += frame.len() as u64);
        self.consumed += sealed.map_or(0, |cycle| cycle.report.consumed);
    }
}

fn named(partition: usize) -> Partition {
    Partition { topic: "t".into(), number: i32::try_from(partition).expect("few") }
}

/// As far as there is a `taskset`, and a processor with this number.
fn tie_to_processor(number: usize) {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else { return };
    let thread = thread.file_name().unwrap_or_default().to_owned();
    let mut taskset = Command::new("taskset");
    taskset.arg("-pc").arg(number.to_string()).arg(thread);
    // where that fails, the system places it
    taskset.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
}
