//! Which webhook requests have been heard: a repeat is answered without being written again.
//!
//! A request that is being written has its repeats wait for the outcome; one that failed is forgotten, so a repeat tries
//! again. Requests are remembered by a fingerprint under a key of this process's own. Limits: [`UNDERWAY_MAX`] under way and
//! [`DONE_MAX`] remembered; the oldest are forgotten first. A start reads back what was written before it (`recall.rs`);
//! between instances that run at the same time nothing is known of one another: there a reply is at-least-once, with its id
//! as a header.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event::{Fingerprint, HashKey, Timestamp};
use crate::hook::ReplayKey;
use crate::telemetry::hook::Unwritten;

/// The most requests that are remembered as done.
pub(super) const DONE_MAX: usize = 65_536;

/// The most requests that are being written.
pub(super) const UNDERWAY_MAX: usize = 1_024;

/// How the writing of a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Written,
    Failed(Unwritten),
}

/// The fate of a request, once there is one. Nobody left to tell it: it has failed.
pub(super) type Awaited = oneshot::Receiver<Fate>;

/// What to do with a request.
pub(super) enum Turn {
    /// Write it, and say how it went.
    First(Writer, Awaited),
    /// Somebody is writing it: wait.
    Repeat(Awaited),
    /// It has been written.
    Known,
    /// Too many are being written.
    Full,
}

pub(super) struct Memory {
    key: HashKey,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<Fingerprint, Entry>,
    /// Those that are done, in the order in which they were.
    done: VecDeque<(Fingerprint, Timestamp)>,
}

enum Entry {
    /// Who waits for it.
    Underway(Vec<oneshot::Sender<Fate>>),
    Done {
        until: Timestamp,
    },
}

impl Memory {
    /// `key` is secret and need not outlive the process.
    pub(super) fn new(key: HashKey) -> Self {
        Self { key, entries: Mutex::default() }
    }

    /// Whose turn it is to write the request named `key`.
    pub(super) fn turn(self: &Arc<Self>, now: Timestamp, key: &ReplayKey<'_>) -> Turn {
        let remembered_for = key.remembered_for();
        let key = key.fingerprint(&self.key);
        let mut entries = self.lock();
        match entries.by_key.get_mut(&key) {
            Some(Entry::Underway(waiting)) => return Turn::Repeat(joined(waiting)),
            Some(Entry::Done { until }) if now < *until => return Turn::Known,
            Some(Entry::Done { .. }) => entries.forget(key),
            None => {}
        }
        if entries.by_key.len().saturating_sub(entries.done.len()) >= UNDERWAY_MAX {
            return Turn::Full;
        }
        let mut waiting = Vec::with_capacity(1);
        let awaited = joined(&mut waiting);
        entries.by_key.insert(key, Entry::Underway(waiting));
        Turn::First(Writer { memory: Arc::clone(self), key, remembered_for }, awaited)
    }

    /// Takes in what was written before this process began. None: nobody repeats it any more, or it is known.
    pub(super) fn recall(&self, now: Timestamp, written: Timestamp, key: &ReplayKey<'_>) -> Option<()> {
        let until = written + key.remembered_for();
        if until <= now {
            return None;
        }
        let key = key.fingerprint(&self.key);
        let mut entries = self.lock();
        if entries.by_key.contains_key(&key) {
            return None;
        }
        entries.finish(written, key, until);
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn forget(&mut self, key: Fingerprint) {
        self.by_key.remove(&key);
        self.done.retain(|(done, _)| *done != key);
    }

    /// Who waited for it.
    fn finish(&mut self, now: Timestamp, key: Fingerprint, until: Timestamp) -> Vec<oneshot::Sender<Fate>> {
        let before = self.by_key.insert(key, Entry::Done { until });
        self.done.push_back((key, until));
        while self.done.len() > DONE_MAX || self.done.front().is_some_and(|(_, until)| *until <= now) {
            let Some((oldest, _)) = self.done.pop_front() else { break };
            self.by_key.remove(&oldest);
        }
        waiting(before)
    }
}

/// The right, and the duty, to say how the writing of a request went. Dropped without a word it counts as failed.
pub(super) struct Writer {
    memory: Arc<Memory>,
    key: Fingerprint,
    remembered_for: Duration,
}

impl Writer {
    pub(super) fn written(self, now: Timestamp) {
        let waiting = self.memory.lock().finish(now, self.key, now + self.remembered_for);
        tell(waiting, Fate::Written);
    }

    pub(super) fn failed(self, why: Unwritten) {
        self.give_up(why);
    }

    fn give_up(&self, why: Unwritten) {
        let mut entries = self.memory.lock();
        if matches!(entries.by_key.get(&self.key), Some(Entry::Underway(_))) {
            let gone = entries.by_key.remove(&self.key);
            drop(entries);
            tell(waiting(gone), Fate::Failed(why));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.give_up(Unwritten::Rejected);
    }
}

fn joined(waiting: &mut Vec<oneshot::Sender<Fate>>) -> Awaited {
    let (sender, awaited) = oneshot::channel();
    waiting.push(sender);
    awaited
}

fn waiting(entry: Option<Entry>) -> Vec<oneshot::Sender<Fate>> {
    match entry {
        Some(Entry::Underway(waiting)) => waiting,
        Some(Entry::Done { .. }) | None => Vec::new(),
    }
}

fn tell(waiting: Vec<oneshot::Sender<Fate>>, fate: Fate) {
    for sender in waiting {
        // Whoever has hung up needs not know.
        let _ = sender.send(fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);

    fn memory() -> Arc<Memory> {
        Arc::new(Memory::new(HashKey::new([7; 16])))
    }

    fn message(number: usize) -> ReplayKey<'static> {
        let text: &'static str = format!("message:{number}").leak();
        ReplayKey::from_header("ops", text).expect("a key")
    }

    fn rule() -> ReplayKey<'static> {
        let text: &'static str = format!("body:{}", "a5".repeat(32)).leak();
        ReplayKey::from_header("ops", text).expect("a key")
    }

    fn first(memory: &Arc<Memory>, now: Timestamp, key: &ReplayKey<'_>) -> (Writer, Awaited) {
        match memory.turn(now, key) {
            Turn::First(writer, awaited) => (writer, awaited),
            Turn::Repeat(_) | Turn::Known | Turn::Full => panic!("not the first"),
        }
    }

    fn written(memory: &Arc<Memory>, now: Timestamp, key: &ReplayKey<'_>) {
        let (writer, mut awaited) = first(memory, now, key);
        writer.written(now);
        assert_eq!(awaited.try_recv(), Ok(Fate::Written));
    }

    #[test]
    fn a_repeat_hears_how_the_first_one_went_and_a_failure_is_forgotten() {
        let (memory, key) = (memory(), message(1));
        let repeat = || match memory.turn(NOW, &key) {
            Turn::Repeat(awaited) => awaited,
            Turn::First(..) | Turn::Known | Turn::Full => panic!("not a repeat"),
        };
        let (writer, mut awaited) = first(&memory, NOW, &key);
        let mut repeated = repeat();
        writer.failed(Unwritten::Late);
        let failed = Ok(Fate::Failed(Unwritten::Late));
        assert_eq!((awaited.try_recv(), repeated.try_recv()), (failed.clone(), failed));
        let (writer, _) = first(&memory, NOW, &key);
        let mut repeated = repeat();
        drop(writer);
        let failed = Ok(Fate::Failed(Unwritten::Rejected));
        assert_eq!(repeated.try_recv(), failed, "a writer that died has failed");
        written(&memory, NOW, &key);
        assert!(matches!(memory.turn(NOW, &key), Turn::Known));
    }

    #[test]
    fn a_message_is_remembered_for_a_day_and_a_rule_may_soon_fire_again() {
        for (key, secs) in [(message(1), 86_400), (rule(), 60)] {
            let memory = memory();
            let (last, over) = (Duration::from_millis(secs * 1_000 - 1), Duration::from_secs(secs));
            written(&memory, NOW, &key);
            assert!(matches!(memory.turn(NOW + last, &key), Turn::Known), "{key:?}");
            written(&memory, NOW + over, &key);
            assert!(matches!(memory.turn(NOW + over + last, &key), Turn::Known), "{key:?}, again");
        }
    }

    #[test]
    fn what_was_written_before_the_start_is_a_repeat_for_as_long_as_one_is_likely() {
        let memory = memory();
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        assert_eq!(memory.recall(NOW, NOW - hours(25), &message(1)), None);
        assert_eq!(memory.recall(NOW, NOW - hours(23), &message(2)), Some(()));
        assert!(matches!(memory.turn(NOW, &message(2)), Turn::Known));
        written(&memory, NOW, &message(1));
        let later = NOW + hours(1);
        written(&memory, later, &message(2));
        assert!(matches!(memory.turn(later, &message(1)), Turn::Known));
    }

    #[test]
    fn no_more_than_so_many_are_under_way_or_remembered() {
        let memory = memory();
        let writers: Vec<_> = (0..UNDERWAY_MAX).map(|number| first(&memory, NOW, &message(number))).collect();
        assert!(matches!(memory.turn(NOW, &message(UNDERWAY_MAX)), Turn::Full));
        writers.into_iter().for_each(|(writer, _)| writer.written(NOW));
        for number in UNDERWAY_MAX..=DONE_MAX {
            written(&memory, NOW, &message(number));
        }
        assert!(matches!(memory.turn(NOW, &message(DONE_MAX)), Turn::Known));
        assert!(matches!(memory.turn(NOW, &message(1)), Turn::Known));
        written(&memory, NOW, &message(0));
        assert_eq!(memory.lock().by_key.len(), DONE_MAX);
    }
}
