//! The program as a child process: `run`, `sandbox`, or any other command.
//!
//! What must hold: a child never outlives its [`Process`]; its output is read all the time, so it never blocks on a full
//! pipe; the newest [`KEPT`] lines are kept, and a test that waits in vain shows the last of them.
//!
//! `MISSIVED_DAEMON` names another build of the program, say an optimised one, where a test takes figures.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::wait::{Deadline, eventually};

/// How many lines of output are kept.
const KEPT: usize = 10_000;
/// How many of them a failing test shows.
const SHOWN: usize = 60;
/// For what takes a moment on a busy machine, and never this long.
pub const SOON: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command of the program to its end.
pub fn finish(args: &[&str]) -> Finished {
    let mut process = Process::spawn(args, &[]);
    let status = process.wait_exit(SOON);
    process.readers.drain(..).for_each(|reader| reader.join().expect("a reader of output doesn't panic"));
    Finished { status, stdout: process.text(Stream::Stdout), stderr: process.text(Stream::Stderr) }
}

/// The daemon with this config; see [`Process::wait_for_line`] for its `ready`.
pub fn run(config: &Path) -> Process {
    Process::spawn(&["run", "--config", path_str(config)], &[])
}

/// The stand-in for Missive, and its URL; it takes the token of the configs. A channel is
/// `account=UUID,type=text,webhook=URL,secret-file=PATH`.
pub fn sandbox(channels: &[&str]) -> (Process, String) {
    let mut args = vec!["sandbox", "--listen", "127.0.0.1:0", "--token", super::config::TOKEN];
    channels.iter().for_each(|channel| args.extend(["--channel", channel]));
    let sandbox = Process::spawn(&args, &[]);
    let line = sandbox.wait_for_line("listening on http://", SOON);
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL in the line");
    let url = url.to_owned();
    (sandbox, url)
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Lines>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Process {
    pub fn spawn(args: &[&str], env: &[(&str, &str)]) -> Self {
        let program = std::env::var_os("MISSIVED_DAEMON").unwrap_or_else(|| env!("CARGO_BIN_EXE_missived").into());
        let mut command = Command::new(program);
        command.args(args).env("NO_COLOR", "1").envs(env.iter().copied());
        Self::start(command)
    }

    /// Any other program, under the same care.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = Arc::new(Lines::default());
        let stdout = child.stdout.take().expect("its output is piped");
        let stderr = child.stderr.take().expect("its errors are piped");
        let readers = vec![
            read_lines(stdout, Stream::Stdout, Arc::clone(&output)),
            read_lines(stderr, Stream::Stderr, Arc::clone(&output)),
        ];
        Self { child, output, readers }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line so far, or soon, that contains `pattern`.
    pub fn wait_for_line(&self, pattern: &str, within: Duration) -> String {
        self.wait_for_line_after(0, pattern, within)
    }

    /// As [`wait_for_line`](Self::wait_for_line), but only among lines after the first `seen` ([`lines_seen`](Self::lines_seen)).
    pub fn wait_for_line_after(&self, seen: usize, pattern: &str, within: Duration) -> String {
        let deadline = Deadline::after(within);
        let mut buffer = self.output.lock();
        loop {
            if let Some(line) = buffer.find(seen, pattern) {
                return line.to_owned();
            }
            assert!(buffer.open > 0, "the program ended without a line with {pattern:?}:\n{}", buffer.tail());
            assert!(!deadline.passed(), "no line with {pattern:?} within {within:?}:\n{}", buffer.tail());
            buffer = self.output.changed.wait_timeout(buffer, deadline.left()).expect("readers don't panic").0;
        }
    }

    /// How many lines there have been.
    pub fn lines_seen(&self) -> usize {
        self.output.lock().seen
    }

    /// Whether a line so far contains `pattern`; for what must *not* be in the log.
    pub fn has_line(&self, pattern: &str) -> bool {
        self.output.lock().find(0, pattern).is_some()
    }

    /// The address from the line `<listener> listening … address=…`.
    pub fn address_of(&self, listener: &str) -> SocketAddr {
        let line = self.wait_for_line(&format!("{listener} listening"), SOON);
        let (_, rest) = line.split_once("address=").unwrap_or_else(|| panic!("no address in {line:?}"));
        let address = rest.split_whitespace().next().unwrap_or_default().trim_matches('"');
        address.parse().unwrap_or_else(|e| panic!("{address:?} in {line:?}: {e}"))
    }

    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    pub fn kill9(&self) {
        self.signal("KILL");
    }

    pub fn sigstop(&self) {
        self.signal("STOP");
    }

    pub fn sigcont(&self) {
        self.signal("CONT");
    }

    /// All that it has written is there then. Panics, with the end of the output, when it still runs.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let deadline = Deadline::after(within);
        let child = &mut self.child;
        let output = Arc::clone(&self.output);
        let status = eventually(within + SOON, "end of the program", || {
            let status = child.try_wait().expect("a child can be asked");
            let late = status.is_none() && deadline.passed();
            assert!(!late, "the program still runs after {within:?}:\n{}", output.lock().tail());
            status
        });
        eventually(SOON, "end of its output", || (output.lock().open == 0).then_some(()));
        status
    }

    /// Resident memory in KiB, where `/proc` tells it.
    pub fn rss_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    /// What it has written so far, as far as it is kept.
    pub fn text(&self, stream: Stream) -> String {
        let buffer = self.output.lock();
        buffer.kept.iter().filter(|(from, _)| *from == stream).map(|(_, line)| format!("{line}\n")).collect()
    }

    /// By the shell's own `kill`: the standard library can only send SIGKILL. The pid is ours until it has been waited for.
    fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()]).status();
        assert!(status.expect("a shell").success(), "SIG{name} did not reach the program");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // both fail only when it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the end of the output of pid {}:\n{}", self.pid(), self.output.lock().tail());
        }
    }
}

#[derive(Debug, Default)]
struct Lines {
    buffer: Mutex<Buffer>,
    changed: Condvar,
}

#[derive(Debug)]
struct Buffer {
    kept: VecDeque<(Stream, String)>,
    seen: usize,
    open: u8,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { kept: VecDeque::new(), seen: 0, open: 2 }
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Buffer)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Buffer {
    fn push(&mut self, stream: Stream, line: String) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((stream, line));
        self.seen += 1;
    }

    fn find(&self, seen: usize, pattern: &str) -> Option<&str> {
        let gone = self.seen - self.kept.len();
        let mut lines = self.kept.iter().skip(seen.saturating_sub(gone));
        lines.find(|(_, line)| line.contains(pattern)).map(|(_, line)| line.as_str())
    }

    fn tail(&self) -> String {
        let skipped = self.kept.len().saturating_sub(SHOWN);
        self.kept.iter().skip(skipped).map(|(_, line)| format!("  {line}\n")).collect()
    }
}

fn read_lines(from: impl Read + Send + 'static, stream: Stream, into: Arc<Lines>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            into.change(|buffer| buffer.push(stream, line));
        }
        into.change(|buffer| buffer.open -= 1);
    })
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("scratch paths are UTF-8")
}
