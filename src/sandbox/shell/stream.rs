//! Server-sent events: one endless answer for each page that is open.
//!
//! Nothing is queued. When the connection has room for more, the reader is told what is new since it was last told, looked at
//! every [`LOOK`]. Whoever takes nothing for a while ([`Options::patience`]) is cut: see [`Pulse::stopped`]. At most [`SEATS`]
//! at one time.
//!
//! [`Options::patience`]: crate::sandbox::Options::patience

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::Shared;
use crate::sandbox::live::{self, Reader};

/// Pages that are open at one time.
pub const SEATS: usize = 16;

/// How often it is looked at what is new.
const LOOK: Duration = Duration::from_millis(200);

/// Every so many looks the numbers are told.
const LOOKS_PER_PULSE: u64 = 5;

/// Seats for those who follow.
pub fn seats() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SEATS))
}

/// Whether the other side of a connection takes what it asked for.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

/// What one page is told.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    reader: Reader,
    ticks: Interval,
    looks: u64,
    pulse: Pulse,
    _seat: OwnedSemaphorePermit,
}

impl Pulse {
    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends when a reader has taken nothing for a while; never, if nobody follows.
    pub async fn stopped(&self, patience: Duration) {
        let mut before = 0;
        loop {
            sleep(patience).await;
            let now = self.0.load(Ordering::Relaxed);
            if now == before && now > 0 {
                return;
            }
            before = now;
        }
    }
}

impl Events {
    /// For a reader that has seen nothing, if there is a seat.
    pub fn begin(shared: &Arc<Shared>, pulse: Pulse) -> Option<Self> {
        let seat = shared.seats.clone().try_acquire_owned().ok()?;
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self { shared: shared.clone(), reader: Reader::default(), ticks, looks: 0, pulse, _seat: seat })
    }

    fn look(&mut self) -> String {
        let tells_numbers = self.looks.is_multiple_of(LOOKS_PER_PULSE);
        self.looks += 1;
        let reader = &mut self.reader;
        self.shared.with(|now, referee| {
            let mut news = reader.news(referee);
            if tells_numbers {
                news.push_str(&live::pulse(referee, now));
            }
            news
        })
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            ready!(self.ticks.poll_tick(context));
            self.pulse.beat();
            let news = self.look();
            if !news.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(news)))));
            }
        }
    }
}
