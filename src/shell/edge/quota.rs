//! How often one address may ask, and how often it may fail to prove what it says.
//!
//! Both are governor's GCRA, a minute's worth at once. Failures are counted when they happen; an address that has used its
//! failures up is turned away before its body is read, until the next one would be allowed. Limit: [`ADDRESSES_MAX`]
//! addresses are told apart; beyond that, those that have been quiet are forgotten, and if there are none, newcomers share
//! one quota, so that a flood from everywhere can't take the room of those who are known.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::origin::{Network, Origin};
use crate::shell::clock;

/// The most addresses that are told apart.
const ADDRESSES_MAX: usize = 65_536;

/// How often those that have been quiet are looked for when there is no room.
const TIDY_EVERY: Nanos = Nanos::new(1_000_000_000);

/// The process's clock, in governor's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Monotonic;

impl Clock for Monotonic {
    type Instant = Instant;

    fn now(&self) -> Instant {
        clock::monotonic()
    }
}

/// Too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

pub(super) struct Quotas<C: Clock> {
    requests: Limiter<C>,
    failures: Limiter<C>,
    /// Addresses without a failure left → when they have one again.
    barred: Mutex<HashMap<Network, C::Instant>>,
    /// How many those are: mostly none, and then nobody needs the lock.
    barred_count: AtomicUsize,
    clock: C,
}

struct Limiter<C: Clock> {
    limiter: RateLimiter<Network, Addresses, C, NoOpMiddleware<C::Instant>>,
    tidied: Mutex<C::Instant>,
}

impl<C: Clock + Clone> Quotas<C> {
    pub(super) fn new(requests_per_minute: NonZeroU32, failures_per_minute: NonZeroU32, clock: C) -> Self {
        Self {
            requests: Limiter::new(requests_per_minute, clock.clone()),
            failures: Limiter::new(failures_per_minute, clock.clone()),
            barred: Mutex::default(),
            barred_count: AtomicUsize::new(0),
            clock,
        }
    }

    pub(super) fn admit(&self, origin: Origin) -> Result<(), Exhausted> {
        let Some(network) = origin.network() else { return Ok(()) };
        if self.is_barred(network) {
            return Err(Exhausted);
        }
        self.requests.check(network, &self.clock).map_err(|_| Exhausted)
    }

    pub(super) fn failed(&self, origin: Origin) {
        let Some(network) = origin.network() else { return };
        let Err(until) = self.failures.check(network, &self.clock) else { return };
        let mut barred = self.barred();
        if barred.len() >= ADDRESSES_MAX {
            let now = self.clock.now();
            barred.retain(|_, until| *until > now);
        }
        if barred.len() < ADDRESSES_MAX {
            barred.insert(network, until);
        }
        self.barred_count.store(barred.len(), Ordering::Relaxed);
    }

    fn is_barred(&self, network: Network) -> bool {
        if self.barred_count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut barred = self.barred();
        let Some(until) = barred.get(&network) else { return false };
        if *until > self.clock.now() {
            return true;
        }
        barred.remove(&network);
        self.barred_count.store(barred.len(), Ordering::Relaxed);
        false
    }

    fn barred(&self) -> MutexGuard<'_, HashMap<Network, C::Instant>> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Clock + Clone> Limiter<C> {
    fn new(per_minute: NonZeroU32, clock: C) -> Self {
        let tidied = Mutex::new(clock.now());
        Self { limiter: RateLimiter::new(Quota::per_minute(per_minute), Addresses::default(), clock), tidied }
    }

    /// When it is too often: the moment from which it isn't.
    fn check(&self, network: Network, clock: &C) -> Result<(), C::Instant> {
        if self.limiter.len() >= ADDRESSES_MAX {
            self.tidy(clock.now());
        }
        self.limiter.check_key(&network).map_err(|denied| denied.earliest_possible())
    }

    fn tidy(&self, now: C::Instant) {
        let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(*tidied) >= TIDY_EVERY {
            *tidied = now;
            self.limiter.retain_recent();
        }
    }
}

/// What governor knows of each address, with a bound.
#[derive(Debug, Default)]
struct Addresses {
    known: Mutex<Known>,
    /// How many are told apart.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    by_network: HashMap<Network, Nanos>,
    /// All that there was no room for.
    others: Option<Nanos>,
}

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Addresses {
    type Key = Network;

    fn measure_and_replace<T, F, E>(&self, network: &Network, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let known = &mut *self.lock();
        let full = known.by_network.len() >= ADDRESSES_MAX;
        match known.by_network.entry(*network) {
            Entry::Occupied(mut entry) => {
                let (decision, after) = decide(Some(*entry.get()))?;
                entry.insert(after);
                Ok(decision)
            }
            Entry::Vacant(_) if full => {
                let (decision, after) = decide(known.others)?;
                known.others = Some(after);
                Ok(decision)
            }
            Entry::Vacant(entry) => {
                let (decision, after) = decide(None)?;
                entry.insert(after);
                self.count.store(known.by_network.len(), Ordering::Relaxed);
                Ok(decision)
            }
        }
    }
}

impl ShrinkableKeyedStateStore<Network> for Addresses {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut known = self.lock();
        known.by_network.retain(|_, at| *at > drop_below);
        self.count.store(known.by_network.len(), Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn quotas(requests: u32, failures: u32) -> (Quotas<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let count = |count| NonZeroU32::new(count).expect("not zero");
        (Quotas::new(count(requests), count(failures), clock.clone()), clock)
    }

    fn from(number: u32) -> Origin {
        Origin::of_peer(IpAddr::V4(Ipv4Addr::from_bits(number)), &[])
    }

    #[test]
    fn an_address_has_a_minutes_worth_at_once_and_then_its_rate() {
        let (quotas, clock) = quotas(60, 10);
        let taken = (0..100).filter(|_| quotas.admit(from(1)).is_ok()).count();
        assert_eq!((taken, quotas.admit(from(2))), (60, Ok(())), "one address is not the other");
        clock.advance(Duration::from_secs(1));
        assert_eq!((quotas.admit(from(1)), quotas.admit(from(1))), (Ok(()), Err(Exhausted)));
    }

    #[test]
    fn whoever_fails_too_often_is_turned_away_until_the_next_failure_is_allowed() {
        let (quotas, clock) = quotas(1_000, 10);
        (0..10).for_each(|_| quotas.failed(from(1)));
        assert_eq!(quotas.admit(from(1)), Ok(()), "ten are allowed");
        quotas.failed(from(1));
        assert_eq!((quotas.admit(from(1)), quotas.admit(from(2))), (Err(Exhausted), Ok(())));
        clock.advance(Duration::from_millis(6_001));
        assert_eq!(quotas.admit(from(1)), Ok(()));
        quotas.failed(from(1));
        assert_eq!(quotas.admit(from(1)), Ok(()), "that was the allowed one");
        quotas.failed(from(1));
        assert_eq!(quotas.admit(from(1)), Err(Exhausted));
    }

    #[test]
    fn a_flood_from_everywhere_shares_one_quota_and_takes_nobodys_room() {
        let (quotas, clock) = quotas(60, 10);
        let most = u32::try_from(ADDRESSES_MAX).expect("fits");
        (0..most).for_each(|number| assert_eq!(quotas.admit(from(number)), Ok(())));
        let strangers = (most..most + 1_000).filter(|number| quotas.admit(from(*number)).is_ok()).count();
        assert_eq!((strangers, quotas.admit(from(7))), (60, Ok(())));
        assert_eq!(quotas.requests.limiter.len(), ADDRESSES_MAX);
        clock.advance(Duration::from_secs(120));
        assert_eq!(quotas.admit(from(most + 5_000)), Ok(()));
        assert_eq!(quotas.requests.limiter.len(), 1, "those that have been quiet are forgotten");
    }
}
