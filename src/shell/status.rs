//! What the daemon is doing, in one page: for `/status`, for `missived status`, and in one line for systemd.
//!
//! It is read from what is counted anyway and asks nobody: it answers while Kafka and Missive are away. Names in its JSON only
//! get added. No secret and no words of people stand in it; a conversation that waits is named by its key. Limits: as many
//! partitions and lanes as there are, and the ten conversations of each lane that wait longest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::readiness::{Readiness, ReadyState, Whole};
use crate::event::Timestamp;
use crate::lane::Blocked;
use crate::lane::waiting::Waiting;
use crate::telemetry::process::COMMIT;
use crate::telemetry::{LaneReport, Telemetry};

/// The whole page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub commit: String,
    pub ready: bool,
    pub parts: Vec<Part>,
    pub config: ConfigStatus,
    pub balance: Balance,
    pub lag: Lag,
    pub lanes: Vec<LaneStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    /// `starting`, `ready` or `halted`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Which config is in use, and what became of the last attempt to change it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConfigStatus {
    pub file: String,
    pub hash: String,
    /// Another one has been asked for, and what becomes of it isn't settled.
    #[serde(default)]
    pub reloading: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<Reload>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reload {
    pub at_ms: u64,
    /// `applied` or `refused`.
    pub outcome: String,
    /// The keys that changed, or every fault.
    pub detail: Vec<String>,
    /// The keys whose secrets stay as they were when systemd started the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_refreshed: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Balance {
    pub consumed: u64,
    pub delivered: u64,
    pub duplicates: u64,
    pub suppressed: u64,
    pub dead_lettered: u64,
    pub pending: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lag {
    pub records: u64,
    pub seconds: f64,
    pub partitions: Vec<PartitionLag>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    /// Null while it is not known.
    pub records: Option<u64>,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaneStatus {
    pub name: String,
    /// `sending`, `waiting` (until `until_ms`) or `halted` (tried again then).
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    pub pending: u64,
    pub in_progress: usize,
    pub budget_minute: u64,
    pub budget_quarter_hour: u64,
    pub halted_channels: usize,
    pub conversations: usize,
    pub dedupe_keys: usize,
    /// By urgency: how long its oldest untold news has waited.
    pub oldest_untold_seconds: BTreeMap<String, f64>,
    /// The conversations that wait longest, the longest first.
    #[serde(default)]
    pub waiting: Vec<WaitingStatus>,
}

/// A conversation that has something to tell, and why it has not told it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// `<route>/<conversation key>`.
    pub conversation: String,
    pub urgency: String,
    pub since_ms: u64,
    /// Observations that are to be told.
    pub pending: u32,
    /// `answer`, `retry`, `halt`, `patience`, `channel`, `grouping`, `budget` or `route`.
    pub waits_for: String,
    /// The same in a few words.
    pub meaning: String,
    /// Until when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl Status {
    pub fn now(now: Timestamp, readiness: &Readiness, telemetry: &Telemetry, config: ConfigStatus) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: COMMIT.to_owned(),
            ready: readiness.whole() == Whole::Ready,
            parts: readiness.states().iter().map(|(name, state)| part(name, state)).collect(),
            config,
            balance: balance(telemetry),
            lag: lag(now, telemetry),
            lanes: telemetry.lanes().iter().map(|(name, report)| lane(now, name, report)).collect(),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers can always be written as JSON")
    }

    /// For people in a hurry: what is wrong first.
    pub fn line(&self) -> String {
        let mut line = String::new();
        if let Some(reload) = self.config.last_reload.as_ref().filter(|reload| reload.outcome == "refused") {
            let _ = write!(line, "config NOT reloaded, the former one stays: {}; ", reload.detail.join("; "));
        }
        line.push_str(if self.ready { "ready" } else { "not ready" });
        for part in self.parts.iter().filter(|part| part.state != "ready") {
            let _ = write!(line, "; {}: {}", part.name, part.detail.as_deref().unwrap_or(&part.state));
        }
        let _ = write!(
            line,
            "; lag {} records, {:.0} s; {} pending",
            self.lag.records, self.lag.seconds, self.balance.pending
        );
        for lane in &self.lanes {
            let (minute, quarter) = (lane.budget_minute, lane.budget_quarter_hour);
            let _ = write!(line, "; lane {}: {}, budget {minute}/min {quarter}/15 min", lane.name, lane.state);
            if lane.halted_channels > 0 {
                let _ = write!(line, ", {} channels halted", lane.halted_channels);
            }
        }
        line
    }
}

fn part(name: &str, state: &ReadyState) -> Part {
    let (state, detail) = match state {
        ReadyState::Starting(what) => ("starting", Some((*what).to_owned())),
        ReadyState::Ready => ("ready", None),
        ReadyState::Halted(why) => ("halted", Some(why.clone())),
    };
    Part { name: name.to_owned(), state: state.to_owned(), detail }
}

fn balance(telemetry: &Telemetry) -> Balance {
    let balance = telemetry.balance();
    Balance {
        consumed: balance.consumed,
        delivered: balance.delivered,
        duplicates: balance.duplicates,
        suppressed: balance.suppressed,
        dead_lettered: balance.dead_lettered,
        pending: balance.pending,
    }
}

fn lag(now: Timestamp, telemetry: &Telemetry) -> Lag {
    let partition = |((topic, partition), lag): (&(Box<str>, i32), &crate::telemetry::process::PartitionLag)| {
        let seconds = lag.age(now).as_secs_f64();
        PartitionLag { topic: topic.to_string(), partition: *partition, records: lag.records, seconds }
    };
    let partitions: Vec<PartitionLag> = telemetry.process.partitions().iter().map(partition).collect();
    Lag {
        records: partitions.iter().filter_map(|lag| lag.records).sum(),
        seconds: partitions.iter().map(|lag| lag.seconds).fold(0.0, f64::max),
        partitions,
    }
}

fn lane(now: Timestamp, name: &str, report: &LaneReport) -> LaneStatus {
    let (state, until) = match report.blocked {
        Blocked::Until(until) if until > now => ("waiting", Some(until)),
        Blocked::No | Blocked::Until(_) => ("sending", None),
        Blocked::Halted { retry_at, .. } => ("halted", Some(retry_at)),
    };
    let age = |(urgency, since): (&crate::event::Urgency, &Timestamp)| {
        (urgency.as_str().to_owned(), now.since(*since).as_secs_f64())
    };
    LaneStatus {
        name: name.to_owned(),
        state: state.to_owned(),
        until_ms: until.map(Timestamp::as_millis),
        pending: report.books.pending(),
        in_progress: report.in_progress,
        budget_minute: report.budget.minute as u64,
        budget_quarter_hour: report.budget.quarter_hour as u64,
        halted_channels: report.halted_channels,
        conversations: report.conversations,
        dedupe_keys: report.dedupe_keys,
        oldest_untold_seconds: report.untold.oldest.iter().map(age).collect(),
        waiting: report.untold.longest.iter().map(waiting).collect(),
    }
}

fn waiting(waiting: &Waiting) -> WaitingStatus {
    WaitingStatus {
        conversation: waiting.routing_key.to_string(),
        urgency: waiting.urgency.as_str().to_owned(),
        since_ms: waiting.since.as_millis(),
        pending: waiting.pending,
        waits_for: waiting.waits_for.as_str().to_owned(),
        meaning: waiting.waits_for.meaning().to_owned(),
        until_ms: waiting.waits_for.until().map(Timestamp::as_millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_systemd_has_what_is_wrong_first_then_lag_budget_and_halts() {
        let page = serde_json::json!({
            "version": "0", "commit": "c", "ready": false,
            "parts": [{"name": "hook", "state": "ready"},
                      {"name": "lanes of partition 0", "state": "halted", "detail": "missive refuses the token of lane crm"}],
            "config": {"file": "f", "hash": "h",
                       "last_reload": {"at_ms": 1, "outcome": "refused", "detail": ["a: unknown key", "b: missing"]}},
            "balance": Balance { pending: 7, ..Balance::default() },
            "lag": {"records": 12, "seconds": 3.4, "partitions": []},
            "lanes": [{"name": "crm", "state": "halted", "until_ms": 5, "pending": 7, "in_progress": 0, "budget_minute": 299,
                       "budget_quarter_hour": 899, "halted_channels": 2, "conversations": 1, "dedupe_keys": 1,
                       "oldest_untold_seconds": {}}],
        });
        let status: Status = serde_json::from_value(page).expect("a page, also of a version that says less");
        let told = "config NOT reloaded, the former one stays: a: unknown key; b: missing; not ready; lanes of partition 0: \
                    missive refuses the token of lane crm; lag 12 records, 3 s; 7 pending; lane crm: halted, budget 299/min \
                    899/15 min, 2 channels halted";
        assert_eq!(status.line(), told);
    }
}
