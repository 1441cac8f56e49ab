//! The journal's own protocol: a datagram an event, with a priority and every field by its name.
//!
//! `journalctl` shows `MESSAGE`, so that has the fields in it as text, too; `journalctl -o json`, and matches such as
//! `MISSIVED_LANE=crm`, have them one by one. What the journal doesn't take goes to standard error, which is the journal's as well.
//! Limits: an entry has [`ENTRY_BYTES_MAX`] bytes, fields that don't fit are left out; the journal has [`PATIENCE`] to take one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::told::Told;

const SOCKET: &str = "/run/systemd/journal/socket";
const ENTRY_BYTES_MAX: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// A line to the journal.
pub struct Journal(UnixDatagram);

/// Whether standard error is the journal's, as `JOURNAL_STREAM` says: the device and inode that it was when we were started.
pub fn takes_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let ours = io::stderr().as_fd().try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    ours.is_ok_and(|ours| names(&stream, ours.dev(), ours.ino()))
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

impl Journal {
    pub fn connect() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let told = Told::of(event);
        if self.0.send(&entry(event, &told)).is_err() {
            // whoever reads standard error may be gone as well
            let _ = writeln!(io::stderr(), "{}", told.line());
        }
    }
}

fn entry(event: &Event<'_>, told: &Told) -> Vec<u8> {
    let metadata = event.metadata();
    let mut entry = Vec::new();
    put(&mut entry, "PRIORITY", priority(*metadata.level()));
    put(&mut entry, "SYSLOG_IDENTIFIER", "missived");
    put(&mut entry, "MESSAGE", &told.line());
    put(&mut entry, "TARGET", metadata.target());
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        put(&mut entry, "CODE_FILE", file);
        put(&mut entry, "CODE_LINE", &line.to_string());
    }
    for (name, value) in &told.fields {
        put(&mut entry, &field(name), value);
    }
    entry
}

/// Values have no control characters, so none needs the form for those that have.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    if entry.len() + name.len() + value.len() + 2 <= ENTRY_BYTES_MAX {
        entry.extend([name.as_bytes(), b"=", value.as_bytes(), b"\n"].concat());
    }
}

/// The journal knows capital letters, digits and underscores.
fn field(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("MISSIVED_{}", name.chars().map(fits).take(48).collect::<String>())
}

/// As syslog counts.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn heard(work: impl FnOnce()) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal");
        let journald = UnixDatagram::bind(&path).expect("bound");
        journald.set_nonblocking(true).expect("a socket");
        let subscriber = tracing_subscriber::registry().with(Journal::at(&path).expect("connected"));
        tracing::subscriber::with_default(subscriber, work);
        let mut buffer = vec![0; 2 * ENTRY_BYTES_MAX];
        let entries = std::iter::from_fn(|| journald.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()));
        entries.map(|entry| String::from_utf8(entry).expect("text")).collect()
    }

    #[test]
    fn an_entry_has_its_message_with_the_fields_and_each_field_by_its_name() {
        let entries = heard(|| tracing::error!(error = %"a\nPRIORITY=0", lane = "crm", "not committed"));
        let lines: Vec<&str> = entries[0].lines().collect();
        assert_eq!(
            lines[..3],
            ["PRIORITY=3", "SYSLOG_IDENTIFIER=missived", "MESSAGE=not committed error=a\\nPRIORITY=0 lane=crm"]
        );
        assert!(lines.contains(&"TARGET=missived::shell::log::journal::tests"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("CODE_FILE=") && line.ends_with("journal.rs")), "{lines:?}");
        assert_eq!(lines[lines.len() - 2..], ["MISSIVED_ERROR=a\\nPRIORITY=0", "MISSIVED_LANE=crm"]);
    }

    #[test]
    fn an_entry_has_a_bound() {
        let long = "x".repeat(3 * ENTRY_BYTES_MAX);
        let entries = heard(|| {
            tracing::info!(a = long, b = long, c = long, d = long, e = long, f = long, g = long, h = long, "{long}")
        });
        assert!(entries.len() == 1 && entries[0].len() <= ENTRY_BYTES_MAX, "{} entries", entries.len());
        assert!(entries[0].starts_with("PRIORITY=6\n"));
    }

    #[test]
    fn only_the_stream_that_is_named_is_the_journals() {
        let rows = [
            ("8:23", true, "device and inode"),
            ("8:24", false, "another inode"),
            ("9:23", false, "another device"),
            ("23", false, "half of it"),
            ("", false, "nothing"),
            ("8:23:1", false, "more than it"),
        ];
        for (stream, wanted, sentence) in rows {
            assert_eq!(names(stream, 8, 23), wanted, "{sentence}");
        }
    }
}
