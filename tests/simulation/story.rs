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
use std::ops::Range;

use missived::event::Urgency;

use super::happening::Happening;
use super::policy::channel_of;
use super::reference::{Change, Known, Mind, Standing};
use super::spoken::{
    Letter, changes, company, first_line, flaps, is_cut, listed, more, named, number_before, number_said, repeats,
};

/// One message that people have, or that is a dead letter.
#[derive(Clone, Debug)]
pub struct Telling {
    pub letter: Letter,
    /// Observations that the lane counts as settled by it.
    pub covers: u64,
    /// How far the ledger was folded when it was worded.
    pub worded_at: usize,
    /// How far when it was known to be delivered.
    pub delivered_at: Option<usize>,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    firing: u64,
    resolved: u64,
    changed: u64,
    gone: u64,
    flapping: u64,
    critical: u64,
}

/// News that no message of its own conversation told.
#[derive(Debug, Default)]
pub struct RolledUp {
    count: Count,
    covers: u64,
    /// How often each may be named.
    names: BTreeMap<u64, u64>,
}

impl Count {
    fn of<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut count = Self::default();
        for change in changes {
            let is_critical = u64::from(change.happening.urgency == Urgency::Critical);
            match change.standing {
                Some(_) if change.mind == Mind::Lost => {
                    (count.flapping, count.critical) = (count.flapping + 1, count.critical + is_critical);
                }
                Some(Standing::Firing) => {
                    (count.firing, count.critical) = (count.firing + 1, count.critical + is_critical)
                }
                Some(Standing::Resolved) => count.resolved += 1,
                Some(Standing::Gone) => count.gone += 1,
                None => (count.changed, count.critical) = (count.changed + 1, count.critical + is_critical),
            }
        }
        count
    }

    const fn total(self) -> u64 {
        self.firing + self.resolved + self.changed + self.gone + self.flapping
    }

    const fn add(&mut self, other: Self) {
        self.firing += other.firing;
        self.resolved += other.resolved;
        self.changed += other.changed;
        self.gone += other.gone;
        self.flapping += other.flapping;
        self.critical += other.critical;
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
    let (mut told, mut repeats_told, mut flaps_told, mut delivered_at) = (0, 0, 0, 0);
    for telling in tellings {
        let end = news.partition_point(|change| change.at < telling.worded_at);
        let begin = begin_of(known, telling, &news, told..end)?;
        let again = known.repeats.partition_point(|at| *at < telling.worded_at);
        let said = repeats(telling.letter.body());
        let wanted = (again - repeats_told) as u64;
        if !is_cut(telling.letter.body()) && (said > wanted || said < wanted && begin == told) {
            return Err(format!("{said} repeats told of {wanted}: {:?}", telling.letter));
        }
        repeats_told = again;
        let flapped = known.flaps.partition_point(|at| *at < telling.worded_at);
        let (said, wanted) = (flaps(telling.letter.body()), (flapped - flaps_told) as u64);
        if !is_cut(telling.letter.body()) && (said > wanted || said < wanted && begin == told) {
            return Err(format!("{said} changes while flapping told of {wanted}: {:?}", telling.letter));
        }
        flaps_told = flapped;
        if begin < end {
            rest.add(&news[told..begin]);
            told = end;
        } else if known.closed_at(telling.worded_at).is_some_and(|closed_at| closed_at >= delivered_at) {
            return Err(format!("a person had closed it, and there is no news: {:?}", telling.letter));
        }
        delivered_at = telling.delivered_at.unwrap_or(delivered_at);
    }
    rest.add(&news[told..]);
    Ok(())
}

/// Where the news begins that a message tells: so many observations it stands for, and what lies before the first of them
/// without an observation belongs to it if its words say so.
fn begin_of(known: &Known, telling: &Telling, news: &[&Change], untold: Range<usize>) -> Result<usize, String> {
    let covers = |begin: &usize| news[*begin..untold.end].iter().filter(|change| change.covered).count() as u64;
    let begins = (untold.start..=untold.end).filter(|begin| covers(begin) == telling.covers);
    let mut fault = None;
    for begin in begins {
        match judge_words_of(known, telling, &news[begin..untold.end]) {
            Ok(()) => return Ok(begin),
            Err(wrong) => fault = fault.or(Some(wrong)),
        }
    }
    let fault =
        fault.unwrap_or_else(|| format!("{} told of {} that were untold", telling.covers, covers(&untold.start)));
    Err(format!("{fault}: {:?}", telling.letter))
}

impl RolledUp {
    fn add(&mut self, news: &[&Change]) {
        self.count.add(Count::of(news.iter().copied()));
        for change in news {
            self.covers += u64::from(change.covered);
            *self.names.entry(change.happening.news).or_default() += 1;
        }
    }

    /// Holds a channel's roll-ups against what they must have told.
    pub fn judge(mut self, tellings: &[Telling]) -> Result<(), String> {
        let (mut said, mut covers) = (Count::default(), 0);
        for telling in tellings {
            let body = telling.letter.body();
            let counts = body.lines().nth(1).unwrap_or_default();
            let number = |words| number_before(counts, words).unwrap_or(0);
            let count = Count {
                firing: number(" firing"),
                resolved: number(" resolved"),
                changed: number(" changed"),
                gone: number(" no longer reported"),
                flapping: number(" flapping"),
                critical: number(" critical"),
            };
            if number_said(body) != Some(count.total()) || count.total() < telling.covers || has_nothing(counts) {
                return Err(format!("it stands for {}: {body}", telling.covers));
            }
            if !company(body).is_some_and(|(behind, own, only)| only <= behind && behind <= only + own) {
                return Err(format!("who is told where doesn't add up: {body}"));
            }
            said.add(count);
            covers += telling.covers;
            if let Some(stranger) = listed(body).into_iter().find(|name| !self.may_name(*name)) {
                return Err(format!("<{stranger}> was told before, or elsewhere: {body}"));
            }
        }
        if said == self.count && covers == self.covers {
            Ok(())
        } else {
            Err(format!("{:?} of {} were rolled up, {said:?} of {covers} told", self.count, self.covers))
        }
    }

    fn may_name(&mut self, name: u64) -> bool {
        let left = self.names.get_mut(&name).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

fn judge_words_of(known: &Known, telling: &Telling, piece: &[&Change]) -> Result<(), String> {
    let body = telling.letter.body();
    let Some(first) = piece.first() else {
        let says_again =
            ["Still firing: ", "⚪ Nothing heard since "].iter().any(|words| first_line(body).contains(words));
        return if says_again { Ok(()) } else { Err("it tells of nothing".to_owned()) };
    };
    if first.standing.is_some() {
        judge_alert(known, telling, piece)?;
    } else if piece.len() > 1 && number_before(first_line(body), " changes ") != Some(piece.len() as u64) {
        return Err(format!("{} changes", piece.len()));
    }
    if is_cut(body) { Ok(()) } else { judge_names(body, piece) }
}

fn judge_alert(known: &Known, telling: &Telling, piece: &[&Change]) -> Result<(), String> {
    let count = Count::of(piece.iter().copied());
    let standing = |standing| standing_at(known, telling.worded_at, standing);
    let fires = standing(Standing::Firing).max(u64::from(count.firing > count.resolved + count.gone));
    let gone = standing(Standing::Gone);
    if telling.letter.closes() != (fires + gone == 0) {
        return Err(format!("{fires} fire, {gone} are gone, and it closes: {}", telling.letter.closes()));
    }
    let line = first_line(telling.letter.body());
    let number = |words| number_before(changes(line), words).unwrap_or(0);
    let said = Count {
        firing: number(" new"),
        resolved: number(" resolved"),
        changed: 0,
        gone: number(" no longer reported"),
        flapping: number(" flapping"),
        critical: number(" critical"),
    };
    let wrong = match (piece, fires, gone) {
        ([only], ..) => {
            let flaps = only.mind == Mind::Lost;
            let over = [("🟢 resolved: ", Standing::Resolved), ("⚪ no longer reported", Standing::Gone)];
            let is = |standing| !flaps && only.standing == Some(standing);
            line.starts_with("🔁 flapping: ") != flaps
                || over.into_iter().any(|(words, standing)| line.starts_with(words) != is(standing))
        }
        (_, 0, 0) => !line.starts_with("🟢 All resolved: ") || said != count,
        (_, 0, _) => !line.starts_with("⚪ Nothing fires any more: ") || said != count,
        (..) => number_before(line, " firing") != Some(fires) || said != count || has_nothing(line),
    };
    if wrong { Err(format!("{fires} fire, {gone} are gone, {count:?} to tell")) } else { Ok(()) }
}

/// Does it waste words on what is not?
fn has_nothing(line: &str) -> bool {
    [" 0 ", "+0 ", "(0 ", "(was 0)"].iter().any(|nothing| line.contains(nothing))
}

/// What is named is what is told; the newest is; and the rest is a number.
fn judge_names(body: &str, piece: &[&Change]) -> Result<(), String> {
    let names = if piece.len() == 1 { named(first_line(body)).into_iter().collect() } else { listed(body) };
    let own: BTreeSet<u64> = piece.iter().map(|change| change.happening.news).collect();
    let distinct: BTreeSet<u64> = names.iter().copied().collect();
    if distinct.len() != names.len() || !distinct.is_subset(&own) {
        return Err(format!("{names:?} named of {own:?}"));
    }
    let newest = piece.last().map(|change| change.happening.news);
    if !newest.is_some_and(|newest| distinct.contains(&newest)) {
        return Err(format!("{newest:?} is not named"));
    }
    if names.len() as u64 + more(body) != piece.len() as u64 {
        return Err(format!("{} named and {} more of {}", names.len(), more(body), piece.len()));
    }
    Ok(())
}

/// How many stand like that, a flapping one as firing too, as far as the ledger was folded.
fn standing_at(known: &Known, at: usize, standing: Standing) -> u64 {
    let mut standings = BTreeMap::new();
    for change in known.changes.iter().take_while(|change| change.at < at) {
        standings.insert(change.happening.entity, (change.standing, change.mind));
    }
    let counts = |(known, mind): &&(Option<Standing>, Mind)| {
        *known == Some(standing) || standing == Standing::Firing && *mind != Mind::Made
    };
    standings.values().filter(counts).count() as u64
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
