//! `missived demo --once` as somebody runs it: the process ends by itself, its report's equations hold, and a seed means
//! something. Needs nothing but the binary.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A report and the folder that it is in.
struct Played {
    output: Output,
    report: Option<Value>,
    _folder: TempDir,
}

fn play(args: &[&str]) -> Played {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_missived"));
    let output = command.args(["demo", "--once"]).args(args).arg("--report").arg(&path).output().expect("it runs");
    let report = fs::read(&path).ok().map(|bytes| serde_json::from_slice(&bytes).expect("the report is JSON"));
    Played { output, report, _folder: folder }
}

impl Played {
    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn number(&self, at: &str) -> u64 {
        let report = self.report.as_ref().unwrap_or_else(|| panic!("no report:\n{}", self.stdout()));
        report.pointer(at).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {at} in {report}"))
    }

    fn assert_balanced(&self) {
        assert!(self.output.status.success(), "{:?}\n{}", self.output.status, self.stdout());
        let settled = ["delivered", "duplicates", "suppressed", "dead_lettered", "pending"];
        let sum: u64 = settled.iter().map(|name| self.number(&format!("/events/{name}"))).sum();
        assert_eq!(self.number("/events/consumed"), sum);
        assert_eq!(self.number("/events/pending"), 0);
        assert_eq!(self.number("/missive/rate_limit_violations"), 0);
        assert_eq!(self.number("/missive/refused"), 0);
        assert_eq!(self.number("/replies/produced"), self.number("/replies/sent"));
    }
}

#[test]
fn every_event_of_a_story_is_accounted_for_and_the_same_seed_tells_as_many() {
    let (first, second) = (play(&["--events", "2000", "--seed", "3"]), play(&["--events", "2000", "--seed", "3"]));
    for played in [&first, &second] {
        played.assert_balanced();
        assert_eq!(played.number("/events/consumed"), 2_000);
        assert!(played.number("/events/dead_lettered") > 0, "a story has broken records");
        assert!(played.number("/events/duplicates") > 0, "a story repeats itself");
        assert!(played.number("/messages/sent") >= played.number("/messages/conversations"));
        assert!(played.number("/messages/sent") < 300, "a story is told in less than a minute's budget");
        assert!(played.number("/replies/sent") > 0, "people answer");
    }
    assert_eq!(first.number("/events/dead_lettered"), second.number("/events/dead_lettered"));
    assert!(first.stdout().contains("The books balance."));
}

#[test]
fn a_story_without_events_ends_at_once_and_balances() {
    let played = play(&["--events", "0", "--seed", "1"]);
    played.assert_balanced();
    assert_eq!((played.number("/events/consumed"), played.number("/messages/sent")), (0, 0));
}

#[test]
fn a_deadline_that_is_too_short_is_an_error_with_a_report_and_a_reason() {
    let played = play(&["--events", "2000", "--seed", "3", "--deadline", "1s"]);
    assert_eq!(played.output.status.code(), Some(1));
    assert!(played.stdout().contains("The books don't balance"), "{}", played.stdout());
    assert!(played.report.is_some());
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let rows: [(&[&str], &str); 4] = [
        (&["demo", "--events", "5"], "an endless story has no number of events"),
        (&["demo", "--once", "--events", "many"], "no number"),
        (&["demo", "--once", "--deadline", "soon"], "no time"),
        (&["demo", "--twice"], "no such flag"),
    ];
    for (args, sentence) in rows {
        let output = Command::new(env!("CARGO_BIN_EXE_missived")).args(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{sentence}");
        assert!(!output.stderr.is_empty(), "{sentence}");
    }
}
