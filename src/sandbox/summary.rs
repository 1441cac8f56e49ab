//! The sandbox in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::deliveries::Outcomes;

/// What happened since the start.
///
/// `requests` is the sum of `accepted`, `served`, `refused`, `faulted`, `abandoned` and `undecided`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub seed: u64,
    /// Every request to the API; not those to the control endpoint.
    pub requests: u64,
    /// Messages and posts that were taken, whether the caller heard of it or not.
    pub accepted: u64,
    /// Questions that were answered.
    pub served: u64,
    /// By the refusal's name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests that a fault swallowed before they were processed.
    pub faulted: u64,
    /// Callers that went away before anything was decided.
    pub abandoned: u64,
    /// Requests whose body is still arriving.
    pub undecided: u64,
    /// Requests that broke a rate limit, enforced or not.
    pub rate_limit_violations: u64,
    /// Messages that arrived while another one of their conversation was in progress.
    pub overlaps: u64,
    /// Accepted messages whose `external_id` had been accepted before.
    pub repeated_external_ids: u64,
    /// Faults that were played, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Conversations that were opened.
    pub conversations: u64,
    /// Messages that were accepted.
    pub messages: u64,
    /// Posts that were accepted.
    pub posts: u64,
    /// What phones would have shown: every message and post in a conversation that isn't muted.
    pub notifications: u64,
    pub replies: Outcomes,
    pub rule_webhooks: Outcomes,
    /// Ledger entries that fell out of the ring.
    pub ledger_fallen_out: u64,
    /// Messages that fell out of the ring.
    pub messages_fallen_out: u64,
}
