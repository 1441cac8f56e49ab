//! Log lines to standard error: fields for the journal under systemd, one line of text on a terminal and elsewhere, JSON on request.
//!
//! What must hold: the same line from the same place is written so often in a window and then only counted, and how often is
//! told (`repeats`); what strangers wrote stays on its line, whatever is in it (`told`); `RUST_LOG` goes before the config. Nothing
//! here looks for secrets: whoever logs has none at hand (`tests/operations/silence.rs`). Limits: repeats are told a second late at
//! most; lines of debug and trace are all written, because whoever asks for them wants them.

mod journal;
mod repeats;
mod told;

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::clock;
use crate::config::{Log as LogConfig, LogFormat};
use journal::Journal;
use repeats::{Held, Kind, Like, Repeats, Verdict};
use told::{Plain, Told};

/// The target of what is said about other lines; no such line is held back.
const OWN: &str = "missived::log";

/// How often repeats are looked for that are to be told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The log of this process. Dropping it tells what was held back.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    repeats: Arc<Mutex<Repeats>>,
    looked: Instant,
}

impl Log {
    /// From here on lines are written; `format` goes before the config's. To be called once.
    pub fn begin(config: &LogConfig, format: Option<LogFormat>) -> Self {
        let (filter, handle) = reload::Layer::new(filter(&config.filter));
        let repeats = Arc::new(Mutex::new(Repeats::new(config.repeats)));
        let limited = Limited(Arc::clone(&repeats));
        let subscriber = tracing_subscriber::registry().with(filter).with(limited);
        let installed = subscriber.with(lines(format.unwrap_or(config.format))).try_init();
        if let Err(error) = installed {
            tracing::debug!(%error, "somebody else writes the log");
        }
        Self { filter: handle, repeats, looked: clock::monotonic() }
    }

    /// Another filter, other numbers; the format stays.
    pub fn renew(&self, config: &LogConfig) {
        lock(&self.repeats).allow(config.repeats);
        if let Err(error) = self.filter.reload(filter(&config.filter)) {
            tracing::warn!(%error, "the log's filter stays");
        }
    }

    /// To be called several times a second: tells what was held back in windows that are over.
    pub fn tick(&mut self) {
        let now = clock::monotonic();
        if now.saturating_duration_since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            let due = lock(&self.repeats).due(now);
            due.iter().for_each(tell);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let rest = lock(&self.repeats).rest(clock::monotonic());
        rest.iter().for_each(tell);
    }
}

/// What `RUST_LOG` says, and otherwise the config.
pub fn filter(config: &str) -> EnvFilter {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.trim().is_empty());
    let asked = asked.and_then(|asked| EnvFilter::try_new(asked).ok());
    asked.unwrap_or_else(|| EnvFilter::new(config))
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let journal = match format {
        LogFormat::Json => return lines.json().boxed(),
        LogFormat::Text => None,
        LogFormat::Auto => journal::takes_stderr().then(Journal::connect),
        LogFormat::Journal => Some(Journal::connect()),
    };
    match journal {
        Some(Ok(journal)) => journal.boxed(),
        Some(Err(_)) | None => {
            let fields = format::debug_fn(field_text);
            lines.with_ansi(in_colours()).fmt_fields(fields).boxed()
        }
    }
}

fn field_text(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Plain(value);
    match (field.name(), writer.has_ansi_escapes()) {
        ("message", _) => write!(writer, "{value}"),
        (name, false) => write!(writer, " {name}={value}"),
        (name, true) => write!(writer, " \x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
    }
}

fn in_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Lets lines through as often as they may be written.
struct Limited(Arc<Mutex<Repeats>>);

impl<S: Subscriber> Layer<S> for Limited {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == OWN {
            return true;
        }
        let kind = Kind::of(event);
        // what is shown is put into words without the lock: it may be anybody's code
        let verdict = lock(&self.0).judge(clock::monotonic(), kind);
        match verdict {
            Verdict::Write => true,
            Verdict::Count => false,
            Verdict::CountFirst => {
                let like = Like { level: *metadata.level(), place: place(event), text: Told::of(event).line() };
                lock(&self.0).name(kind, like);
                false
            }
        }
    }
}

fn place(event: &Event<'_>) -> String {
    let metadata = event.metadata();
    format!("{}:{}", metadata.target(), metadata.line().unwrap_or(0))
}

fn lock(repeats: &Mutex<Repeats>) -> MutexGuard<'_, Repeats> {
    repeats.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(held: &Held) {
    let Held { count, span, like } = held;
    let text = format!("… and {} more in the last {} s: {}", grouped(*count), span.as_secs().max(1), like.text);
    match like.level {
        Level::ERROR => tracing::error!(target: OWN, held = count, from = like.place, "{text}"),
        Level::WARN => tracing::warn!(target: OWN, held = count, from = like.place, "{text}"),
        _ => tracing::info!(target: OWN, held = count, from = like.place, "{text}"),
    }
}

/// `1204` as `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allowance;
    use std::io::Write;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics here").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().expect("nobody panics here").clone()).expect("text");
            text.lines().map(str::to_owned).collect()
        }
    }

    /// What `work` logs, three lines of a kind in a minute, as text; and what is told of the rest.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let writer = kept.clone();
        let repeats = Repeats::new(Allowance { lines: 3, window: Duration::from_secs(60) });
        let repeats = Arc::new(Mutex::new(repeats));
        let text = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).without_time().with_ansi(false);
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new("trace"))
            .with(Limited(Arc::clone(&repeats)))
            .with(text.with_target(false).fmt_fields(format::debug_fn(field_text)));
        tracing::subscriber::with_default(subscriber, || {
            work();
            let rest = lock(&repeats).rest(clock::monotonic());
            rest.iter().for_each(tell);
        });
        kept.lines()
    }

    #[test]
    fn repeats_are_counted_and_told_with_what_they_are_like() {
        let lines = logged(|| {
            for attempt in 0..1_207 {
                tracing::warn!(attempt, bootstrap = "kafka:9092", "trying again");
            }
        });
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert_eq!(lines[2], " WARN trying again attempt=2 bootstrap=\"kafka:9092\"");
        let told =
            " WARN … and 1,204 more in the last 1 s: trying again attempt=3 bootstrap=kafka:9092 held=1204 from=";
        assert!(lines[3].starts_with(told), "{}", lines[3]);
    }

    #[test]
    fn errors_of_other_words_at_one_place_do_not_hide_each_other() {
        let said = ["connection refused", "no route to host", "broken pipe"];
        let lines = logged(|| {
            for turn in 0..100 {
                let error = said[turn % 3];
                tracing::error!(%error, "not written");
            }
        });
        for error in said {
            let of = lines.iter().filter(|line| line.contains(error)).count();
            assert_eq!(of, 4, "three, and one that counts: {error}: {lines:#?}");
        }
    }

    #[test]
    fn who_asks_for_debug_gets_every_line() {
        let lines = logged(|| (0..50).for_each(|_| tracing::debug!("the same")));
        assert_eq!(lines.len(), 50);
    }

    #[test]
    fn what_a_stranger_wrote_stays_on_its_line() {
        let lines = logged(|| tracing::warn!(error = %"a\n WARN forged\u{1b}[2J", "refused"));
        assert_eq!(lines, [" WARN refused error=a\\n WARN forged\\u{1b}[2J"]);
    }

    #[test]
    fn numbers_are_told_in_groups() {
        let rows = [(0, "0"), (999, "999"), (1_204, "1,204"), (1_234_567, "1,234,567")];
        for (number, text) in rows {
            assert_eq!(grouped(number), text);
        }
    }
}
