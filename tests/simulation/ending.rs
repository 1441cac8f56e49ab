//! What must hold when all is told: Missive's windows, every message accounted for, people's words in order, and nothing
//! remembered that is over.

use super::super::scenario::HOUR;
use super::World;

impl World {
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.inbox.windows()?;
        self.every_settled_message_was_accepted()?;
        self.words_arrive_in_order()?;
        let Some(owner) = &self.owner else { return Err("nobody owns the lane".to_owned()) };
        self.report.roll_ups += owner.lane().tally().roll_ups;
        self.report.doubts += owner.lane().tally().doubts;
        if owner.lane().books().pending() > 0 || !self.scenario.strict {
            return Ok(());
        }
        self.everything_over_is_forgotten()
    }

    fn every_settled_message_was_accepted(&self) -> Result<(), String> {
        let sum: u64 = self.kafka.covers.values().sum();
        if sum != self.kafka.sums.delivered {
            return Err(format!("{} delivered, but messages cover {sum}", self.kafka.sums.delivered));
        }
        for ((conversation, sequence), covers) in &self.kafka.covers {
            let Some(accepted) = self.inbox.accepted.get(&(*conversation, *sequence)) else {
                return Err(format!("message {sequence} of {conversation} is counted as delivered and never arrived"));
            };
            if let Some(said) = number_said(&accepted.body)
                && said != *covers
            {
                return Err(format!("a message stands for {covers} observations and says {said}"));
            }
        }
        let letters: u64 = self.kafka.dead_letters.iter().map(|(covers, _)| u64::from(*covers)).sum();
        if letters == self.kafka.sums.dead_lettered { Ok(()) } else { Err(format!("dead letters cover {letters}")) }
    }

    /// People's words arrive once each, in the order of the ledger, or are dead letters.
    fn words_arrive_in_order(&self) -> Result<(), String> {
        if !self.scenario.strict || self.kafka.pending > 0 {
            return Ok(());
        }
        for (thread, words) in &self.reference.words {
            let conversation = self.key.fingerprint(&[b"chat", thread.as_bytes()]);
            let delivered = self.kafka.covers.range((conversation, 0)..=(conversation, u64::MAX));
            let told: String =
                delivered.filter_map(|(id, _)| Some(self.inbox.accepted.get(id)?.body.as_str())).collect();
            let mut rest = told.as_str();
            for word in words {
                let token = word.split_inclusive('>').next().unwrap_or(word);
                if let Some(place) = rest.find(token) {
                    rest = &rest[place + token.len()..];
                } else if !self.kafka.dead_letters.iter().any(|(_, body)| String::from_utf8_lossy(body).contains(token))
                {
                    return Err(format!("{token} of {thread} is not in its place: {told}"));
                }
            }
            let tokens = |text: &str| text.matches('<').count();
            if tokens(&told) > words.len() {
                return Err(format!("{} words of {thread} told, {} said", tokens(&told), words.len()));
            }
        }
        Ok(())
    }

    /// When all windows have passed, only what still fires is remembered, in the lane and in Kafka.
    fn everything_over_is_forgotten(&mut self) -> Result<(), String> {
        let end = self.now + 80 * HOUR;
        while let Some(at) = self.owner.as_ref().and_then(|owner| owner.next_wakeup(self.now)).filter(|at| *at < end) {
            self.now = at;
            let Some(owner) = &mut self.owner else { break };
            owner.turn(self.now, &self.ledger, u64::MAX)?;
            owner.commit_into(&mut self.kafka, &self.ledger)?;
            if !owner.committed().is_empty() {
                return Err("a message about nothing".to_owned());
            }
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

/// The number of observations that a message says it stands for, where it does.
fn number_said(body: &str) -> Option<u64> {
    let line = body.lines().next()?;
    let words = line.strip_prefix("⚠️ Storm: ").unwrap_or(line);
    let (number, rest) = words.split_once(' ')?;
    if !rest.starts_with("changes ") {
        return None;
    }
    number.replace(',', "").parse().ok()
}
