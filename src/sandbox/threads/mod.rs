//! Conversations: which one a message belongs to, and what is in it.
//!
//! A conversation matches reference R when one of its messages has `external_id == R` or lists R; references are tried in
//! the order they are given, and of several conversations that match one, the oldest message decides. Messages are kept in
//! a ring bounded by number and bytes; what falls out is no longer found by its references, and a conversation whose last
//! message fell out is gone.

mod changes;
mod conversation;
mod message;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use changes::{Changes, Since};
pub use conversation::{Conversation, MUTE, TAGS_MAX, retag};
pub use message::{Author, Message, Origin};

use super::channels::ChannelType;

/// What messages and conversations take up at most, whatever their number: 80 MiB.
pub const MESSAGE_BYTES_MAX: usize = 80 * 1024 * 1024;

/// About how much memory a conversation takes besides its messages.
const CONVERSATION_BYTES: usize = 700;

/// All conversations and messages.
#[derive(Debug)]
pub struct Threads {
    messages_max: usize,
    bytes_max: usize,
    bytes: usize,
    first: u64,
    ring: VecDeque<Kept>,
    conversations: HashMap<Arc<str>, Conversation>,
    recent: BTreeMap<u64, Arc<str>>,
    by_reference: HashMap<Arc<str>, BTreeSet<u64>>,
    by_external_id: HashMap<Arc<str>, u64>,
    by_id: HashMap<String, u64>,
    changes: Changes,
    pub opened: u64,
    pub fallen_out: u64,
}

#[derive(Debug)]
struct Kept {
    conversation: Arc<str>,
    message: Message,
}

impl Threads {
    /// Nothing yet; room for `messages_max` messages (at least one).
    pub fn new(messages_max: usize) -> Self {
        Self {
            messages_max: messages_max.max(1),
            bytes_max: MESSAGE_BYTES_MAX,
            bytes: 0,
            first: 0,
            ring: VecDeque::new(),
            conversations: HashMap::new(),
            recent: BTreeMap::new(),
            by_reference: HashMap::new(),
            by_external_id: HashMap::new(),
            by_id: HashMap::new(),
            changes: Changes::default(),
            opened: 0,
            fallen_out: 0,
        }
    }

    /// The conversation that the first matching reference names, if `passes` lets it.
    pub fn matching<'a>(
        &self,
        references: impl IntoIterator<Item = &'a str>,
        passes: impl Fn(&Conversation) -> bool,
    ) -> Option<&Conversation> {
        references.into_iter().find_map(|reference| {
            let oldest_first = self.by_reference.get(reference)?.iter();
            oldest_first.filter_map(|seq| self.of(*seq)).find(|conversation| passes(conversation))
        })
    }

    /// The conversation with this id.
    pub fn conversation(&self, id: &str) -> Option<&Conversation> {
        self.conversations.get(id).filter(|conversation| !conversation.gone)
    }

    /// The conversation with this id, to change; those that follow are told of it.
    pub fn conversation_mut(&mut self, id: &str) -> Option<&mut Conversation> {
        let conversation = self.conversations.get_mut(id).filter(|conversation| !conversation.gone)?;
        self.changes.mark(conversation);
        Some(conversation)
    }

    /// Which conversations changed.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How many conversations are kept.
    pub fn conversations_kept(&self) -> usize {
        self.recent.len()
    }

    /// How many messages are kept.
    pub fn messages_kept(&self) -> usize {
        self.ring.len()
    }

    /// Deletes a conversation: from now on neither its id nor its references find it.
    pub fn delete(&mut self, id: &str) {
        if let Some(conversation) = self.conversations.get_mut(id) {
            conversation.gone = true;
            self.changes.bury(conversation);
            self.recent.remove(&conversation.latest);
        }
    }

    /// A message and its conversation.
    pub fn message(&self, id: &str) -> Option<(&Message, &Conversation)> {
        let seq = *self.by_id.get(id)?;
        Some((self.at(seq)?, self.of(seq)?))
    }

    /// The newest kept message with this `external_id`.
    pub fn by_external_id(&self, external_id: &str) -> Option<(&Message, &Conversation)> {
        let seq = *self.by_external_id.get(external_id)?;
        Some((self.at(seq)?, self.of(seq)?))
    }

    /// Up to `limit` messages of a conversation, newest first, delivered at `until` (Unix seconds) or before.
    pub fn page(&self, conversation: &Conversation, until: u64, limit: usize) -> Vec<&Message> {
        let newest_first = conversation.order.range(..=(until, u64::MAX)).rev();
        let messages = newest_first.filter_map(|(_, seq)| self.at(*seq));
        messages.filter(|message| message.origin != Origin::Post).take(limit).collect()
    }

    /// Up to `limit` messages and posts of a conversation in the order in which they came, the newest last.
    pub fn story(&self, conversation: &Conversation, limit: usize) -> Vec<&Message> {
        let mut places: Vec<u64> = conversation.order.iter().map(|(_, seq)| *seq).collect();
        places.sort_unstable();
        places.iter().skip(places.len().saturating_sub(limit)).filter_map(|seq| self.at(*seq)).collect()
    }

    /// The message that was added to a conversation last.
    pub fn latest(&self, conversation: &Conversation) -> Option<&Message> {
        self.at(conversation.latest)
    }

    /// Up to `limit` conversations, the one with the newest message first.
    pub fn newest(&self, limit: usize) -> Vec<&Conversation> {
        self.recent.values().rev().filter_map(|id| self.conversation(id)).take(limit).collect()
    }

    /// Makes an empty conversation. It must get a message right away: an empty one is never dropped.
    pub fn open(&mut self, id: String, opened_by: u64, account: Option<&str>, kind: Option<ChannelType>) -> Arc<str> {
        let id: Arc<str> = id.into();
        self.opened += 1;
        self.bytes += CONVERSATION_BYTES;
        self.conversations.insert(id.clone(), Conversation::new(id.clone(), opened_by, account, kind));
        id
    }

    /// Adds a message to a conversation that exists, and lets the oldest messages fall out.
    pub fn append(&mut self, conversation: &Arc<str>, message: Message) {
        let seq = self.first + self.ring.len() as u64;
        let Some(thread) = self.conversations.get_mut(conversation) else { return };
        if thread.messages_count > 0 {
            self.recent.remove(&thread.latest);
        }
        thread.take(seq, &message);
        if !thread.gone {
            self.recent.insert(seq, conversation.clone());
            self.changes.mark(thread);
        }
        for reference in message.references.iter().chain(&message.external_id) {
            self.by_reference.entry(reference.clone()).or_default().insert(seq);
        }
        if let Some(external_id) = &message.external_id {
            self.by_external_id.insert(external_id.clone(), seq);
        }
        self.by_id.insert(message.id.clone(), seq);
        self.bytes += message.bytes();
        self.ring.push_back(Kept { conversation: conversation.clone(), message });
        self.shed();
    }

    fn shed(&mut self) {
        while self.ring.len() > self.messages_max || (self.bytes > self.bytes_max && self.ring.len() > 1) {
            let Some(oldest) = self.ring.pop_front() else { return };
            self.forget(self.first, &oldest);
            self.first += 1;
            self.fallen_out += 1;
        }
    }

    fn forget(&mut self, seq: u64, kept: &Kept) {
        let message = &kept.message;
        self.bytes -= message.bytes();
        self.by_id.remove(&message.id);
        for reference in message.references.iter().chain(&message.external_id) {
            self.forget_reference(reference, seq);
        }
        if let Some(external_id) = &message.external_id
            && self.by_external_id.get(external_id) == Some(&seq)
        {
            self.by_external_id.remove(external_id);
        }
        let Some(thread) = self.conversations.get_mut(&kept.conversation) else { return };
        thread.order.remove(&(message.delivered_at, seq));
        if thread.order.is_empty() {
            self.recent.remove(&thread.latest);
            self.changes.bury(thread);
            self.bytes -= CONVERSATION_BYTES;
            self.conversations.remove(&kept.conversation);
        }
    }

    fn forget_reference(&mut self, reference: &Arc<str>, seq: u64) {
        let Some(messages) = self.by_reference.get_mut(reference) else { return };
        messages.remove(&seq);
        if messages.is_empty() {
            self.by_reference.remove(reference);
        }
    }

    fn at(&self, seq: u64) -> Option<&Message> {
        self.kept(seq).map(|kept| &kept.message)
    }

    fn of(&self, seq: u64) -> Option<&Conversation> {
        self.kept(seq).and_then(|kept| self.conversation(&kept.conversation))
    }

    fn kept(&self, seq: u64) -> Option<&Kept> {
        self.ring.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clip::Clipped;
    use crate::sandbox::rules::Person;

    fn message(id: &str, external_id: Option<&str>, references: &[&str]) -> Message {
        Message {
            id: id.into(),
            origin: Origin::Incoming,
            kind: Some(ChannelType::Text),
            delivered_at: 100,
            created_at: 100,
            from: Person::default(),
            to: Vec::new(),
            author: None,
            subject: None,
            body: Clipped::new("b", 10),
            external_id: external_id.map(Arc::from),
            references: references.iter().map(|text| Arc::from(*text)).collect(),
            attachments: Vec::new(),
        }
    }

    fn with(threads: &mut Threads, conversation: &str, messages: Vec<Message>) {
        let id = match threads.conversation(conversation) {
            Some(thread) => thread.id.clone(),
            None => threads.open(conversation.into(), 1, None, None),
        };
        messages.into_iter().for_each(|message| threads.append(&id, message));
    }

    fn find<'a>(threads: &'a Threads, references: &[&str]) -> Option<&'a str> {
        threads.matching(references.iter().copied(), |_| true).map(|thread| &*thread.id)
    }

    #[test]
    fn the_first_reference_that_matches_wins() {
        let mut threads = Threads::new(100);
        with(&mut threads, "a", vec![message("1", Some("ext-1"), &["r1"])]);
        with(&mut threads, "b", vec![message("2", None, &["r2", "r1"])]);
        let rows: &[(&[&str], Option<&str>, &str)] = &[
            (&["r1"], Some("a"), "a listed reference; the oldest message decides"),
            (&["r2"], Some("b"), "another conversation"),
            (&["ext-1"], Some("a"), "an external_id"),
            (&["r9", "r2", "r1"], Some("b"), "in the order that they are given"),
            (&["r9"], None, "an unknown one"),
            (&[], None, "none at all"),
        ];
        for (references, expected, sentence) in rows {
            assert_eq!(find(&threads, references), *expected, "{sentence}");
        }
    }

    #[test]
    fn a_page_is_newest_first_and_ends_at_until() {
        let mut threads = Threads::new(100);
        let at = |id: &str, delivered_at: u64| Message { delivered_at, ..message(id, None, &[]) };
        with(&mut threads, "a", vec![at("1", 10), at("2", 30), at("3", 20), at("4", 30)]);
        let ids = |until: u64, limit: usize| -> Vec<String> {
            let thread = threads.conversation("a").expect("just made");
            threads.page(thread, until, limit).iter().map(|message| message.id.clone()).collect()
        };
        assert_eq!(ids(u64::MAX, 10), ["4", "2", "3", "1"]);
        assert_eq!(ids(u64::MAX, 2), ["4", "2"]);
        assert_eq!(ids(20, 10), ["3", "1"]);
    }

    #[test]
    fn what_falls_out_is_no_longer_found() {
        let mut threads = Threads::new(2);
        with(&mut threads, "a", vec![message("1", Some("e1"), &["r1"])]);
        with(&mut threads, "b", vec![message("2", None, &["r2"]), message("3", None, &["r2"])]);
        assert_eq!(find(&threads, &["r1"]), None);
        assert!(threads.conversation("a").is_none() && threads.message("1").is_none());
        assert!(threads.by_external_id("e1").is_none());
        assert_eq!(find(&threads, &["r2"]), Some("b"));
        assert_eq!((threads.fallen_out, threads.newest(10).len()), (1, 1));
        assert_eq!((threads.by_reference.len(), threads.by_id.len(), threads.recent.len()), (1, 2, 1));
    }

    #[test]
    fn a_deleted_conversation_is_not_found_and_leaves_its_reference_to_the_next() {
        let mut threads = Threads::new(100);
        with(&mut threads, "a", vec![message("1", Some("e"), &["r"])]);
        threads.delete("a");
        assert_eq!(find(&threads, &["r"]), None);
        assert!(threads.conversation("a").is_none() && threads.message("1").is_none());
        assert!(threads.by_external_id("e").is_none() && threads.newest(10).is_empty());
        with(&mut threads, "b", vec![message("2", None, &["r"])]);
        assert_eq!(find(&threads, &["r"]), Some("b"));
    }

    #[test]
    fn large_messages_fall_out_by_their_size() {
        let mut threads = Threads { bytes_max: 5000, ..Threads::new(1000) };
        with(&mut threads, "a", (0..100).map(|id| message(&id.to_string(), None, &["r"])).collect());
        assert!(threads.ring.len() < 10 && threads.bytes <= 5000, "{} bytes", threads.bytes);
    }

    #[test]
    fn the_newest_conversation_is_the_one_written_to_last() {
        let mut threads = Threads::new(100);
        with(&mut threads, "a", vec![message("1", None, &[])]);
        with(&mut threads, "b", vec![message("2", None, &[])]);
        with(&mut threads, "a", vec![message("3", None, &[])]);
        let ids: Vec<&str> = threads.newest(10).iter().map(|thread| &*thread.id).collect();
        assert_eq!(ids, ["a", "b"]);
    }
}
