//! Requests on the wire: written by an owner, perhaps after it has died, and answered to it if it still lives.

use missived::lane::{Delivery, Request};
use missived::missive::Answer;
use missived::missive::answer::NotSent;

use super::super::inbox::Fate;
use super::super::scenario::START;
use super::{Event, Flight, World};

impl World {
    pub(super) fn write(&mut self, owner: u64, delivery: Delivery) -> Result<(), String> {
        if !self.kafka.announces(delivery.id) {
            return Err(format!("{:?} is sent and not announced", delivery.id));
        }
        let now = self
            .owner
            .as_ref()
            .filter(|_| owner == self.owners)
            .map_or(self.now, |owner| owner.now(self.now).as_millis());
        if now >= delivery.send_before.as_millis() {
            self.excuse();
            self.answer(owner, delivery, Answer::NotSent(NotSent::TooLate));
            return Ok(());
        }
        let fate = Fate::of(
            self.now,
            delivery.id.conversation,
            &mut self.random,
            &self.scenario.weather,
            &self.scenario.policy.limits,
        );
        self.excuse_for(&fate);
        self.inbox.begin(delivery.id.conversation)?;
        self.events += 1;
        let flight = self.events;
        if let Some(after) = fate.arrives {
            self.plan(self.now + after, Event::Arrive { flight });
        }
        self.plan(self.now + fate.ends, Event::End { flight });
        self.flights.insert(flight, Flight { owner, delivery, fate });
        Ok(())
    }

    pub(super) fn arrive(&mut self, flight: u64) -> Result<(), String> {
        let Flight { delivery, fate, .. } = &self.flights[&flight];
        let Request::Message(body) = &delivery.request else { unreachable!("no id is ever learned here") };
        let body = fate.takes_effect.then_some(body.as_slice());
        self.inbox.arrive(self.now, delivery.id.conversation, delivery.id.sequence, body)
    }

    pub(super) fn end(&mut self, flight: u64) {
        let Some(Flight { owner, delivery, fate }) = self.flights.remove(&flight) else { return };
        self.inbox.end(delivery.id.conversation);
        self.answer(owner, delivery, fate.answer);
    }

    fn answer(&mut self, owner: u64, delivery: Delivery, answer: Answer) {
        if self.trace {
            println!("{:>10} answer of {:?}: {answer:?}", self.now - START, delivery.id);
        }
        if owner == self.owners
            && let Some(current) = &mut self.owner
        {
            current.hear(delivery.id, answer);
            self.turn_at(self.now);
        }
    }
}
