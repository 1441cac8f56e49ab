//! What must hold when all is told: Missive's windows, every message accounted for, people's words in order, and nothing
//! remembered that is over.

use std::collections::BTreeMap;

use missived::event::Fingerprint;
use missived::lane::{DeliveryId, Request};
use missived::missive::answer::Status;
use missived::missive::{Addressed, Answer};

use super::super::committed::Delivered;
use super::super::owner::{Answered, Wanted};
use super::super::reference::Known;
use super::super::scenario::HOUR;
use super::super::spoken::{Letter, changes, first_line, is_cut, number_before, number_said};
use super::super::story::{Telling, judge};
use super::World;

impl World {
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.inbox.windows()?;
        self.every_settled_message_was_accepted()?;
        self.every_conversation_told_its_story()?;
        let Some(owner) = &self.owner else { return Err("nobody owns the lane".to_owned()) };
        self.report.roll_ups += owner.lane().tally().roll_ups;
        self.report.doubts += owner.lane().tally().doubts;
        if owner.lane().books().pending() > 0 || !self.scenario.strict {
            return Ok(());
        }
        self.everything_over_is_forgotten()
    }

    fn every_settled_message_was_accepted(&self) -> Result<(), String> {
        let sum: u64 = self.kafka.delivered.values().map(|delivered| delivered.covers).sum();
        if sum != self.kafka.sums.delivered {
            return Err(format!("{} delivered, but messages cover {sum}", self.kafka.sums.delivered));
        }
        for ((conversation, sequence), Delivered { covers, .. }) in &self.kafka.delivered {
            let Some(accepted) = self.inbox.accepted.get(&(*conversation, *sequence)) else {
                return Err(format!("message {sequence} of {conversation} is counted as delivered and never arrived"));
            };
            if let Some(said) = number_said(accepted.body())
                && (said < *covers || said != *covers && !self.scenario.has_unsaid())
            {
                return Err(format!("a message stands for {covers} observations and says {said}"));
            }
        }
        let letters: u64 = self.kafka.dead_letters.iter().map(|letter| u64::from(letter.covers)).sum();
        if letters == self.kafka.sums.dead_lettered { Ok(()) } else { Err(format!("dead letters cover {letters}")) }
    }

    /// In a strict scenario in which all is told, every conversation said what the naive model makes of the ledger.
    fn every_conversation_told_its_story(&mut self) -> Result<(), String> {
        if !self.scenario.strict || self.kafka.pending > 0 {
            return Ok(());
        }
        let mut tellings = self.tellings()?;
        let unsaid = |known: &Known| known.changes.iter().filter(|change| !change.covered).count() as u64;
        self.report.gone += self.reference.conversations().map(unsaid).sum::<u64>();
        let mut rolled_up = BTreeMap::new();
        for known in self.reference.conversations() {
            let own = tellings.remove(&known.place.id).unwrap_or_default();
            self.report.judged += own.len() as u64;
            judge(known, &own, &mut rolled_up)
                .map_err(|fault| format!("{}/{}: {fault}", known.place.route, known.place.key))?;
        }
        for (channel, rolled_up) in rolled_up {
            let own =
                tellings.remove(&self.hash.fingerprint(&[b"roll-up", channel.as_bytes(), b""])).unwrap_or_default();
            self.report.judged += own.len() as u64;
            rolled_up.judge(&own).map_err(|fault| format!("roll-up of {channel}: {fault}"))?;
        }
        if tellings.is_empty() { Ok(()) } else { Err(format!("messages of nobody: {:?}", tellings.values())) }
    }

    /// All messages that are settled, by conversation and in order: delivered ones as people have them, and dead letters.
    fn tellings(&self) -> Result<BTreeMap<Fingerprint, Vec<Telling>>, String> {
        let mut settled: BTreeMap<_, _> = self
            .inbox
            .accepted
            .iter()
            .map(|(id, letter)| {
                let delivered = self.kafka.delivered.get(id);
                (
                    *id,
                    (
                        delivered.map_or(0, |delivered| delivered.covers),
                        delivered.map(|delivered| delivered.position),
                        letter.clone(),
                    ),
                )
            })
            .collect();
        for dead in &self.kafka.dead_letters {
            let letter = Letter::read(&dead.body)?;
            let id = letter.message().ok_or_else(|| format!("whose is this dead letter? {letter:?}"))?;
            settled.insert(id, (u64::from(dead.covers), None, letter));
        }
        let mut tellings: BTreeMap<Fingerprint, Vec<Telling>> = BTreeMap::new();
        for (id, (covers, delivered_at, letter)) in settled {
            let worded_at = self
                .kafka
                .worded
                .get(&id)
                .map(|worded| worded.position)
                .ok_or_else(|| format!("{id:?} was never worded"))?;
            tellings.entry(id.0).or_default().push(Telling { letter, covers, worded_at, delivered_at });
        }
        Ok(tellings)
    }

    /// When all windows have passed, only what still fires is remembered, in the lane and in Kafka.
    fn everything_over_is_forgotten(&mut self) -> Result<(), String> {
        let end = self.now + 80 * HOUR;
        let (flapping, mut calm) = (self.reference.flapping(), 0);
        self.report.flapping += flapping;
        while let Some(at) = self.owner.as_ref().and_then(|owner| owner.next_wakeup(self.now)).filter(|at| *at < end) {
            self.now = at;
            let Some(owner) = &mut self.owner else { break };
            owner.turn(self.now, &self.ledger, u64::MAX)?;
            owner.commit_into(&mut self.kafka, &self.ledger)?;
            for delivery in owner.committed() {
                calm += calm_told(&delivery.request)?;
                owner.hear(taken(delivery.id));
                owner.turn(self.now, &self.ledger, u64::MAX)?;
            }
        }
        if calm != flapping {
            return Err(format!("{flapping} alerts flapped, and of {calm} it was told that they are calm"));
        }
        let Some(owner) = &self.owner else { return Ok(()) };
        let (kept, firing) = (owner.lane().conversations(), self.reference.firing());
        if kept > firing {
            return Err(format!("{kept} conversations are kept and {firing} have something that fires"));
        }
        let records: Vec<_> = self.kafka.records.keys().filter(|key| key.contains("/i/")).collect();
        let keys = owner.lane().dedupe_keys();
        if keys == 0 && records.is_empty() {
            Ok(())
        } else {
            Err(format!("{keys} identities outlive their window, in {records:?}"))
        }
    }
}

/// Of how many alerts a message tells that they don't flap any more; it may tell of nothing else.
fn calm_told(request: &Request) -> Result<u64, String> {
    let Request::Message { body, .. } = request else { return Err("nothing is in doubt".to_owned()) };
    let letter = Letter::read(body)?;
    let line = first_line(letter.body());
    let number = |words| number_before(changes(line), words).unwrap_or(0);
    let listed = number(" new") + number(" resolved") + number(" no longer reported");
    let is_single = line.contains(": no longer flapping");
    let calm = number_said(letter.body()).unwrap_or(if is_single { 1 } else { listed });
    if calm > 0 && letter.body().contains(": no longer flapping") || is_cut(letter.body()) {
        Ok(calm)
    } else {
        Err(format!("a message about nothing: {letter:?}"))
    }
}

fn taken(id: DeliveryId) -> Answered {
    let answer = Answer::Status(Status { code: 201, ..Status::default() });
    Answered { id, asked: Wanted::Delivery(Addressed::ByReference), answer }
}
