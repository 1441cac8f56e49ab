//! One timer for what the requests of a connection wait for, one after another.
//!
//! A timer of its own for every wait would be made, armed and disarmed each time, under locks that all connections share.
//! This one stays armed: to put it off costs next to nothing, and a wait that never comes to wait doesn't touch it. Limit: one
//! wait at a time, as a connection has one request at a time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::shell::clock;

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

#[derive(Debug)]
pub(super) struct Timer(Mutex<Pin<Box<Sleep>>>);

impl Timer {
    /// Inside a runtime.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Box::pin(sleep(Duration::ZERO))))
    }

    /// What `future` comes to, unless it takes longer than `span`, counted from the first time that it has to wait.
    pub(super) async fn within<T>(&self, span: Duration, future: impl Future<Output = T>) -> Result<T, Late> {
        let (mut future, mut armed) = (pin!(future), false);
        poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let mut sleep = self.lock();
            if !armed {
                armed = true;
                sleep.as_mut().reset(Instant::from_std(clock::monotonic() + span));
            }
            sleep.as_mut().poll(cx).map(|()| Err(Late))
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Pin<Box<Sleep>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

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
