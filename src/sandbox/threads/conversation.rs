//! One conversation: its state, and which messages are in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::message::{Message, Origin};
use crate::sandbox::channels::ChannelType;
use crate::sandbox::rules::Person;

/// One conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub id: Arc<str>,
    /// The channel of its first message; a conversation of posts has none.
    pub account: Option<Arc<str>>,
    pub kind: Option<ChannelType>,
    pub subject: Option<String>,
    pub color: Option<String>,
    pub closed: bool,
    pub labels: BTreeSet<String>,
    pub assignees: BTreeSet<String>,
    /// The request that opened it.
    pub opened_by: u64,
    /// Whoever the newest incoming message is from.
    pub customer: Person,
    /// The references of the newest incoming message.
    pub customer_references: Vec<Arc<str>>,
    /// Messages it ever had.
    pub messages_count: u64,
    /// Messages that came in since somebody opened it, or wrote.
    pub unread: u64,
    /// Deleted: it is there only until its messages have fallen out, and nobody finds it.
    pub(super) gone: bool,
    /// (delivered at, sequence) of the messages that are kept.
    pub(super) order: BTreeSet<(u64, u64)>,
    pub(super) latest: u64,
    /// Of its last change; 0 before the first.
    pub(super) revision: u64,
}

/// The label that keeps a conversation quiet.
pub const MUTE: &str = "mute";

/// How many labels, or assignees, one conversation keeps.
pub const TAGS_MAX: usize = 1000;

/// Adds and removes labels or assignees; what goes over [`TAGS_MAX`] is not added.
pub fn retag(tags: &mut BTreeSet<String>, add: Vec<String>, remove: &[String]) {
    let room = TAGS_MAX.saturating_sub(tags.len());
    tags.extend(add.into_iter().take(room));
    tags.retain(|tag| !remove.contains(tag));
}

impl Conversation {
    pub(super) fn new(id: Arc<str>, opened_by: u64, account: Option<&str>, kind: Option<ChannelType>) -> Self {
        Self {
            id,
            account: account.map(Arc::from),
            kind,
            subject: None,
            color: None,
            closed: false,
            labels: BTreeSet::new(),
            assignees: BTreeSet::new(),
            opened_by,
            customer: Person::default(),
            customer_references: Vec::new(),
            messages_count: 0,
            unread: 0,
            gone: false,
            order: BTreeSet::new(),
            latest: 0,
            revision: 0,
        }
    }

    /// Whether people asked not to be told: the label `mute`.
    pub fn is_muted(&self) -> bool {
        self.labels.contains(MUTE)
    }

    /// Grows with every message: what was written to last has the greatest.
    pub fn place(&self) -> u64 {
        self.latest
    }

    pub(super) fn take(&mut self, seq: u64, message: &Message) {
        self.order.insert((message.delivered_at, seq));
        self.latest = seq;
        self.messages_count += 1;
        match message.origin {
            Origin::Incoming => {
                self.customer = message.from.clone();
                self.customer_references.clone_from(&message.references);
                self.unread += 1;
            }
            Origin::Post => self.unread += 1,
            Origin::Outgoing => self.unread = 0,
        }
    }
}
