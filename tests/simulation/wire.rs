//! Requests on the wire: written by an owner, perhaps after it has lost the lane, and answered to it if it still has it.

use missived::lane::{Delivery, Request as Asked};
use missived::missive::Answer;
use missived::missive::answer::{Finding, NotSent, find};

use super::super::fate::{Fate, Request};
use super::super::owner::{Answered, Wanted};
use super::super::policy::CHANNELS;
use super::super::scenario::START;
use super::super::spoken::Letter;
use super::{Event, Flight, World, Writer};

impl World {
    pub(super) fn write(&mut self, writer: Writer, delivery: Delivery) -> Result<(), String> {
        if !self.kafka.announced.contains(&delivery.id) {
            return Err(format!("{:?} is sent and not announced", delivery.id));
        }
        let clock = self.now.saturating_add_signed(writer.skew + self.clock);
        if clock >= delivery.send_before.as_millis() {
            self.excuse();
            self.answer(writer.owner, &delivery, Answer::NotSent(NotSent::TooLate));
            return Ok(());
        }
        let Asked::Message { body, .. } = &delivery.request else { return self.look_up(writer, delivery) };
        if self.kafka.found.contains(&(delivery.id.conversation, delivery.id.sequence)) {
            return Err(format!("{:?} is sent, though it has been found", delivery.id));
        }
        let letter = self.read(&delivery, body)?;
        let fate = self.fate(writer, &delivery, &letter);
        self.excuse_for(&fate);
        self.note(writer, &fate);
        self.inbox.begin(self.now, delivery.id.conversation)?;
        self.events += 1;
        let flight = self.events;
        if let Some(after) = fate.arrives {
            self.plan(self.now + after, Event::Arrive { flight });
        }
        self.plan(self.now + fate.ends, Event::End { flight });
        self.flights.insert(flight, Flight { owner: writer.owner, delivery, letter: Some(letter), fate });
        Ok(())
    }

    /// Nobody can look anything up here yet: the request counts, and fails.
    fn look_up(&mut self, writer: Writer, delivery: Delivery) -> Result<(), String> {
        let fate = Fate::unanswerable(&mut self.missive, &self.scenario.weather);
        self.excuse_for(&fate);
        self.inbox.begin(self.now, delivery.id.conversation)?;
        self.events += 1;
        let flight = self.events;
        self.plan(self.now, Event::Arrive { flight });
        self.plan(self.now + fate.ends, Event::End { flight });
        self.flights.insert(flight, Flight { owner: writer.owner, delivery, letter: None, fate });
        Ok(())
    }

    pub(super) fn arrive(&mut self, flight: u64) -> Result<(), String> {
        let Some(Flight { delivery, letter, fate, .. }) = self.flights.get_mut(&flight) else { return Ok(()) };
        let letter = letter.take().filter(|_| fate.takes_effect);
        self.inbox.arrive(self.now, delivery.id, letter)
    }

    pub(super) fn end(&mut self, flight: u64) {
        let Some(Flight { owner, delivery, fate, .. }) = self.flights.remove(&flight) else { return };
        self.inbox.end(delivery.id.conversation);
        self.answer(owner, &delivery, fate.answer);
    }

    /// Reads the request as Missive does: it goes to one of our channels, says which conversation it belongs to and which
    /// message it is, and is no longer than the channel may take.
    fn read(&self, delivery: &Delivery, body: &[u8]) -> Result<Letter, String> {
        let letter = Letter::read(body)?;
        let Some((channel, _)) = CHANNELS.into_iter().find(|(_, account)| *account == letter.account()) else {
            return Err(format!("{letter:?} goes to no channel of ours"));
        };
        let chars_max = self.scenario.policy.channels[channel].channel.body_chars_max;
        let conversation = delivery.id.conversation.to_string();
        let belongs = letter.reference().is_some_and(|reference| reference.split(':').nth(1) == Some(&*conversation));
        let fits = letter.body().chars().count() <= chars_max;
        if belongs && fits && letter.sequence() == Some(delivery.id.sequence) {
            Ok(letter)
        } else {
            Err(format!("{:?} is not what {letter:?} says", delivery.id))
        }
    }

    fn fate(&mut self, writer: Writer, delivery: &Delivery, letter: &Letter) -> Fate {
        let limits = &self.scenario.policy.limits;
        if writer.owner != self.owners && self.missive.chance(500) {
            return Fate::at_the_last_moment(&mut self.missive, limits);
        }
        let request = Request { now: self.now, conversation: delivery.id.conversation, account: letter.account() };
        Fate::of(request, &mut self.missive, &self.scenario.weather, limits)
    }

    /// What an answer to a look-up tells of the message that is looked up.
    fn finding(&self, delivery: &Delivery, answer: &Answer) -> Finding {
        let worded = self.kafka.worded.get(&(delivery.id.conversation, delivery.id.sequence));
        match (answer, worded) {
            (Answer::Status(status), Some(worded)) if status.code < 300 => {
                find(&status.body, &worded.external_id, worded.at.as_secs())
            }
            _ => Finding::Unclear,
        }
    }

    fn note(&mut self, writer: Writer, fate: &Fate) {
        self.report.zombies += u64::from(writer.owner != self.owners);
        let code = if let Answer::Status(status) = &fate.answer { status.code } else { 0 };
        self.report.rate_limited += u64::from(code == 429);
        self.report.halts += u64::from(matches!(code, 401 | 403));
        self.report.refusals += u64::from(matches!(code, 400 | 413 | 422));
    }

    fn answer(&mut self, owner: u64, delivery: &Delivery, answer: Answer) {
        if self.trace {
            println!("{:>10} answer of {:?}: {answer:?}", self.now - START, delivery.id);
        }
        let asked = match delivery.request {
            Asked::Message { addressed, .. } => Wanted::Delivery(addressed),
            Asked::LookUp { .. } => Wanted::Page(self.finding(delivery, &answer)),
        };
        if owner == self.owners
            && let Some(current) = &mut self.owner
        {
            current.hear(Answered { id: delivery.id, asked, answer });
            self.turn_at(self.now);
        }
    }
}
