//! What the page is told while it is open: everything once, then what changed. Pure; `shell` has the connection.
//!
//! A [`Reader`] stands at a revision. Whoever asks rarely is told of each conversation once, in its newest state, so there is
//! no queue that could grow. A list holds the [`LIST_MAX`] conversations that were written to last, and says how many there
//! are; one news holds no more than that either.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::faults::Fault;
use super::limits::Spent;
use super::referee::Referee;
use super::summary::Summary;
use super::threads::{Conversation, Since};
use super::{Books, Channel};

/// Conversations on the page.
pub const LIST_MAX: usize = 1000;

/// Channels on the page.
pub const CHANNELS_SHOWN_MAX: usize = 100;

/// How much of a subject, a name or a line the list shows.
const LINE_CHARS_MAX: usize = 120;

/// Where somebody who follows stands.
#[derive(Debug, Default)]
pub struct Reader {
    stand: Stand,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stand {
    /// Has seen nothing.
    #[default]
    Before,
    At {
        conversations: u64,
        channels: u64,
    },
}

/// One conversation in the list.
#[derive(Debug, Serialize)]
pub struct Row {
    id: String,
    account: Option<String>,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    subject: String,
    color: Option<String>,
    closed: bool,
    muted: bool,
    labels: Vec<String>,
    assignees: Vec<String>,
    messages: u64,
    unread: u64,
    /// The greater, the newer.
    place: u64,
    /// Unix seconds.
    at: u64,
    from: String,
    /// The first line of the newest message: what a phone's lock screen shows.
    line: String,
}

/// The numbers, now.
#[derive(Debug, Serialize)]
struct Pulse<'a> {
    /// Unix milliseconds.
    now: u64,
    summary: Summary,
    spent: Spent,
    faults: &'a [Fault],
    conversations_kept: usize,
    messages_kept: usize,
    books: Option<&'a Books>,
}

impl Reader {
    /// What is new since the last call, as server-sent events; empty if nothing is.
    pub fn news(&mut self, referee: &Referee) -> String {
        let changes = referee.threads.changes();
        let channels = referee.channels.revision();
        let seen = std::mem::replace(&mut self.stand, Stand::At { conversations: changes.latest(), channels });
        match seen {
            Stand::At { conversations, .. } if conversations == changes.latest() && self.knows(seen, channels) => {
                String::new()
            }
            Stand::At { conversations, .. } if self.knows(seen, channels) => match changes.since(conversations) {
                Since::Known { changed, gone } => changed_since(referee, &changed, &gone),
                Since::TooFar => everything(referee),
            },
            Stand::Before | Stand::At { .. } => everything(referee),
        }
    }

    fn knows(&self, seen: Stand, declared: u64) -> bool {
        matches!(seen, Stand::At { channels, .. } if channels == declared)
    }
}

/// The numbers, as a server-sent event.
pub fn pulse(referee: &Referee, now: u64) -> String {
    let pulse = Pulse {
        now,
        summary: referee.summary(),
        spent: referee.spent(now),
        faults: referee.faults.list(),
        conversations_kept: referee.threads.conversations_kept(),
        messages_kept: referee.threads.messages_kept(),
        books: referee.books.as_ref(),
    };
    event("pulse", &json!(pulse))
}

/// The first line that says something, as a lock screen shows it.
pub fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    cut(line)
}

impl Row {
    pub fn new(referee: &Referee, conversation: &Conversation) -> Self {
        let latest = referee.threads.latest(conversation);
        let from = latest.map(|message| message.from_name()).unwrap_or_default();
        Self {
            id: conversation.id.to_string(),
            account: conversation.account.as_deref().map(str::to_owned),
            kind: conversation.kind.map(|kind| kind.name()),
            subject: cut(conversation.subject.as_deref().unwrap_or_default()),
            color: conversation.color.clone(),
            closed: conversation.closed,
            muted: conversation.is_muted(),
            labels: conversation.labels.iter().take(TAGS_SHOWN_MAX).cloned().collect(),
            assignees: conversation.assignees.iter().take(TAGS_SHOWN_MAX).cloned().collect(),
            messages: conversation.messages_count,
            unread: conversation.unread,
            place: conversation.place(),
            at: latest.map_or(0, |message| message.delivered_at),
            from: cut(from),
            line: latest.map(|message| message.first_line()).unwrap_or_default(),
        }
    }
}

/// Labels, or assignees, that the list shows of a conversation.
const TAGS_SHOWN_MAX: usize = 8;

fn everything(referee: &Referee) -> String {
    let rows: Vec<Row> = referee.threads.newest(LIST_MAX).into_iter().map(|thread| Row::new(referee, thread)).collect();
    let channels: Vec<Value> = referee.channels.iter().take(CHANNELS_SHOWN_MAX).map(channel).collect();
    let snapshot = json!({"conversations": rows, "list_max": LIST_MAX, "channels": channels});
    event("snapshot", &snapshot)
}

fn changed_since(referee: &Referee, changed: &[Arc<str>], gone: &[Arc<str>]) -> String {
    let newest_first = changed.iter().rev().take(LIST_MAX);
    let rows: Vec<Row> = newest_first
        .filter_map(|id| referee.threads.conversation(id))
        .map(|thread| Row::new(referee, thread))
        .collect();
    event("changes", &json!({"conversations": rows, "gone": gone}))
}

/// Everything but where its webhooks go and what they are signed with.
fn channel(channel: &Channel) -> Value {
    json!({
        "account": channel.account,
        "type": channel.kind,
        "recipient": channel.recipient,
        "aliases": channel.aliases,
        "allowed": channel.allowed,
        "answers": channel.webhook.is_some(),
    })
}

/// JSON has no line breaks of its own, so one `data` line holds it.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
