//! What happens in the demo: alerts, deals, people chatting, and records that nobody can read. Pure and seeded.
//!
//! A [`Story`] gives one record after another. The same seed gives the same story, up to the times in it, which are an
//! argument. Each record says how many events the daemon will count in it: every alert of a body is one; a record that yields
//! none, or is refused, is one. A [storm](Story::storm) turns nearly everything into alerts of many groups.
//!
//! Bounds: [`EVENTS_PER_RECORD_MAX`] events a record; one record in some hundreds is just above the size that its source takes,
//! the others have a few KiB.

mod alerts;
mod broken;
mod chat;
mod deals;

use std::fmt;

use crate::event::Timestamp;
use crate::sandbox::random::Random;
use alerts::Alerts;
use chat::Chat;
use deals::Deals;

/// The most events in one record.
pub const EVENTS_PER_RECORD_MAX: u64 = 16;

/// One record of a source topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub topic: &'static str,
    pub key: String,
    pub headers: Vec<(&'static str, String)>,
    /// None is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// As the daemon counts them, at least one.
    pub events: u64,
}

/// Everything that happens, in order.
#[derive(Debug)]
pub struct Story {
    random: Random,
    alerts: Alerts,
    deals: Deals,
    chat: Chat,
    storm_left: u64,
}

/// How it goes at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Calm,
    Storm,
}

impl Story {
    /// A story that only `seed` decides.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self { alerts: Alerts::new(&mut random), deals: Deals::default(), chat: Chat::default(), random, storm_left: 0 }
    }

    /// From now on, for this many events more, it storms.
    pub fn storm(&mut self, events: u64) {
        self.storm_left = self.storm_left.saturating_add(events);
    }

    /// The next record, with at most `events_max` events (but at least one).
    pub fn next(&mut self, now: Timestamp, events_max: u64) -> Written {
        let weather = if self.storm_left > 0 { Weather::Storm } else { Weather::Calm };
        let events_max = events_max.clamp(1, EVENTS_PER_RECORD_MAX);
        let written = self.tell(now, weather, events_max);
        self.storm_left = self.storm_left.saturating_sub(written.events);
        written
    }

    fn tell(&mut self, now: Timestamp, weather: Weather, events_max: u64) -> Written {
        let random = &mut self.random;
        // Of a thousand: broken, chat, deals; the rest are alerts.
        let (broken, chat, deals) = match weather {
            Weather::Calm => (15, 14, 280),
            Weather::Storm => (8, 6, 60),
        };
        let dice = random.up_to(999);
        match dice {
            _ if dice < broken => broken::record(random, now, events_max),
            _ if dice < broken + chat => self.chat.record(random, now),
            _ if dice < broken + chat + deals => self.deals.record(random, now),
            _ => self.alerts.record(random, now, weather, events_max),
        }
    }
}

impl Written {
    fn new(topic: &'static str, key: impl Into<String>, payload: impl Into<Vec<u8>>, events: u64) -> Self {
        Self { topic, key: key.into(), headers: Vec::new(), payload: Some(payload.into()), events }
    }

    /// Bytes that it takes up, roughly.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// One of them; there must be one.
pub(super) fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[place(random, from.len())]
}

/// A place below `places`; 0 if there is none.
fn place(random: &mut Random, places: usize) -> usize {
    let most = u64::try_from(places.saturating_sub(1)).unwrap_or(0);
    usize::try_from(random.up_to(most)).unwrap_or(0)
}

fn chance(random: &mut Random, percent: u64) -> bool {
    random.up_to(99) < percent
}

/// RFC 3339.
fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn json(value: &impl fmt::Display) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use super::super::settings::{self, Places, RECORD_BYTES_MAX};
    use super::*;
    use crate::event::{Decoder, HashKey, Record};
    use crate::route::Source;

    fn told(seed: u64, records: usize) -> Vec<Written> {
        let mut story = Story::new(seed);
        let record = |number: usize| {
            if number == records / 2 {
                story.storm(1_000);
            }
            story.next(Timestamp::from_millis(1_790_000_000_000 + number as u64), 100)
        };
        (0..records).map(record).collect()
    }

    fn sources() -> Vec<Source> {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let places = Places { bootstrap: "127.0.0.1:9092".into(), missive: anywhere, hook: anywhere };
        settings::config(&places).expect("a valid config").sources
    }

    /// As the intake does it.
    fn counted(sources: &[Source], written: &Written) -> (u64, Option<&'static str>) {
        let source = sources.iter().find(|source| *source.topic == *written.topic).expect("a source");
        if written.payload.as_ref().is_some_and(|payload| payload.len() > source.record_bytes_max) {
            return (1, Some("too_large"));
        }
        let headers: Vec<_> = written.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let record = Record { payload: written.payload.as_deref(), headers: &headers };
        let mut unrouted = 0;
        let decoded = Decoder::new(HashKey::new([0; 16])).decode(&source.format, record, &mut |event| {
            unrouted += u64::from(source.route(event).next().is_none());
        });
        match decoded {
            Err(refusal) => (1, Some(refusal.reason())),
            Ok(0) => (1, Some("empty")),
            Ok(events) if unrouted > 0 => (events as u64, Some("no_route")),
            Ok(events) => (events as u64, None),
        }
    }

    #[test]
    fn events_are_counted_as_the_daemon_counts_them_and_every_kind_of_broken_record_occurs() {
        let sources = sources();
        let mut reasons = BTreeSet::new();
        for written in told(7, 20_000) {
            let (events, reason) = counted(&sources, &written);
            assert_eq!(events, written.events, "{reason:?}: {written:?}");
            assert!(written.bytes() < RECORD_BYTES_MAX * 2);
            reasons.extend(reason);
        }
        let expected = ["empty", "field", "no_route", "not_json", "nul_byte", "tombstone", "too_large", "unsupported"];
        assert_eq!(reasons.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(told(3, 2_000), told(3, 2_000));
        assert_ne!(told(3, 50), told(4, 50));
    }

    #[test]
    fn a_record_keeps_to_the_events_that_are_left() {
        let mut story = Story::new(1);
        assert!((0..2_000).all(|at| story.next(Timestamp::from_millis(at), 2).events <= 2));
        assert!((0..2_000).all(|at| story.next(Timestamp::from_millis(at), 0).events == 1));
    }

    #[test]
    fn most_of_what_is_told_has_been_told_before() {
        let mut seen = BTreeSet::new();
        let (mut repeated, mut all) = (0_u32, 0_u32);
        for written in told(7, 5_000).iter().filter(|written| written.topic == settings::ALERTS) {
            let Some(Ok(body)) = written.payload.as_deref().map(serde_json::from_slice::<serde_json::Value>) else {
                continue;
            };
            for alert in body["alerts"].as_array().into_iter().flatten() {
                all += 1;
                let identity = (&alert["fingerprint"], &alert["status"], &alert["startsAt"]);
                repeated += u32::from(!seen.insert(format!("{identity:?}")));
            }
        }
        assert!(repeated * 2 > all && repeated < all, "{repeated} of {all}");
    }
}
