//! Requests on the wire: written by an owner, perhaps after it has lost the lane, and answered to it if it still has it.

use missived::lane::policy::OnDoubt;
use missived::lane::{Delivery, Request as Asked};
use missived::missive::answer::{Finding, NotSent, find};
use missived::missive::{Addressed, Answer};

use super::super::fate::{Fate, Request};
use super::super::inbox::conversation_id;
use super::super::owner::{Answered, Wanted};
use super::super::policy::CHANNELS;
use super::super::scenario::{MINUTE, START};
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
        let (body, addressed) = match &delivery.request {
            Asked::Message { body, addressed } => (body, *addressed),
            Asked::LookUp { conversation } => {
                let conversation = conversation.clone();
                return self.look_up(writer, delivery, &conversation);
            }
        };
        if self.kafka.found.contains(&(delivery.id.conversation, delivery.id.sequence)) {
            return Err(format!("{:?} is sent, though it has been found", delivery.id));
        }
        let letter = self.read(&delivery, body)?;
        self.has_looked(&delivery, addressed, &letter)?;
        let fate = self.fate(writer, &delivery, letter.account());
        self.fly(writer, delivery, Some(letter), fate)
    }

    /// Asks for the newest messages; what they are is decided when the request arrives.
    fn look_up(&mut self, writer: Writer, delivery: Delivery, conversation: &str) -> Result<(), String> {
        let id = delivery.id;
        if conversation != conversation_id(id.conversation).to_string() {
            return Err(format!("{id:?} is looked up in {conversation}"));
        }
        self.report.look_ups += 1;
        self.looked_up.insert((id.conversation, id.sequence));
        let fate = self.fate(writer, &delivery, "");
        self.fly(writer, delivery, None, fate)
    }

    fn fly(
        &mut self,
        writer: Writer,
        delivery: Delivery,
        letter: Option<Letter>,
        mut fate: Fate,
    ) -> Result<(), String> {
        if self.missive.chance(self.scenario.weather.others) {
            let counted = (self.inbox.counted(self.now, MINUTE), self.inbox.counted(self.now, 15 * MINUTE));
            self.report.told_what_is_left += 1;
            fate.tell_what_is_left(&mut self.missive, &self.scenario.policy.limits, counted);
        }
        self.excuse_for(&fate);
        self.note(writer, &fate);
        self.inbox.begin(self.now, delivery.id.conversation)?;
        self.events += 1;
        let flight = self.events;
        if let Some(after) = fate.arrives {
            self.plan(self.now + after, Event::Arrive { flight });
        }
        self.plan(self.now + fate.ends, Event::End { flight });
        self.flights.insert(flight, Flight { owner: writer.owner, delivery, letter, fate });
        Ok(())
    }

    /// Whoever says that he may repeat himself has looked where he could, or couldn't look anywhere.
    fn has_looked(&self, delivery: &Delivery, addressed: Addressed, letter: &Letter) -> Result<(), String> {
        let must_look = addressed == Addressed::ById && self.scenario.dials.lessons == 0
            || self.scenario.policy.on_doubt == OnDoubt::Hold;
        let has_looked = self.looked_up.contains(&(delivery.id.conversation, delivery.id.sequence));
        if letter.may_repeat() && must_look && !has_looked {
            return Err(format!("{:?} may repeat what could have been looked up", delivery.id));
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self, flight: u64) -> Result<(), String> {
        let Some(Flight { delivery, letter, fate, .. }) = self.flights.get_mut(&flight) else { return Ok(()) };
        let asks_for_page = matches!(delivery.request, Asked::LookUp { .. });
        if let Answer::Status(status) = &mut fate.answer
            && asks_for_page
            && status.code < 300
        {
            let page = self.inbox.page(self.now, delivery.id.conversation, &mut self.missive);
            status.body = if self.missive.chance(50) { "<html>".into() } else { page.into() };
        }
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

    fn fate(&mut self, writer: Writer, delivery: &Delivery, account: &str) -> Fate {
        let limits = &self.scenario.policy.limits;
        if writer.owner != self.owners && self.missive.chance(500) {
            return Fate::at_the_last_moment(&mut self.missive, limits);
        }
        let request = Request { now: self.now, conversation: delivery.id.conversation, account };
        Fate::of(request, &mut self.missive, &self.scenario.weather, limits)
    }

    /// What an answer to a look-up tells of the message that is looked up.
    fn finding(&self, delivery: &Delivery, answer: &Answer) -> Finding {
        let worded = self.kafka.worded.get(&(delivery.id.conversation, delivery.id.sequence));
        match (answer, worded) {
            (Answer::Status(status), Some(worded)) if status.code < 300 => {
                find(&status.body, &worded.external_id, worded.at.as_secs())
            }
            (Answer::Status(_) | Answer::NotSent(_) | Answer::Lost(_), _) => Finding::Unclear,
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
        let finding = self.finding(delivery, &answer);
        self.report.found += u64::from(finding == Finding::Taken);
        let asked = match delivery.request {
            Asked::Message { addressed, .. } => Wanted::Delivery(addressed),
            Asked::LookUp { .. } => Wanted::Page(finding),
        };
        if owner == self.owners
            && let Some(current) = &mut self.owner
        {
            current.hear(Answered { id: delivery.id, asked, answer });
            self.turn_at(self.now);
        }
    }
}
