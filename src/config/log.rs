//! `[log]`: which lines are written, how, and how often the same one is.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::raw::Section;
use super::value::{LogFilter, choice};

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directives such as `missived=debug,warn`; `RUST_LOG` counts instead where it is set.
    pub filter: Box<str>,
    pub format: LogFormat,
    pub repeats: Allowance,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Fields for the journal where standard error is the journal's, otherwise text.
    Auto,
    /// One line an event, in colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
    /// The journal's own protocol, wherever standard error goes.
    Journal,
}

/// How often the same line may be written before repeats are only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub lines: u32,
    pub window: Duration,
}

choice!(
    LogFormat,
    "auto" => Self::Auto,
    "text" => Self::Text,
    "json" => Self::Json,
    "journal" => Self::Journal,
);

impl Default for Log {
    fn default() -> Self {
        let repeats = Allowance { lines: 20, window: Duration::from_secs(30) };
        Self { filter: "missived=info,warn".into(), format: LogFormat::Auto, repeats }
    }
}

pub(super) fn log(section: &Section<'_>) -> Log {
    let least = Log::default();
    let second = Duration::from_secs(1);
    Log {
        filter: section.or("filter", LogFilter(least.filter)).0,
        format: section.or("format", least.format),
        repeats: Allowance {
            lines: section.between("repeats_max", least.repeats.lines, 1..=100_000),
            window: section.between("repeats_window", least.repeats.window, second..=second * 3_600),
        },
    }
}

/// Whether a text is a filter that every directive of is understood.
pub(super) fn is_filter(text: &str) -> bool {
    let plain = (1..=1024).contains(&text.len()) && !text.contains(char::is_control);
    plain && EnvFilter::builder().parse(text).is_ok()
}
