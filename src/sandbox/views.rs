//! Conversations as the control endpoint, the library and an inbox page see them.

use serde::Serialize;

use super::channels::ChannelType;
use super::clip::Clipped;
use super::deliveries::Delivery;
use super::live::Row;
use super::referee::Referee;
use super::rules::{Attachment, Person};
use super::threads::{Conversation, Message, Origin};
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

/// One conversation with its newest messages, as the page shows it when it is open.
#[derive(Debug, Serialize)]
pub struct Opened {
    conversation: Row,
    /// The customer that an answer goes to.
    customer: Person,
    /// In the order in which they came, the newest last.
    messages: Vec<Shown>,
    /// Messages before those, kept or not.
    earlier: u64,
    /// Webhooks about it, the newest first.
    webhooks: Vec<Delivery>,
}

/// A message as the page shows it.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    origin: Origin,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    /// Unix seconds.
    at: u64,
    from: Person,
    to: Vec<Person>,
    author: Option<String>,
    subject: Option<String>,
    /// Text; of HTML, nothing: that is shown in a frame of its own.
    body: Option<Clipped>,
    attachments: Vec<Attachment>,
    lock_screen: String,
}

/// How many messages of an open conversation the page shows at most.
pub const OPENED_MESSAGES_MAX: usize = 500;

const OPENED_WEBHOOKS_MAX: usize = 50;

/// An open conversation with its newest messages, if there is such a one.
pub fn opened(referee: &Referee, conversation: &str, limit: usize) -> Option<Opened> {
    let thread = referee.threads.conversation(conversation)?;
    let messages = referee.threads.story(thread, limit.min(OPENED_MESSAGES_MAX));
    let webhooks = referee.deliveries.of_conversation(conversation, OPENED_WEBHOOKS_MAX);
    Some(Opened {
        conversation: Row::new(referee, thread),
        customer: thread.customer.clone(),
        earlier: thread.messages_count.saturating_sub(messages.len() as u64),
        messages: messages.into_iter().map(Shown::new).collect(),
        webhooks: webhooks.into_iter().cloned().collect(),
    })
}

impl Shown {
    fn new(message: &Message) -> Self {
        let in_frame = matches!(message.kind, Some(ChannelType::Html | ChannelType::Email));
        let plain = !in_frame || message.origin == Origin::Outgoing;
        Self {
            id: message.id.clone(),
            origin: message.origin,
            kind: message.kind.map(ChannelType::name),
            at: message.delivered_at,
            from: message.from.clone(),
            to: message.to.clone(),
            author: message.author.as_ref().map(|author| author.name.clone()),
            subject: message.subject.clone(),
            body: plain.then(|| message.body.clone()),
            attachments: message.attachments.clone(),
            lock_screen: message.first_line(),
        }
    }
}
