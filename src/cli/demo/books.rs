//! The books of the demo: what each side counted by itself, and whether it comes to the same. Pure.
//!
//! Four parties count: the generator (events written), the daemon (what became of them), the stand-in (what it accepted and
//! what was answered in it), and a reader of the replies topic. Done is when nothing is [`Missing`].

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use super::accounts::Totals;
use crate::sandbox::Summary;

/// What everybody counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Events still to be written; 0 when the generator has finished.
    pub unwritten: u64,
    pub written: u64,
    pub daemon: Totals,
    pub missive: Summary,
    /// Conversations in it that people began.
    pub begun_by_people: u64,
    /// Replies on their topic, each once.
    pub replies_read: u64,
    pub took: Duration,
}

/// Why it isn't done, or why the books don't balance.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Missing {
    #[error("{0} events are still to be written")]
    Unwritten(u64),
    #[error("{written} events were written, {consumed} consumed")]
    Consumed { written: u64, consumed: u64 },
    #[error("{consumed} events were consumed, {accounted} are accounted for")]
    Unaccounted { consumed: u64, accounted: u64 },
    #[error("{0} events are pending")]
    Pending(u64),
    #[error("the daemon counts {counted} messages, Missive accepted {accepted}")]
    Messages { counted: u64, accepted: u64 },
    #[error("{0} requests broke Missive's limits")]
    Violations(u64),
    #[error("{sent} replies were sent, {acknowledged} acknowledged, {read} are on their topic")]
    Replies { sent: u64, acknowledged: u64, read: u64 },
}

/// What is written to the report file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    events: Events,
    messages: Messages,
    missive: Missive,
    replies: Replies,
    seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Events {
    consumed: u64,
    delivered: u64,
    duplicates: u64,
    suppressed: u64,
    dead_lettered: u64,
    pending: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Messages {
    sent: u64,
    conversations: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Missive {
    requests: u64,
    rate_limit_violations: u64,
    refused: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Replies {
    sent: u64,
    produced: u64,
}

impl Counted {
    /// Everything that stands between here and balanced books.
    pub fn missing(&self) -> Vec<Missing> {
        let balance = self.daemon.balance;
        let (accounted, consumed) = (self.daemon.accounted(), balance.consumed);
        let (counted, accepted) = (self.daemon.messages, self.missive.messages);
        let replies = self.missive.replies;
        let certain = self.daemon.doubts == 0;
        let checks = [
            (self.unwritten > 0).then_some(Missing::Unwritten(self.unwritten)),
            (consumed != self.written).then_some(Missing::Consumed { written: self.written, consumed }),
            (accounted != consumed).then_some(Missing::Unaccounted { consumed, accounted }),
            (balance.pending > 0).then_some(Missing::Pending(balance.pending)),
            (certain && counted != accepted).then_some(Missing::Messages { counted, accepted }),
            (self.missive.rate_limit_violations > 0).then_some(Missing::Violations(self.missive.rate_limit_violations)),
            (replies.sent != replies.acknowledged || replies.acknowledged != self.replies_read).then_some(
                Missing::Replies { sent: replies.sent, acknowledged: replies.acknowledged, read: self.replies_read },
            ),
        ];
        checks.into_iter().flatten().collect()
    }

    /// Conversations that the daemon opened.
    pub fn conversations(&self) -> u64 {
        self.missive.conversations.saturating_sub(self.begun_by_people)
    }

    pub fn report(&self) -> Report {
        let balance = self.daemon.balance;
        Report {
            events: Events {
                consumed: balance.consumed,
                delivered: balance.delivered,
                duplicates: balance.duplicates,
                suppressed: balance.suppressed,
                dead_lettered: balance.dead_lettered,
                pending: balance.pending,
            },
            messages: Messages { sent: self.missive.messages, conversations: self.conversations() },
            missive: Missive {
                requests: self.missive.requests,
                rate_limit_violations: self.missive.rate_limit_violations,
                refused: self.missive.refused.values().sum(),
            },
            replies: Replies { sent: self.missive.replies.acknowledged, produced: self.replies_read },
            seconds: (self.took.as_secs_f64() * 10.0).round() / 10.0,
        }
    }
}

impl Report {
    /// The report file's text.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers always serialise");
        text.push('\n');
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, messages, missive, replies, seconds } = self;
        writeln!(out, "{} events in {seconds} s:", events.consumed)?;
        writeln!(out, "  {:>8} delivered, in {} messages", events.delivered, messages.sent)?;
        writeln!(out, "  {:>8} duplicates", events.duplicates)?;
        writeln!(out, "  {:>8} suppressed", events.suppressed)?;
        writeln!(out, "  {:>8} dead letters", events.dead_lettered)?;
        writeln!(out, "  {:>8} pending", events.pending)?;
        writeln!(
            out,
            "Missive: {} conversations, {} requests, {} refused, {} over the rate limit",
            messages.conversations, missive.requests, missive.refused, missive.rate_limit_violations
        )?;
        write!(out, "Replies: {} acknowledged, {} on their topic", replies.sent, replies.produced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Balance;

    fn balanced() -> Counted {
        let balance =
            Balance { consumed: 10, delivered: 4, duplicates: 3, suppressed: 2, dead_lettered: 1, pending: 0 };
        let mut counted = Counted {
            written: 10,
            daemon: Totals { balance, messages: 2, ..Totals::default() },
            replies_read: 3,
            ..Counted::default()
        };
        counted.missive.messages = 2;
        counted.missive.replies.sent = 3;
        counted.missive.replies.acknowledged = 3;
        counted
    }

    #[test]
    fn every_difference_is_named() {
        type Row = (&'static str, fn(&mut Counted), Option<Missing>);
        let rows: [Row; 9] = [
            ("nothing is missing", |_| {}, None),
            ("the generator goes on", |counted| counted.unwritten = 5, Some(Missing::Unwritten(5))),
            ("not all is read", |counted| counted.written = 11, Some(Missing::Consumed { written: 11, consumed: 10 })),
            (
                "on its way through the ledger",
                |counted| counted.daemon.balance.delivered = 3,
                Some(Missing::Unaccounted { consumed: 10, accounted: 9 }),
            ),
            (
                "still to be told",
                |counted| {
                    counted.daemon.balance.delivered = 3;
                    counted.daemon.balance.pending = 1;
                },
                Some(Missing::Pending(1)),
            ),
            (
                "a message that the daemon knows nothing of",
                |counted| counted.missive.messages = 3,
                Some(Missing::Messages { counted: 2, accepted: 3 }),
            ),
            (
                "in doubt the counts of messages may differ",
                |counted| {
                    counted.missive.messages = 3;
                    counted.daemon.doubts = 1;
                },
                None,
            ),
            ("too fast", |counted| counted.missive.rate_limit_violations = 1, Some(Missing::Violations(1))),
            (
                "a reply is not on its topic yet",
                |counted| counted.replies_read = 2,
                Some(Missing::Replies { sent: 3, acknowledged: 3, read: 2 }),
            ),
        ];
        for (sentence, change, missing) in rows {
            let mut counted = balanced();
            change(&mut counted);
            assert_eq!(counted.missing(), missing.into_iter().collect::<Vec<_>>(), "{sentence}");
        }
    }

    #[test]
    fn the_report_has_the_names_that_others_read() {
        let report: serde_json::Value = serde_json::from_str(&balanced().report().to_json()).expect("JSON");
        assert_eq!(report["events"]["dead_lettered"], 1);
        assert_eq!(report["messages"]["sent"], 2);
        assert_eq!(report["missive"]["rate_limit_violations"], 0);
        assert_eq!(report["replies"]["produced"], 3);
        assert_eq!(report["seconds"], 0.0);
    }
}
