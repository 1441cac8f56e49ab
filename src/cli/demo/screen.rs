//! How a running demo looks: a few lines, redrawn in place on a terminal, or one line at a time elsewhere. Pure but for
//! the last step, which writes them.

use std::io::{self, Write};

use super::books::Counted;
use crate::event::{Timestamp, Urgency};
use crate::telemetry::LaneReport;

/// A line that wraps would be two, and the next frame would be drawn one too low.
const COLUMNS_MAX: usize = 78;

/// Everything that is shown.
#[derive(Clone, Debug)]
pub struct View {
    pub now: Timestamp,
    pub counted: Counted,
    pub lane: Option<LaneReport>,
    pub mood: Mood,
}

/// What the daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Joining,
    Running,
    Restarting,
    Ending,
}

/// Where it is shown.
#[derive(Debug)]
pub enum Screen {
    /// Redrawn in place; how many lines stand there.
    InPlace {
        lines: usize,
    },
    Plain,
}

impl Mood {
    const fn words(self) -> &'static str {
        match self {
            Self::Joining => "joining its groups …",
            Self::Running => "running",
            Self::Restarting => "killed, starting again …",
            Self::Ending => "draining …",
        }
    }
}

impl Screen {
    /// Shows it; a broken pipe is nobody's fault.
    pub fn show(&mut self, view: &View) {
        let mut out = io::stdout().lock();
        let shown = match self {
            Self::InPlace { lines } => redraw(&mut out, lines, &view.lines()),
            Self::Plain => writeln!(out, "{}", view.line()).and_then(|()| out.flush()),
        };
        if let Err(error) = shown {
            tracing::debug!(%error, "nobody looks");
        }
    }
}

/// Lines end in carriage return and line feed: in raw mode the terminal adds nothing.
fn redraw(out: &mut impl Write, standing: &mut usize, lines: &[String]) -> io::Result<()> {
    if *standing > 0 {
        write!(out, "\x1b[{standing}A")?;
    }
    for line in lines {
        write!(out, "\x1b[2K{line:.COLUMNS_MAX$}\r\n")?;
    }
    *standing = lines.len();
    out.flush()
}

impl View {
    fn lines(&self) -> Vec<String> {
        let Counted { written, daemon, missive, replies_read, .. } = &self.counted;
        let balance = daemon.balance;
        vec![
            format!("  daemon         {}", self.mood.words()),
            format!("  events in      {:>9}   ({} written)", grouped(balance.consumed), grouped(*written)),
            format!("  duplicates     {:>9}   suppressed {}", grouped(balance.duplicates), grouped(balance.suppressed)),
            format!("  delivered      {:>9}   pending {}", grouped(balance.delivered), grouped(balance.pending)),
            format!("  dead letters   {:>9}", grouped(balance.dead_lettered)),
            format!(
                "  messages       {:>9}   in {} conversations",
                grouped(missive.messages),
                self.counted.conversations()
            ),
            format!("  replies        {:>9}   of {} sent", replies_read, missive.replies.sent),
            format!("  budget left    {}", self.budget()),
            format!("  oldest untold  {}", self.oldest_untold()),
            format!("  over the limit {:>9}", missive.rate_limit_violations),
        ]
    }

    fn line(&self) -> String {
        let Counted { daemon, missive, replies_read, took, .. } = &self.counted;
        let balance = daemon.balance;
        format!(
            "{:>4} s  in {}, duplicates {}, pending {}, dead {}, messages {} in {}, replies {}/{}, budget {}, untold {}",
            took.as_secs(),
            balance.consumed,
            balance.duplicates,
            balance.pending,
            balance.dead_lettered,
            missive.messages,
            self.counted.conversations(),
            replies_read,
            missive.replies.sent,
            self.budget(),
            self.oldest_untold(),
        )
    }

    fn budget(&self) -> String {
        let budget = self.lane.as_ref().map(|lane| lane.budget);
        budget.map_or_else(
            || "-".to_owned(),
            |budget| format!("{}/300 a minute, {}/900 in 15", budget.minute, budget.quarter_hour),
        )
    }

    fn oldest_untold(&self) -> String {
        let Some(lane) = &self.lane else { return "-".to_owned() };
        let waits = lane.untold.oldest.iter().map(|(urgency, since)| wait(*urgency, self.now, *since));
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() { "-".to_owned() } else { waits.join(", ") }
    }
}

fn wait(urgency: Urgency, now: Timestamp, since: Timestamp) -> String {
    format!("{} {:.1} s", urgency.as_str(), now.since(since).as_secs_f64())
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_second_frame_is_drawn_over_the_first() {
        let (mut out, mut standing) = (Vec::new(), 0);
        let frame = ["one".to_owned(), "two".to_owned()];
        redraw(&mut out, &mut standing, &frame).expect("memory takes everything");
        redraw(&mut out, &mut standing, &frame).expect("memory takes everything");
        let text = String::from_utf8(out).expect("ASCII");
        assert_eq!(text.matches("\x1b[2A").count(), 1);
        assert_eq!(text.matches("two\r\n").count(), 2);
    }

    #[test]
    fn a_view_without_a_lane_is_shown_all_the_same() {
        let view = View { now: Timestamp::EPOCH, counted: Counted::default(), lane: None, mood: Mood::Joining };
        assert!(view.line().contains("budget -"));
        assert!(view.lines().iter().any(|line| line.contains("joining")));
    }
}
