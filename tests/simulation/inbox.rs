//! Missive, as strict as it may ever be: it counts every request that arrives, whenever that is within the request's life,
//! remembers what it accepted, and says when a promise was broken.

use std::collections::{BTreeMap, HashMap};

use missived::event::Fingerprint;
use missived::lane::DeliveryId;
use missived::lane::policy::Limits;
use missived::missive::answer::PAGE_MESSAGES;

use super::fate::millis;
use super::random::Random;
use super::scenario::SECOND;
use super::spoken::{Letter, MAY_REPEAT};

/// How much of two copies of a message is compared.
const BEGINNING_CHARS: usize = 150;

#[derive(Debug)]
pub struct Inbox {
    limits: Limits,
    arrivals: Vec<u64>,
    open: usize,
    busy: HashMap<Fingerprint, u32>,
    /// The last message that arrived, by conversation.
    last: HashMap<Fingerprint, u64>,
    /// Messages that people can read, as they first came.
    pub accepted: BTreeMap<(Fingerprint, u64), Letter>,
    /// When each of them arrived and what it is called, copies too, oldest first; by conversation.
    pages: HashMap<Fingerprint, Vec<(u64, Box<str>)>>,
    /// When the clock had been set forward: what was on the wire then, the lane takes for lost too early.
    leaps: Vec<u64>,
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
            pages: HashMap::new(),
            leaps: Vec::new(),
        }
    }

    /// The clock is set forward: whoever measures by it can't know better until what is on the wire is over.
    pub fn leap(&mut self, now: u64) {
        self.leaps.push(now);
    }

    /// A request is being written.
    pub fn begin(&mut self, now: u64, conversation: Fingerprint) -> Result<(), String> {
        self.open += 1;
        let busy = self.busy.entry(conversation).or_default();
        *busy += 1;
        if self.is_confused(now) {
            return Ok(());
        }
        if self.open > self.limits.concurrent {
            return Err(format!("{} requests at once", self.open));
        }
        if *self.busy.entry(conversation).or_default() > 1 {
            return Err(format!("two deliveries of conversation {conversation} at once"));
        }
        Ok(())
    }

    /// It arrives, and takes effect or not.
    pub fn arrive(&mut self, now: u64, id: DeliveryId, letter: Option<Letter>) -> Result<(), String> {
        self.arrivals.push(now);
        let confused = self.is_confused(now);
        let last = self.last.entry(id.conversation).or_default();
        if id.sequence < *last && !confused {
            return Err(format!("message {} of {} after {last}", id.sequence, id.conversation));
        }
        *last = id.sequence.max(*last);
        let id = (id.conversation, id.sequence);
        match letter {
            // An attempt that was given up too early may arrive behind the next one.
            Some(_) if confused && self.accepted.contains_key(&id) => Ok(()),
            Some(letter) => {
                self.pages.entry(id.0).or_default().push((now, letter.external_id().into()));
                self.accept(id, letter)
            }
            None => Ok(()),
        }
    }

    /// The newest messages of a conversation, as Missive tells them, among what people have said since.
    pub fn page(&self, now: u64, conversation: Fingerprint, random: &mut Random) -> String {
        let names_ids = random.chance(850);
        let people = if random.chance(300) { random.between(1, 12) } else { 0 };
        let said = (0..people).map(|back| format!(r#"{{"id":"p","delivered_at":{}}}"#, (now - back) / SECOND));
        let own = self.pages.get(&conversation).into_iter().flatten().rev();
        let own = own.map(|(at, external_id)| match names_ids {
            true => format!(r#"{{"id":"m","external_id":"{external_id}","delivered_at":{}}}"#, at / SECOND),
            false => format!(r#"{{"id":"m","delivered_at":{}}}"#, at / SECOND),
        });
        format!(r#"{{"messages":[{}]}}"#, said.chain(own).take(PAGE_MESSAGES).collect::<Vec<_>>().join(","))
    }

    /// Requests that arrived within a span.
    pub fn counted(&self, now: u64, span: u64) -> usize {
        self.arrivals.iter().rev().take_while(|at| **at + span > now).count()
    }

    pub fn end(&mut self, conversation: Fingerprint) {
        self.open -= 1;
        *self.busy.entry(conversation).or_insert(1) -= 1;
    }

    /// Does any window hold more than it may? A window in which the clock leapt is no window.
    pub fn windows(&mut self) -> Result<(), String> {
        self.arrivals.sort_unstable();
        for (span, limit) in [(60 * SECOND, self.limits.per_minute), (900 * SECOND, self.limits.per_quarter_hour)] {
            for (first, last) in self.arrivals.iter().zip(self.arrivals.iter().skip(limit)) {
                let leapt = self.leaps.iter().any(|leap| *first < leap + self.confusion() && leap <= last);
                if last - first < span && !leapt {
                    return Err(format!("{} requests within {} ms, until {last}", limit + 1, last - first));
                }
            }
        }
        Ok(())
    }

    pub const fn requests(&self) -> usize {
        self.arrivals.len()
    }

    fn is_confused(&self, now: u64) -> bool {
        self.leaps.last().is_some_and(|leap| now < leap + self.confusion())
    }

    fn confusion(&self) -> u64 {
        millis(self.limits.send_within + self.limits.request_timeout + self.limits.skew_margin) + SECOND
    }

    fn accept(&mut self, id: (Fingerprint, u64), letter: Letter) -> Result<(), String> {
        let plain = letter.body().strip_suffix(MAY_REPEAT);
        match (self.accepted.get(&id), plain) {
            (Some(_), None) => Err(format!("message {} of {} twice, and not marked as a repeat", id.1, id.0)),
            (Some(known), Some(plain)) if !same_beginning(known.body(), plain) => {
                Err(format!("message {} of {} repeated in other words", id.1, id.0))
            }
            (Some(_), Some(_)) => Ok(()),
            (None, plain) => {
                let plain = plain.map(str::to_owned);
                self.accepted.insert(id, letter.saying(plain));
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
