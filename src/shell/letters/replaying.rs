//! What a replayed record says of itself, in headers beside its own.
//!
//! Its nonce makes its events news again: mixed into their identities, so that no memory of them swallows a deliberate replay,
//! while the same replay twice is still told once. Its first time, attempts and first failure go along, so that a record that
//! fails again is known as the same. Whoever may write to a source topic may write these headers; they can't claim more
//! with them than with a record of their own, and nonsense in them counts as absent.

use crate::event::{Fingerprint, HashKey, Timestamp};

use super::Events;
use super::headers::{
    REPLAY_ATTEMPTS, REPLAY_FIRST_FAILURE_AT, REPLAY_INDEX, REPLAY_LETTER, REPLAY_NONCE, REPLAY_TIMESTAMP,
};

/// A deliberate replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaying {
    pub nonce: u128,
    /// How often it had failed.
    pub attempts: u32,
    pub first_failure_at: Option<Timestamp>,
    /// When it first stood on its topic.
    pub at: Option<Timestamp>,
    pub events: Events,
}

impl Replaying {
    /// Reads a record's headers; without a nonce it is no replay.
    pub fn of(headers: &[(&str, &[u8])]) -> Option<Self> {
        let text = |name: &str| {
            let (_, value) = headers.iter().find(|(key, _)| *key == name)?;
            str::from_utf8(value).ok()
        };
        let nonce = text(REPLAY_NONCE).filter(|digits| digits.len() == 32)?;
        let moment = |name: &str| text(name).and_then(|digits| digits.parse().ok()).map(Timestamp::from_millis);
        Some(Self {
            nonce: u128::from_str_radix(nonce, 16).ok()?,
            attempts: text(REPLAY_ATTEMPTS).and_then(|digits| digits.parse().ok()).unwrap_or(0),
            first_failure_at: moment(REPLAY_FIRST_FAILURE_AT),
            at: moment(REPLAY_TIMESTAMP),
            events: text(REPLAY_INDEX).map_or(Events::All, Events::parse),
        })
    }

    /// Whether headers may make a record a replay: without the nonce's name among them, [`Self::of`] says that it is none.
    pub fn is_named_in(headers: &[(&str, Option<&[u8]>)]) -> bool {
        headers.iter().any(|(name, _)| *name == REPLAY_NONCE)
    }

    /// Its headers, for a record that is written back; `letter` is for people.
    pub fn headers(&self, letter: &str) -> Vec<(&'static str, String)> {
        let millis = |at: Timestamp| at.as_millis().to_string();
        let mut headers = vec![
            (REPLAY_NONCE, format!("{:032x}", self.nonce)),
            (REPLAY_LETTER, letter.to_owned()),
            (REPLAY_ATTEMPTS, self.attempts.to_string()),
        ];
        headers.extend(self.first_failure_at.map(|at| (REPLAY_FIRST_FAILURE_AT, millis(at))));
        headers.extend(self.at.map(|at| (REPLAY_TIMESTAMP, millis(at))));
        if self.events != Events::All {
            headers.push((REPLAY_INDEX, self.events.to_string()));
        }
        headers
    }

    /// The identity of one of its events: news again, and the same for every copy of this replay.
    pub fn identity(&self, key: &HashKey, identity: Fingerprint) -> Fingerprint {
        key.fingerprint(&[b"replay", &self.nonce.to_le_bytes(), &identity.as_u128().to_le_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaying() -> Replaying {
        let mut events = Events::none();
        events.add(3);
        Replaying {
            nonce: 0xfeed,
            attempts: 2,
            first_failure_at: Some(Timestamp::from_millis(5)),
            at: Some(Timestamp::from_millis(4)),
            events,
        }
    }

    fn read(headers: &[(&str, String)]) -> Option<Replaying> {
        let borrowed: Vec<(&str, &[u8])> = headers.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
        Replaying::of(&borrowed)
    }

    #[test]
    fn headers_come_back_as_they_were_written() {
        let all = Replaying { events: Events::All, first_failure_at: None, at: None, ..replaying() };
        for replaying in [replaying(), all] {
            assert_eq!(read(&replaying.headers("0:7")), Some(replaying));
        }
    }

    #[test]
    fn without_a_whole_nonce_it_is_no_replay_and_other_nonsense_counts_as_absent() {
        for nonce in ["", "feed", "zz000000000000000000000000000000", &"0".repeat(33)] {
            assert_eq!(read(&[(REPLAY_NONCE, nonce.to_owned())]), None, "{nonce}");
        }
        let mut headers = replaying().headers("0:7");
        for (name, value) in &mut headers {
            if *name != REPLAY_NONCE {
                "-1".clone_into(value);
            }
        }
        let read = read(&headers).expect("a replay");
        assert_eq!((read.attempts, read.first_failure_at, read.at, read.events), (0, None, None, Events::All));
    }

    #[test]
    fn a_replay_is_news_once() {
        let (key, identity) = (HashKey::new([7; 16]), Fingerprint::from_u128(1));
        let first = replaying().identity(&key, identity);
        assert_ne!(first, identity);
        assert_eq!(first, replaying().identity(&key, identity), "the same replay again");
        assert_ne!(first, Replaying { nonce: 1, ..replaying() }.identity(&key, identity), "another replay");
        assert_ne!(first, replaying().identity(&key, Fingerprint::from_u128(2)), "another event");
    }
}
