//! What the lane is to learn, gathered for a moment before it is written.
//!
//! Lessons come with replies, and replies come in bursts. Written one by one, lessons take turns with replies at the broker,
//! where somebody waits for every reply and nobody for a lesson. So they wait for [`GATHERED_FOR`] and are handed over together,
//! in the order in which they came, as one record for each partition of the ledger. What somebody wants of the lane (to be
//! quiet, to go on) doesn't wait, and takes what does with it: only that somebody answered does.
//!
//! None is left out, not even one that says what the last one said: what a lane has learned it forgets with the episode that
//! it was about, or when Missive doesn't know the conversation any more, and only the lane knows when.
//!
//! Limits: [`WAITING_MAX`] lessons wait; whoever brings the last of them hands all of them over. A record that has reached
//! [`RECORD_BYTES`] takes no more. What waits when the process is killed is lost, like lessons that Kafka refuses: the lane
//! stays as ignorant as it was.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::lesson::{Learned, Lesson, LessonsBuilder};

/// How long the first one waits for others.
pub(super) const GATHERED_FOR: Duration = Duration::from_millis(20);

/// The most that wait.
const WAITING_MAX: usize = 1_024;

/// The next lesson begins another record.
const RECORD_BYTES: usize = 32 << 10;

/// What is to be seen to when a lesson has been added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gathering {
    /// It is the first: all are to be handed over in [`GATHERED_FOR`].
    Begun,
    /// Somebody will.
    UnderWay,
    /// It can't wait, or there is no more room: all are to be handed over now.
    Now,
}

/// Lessons as a partition of the ledger takes them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub partition: i32,
    pub lessons: LessonsBuilder,
}

#[derive(Default)]
pub(super) struct Lessons {
    waiting: Mutex<Waiting>,
    /// Held while they are handed over: what was said later is written later.
    handing_over: Mutex<()>,
}

/// What has been said and is not handed over.
#[derive(Default)]
struct Waiting {
    /// The last of a partition takes what comes.
    records: Vec<Written>,
    lessons: usize,
}

impl Lessons {
    pub(super) fn add(&self, partition: i32, lesson: &Lesson<'_>) -> Gathering {
        let mut waiting = lock(&self.waiting);
        waiting.add(partition, lesson);
        match waiting.lessons {
            _ if lesson.about != Learned::Answered => Gathering::Now,
            1 => Gathering::Begun,
            WAITING_MAX.. => Gathering::Now,
            _ => Gathering::UnderWay,
        }
    }

    /// Shows all that wait to `write`, which must not block.
    pub(super) fn hand_over(&self, write: impl FnMut(Written)) {
        let _one_after_another = lock(&self.handing_over);
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.records.into_iter().for_each(write);
    }
}

impl Waiting {
    fn add(&mut self, partition: i32, lesson: &Lesson<'_>) {
        self.lessons += 1;
        match self.records.iter_mut().rev().find(|record| record.partition == partition) {
            Some(Written { lessons, .. }) if lessons.as_bytes().len() < RECORD_BYTES => lessons.push(lesson),
            Some(_) | None => self.records.push(Written { partition, lessons: LessonsBuilder::of(lesson) }),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    fn lesson(routing_key: &str) -> Lesson<'_> {
        let at = Timestamp::from_millis(1_795_317_120_000);
        Lesson { channel: "ops", routing_key, conversation_id: "c", about: Learned::Answered, at }
    }

    fn handed_over(lessons: &Lessons) -> Vec<Written> {
        let mut all = Vec::new();
        lessons.hand_over(|written| all.push(written));
        all
    }

    fn written(partition: i32, said: &[Lesson<'_>]) -> Written {
        let mut lessons = LessonsBuilder::of(&said[0]);
        said[1..].iter().for_each(|lesson| lessons.push(lesson));
        Written { partition, lessons }
    }

    #[test]
    fn all_that_came_are_handed_over_once_and_in_order_repeats_among_them() {
        let lessons = Lessons::default();
        for _ in 0..2 {
            let said = [(3, "alerts/a"), (1, "alerts/b"), (3, "alerts/a"), (3, "alerts/c"), (1, "alerts/b")];
            let gathering = said.map(|(partition, key)| lessons.add(partition, &lesson(key)));
            use Gathering::{Begun, UnderWay};
            assert_eq!(gathering, [Begun, UnderWay, UnderWay, UnderWay, UnderWay]);
            let wanted = [
                written(3, &["alerts/a", "alerts/a", "alerts/c"].map(lesson)),
                written(1, &["alerts/b", "alerts/b"].map(lesson)),
            ];
            assert_eq!(handed_over(&lessons), wanted);
            assert_eq!(handed_over(&lessons), []);
        }
    }

    #[test]
    fn what_somebody_wants_of_the_lane_does_not_wait_and_takes_what_does_with_it() {
        for about in [Learned::Closed, Learned::Reopened, Learned::Muted, Learned::Unmuted, Learned::Begun] {
            let (lessons, wish) = (Lessons::default(), Lesson { about, ..lesson("alerts/a") });
            assert_eq!(lessons.add(0, &lesson("alerts/a")), Gathering::Begun);
            assert_eq!(lessons.add(0, &wish), Gathering::Now, "{about:?}");
            assert_eq!(handed_over(&lessons), [written(0, &[lesson("alerts/a"), wish])]);
        }
    }

    #[test]
    fn no_more_wait_than_there_is_room_for_and_no_record_grows_for_ever() {
        let (lessons, long) = (Lessons::default(), "x".repeat(1_000));
        let full = (0..WAITING_MAX).position(|_| lessons.add(0, &lesson(&long)) == Gathering::Now);
        let records = handed_over(&lessons);
        let count: usize = records.iter().map(|written| written.lessons.count()).sum();
        assert_eq!((full, count), (Some(WAITING_MAX - 1), WAITING_MAX));
        for Written { lessons, .. } in &records[..records.len() - 1] {
            assert!((RECORD_BYTES..RECORD_BYTES + 1_100).contains(&lessons.as_bytes().len()));
        }
        assert_eq!(lessons.add(0, &lesson("alerts/a")), Gathering::Begun);
    }
}
