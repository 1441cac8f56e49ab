//! Conversations as the control endpoint, the library and an inbox page see them.

use serde::Serialize;

use super::referee::Referee;
use super::threads::Conversation;
use super::webhook::MessageItem;

/// How many conversations, ledger entries or webhooks one answer holds at most.
pub const VIEW_ITEMS_MAX: usize = 1000;

/// One conversation.
#[derive(Debug, Clone, Serialize)]
pub struct ConversationView {
    pub id: String,
    pub account: Option<String>,
    /// `text`, `html`, `email`; none for a conversation of posts.
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    pub subject: Option<String>,
    pub color: Option<String>,
    pub closed: bool,
    pub labels: Vec<String>,
    pub assignees: Vec<String>,
    pub messages_count: u64,
    /// The references of its newest incoming message.
    pub references: Vec<String>,
    pub latest_message: Option<MessageItem>,
}

/// The conversations written to last, newest first.
pub fn conversations(referee: &Referee, limit: usize) -> Vec<ConversationView> {
    let newest = referee.threads.newest(limit.min(VIEW_ITEMS_MAX));
    newest.into_iter().map(|conversation| view(referee, conversation)).collect()
}

/// Up to `limit` messages of a conversation, newest first; empty if there is no such conversation.
pub fn messages(referee: &Referee, conversation: &str, limit: usize) -> Vec<MessageItem> {
    let Some(thread) = referee.threads.conversation(conversation) else { return Vec::new() };
    let page = referee.threads.page(thread, u64::MAX, limit.min(VIEW_ITEMS_MAX));
    page.into_iter().map(MessageItem::new).collect()
}

fn view(referee: &Referee, conversation: &Conversation) -> ConversationView {
    ConversationView {
        id: conversation.id.to_string(),
        account: conversation.account.as_deref().map(str::to_owned),
        kind: conversation.kind.map(|kind| kind.name()),
        subject: conversation.subject.clone(),
        color: conversation.color.clone(),
        closed: conversation.closed,
        labels: conversation.labels.iter().cloned().collect(),
        assignees: conversation.assignees.iter().cloned().collect(),
        messages_count: conversation.messages_count,
        references: conversation.customer_references.iter().map(ToString::to_string).collect(),
        latest_message: referee.threads.latest(conversation).map(MessageItem::new),
    }
}
