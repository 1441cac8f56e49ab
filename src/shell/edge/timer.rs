//! One timer for what the requests of a connection wait for, one after another.
//!
//! A timer of its own for every wait would be made, armed and disarmed each time, under locks that all connections share.
//! This one stays armed, for the moment that it was first armed for: to put it off is to note it, and whether it has rung too
//! early is looked at when it rings. A wait that never comes to wait doesn't touch it. Limit: one wait at a time, as a
//! connection has one request at a time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::shell::clock;

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

#[derive(Debug)]
pub(super) struct Timer(Mutex<Alarm>);

/// Rings at a moment that is put off again and again. Arming one of the runtime's timers takes a lock that all of them share.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Not later than `due`.
    armed: Pin<Box<Sleep>>,
    due: Instant,
}

impl Alarm {
    /// Inside a runtime.
    pub(super) fn after(span: Duration) -> Self {
        let armed = Box::pin(sleep(span));
        Self { due: armed.deadline(), armed }
    }

    /// It rings when `span` is over, counted from now, and not before.
    pub(super) fn set(&mut self, span: Duration) {
        self.due = Instant::from_std(clock::monotonic() + span);
        if self.due < self.armed.deadline() || self.armed.is_elapsed() {
            self.armed.as_mut().reset(self.due);
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.armed.as_mut().poll(cx));
            if self.armed.deadline() >= self.due {
                return Poll::Ready(());
            }
            self.armed.as_mut().reset(self.due);
        }
    }
}

impl Timer {
    /// Inside a runtime.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Alarm::after(Duration::ZERO)))
    }

    /// What `future` comes to, unless it takes longer than `span`, counted from the first time that it has to wait.
    pub(super) async fn within<T>(&self, span: Duration, future: impl Future<Output = T>) -> Result<T, Late> {
        let (mut future, mut armed) = (pin!(future), false);
        poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let mut alarm = self.lock();
            if !armed {
                armed = true;
                alarm.set(span);
            }
            alarm.poll(cx).map(|()| Err(Late))
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Alarm> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn whatever_it_was_armed_for_a_wait_is_late_when_its_own_time_is_over_and_not_before() {
        let (timer, begun) = (Timer::new(), clock::monotonic());
        let spans = [20, 5, 60, 0, 40].map(Duration::from_millis);
        for (place, span) in spans.into_iter().enumerate() {
            assert_eq!(timer.within(span, tokio::task::yield_now()).await, Ok(()));
            let begun = clock::monotonic();
            assert_eq!(timer.within(span, pending::<()>()).await, Err(Late));
            let took = clock::monotonic().duration_since(begun);
            assert!(took >= span, "{place}: {took:?} of {span:?}");
        }
        assert!(clock::monotonic().duration_since(begun) < Duration::from_secs(10), "late is not never");
    }

    #[tokio::test]
    async fn each_wait_has_its_own_time_whatever_the_last_one_had() {
        let timer = Timer::new();
        let (short, long) = (Duration::from_millis(5), Duration::from_secs(3_600));
        assert_eq!(timer.within(Duration::ZERO, ready(1)).await, Ok(1), "what needs not wait is never late");
        for span in [short, short] {
            assert_eq!(timer.within(span, pending::<()>()).await, Err(Late));
        }
        let soon = || async { tokio::time::sleep(short).await };
        assert_eq!(timer.within(long, soon()).await, Ok(()));
        assert_eq!(timer.within(short, pending::<()>()).await, Err(Late), "sooner than the one before");
        assert_eq!(timer.within(long, soon()).await, Ok(()), "which has rung, and says nothing of this one");
    }
}
