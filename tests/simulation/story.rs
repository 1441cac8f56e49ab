//! What every conversation must have said, from the naive model alone.
//!
//! A message tells whatever its conversation has heard and not told yet: of the news that stood in the ledger when it was
//! worded, the last so many that it counts. So the messages of a conversation cut its news into pieces that follow one another,
//! and what lies between two of them was told in the roll-up of its channel. Each piece is held against the words: how many
//! fire, are new, resolved, critical; which are named, that the newest is; how many more; how many repeats. What was rolled up
//! is held against the roll-ups by sums. People's words must be there one by one, verbatim.
//!
//! It judges strict scenarios in which nothing is pending. It doesn't judge which lines are the worst, nor prose.

use std::collections::{BTreeMap, BTreeSet};

use missived::event::State;
use missived::event::Urgency;

use super::happening::Happening;
use super::policy::channel_of;
use super::reference::{Change, Known};
use super::spoken::{Letter, changes, first_line, is_cut, listed, more, named, number_before, repeats};

/// One message that people have, or that is a dead letter.
#[derive(Clone, Debug)]
pub struct Telling {
    pub letter: Letter,
    /// Observations that the lane counts as settled by it.
    pub covers: u64,
    /// How far the ledger was folded when it was worded.
    pub worded_at: usize,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    firing: u64,
    resolved: u64,
    changed: u64,
    critical: u64,
}

/// News that no message of its own conversation told.
#[derive(Debug, Default)]
pub struct RolledUp {
    count: Count,
    names: BTreeSet<u64>,
}

impl Count {
    fn of<'a>(happenings: impl IntoIterator<Item = &'a Happening>) -> Self {
        let mut count = Self::default();
        for happening in happenings {
            let is_over = happening.state == State::Resolved;
            count.critical += u64::from(happening.urgency == Urgency::Critical && !is_over);
            match happening.state {
                State::Firing => count.firing += 1,
                State::Resolved => count.resolved += 1,
                State::Changed | State::Said => count.changed += 1,
            }
        }
        count
    }
}

/// Holds one conversation's messages, in order, against what it has heard; adds the rest to what its channel must have rolled
/// up.
pub fn judge(known: &Known, tellings: &[Telling], rolled_up: &mut BTreeMap<&str, RolledUp>) -> Result<(), String> {
    let news: Vec<&Change> = known.changes.iter().filter(|change| change.is_news).collect();
    if known.place.route == "chat" {
        return judge_words(&news, tellings);
    }
    let rest = rolled_up.entry(channel_of(known.place.route)).or_default();
    let (mut told, mut repeats_told) = (0, 0);
    for telling in tellings {
        let end = news.partition_point(|change| change.at < telling.worded_at);
        let covers = usize::try_from(telling.covers).expect("small");
        let begin = end.checked_sub(covers).filter(|begin| *begin >= told);
        let Some(begin) = begin else {
            return Err(format!(
                "{covers} told of {} that were untold: {:?}",
                end.saturating_sub(told),
                telling.letter
            ));
        };
        let piece: Vec<&Happening> = news[begin..end].iter().map(|change| &*change.happening).collect();
        judge_words_of(known, telling, &piece).map_err(|fault| format!("{fault}: {:?}", telling.letter))?;
        let again = known.repeats.partition_point(|at| *at < telling.worded_at);
        let said = repeats(telling.letter.body());
        let wanted = (again - repeats_told) as u64;
        if !is_cut(telling.letter.body()) && (said > wanted || said < wanted && begin == told) {
            return Err(format!("{said} repeats told of {wanted}: {:?}", telling.letter));
        }
        repeats_told = again;
        if covers > 0 {
            rest.add(&news[told..begin]);
            told = end;
        }
    }
    rest.add(&news[told..]);
    Ok(())
}

impl RolledUp {
    fn add(&mut self, news: &[&Change]) {
        let more = Count::of(news.iter().map(|change| &*change.happening));
        self.count.add(more);
        self.names.extend(news.iter().map(|change| change.happening.news));
    }

    /// Holds a channel's roll-ups against what they must have told.
    pub fn judge(mut self, tellings: &[Telling]) -> Result<(), String> {
        let mut said = Count::default();
        for telling in tellings {
            let body = telling.letter.body();
            let counts = body.lines().nth(1).unwrap_or_default();
            let number = |words| number_before(counts, words).unwrap_or(0);
            let count = Count {
                firing: number(" firing"),
                resolved: number(" resolved"),
                changed: number(" changed"),
                critical: number(" critical"),
            };
            if count.firing + count.resolved + count.changed != telling.covers {
                return Err(format!("it stands for {}: {body}", telling.covers));
            }
            said.add(count);
            if let Some(stranger) = listed(body).into_iter().find(|name| !self.names.remove(name)) {
                return Err(format!("<{stranger}> was told before, or elsewhere: {body}"));
            }
        }
        if said == self.count { Ok(()) } else { Err(format!("{:?} were rolled up, {said:?} told", self.count)) }
    }
}

impl Count {
    const fn add(&mut self, other: Self) {
        self.firing += other.firing;
        self.resolved += other.resolved;
        self.changed += other.changed;
        self.critical += other.critical;
    }
}

fn judge_words_of(known: &Known, telling: &Telling, piece: &[&Happening]) -> Result<(), String> {
    let body = telling.letter.body();
    let is_alert = piece.first().is_some_and(|happening| happening.state != State::Changed);
    if piece.is_empty() || is_cut(body) {
        return Ok(());
    }
    if is_alert {
        judge_alert(known, telling, piece)?;
    } else if piece.len() > 1 && number_before(first_line(body), " changes ") != Some(piece.len() as u64) {
        return Err(format!("{} changes", piece.len()));
    }
    judge_names(body, piece)
}

fn judge_alert(known: &Known, telling: &Telling, piece: &[&Happening]) -> Result<(), String> {
    let count = Count::of(piece.iter().copied());
    let fires = firing_at(known, telling.worded_at).max(u64::from(count.firing > count.resolved));
    if telling.letter.closes() != (fires == 0) {
        return Err(format!("{fires} fire, and it closes: {}", telling.letter.closes()));
    }
    let line = first_line(telling.letter.body());
    let number = |words| number_before(changes(line), words).unwrap_or(0);
    let said =
        Count { firing: number(" new"), resolved: number(" resolved"), changed: 0, critical: number(" critical") };
    let wrong = match (piece, fires) {
        ([only], _) => line.starts_with("🟢 resolved: ") != (only.state == State::Resolved),
        (_, 0) => !line.starts_with("🟢 All resolved: ") || said != count,
        (_, _) => number_before(line, " firing") != Some(fires) || said != count || has_nothing(line),
    };
    if wrong { Err(format!("{fires} fire, {count:?} to tell")) } else { Ok(()) }
}

/// Does it waste words on what is not?
fn has_nothing(line: &str) -> bool {
    [" 0 ", "+0 ", "(0 ", "(was 0)"].iter().any(|nothing| line.contains(nothing))
}

/// What is named is what is told; the newest is; and the rest is a number.
fn judge_names(body: &str, piece: &[&Happening]) -> Result<(), String> {
    let names = if piece.len() == 1 { named(first_line(body)).into_iter().collect() } else { listed(body) };
    let own: BTreeSet<u64> = piece.iter().map(|happening| happening.news).collect();
    let distinct: BTreeSet<u64> = names.iter().copied().collect();
    if distinct.len() != names.len() || !distinct.is_subset(&own) {
        return Err(format!("{names:?} named of {own:?}"));
    }
    let newest = piece.last().map(|happening| happening.news);
    if !newest.is_some_and(|newest| distinct.contains(&newest)) {
        return Err(format!("{newest:?} is not named"));
    }
    if names.len() as u64 + more(body) != piece.len() as u64 {
        return Err(format!("{} named and {} more of {}", names.len(), more(body), piece.len()));
    }
    Ok(())
}

fn firing_at(known: &Known, at: usize) -> u64 {
    let mut fires = BTreeSet::new();
    for change in known.changes.iter().take_while(|change| change.at < at) {
        match change.happening.state {
            State::Firing => fires.insert(change.happening.entity),
            State::Resolved | State::Changed | State::Said => fires.remove(&change.happening.entity),
        };
    }
    fires.len() as u64
}

/// People's words arrive once each, verbatim and in order.
fn judge_words(news: &[&Change], tellings: &[Telling]) -> Result<(), String> {
    let mut rest = news;
    for telling in tellings {
        let covers = usize::try_from(telling.covers).expect("small");
        let Some((said, later)) = rest.split_at_checked(covers) else {
            return Err(format!("{covers} told of {} said: {:?}", rest.len(), telling.letter));
        };
        rest = later;
        let wanted = in_one(&said.iter().map(|change| &*change.happening).collect::<Vec<_>>());
        let body = telling.letter.body();
        let kept = if is_cut(body) { body.rsplit_once("\n… ").map_or(body, |(kept, _)| kept) } else { body };
        if !wanted.starts_with(kept) || kept != wanted && !is_cut(body) {
            return Err(format!("{wanted:?} is told as {body:?}"));
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("{} words were never told", rest.len())) }
}

fn in_one(said: &[&Happening]) -> String {
    let one_author = said.iter().all(|word| word.author == said[0].author);
    let tell =
        |word: &&Happening| if one_author { word.text.to_string() } else { format!("{}: {}", word.author, word.text) };
    said.iter().map(tell).collect::<Vec<_>>().join("\n\n")
}
