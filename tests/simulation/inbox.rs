//! Missive, as strict as it may ever be: it counts every request that arrives, whenever that is within the request's life,
//! remembers what it accepted, and says when a promise was broken.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use missived::event::Fingerprint;
use missived::lane::policy::Limits;
use missived::missive::Answer;
use missived::missive::answer::{Lost, NotSent, Status};

use super::random::Random;
use super::scenario::{SECOND, SpellKind, Weather};

/// How much of two copies of a message is compared.
const BEGINNING_CHARS: usize = 150;

/// How one request will end, decided when it is written.
#[derive(Clone, Debug)]
pub struct Fate {
    /// How long after it was written it arrives, if it does.
    pub arrives: Option<u64>,
    pub takes_effect: bool,
    pub ends: u64,
    pub answer: Answer,
}

/// A message that people can read.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub copies: u32,
    pub body: String,
}

#[derive(Debug)]
pub struct Inbox {
    limits: Limits,
    arrivals: Vec<u64>,
    open: usize,
    busy: HashMap<Fingerprint, u32>,
    /// The last message that arrived, by conversation.
    last: HashMap<Fingerprint, u64>,
    pub accepted: BTreeMap<(Fingerprint, u64), Accepted>,
}

impl Fate {
    /// What becomes of a request that is written at `now`.
    pub fn of(now: u64, conversation: Fingerprint, random: &mut Random, weather: &Weather, limits: &Limits) -> Self {
        if let Some(spell) = weather.spells.iter().find(|spell| spell.from <= now && now < spell.to) {
            return Self::in_spell(random, weather, limits, spell.kind);
        }
        let mut dice = random.between(0, 999);
        let mut falls = |share: u64| {
            let hit = dice < share;
            dice = dice.saturating_sub(share);
            hit
        };
        let kind = if falls(weather.rate_limited) {
            Some(SpellKind::RateLimited)
        } else if falls(weather.server_error) {
            Some(SpellKind::Errors)
        } else if falls(weather.timeout) {
            Some(SpellKind::Timeouts)
        } else if falls(weather.no_connection) {
            Some(SpellKind::Down)
        } else if falls(weather.refused) {
            Some(SpellKind::RefusesAll)
        } else if falls(weather.broken) {
            return Self::broken(random, limits);
        } else if falls(weather.not_found) {
            return Self::answered(random, weather, status(404, None, ""), false);
        } else {
            None
        };
        match kind {
            Some(kind) => Self::in_spell(random, weather, limits, kind),
            None => Self::accepted(conversation, random, weather),
        }
    }

    fn accepted(conversation: Fingerprint, random: &mut Random, weather: &Weather) -> Self {
        let told = format!(r#"{{"messages":{{"conversation":"{}"}}}}"#, conversation_id(conversation));
        let body = if random.chance(300) { told.as_str() } else { "" };
        let code = random.pick(&[200, 201]);
        Self::answered(random, weather, status(code, None, body), true)
    }

    fn in_spell(random: &mut Random, weather: &Weather, limits: &Limits, kind: SpellKind) -> Self {
        match kind {
            SpellKind::TokenRefused => {
                Self::answered(random, weather, status(random.clone().pick(&[401, 403]), None, ""), false)
            }
            SpellKind::RefusesAll => {
                Self::answered(random, weather, status(random.clone().pick(&[400, 413, 422]), None, "{}"), false)
            }
            SpellKind::RateLimited => {
                let after = random.chance(700).then(|| Duration::from_secs(random.spread(1, 2_000)));
                Self::answered(random, weather, status(429, after, ""), false)
            }
            SpellKind::Errors => {
                let (code, effect) = (random.pick(&[408, 500, 502, 503, 504]), random.chance(400));
                Self::answered(random, weather, status(code, None, ""), effect && code != 408)
            }
            SpellKind::Down => {
                let ends = random.between(0, 3 * SECOND);
                let answer = Answer::NotSent(NotSent::NoConnection);
                Self { arrives: None, takes_effect: false, ends, answer }
            }
            SpellKind::Timeouts => {
                let ends = millis(limits.request_timeout);
                let arrives = random.chance(800).then(|| random.between(0, ends));
                let takes_effect = arrives.is_some() && random.chance(600);
                Self { arrives, takes_effect, ends, answer: Answer::Lost(Lost::Timeout) }
            }
        }
    }

    fn broken(random: &mut Random, limits: &Limits) -> Self {
        let ends = random.between(0, millis(limits.request_timeout));
        let arrives = random.chance(600).then(|| random.between(0, ends));
        let takes_effect = arrives.is_some() && random.chance(500);
        Self { arrives, takes_effect, ends, answer: Answer::Lost(Lost::Broken) }
    }

    fn answered(random: &mut Random, weather: &Weather, answer: Status, takes_effect: bool) -> Self {
        let ends = random.spread(20, weather.latency_max);
        Self { arrives: Some(random.between(0, ends)), takes_effect, ends, answer: Answer::Status(answer) }
    }
}

impl Inbox {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            arrivals: Vec::new(),
            open: 0,
            busy: HashMap::new(),
            last: HashMap::new(),
            accepted: BTreeMap::new(),
        }
    }

    /// A request is being written.
    pub fn begin(&mut self, conversation: Fingerprint) -> Result<(), String> {
        self.open += 1;
        if self.open > self.limits.concurrent {
            return Err(format!("{} requests at once", self.open));
        }
        let busy = self.busy.entry(conversation).or_default();
        *busy += 1;
        if *busy > 1 { Err(format!("two deliveries of conversation {conversation} at once")) } else { Ok(()) }
    }

    /// It arrives, and takes effect or not.
    pub fn arrive(
        &mut self,
        now: u64,
        conversation: Fingerprint,
        sequence: u64,
        body: Option<&[u8]>,
    ) -> Result<(), String> {
        self.arrivals.push(now);
        let last = self.last.entry(conversation).or_default();
        if sequence < *last {
            return Err(format!("message {sequence} of {conversation} after {last}"));
        }
        *last = sequence;
        let Some(body) = body else { return Ok(()) };
        self.accept((conversation, sequence), words_of(body)?)
    }

    pub fn end(&mut self, conversation: Fingerprint) {
        self.open -= 1;
        *self.busy.entry(conversation).or_insert(1) -= 1;
    }

    /// Does any window hold more than it may?
    pub fn windows(&mut self) -> Result<(), String> {
        self.arrivals.sort_unstable();
        for (span, limit) in [(60 * SECOND, self.limits.per_minute), (900 * SECOND, self.limits.per_quarter_hour)] {
            for (first, last) in self.arrivals.iter().zip(self.arrivals.iter().skip(limit)) {
                if last - first < span {
                    return Err(format!("{} requests within {} ms, until {last}", limit + 1, last - first));
                }
            }
        }
        Ok(())
    }

    pub const fn requests(&self) -> usize {
        self.arrivals.len()
    }

    fn accept(&mut self, id: (Fingerprint, u64), body: String) -> Result<(), String> {
        const MARK: &str = "\n(may repeat an earlier message)";
        let (plain, marked) = body.strip_suffix(MARK).map_or((body.as_str(), false), |plain| (plain, true));
        match self.accepted.get_mut(&id) {
            Some(_) if !marked => Err(format!("message {} of {} twice, and not marked as a repeat", id.1, id.0)),
            Some(known) if !same_beginning(&known.body, plain) => {
                Err(format!("message {} of {} repeated in other words", id.1, id.0))
            }
            Some(known) => {
                known.copies += 1;
                Ok(())
            }
            None => {
                self.accepted.insert(id, Accepted { copies: 1, body: plain.to_owned() });
                Ok(())
            }
        }
    }
}

/// A repeat may be cut a little earlier, to make room for its mark.
fn same_beginning(one: &str, other: &str) -> bool {
    one.chars().zip(other.chars()).take(BEGINNING_CHARS).all(|(one, other)| one == other)
}

/// Missive's id of a conversation.
pub fn conversation_id(conversation: Fingerprint) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(conversation.as_u128().to_be_bytes()).into_uuid()
}

fn words_of(body: &[u8]) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let words = value["messages"]["body"].as_str().ok_or("a message without a body")?;
    Ok(words.to_owned())
}

fn status(code: u16, retry_after: Option<Duration>, body: &str) -> Status {
    Status { code, retry_after, rate_limit: None, body: body.into() }
}

pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("spans of a simulation are short")
}
