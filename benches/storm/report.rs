//! One table, and whether every must was kept.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use missived::event::Urgency;
use missived::lane::Outcome as Ending;

use crate::events::{Event, News};
use crate::play::Outcome;
use crate::referee::{By, Told};
use crate::{Scale, Source};

/// The wanted 99th percentile of critical news.
const CRITICAL_P99: Duration = Duration::from_secs(2);

/// Critical events that it takes to speak of a 99th percentile.
const CRITICALS_MIN: usize = 100;

/// Lines of nonsense that are shown.
const NONSENSE_MAX: usize = 5;

/// What is said beside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Detail {
    None,
    /// Every critical event that was told later than wanted.
    Late,
}

#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    fn row(&self, name: &str, value: impl std::fmt::Display) {
        println!("| {name} | {value} |");
    }

    fn must(&mut self, name: &str, value: impl std::fmt::Display, wanted: &str, kept: bool) {
        self.missed += usize::from(!kept);
        println!("| {name} | {value} (must be {wanted}: {}) |", if kept { "kept" } else { "MISSED" });
    }
}

/// Prints the table; failure when a must is missed.
pub fn print(scale: &Scale, source: Source, detail: Detail, outcome: &Outcome) -> ExitCode {
    let mut table = Table::default();
    println!("| storm, seed {}, timing of {source:?} | |\n|---|---|", scale.seed);
    storm(&table, scale, outcome);
    limits(&mut table, outcome);
    latencies(&mut table, outcome);
    accounts(&mut table, outcome);
    cost(&table, outcome);
    if detail == Detail::Late {
        late(outcome);
    }
    for nonsense in outcome.nonsense.iter().take(NONSENSE_MAX) {
        println!("nonsense: {nonsense}");
    }
    match table.missed {
        0 => ExitCode::SUCCESS,
        missed => {
            println!("{missed} musts missed");
            ExitCode::FAILURE
        }
    }
}

fn storm(table: &Table, scale: &Scale, outcome: &Outcome) {
    let unique = outcome.events.iter().filter(|event| event.news == News::Unique).count();
    table.row("events (unique) in groups", format!("{} ({unique}) in {}", scale.events, scale.groups));
    table.row("critical events", format!("{} in {} min", scale.criticals, scale.minutes));
    table.row("messages", outcome.tally.messages);
    table.row("conversations opened, with the roll-up's", outcome.tally.conversations_opened);
    table.row("most opened in any 5 min", outcome.openings_max);
    table.row("roll-up messages, events in them", format!("{}, {}", outcome.told_together.0, outcome.told_together.1));
}

fn limits(table: &mut Table, outcome: &Outcome) {
    let found = outcome.violations;
    table.row("most requests at once", outcome.at_once_max);
    table.must("limit violations", found.all(), "0", found.all() == 0);
}

fn latencies(table: &mut Table, outcome: &Outcome) {
    let critical = |by: Option<By>| {
        let told = of(outcome, Urgency::Critical).filter_map(move |(event, told)| {
            told.filter(|told| by.is_none_or(|by| told.by == by)).map(|told| told.released.since(event.at))
        });
        let mut waits: Vec<Duration> = told.collect();
        waits.sort_unstable();
        waits
    };
    let all = critical(None);
    let p99 = percentile(&all, 99);
    let value = format!("p50 {:?}, p99 {p99:?}, max {:?}", percentile(&all, 50), percentile(&all, 100));
    match all.len() {
        // the 99th percentile of a handful is its worst
        0..CRITICALS_MIN => table.row("critical event to release", format!("{value} (too few to judge)")),
        _ => table.must("critical event to release", value, "p99 ≤ 2 s", p99 <= CRITICAL_P99),
    }
    for (name, by) in [("… told by a message of its own", By::Own), ("… told in a roll-up", By::RollUp)] {
        let some = critical(Some(by));
        let value = format!("{}: p50 {:?}, max {:?}", some.len(), percentile(&some, 50), percentile(&some, 100));
        table.row(name, value);
    }
    for urgency in Urgency::ALL {
        let horizon = outcome.horizons.of(urgency);
        let waits = of(outcome, urgency).filter_map(|(event, told)| Some(told?.answered.since(event.at)));
        let worst = waits.max().unwrap_or_default();
        let name = format!("worst wait untold, {}", urgency.as_str());
        table.must(&name, format!("{worst:?}"), &format!("≤ {horizon:?}"), worst <= horizon);
    }
    table.row("oldest untold, by the lane's word", format!("{:?}", outcome.oldest_untold));
}

fn accounts(table: &mut Table, outcome: &Outcome) {
    let unique = outcome.events.iter().filter(|event| event.news == News::Unique);
    let untold = unique.clone().filter(|event| !outcome.told.contains_key(&event.number)).count();
    table.must("unique events in no message, line or count", untold, "0", untold == 0);
    let repeats = outcome.events.iter().filter(|event| event.news == News::Repeat).count() as u64;
    let books = &outcome.books;
    let off =
        repeats.abs_diff(books.of(Ending::Duplicate)) + (unique.count() as u64).abs_diff(books.of(Ending::Delivered));
    table.must("books against the storm, events off", off, "0", off == 0);
    let entries: Vec<String> = books
        .entries()
        .map(|(ending, reason, count)| format!("{} {} {count}", ending.as_str(), reason.as_str()))
        .collect();
    table.must(
        "books",
        entries.join(", "),
        "balanced",
        books.balance() && books.folded() == outcome.events.len() as u64,
    );
    table.must("messages that make no sense", outcome.nonsense.len(), "0", outcome.nonsense.is_empty());
    let calm = outcome.calm_after.map_or_else(|| "never".to_owned(), |calm| format!("{calm:?}"));
    table.must("nothing pending after the last event", calm, "reached", outcome.calm_after.is_some());
    table.row("identities evicted early", outcome.dedupe_evicted);
}

fn cost(table: &Table, outcome: &Outcome) {
    let cost = outcome.cost;
    let events = outcome.events.len() as f64;
    let nanos = |span: Duration| span.as_secs_f64() * 1e9 / events;
    table.row("steps, frames", format!("{}, {}", cost.steps, cost.frames));
    table.row("ledger bytes per event", format!("{:.0}", cost.frame_bytes as f64 / events));
    table.row("steps per second", format!("{:.0}", cost.steps as f64 / cost.stepping.as_secs_f64()));
    table.row("ns per observation, with reading its frame", format!("{:.0}", nanos(cost.stepping)));
    table.row("ns per observation, asking for the next wakeup", format!("{:.0}", nanos(cost.wakeups)));
    table.row("longest step", format!("{:?}", cost.longest_step));
    let records = format!("{}, {:.0}", cost.records, cost.record_bytes as f64 / events);
    table.row("state records, bytes of them per observation", records);
    table.row("ns per observation, writing them", format!("{:.0}", nanos(cost.recording)));
}

fn late(outcome: &Outcome) {
    let start = outcome.events[0].at;
    for (event, told) in of(outcome, Urgency::Critical) {
        let Some(told) = told.filter(|told| told.released.since(event.at) > CRITICAL_P99) else { continue };
        println!(
            "late: event {} of group {}, {:?} after the start, told {:?} later by {:?}",
            event.number,
            event.group,
            event.at.since(start),
            told.released.since(event.at),
            told.by
        );
    }
}

fn of(outcome: &Outcome, urgency: Urgency) -> impl Iterator<Item = (&Event, Option<&Told>)> {
    let news = outcome.events.iter().filter(move |event| event.urgency == urgency && event.news == News::Unique);
    news.map(|event| (event, outcome.told.get(&event.number)))
}

/// The smallest value that `percent` of the sorted values don't exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}
