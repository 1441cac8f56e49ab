//! Which webhook requests have been heard: a repeat is answered without being written again.
//!
//! A request that is being written has its repeats wait for the outcome; one that failed is forgotten, so a repeat tries
//! again. Limits: [`UNDERWAY_MAX`] under way and [`DONE_MAX`] remembered; the oldest are forgotten first. Across instances
//! and restarts nothing is remembered: there a reply is at-least-once, with its id as a header.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::metrics::Unwritten;
use crate::event::Timestamp;
use crate::hook::ReplayKey;

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
            Some(Entry::Done { .. }) | None => {}
        }
        if entries.by_key.len().saturating_sub(entries.done.len()) >= UNDERWAY_MAX {
            return Turn::Full;
        }
        let (sender, receiver) = watch::channel(Progress::Underway);
        entries.done.retain(|(done, _)| *done != key);
        entries.by_key.insert(key.clone(), Entry::Underway(receiver));
        Turn::First(Writer { memory: Arc::clone(self), key, progress: sender })
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
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
