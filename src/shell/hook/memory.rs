//! Which webhook requests have been heard: a repeat is answered without being written again.
//!
//! A request that is being written has its repeats wait for the outcome; one that failed is forgotten, so a repeat tries
//! again. Limits: [`UNDERWAY_MAX`] under way and [`DONE_MAX`] remembered; the oldest are forgotten first. A start reads back
//! what was written before it (`recall.rs`); between instances that run at the same time nothing is known of one another:
//! there a reply is at-least-once, with its id as a header.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::Timestamp;
use crate::hook::ReplayKey;
use crate::telemetry::hook::Unwritten;

/// The most requests that are remembered as done.
pub(super) const DONE_MAX: usize = 65_536;

/// The most requests that are being written.
pub(super) const UNDERWAY_MAX: usize = 1_024;

/// How far a request has come on its way to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Underway,
    Written,
    Failed(Unwritten),
}

/// What to do with a request.
pub(super) enum Turn {
    /// Write it, and say how it went.
    First(Writer),
    /// Somebody is writing it: wait.
    Repeat(watch::Receiver<Progress>),
    /// It has been written.
    Known,
    /// Too many are being written.
    Full,
}

#[derive(Default)]
pub(super) struct Memory {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<ReplayKey, Entry>,
    /// Those that are done, in the order in which they were.
    done: VecDeque<(ReplayKey, Timestamp)>,
}

enum Entry {
    Underway(watch::Receiver<Progress>),
    Done { until: Timestamp },
}

impl Memory {
    /// Whose turn it is to write the request named `key`.
    pub(super) fn turn(self: &Arc<Self>, now: Timestamp, key: ReplayKey) -> Turn {
        let mut entries = self.lock();
        match entries.by_key.get(&key) {
            Some(Entry::Underway(progress)) => return Turn::Repeat(progress.clone()),
            Some(Entry::Done { until }) if now < *until => return Turn::Known,
            Some(Entry::Done { .. }) => entries.forget(&key),
            None => {}
        }
        if entries.by_key.len().saturating_sub(entries.done.len()) >= UNDERWAY_MAX {
            return Turn::Full;
        }
        let (sender, receiver) = watch::channel(Progress::Underway);
        entries.by_key.insert(key.clone(), Entry::Underway(receiver));
        Turn::First(Writer { memory: Arc::clone(self), key, progress: sender })
    }

    /// Takes in what was written before this process began. None: nobody repeats it any more, or it is known.
    pub(super) fn recall(&self, now: Timestamp, written: Timestamp, key: ReplayKey) -> Option<()> {
        if written + key.remembered_for() <= now {
            return None;
        }
        let mut entries = self.lock();
        if entries.by_key.contains_key(&key) {
            return None;
        }
        entries.finish(written, &key);
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn forget(&mut self, key: &ReplayKey) {
        self.by_key.remove(key);
        self.done.retain(|(done, _)| done != key);
    }

    fn finish(&mut self, now: Timestamp, key: &ReplayKey) {
        let until = now + key.remembered_for();
        self.by_key.insert(key.clone(), Entry::Done { until });
        self.done.push_back((key.clone(), until));
        while self.done.len() > DONE_MAX || self.done.front().is_some_and(|(_, until)| *until <= now) {
            let Some((oldest, _)) = self.done.pop_front() else { return };
            self.by_key.remove(&oldest);
        }
    }
}

/// The right, and the duty, to say how the writing of a request went. Dropped without a word it counts as failed.
pub(super) struct Writer {
    memory: Arc<Memory>,
    key: ReplayKey,
    progress: watch::Sender<Progress>,
}

impl Writer {
    /// For the one who asked to write.
    pub(super) fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn written(self, now: Timestamp) {
        self.memory.lock().finish(now, &self.key);
        self.progress.send_replace(Progress::Written);
    }

    pub(super) fn failed(self, why: Unwritten) {
        self.progress.send_replace(Progress::Failed(why));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut entries = self.memory.lock();
        if matches!(entries.by_key.get(&self.key), Some(Entry::Underway(_))) {
            entries.by_key.remove(&self.key);
        }
    }
}

/// The outcome, once there is one.
pub(super) async fn outcome(mut progress: watch::Receiver<Progress>) -> Progress {
    match progress.wait_for(|progress| *progress != Progress::Underway).await {
        Ok(progress) => *progress,
        Err(_) => Progress::Failed(Unwritten::Rejected),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hook::{Door, Doors, Head, Protocol, hear};
    use crate::missive::ChannelType;

    const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);

    /// The key of a webhook, at a door that takes anything.
    fn key(body: &str) -> ReplayKey {
        let door = Door { channel: "ops".into(), kind: ChannelType::Text, lane: "default".into(), secrets: Vec::new() };
        let doors = Doors::new([door], 1_000);
        let headers = [("host", "h".as_bytes())].into_iter().collect();
        let head = Head { protocol: Protocol::Http11, method: "POST", path: "/hooks/ops", headers };
        let mut proving = doors.admit(&head).expect("admitted");
        proving.push(body.as_bytes()).expect("small");
        let proven = proving.finish(NOW).expect("believed");
        let heard = hear(NOW, proven.door, &proven.body).expect("readable");
        ReplayKey::new("ops", &heard, &proven.body)
    }

    fn message(number: usize) -> ReplayKey {
        key(&format!(r#"{{"message":{{"id":"{number}"}}}}"#))
    }

    fn first(memory: &Arc<Memory>, now: Timestamp, key: ReplayKey) -> Writer {
        match memory.turn(now, key) {
            Turn::First(writer) => writer,
            Turn::Repeat(_) | Turn::Known | Turn::Full => panic!("not the first"),
        }
    }

    #[tokio::test]
    async fn a_repeat_hears_how_the_first_one_went_and_a_failure_is_forgotten() {
        let memory = Arc::new(Memory::default());
        let writer = first(&memory, NOW, message(1));
        let Turn::Repeat(repeat) = memory.turn(NOW, message(1)) else { panic!("not a repeat") };
        writer.failed(Unwritten::Rejected);
        assert_eq!(outcome(repeat).await, Progress::Failed(Unwritten::Rejected));
        let writer = first(&memory, NOW, message(1));
        let Turn::Repeat(repeat) = memory.turn(NOW, message(1)) else { panic!("not a repeat") };
        drop(writer);
        assert_eq!(outcome(repeat).await, Progress::Failed(Unwritten::Rejected), "a writer that died has failed");
        first(&memory, NOW, message(1)).written(NOW);
        assert!(matches!(memory.turn(NOW, message(1)), Turn::Known));
    }

    #[test]
    fn a_message_is_remembered_for_a_day_and_a_rule_may_soon_fire_again() {
        let rows = [(message(1), 86_400), (key(r#"{"rule":{"type":"conversation_closed"}}"#), 60)];
        for (key, secs) in rows {
            let memory = Arc::new(Memory::default());
            let (last, over) = (Duration::from_millis(secs * 1_000 - 1), Duration::from_secs(secs));
            first(&memory, NOW, key.clone()).written(NOW);
            assert!(matches!(memory.turn(NOW + last, key.clone()), Turn::Known), "{key:?}");
            first(&memory, NOW + over, key.clone()).written(NOW + over);
            assert!(matches!(memory.turn(NOW + over + last, key.clone()), Turn::Known), "{key:?}, again");
        }
    }

    #[test]
    fn what_was_written_before_the_start_is_a_repeat_for_as_long_as_one_is_likely() {
        let memory = Arc::new(Memory::default());
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        assert_eq!(memory.recall(NOW, NOW - hours(25), message(1)), None);
        assert_eq!(memory.recall(NOW, NOW - hours(23), message(2)), Some(()));
        assert!(matches!(memory.turn(NOW, message(2)), Turn::Known));
        first(&memory, NOW, message(1)).written(NOW);
        let later = NOW + hours(1);
        first(&memory, later, message(2)).written(later);
        assert!(matches!(memory.turn(later, message(1)), Turn::Known));
    }

    #[test]
    fn no_more_than_so_many_are_under_way_or_remembered() {
        let memory = Arc::new(Memory::default());
        let writers: Vec<_> = (0..UNDERWAY_MAX).map(|number| first(&memory, NOW, message(number))).collect();
        assert!(matches!(memory.turn(NOW, message(UNDERWAY_MAX)), Turn::Full));
        writers.into_iter().for_each(|writer| writer.written(NOW));
        for number in UNDERWAY_MAX..=DONE_MAX {
            first(&memory, NOW, message(number)).written(NOW);
        }
        assert!(matches!(memory.turn(NOW, message(DONE_MAX)), Turn::Known));
        assert!(matches!(memory.turn(NOW, message(1)), Turn::Known));
        first(&memory, NOW, message(0)).written(NOW);
        assert_eq!(memory.lock().by_key.len(), DONE_MAX);
    }
}
