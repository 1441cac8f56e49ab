//! Webhooks on their way: what is sent, when it is sent again, and every answer it got.
//!
//! The record is a ring of at most [`DELIVERIES_MAX`]; the counters outlive what falls out of it.

use std::collections::VecDeque;

use serde::Serialize;

use super::backstage::Arrived;

/// How many deliveries are remembered.
pub const DELIVERIES_MAX: usize = 10_000;

/// Of how many of them, the newest, the record is remembered that they became.
pub const RECORDS_MAX: usize = 1_000;

/// One webhook, ready to be posted. Every attempt sends the same bytes.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub id: u64,
    pub sort: WebhookSort,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What kind of webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookSort {
    /// Somebody wrote in a channel.
    Reply,
    /// A rule fired, or a rule was saved and its URL is tried.
    Rule,
}

/// How often an unanswered webhook is sent again, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    /// Before the first retry; doubled before each further one.
    pub backoff_ms: u64,
    /// For one attempt.
    pub timeout_ms: u64,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptAnswer {
    Status(u16),
    NotConnected,
    BrokenOff,
    TimedOut,
    /// Too many webhooks are waiting already; nothing was sent.
    QueueFull,
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAttempt {
    Done,
    RetryIn { ms: u64 },
    GiveUp,
}

/// A webhook and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    pub id: u64,
    pub sort: WebhookSort,
    pub url: String,
    /// The `message.id` of a reply.
    pub message: Option<String>,
    pub conversation: Option<String>,
    pub state: DeliveryState,
    pub attempts: Vec<Attempt>,
    /// The record that it became, where somebody tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<Arrived>>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// Unix milliseconds, when its answer was there.
    pub answered_at: u64,
    pub answer: AttemptAnswer,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    Acknowledged,
    Failed,
}

/// How many webhooks were sent, and how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    pub sent: u64,
    pub acknowledged: u64,
    pub failed: u64,
}

/// The record.
#[derive(Debug, Default)]
pub struct Deliveries {
    ring: VecDeque<Delivery>,
    last_id: u64,
    replies: Outcomes,
    rules: Outcomes,
}

impl Default for RetryPolicy {
    /// What is documented for rule webhooks: 5 retries over 8 minutes, 15 s each.
    fn default() -> Self {
        Self { retries: 5, backoff_ms: 15_000, timeout_ms: 15_000 }
    }
}

impl Deliveries {
    /// Opens the record of a webhook that is about to be sent, and gives its id.
    pub fn open(&mut self, sort: WebhookSort, url: &str, message: Option<&str>, conversation: Option<&str>) -> u64 {
        self.last_id += 1;
        self.outcomes(sort).sent += 1;
        self.ring.push_back(Delivery {
            id: self.last_id,
            sort,
            url: url.to_owned(),
            message: message.map(str::to_owned),
            conversation: conversation.map(str::to_owned),
            state: DeliveryState::Pending,
            attempts: Vec::new(),
            record: None,
        });
        self.forget_old_record();
        if self.ring.len() > DELIVERIES_MAX {
            self.ring.pop_front();
        }
        self.last_id
    }

    /// Writes down what an attempt came to, and what follows from it. Gives the conversation that it belongs to.
    pub fn settle(
        &mut self,
        now: u64,
        outgoing: &Outgoing,
        answer: AttemptAnswer,
        next: AfterAttempt,
    ) -> Option<String> {
        let state = match next {
            AfterAttempt::Done => DeliveryState::Acknowledged,
            AfterAttempt::RetryIn { .. } => DeliveryState::Pending,
            AfterAttempt::GiveUp => DeliveryState::Failed,
        };
        match next {
            AfterAttempt::Done => self.outcomes(outgoing.sort).acknowledged += 1,
            AfterAttempt::GiveUp => self.outcomes(outgoing.sort).failed += 1,
            AfterAttempt::RetryIn { .. } => {}
        }
        let index = self.ring.binary_search_by_key(&outgoing.id, |delivery| delivery.id).ok()?;
        let delivery = &mut self.ring[index];
        delivery.state = state;
        delivery.attempts.push(Attempt { answered_at: now, answer });
        delivery.conversation.clone()
    }

    /// The reply with this message id has become a record. Gives the conversation that it belongs to.
    pub fn arrived(&mut self, message: &str, record: Arrived) -> Option<String> {
        let of_message = |delivery: &&mut Delivery| delivery.message.as_deref() == Some(message);
        let delivery = self.ring.iter_mut().rev().take(RECORDS_MAX).find(of_message)?;
        delivery.record = Some(Box::new(record));
        delivery.conversation.clone()
    }

    /// Up to `limit` deliveries of a conversation, the newest first.
    pub fn of_conversation(&self, conversation: &str, limit: usize) -> Vec<&Delivery> {
        let newest_first = self.ring.iter().rev();
        newest_first.filter(|delivery| delivery.conversation.as_deref() == Some(conversation)).take(limit).collect()
    }

    /// Up to `limit` deliveries after the one with the id `after`, oldest first.
    pub fn page(&self, after: u64, limit: usize) -> Vec<Delivery> {
        let start = self.ring.partition_point(|delivery| delivery.id <= after);
        self.ring.iter().skip(start).take(limit).cloned().collect()
    }

    /// How the replies ended.
    pub fn replies(&self) -> Outcomes {
        self.replies
    }

    /// How the rule webhooks ended.
    pub fn rules(&self) -> Outcomes {
        self.rules
    }

    fn forget_old_record(&mut self) {
        if let Some(old) = self.ring.len().checked_sub(RECORDS_MAX + 1) {
            self.ring[old].record = None;
        }
    }

    fn outcomes(&mut self, sort: WebhookSort) -> &mut Outcomes {
        match sort {
            WebhookSort::Reply => &mut self.replies,
            WebhookSort::Rule => &mut self.rules,
        }
    }
}

impl RetryPolicy {
    /// What follows from the answer to attempt number `attempt`, counted from 1.
    pub fn after(&self, attempt: u32, answer: AttemptAnswer) -> AfterAttempt {
        match answer {
            AttemptAnswer::Status(200..=299) => AfterAttempt::Done,
            AttemptAnswer::QueueFull => AfterAttempt::GiveUp,
            AttemptAnswer::Status(_)
            | AttemptAnswer::NotConnected
            | AttemptAnswer::BrokenOff
            | AttemptAnswer::TimedOut => self.again(attempt),
        }
    }

    fn again(&self, attempt: u32) -> AfterAttempt {
        const DOUBLINGS_MAX: u32 = 20;
        if attempt > self.retries {
            return AfterAttempt::GiveUp;
        }
        let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
        AfterAttempt::RetryIn { ms: self.backoff_ms.saturating_mul(1 << doublings) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_an_answer() {
        let policy = RetryPolicy { retries: 2, backoff_ms: 10, timeout_ms: 1 };
        let rows = [
            (1, AttemptAnswer::Status(204), AfterAttempt::Done, "any 2xx ends it"),
            (1, AttemptAnswer::Status(302), AfterAttempt::RetryIn { ms: 10 }, "a redirect is no success"),
            (2, AttemptAnswer::TimedOut, AfterAttempt::RetryIn { ms: 20 }, "the wait doubles"),
            (3, AttemptAnswer::NotConnected, AfterAttempt::GiveUp, "two retries, then no more"),
            (1, AttemptAnswer::QueueFull, AfterAttempt::GiveUp, "what was never sent is not sent again"),
        ];
        for (attempt, answer, expected, sentence) in rows {
            assert_eq!(policy.after(attempt, answer), expected, "{sentence}");
        }
    }

    #[test]
    fn the_documented_retries_take_about_eight_minutes() {
        let policy = RetryPolicy::default();
        let waits = (1..=5).map(|attempt| match policy.after(attempt, AttemptAnswer::TimedOut) {
            AfterAttempt::RetryIn { ms } => ms,
            AfterAttempt::Done | AfterAttempt::GiveUp => 0,
        });
        assert_eq!(waits.sum::<u64>(), 465_000);
    }

    #[test]
    fn the_record_is_bounded_and_its_counters_are_not() {
        let mut deliveries = Deliveries::default();
        (0..DELIVERIES_MAX + 5).for_each(|_| {
            deliveries.open(WebhookSort::Reply, "u", None, None);
        });
        assert_eq!(deliveries.page(0, usize::MAX).len(), DELIVERIES_MAX);
        assert_eq!(deliveries.replies().sent, DELIVERIES_MAX as u64 + 5);
    }
}
