//! Taking over a new config while everything runs: what a change reaches, and what it can't.
//!
//! A reload is a drain and a takeover inside the process, like a restart, but for the listeners: those stay open and hand the
//! next request to whoever proves it by the new secrets. What is in Kafka is what is known, so nothing is lost in between, and a
//! lane that waits for Missive goes on waiting. A change that reaches only the doors (a secret, a header) disturbs no lane.
//! All or nothing: a change of a key that needs a restart refuses the whole file, by the names of those keys.

use thiserror::Error;

use super::edge::TlsError;
use crate::config::Written;

/// What is not asked again while the process lives: addresses and limits of listeners, and who we are in Kafka.
const FIXED: &[&str] = &["kafka.namespace", "kafka.instance", "admin", "hook", "ingest", "log.format"];

/// What is asked again at the doors alone, and by the log.
const DOORS: &[&str] = &[
    "hook.raw",
    "hook.signature_headers",
    "hook.kafka_timeout",
    "ingest.kafka_timeout",
    "ingest.token_file",
    "ingest.insecure_inline_token",
    "log.filter",
    "log.repeats_max",
    "log.repeats_window",
];

/// How far a change reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The doors take what is new; intake and lanes are not disturbed.
    Doors,
    /// Intake and lanes drain and go on with what is new.
    Parts,
}

/// What differs between two configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// All keys that differ.
    pub keys: Vec<String>,
    /// Those of them that need a restart.
    pub fixed: Vec<String>,
    pub reach: Reach,
}

/// Why the former config stays.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error("needs a restart: {}", .0.join(", "))]
    NeedsRestart(Vec<String>),
    #[error("kafka: {0}")]
    Kafka(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the daemon is stopping")]
    Stopping,
}

impl Changes {
    pub fn between(former: &Written, later: &Written) -> Self {
        let keys = former.changed(later);
        let fixed = keys.iter().filter(|key| is_fixed(key)).cloned().collect();
        let reach = if keys.iter().all(|key| is_door(key)) { Reach::Doors } else { Reach::Parts };
        Self { keys, fixed, reach }
    }

    /// Errs if anything needs a restart.
    pub fn permitted(&self) -> Result<(), Refusal> {
        if self.fixed.is_empty() { Ok(()) } else { Err(Refusal::NeedsRestart(self.fixed.clone())) }
    }
}

fn is_fixed(key: &str) -> bool {
    let below = |table: &&str| key.strip_prefix(*table).is_some_and(|rest| rest.starts_with('.'));
    (FIXED.contains(&key) && !matches!(key, "hook" | "ingest" | "admin") || FIXED.iter().any(below))
        && !DOORS.contains(&key)
}

/// `channels.NAME.hook…` and `sources.NAME.ingest…` are doors, too.
fn is_door(key: &str) -> bool {
    let mut parts = key.split('.');
    let named = match (parts.next(), parts.next(), parts.next()) {
        (Some("channels"), Some(_), Some(last)) => last == "hook",
        (Some("sources"), Some(_), Some(last)) => last == "ingest",
        (Some("hook" | "ingest" | "log"), None, None) => true,
        (Some(_) | None, _, _) => false,
    };
    named || DOORS.contains(&key)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment};

    const FORMER: &str = r#"
        [kafka]
        bootstrap = "kafka1:9092"
        [missive]
        insecure_inline_token = "missive_pat-x"
        [channels.ops]
        account = "11111111-2222-4333-8444-555555555555"
        type = "text"
        [channels.ops.hook]
        insecure_unsigned = true
        [hook]
        raw = false
        [sources.alerts]
        topic = "alerts"
        format = "alertmanager"
        channel = "ops"
    "#;

    fn written(text: &str) -> Written {
        Config::parse(text, Path::new("missived.toml"), &Environment::default()).expect("a config that works").written
    }

    #[test]
    fn a_change_reaches_as_far_as_what_it_is_about() {
        let rows: [(&str, &str, Reach, &[&str], &str); 8] = [
            ("# ", "# x", Reach::Doors, &[], "nothing has changed"),
            ("raw = false", "raw = true", Reach::Doors, &[], "replies alone"),
            (
                "insecure_unsigned = true",
                "insecure_inline_secrets = [\"ssss-ssss-ssss-ssss-ssss\"]",
                Reach::Doors,
                &[],
                "a secret",
            ),
            ("[hook]", "[log]\nfilter = \"debug\"\n[hook]", Reach::Doors, &[], "which lines are logged"),
            ("[hook]", "[log]\nformat = \"json\"\n[hook]", Reach::Parts, &["log.format"], "how lines look"),
            ("\"alerts\"\n", "\"alarms\"\n", Reach::Parts, &[], "a topic"),
            ("raw = false", "listen = \"127.0.0.1:1234\"", Reach::Parts, &["hook.listen"], "an address"),
            ("[missive]", "namespace = \"n\"\n[missive]", Reach::Parts, &["kafka.namespace"], "who we are"),
        ];
        for (old, new, reach, fixed, sentence) in rows {
            let changes = Changes::between(&written(FORMER), &written(&FORMER.replacen(old, new, 1)));
            assert_eq!(
                (changes.reach, &changes.fixed[..]),
                (reach, &fixed.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{sentence}: {changes:?}"
            );
            assert_eq!(changes.permitted().is_ok(), fixed.is_empty(), "{sentence}");
        }
    }
}
