//! Waiting: look, pause a moment, look again, until it is there or the deadline has passed.
//!
//! The only place among the tests that sleeps ([`moment`] too) or reads a clock. A test that fails here says what it waited for.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// A moment after which there is no point in waiting on.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(span: Duration) -> Self {
        Self(clock() + span)
    }

    /// What is left until then; zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(clock())
    }

    pub fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// Asks `probe` again and again until it has an answer.
///
/// Panics when `within` has passed without one; `what` completes the sentence "no … within".
pub fn eventually<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(within);
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(!deadline.passed(), "no {what} within {within:?}");
        pause();
    }
}

/// Lets time pass: for the pace of a generator and the moment of a disturbance, which nothing announces. What is to be
/// waited *for* has [`eventually`].
#[expect(clippy::disallowed_methods, reason = "a pace and a moment are times, and nothing else")]
pub fn moment(span: Duration) {
    std::thread::sleep(span);
}

/// How long something took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = clock();
    let done = work();
    (done, clock() - begun)
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks: the one sleep in the tests")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[expect(clippy::disallowed_methods, reason = "the tests' one clock: deadlines are real time")]
fn clock() -> Instant {
    Instant::now()
}
