//! What a request does once it passed the token, the limits and the faults.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Body, Referee, route::Endpoint};
use crate::sandbox::answer::Answer;
use crate::sandbox::channels::ChannelType;
use crate::sandbox::clip::{Clipped, TEXT_BYTES_MAX};
use crate::sandbox::ledger::{Entry, Verdict};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::rules::{self, Incoming, MessageRules, Person, Post};
use crate::sandbox::threads::{Conversation, Message, Origin, retag};
use crate::sandbox::webhook::MessageItem;

/// Messages on one page of a conversation.
const PAGE_MESSAGES: usize = 10;

/// References of one request that the ledger keeps.
const NOTED_REFERENCES_MAX: usize = 20;

/// What can be told of a body before it is judged; for the ledger only.
pub struct Sketch(Map<String, Value>);

impl Sketch {
    pub fn of(path: &str, body: &Body<'_>) -> Self {
        let Body::Whole(bytes) = body else { return Self(Map::new()) };
        let key = if path.ends_with("/posts") { "posts" } else { "messages" };
        Self(rules::open_envelope(bytes, key).unwrap_or_default())
    }

    pub fn note(&self, entry: &mut Entry) {
        entry.account = self.text("account");
        entry.external_id = self.text("external_id");
        entry.conversation = self.text("conversation");
        let references = self.0.get("references").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let texts = references.iter().take(NOTED_REFERENCES_MAX).filter_map(Value::as_str);
        entry.references = texts.map(short).collect();
        let body = ["body", "markdown", "text"].iter().find_map(|key| self.0.get(*key)?.as_str());
        entry.body = body.map(|text| Clipped::new(text, TEXT_BYTES_MAX));
    }

    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(Value::as_str).map(short)
    }
}

fn short(text: &str) -> String {
    const ID_BYTES_MAX: usize = 512;
    Clipped::new(text, ID_BYTES_MAX).text
}

type Outcome = Result<(Verdict, Answer), Refusal>;

impl Referee {
    pub(super) fn process(&mut self, now: u64, id: u64, endpoint: Endpoint, body: &[u8]) -> Outcome {
        match endpoint {
            Endpoint::PostMessage => self.take_message(now, id, rules::open_envelope(body, "messages")?),
            Endpoint::PostPost => self.take_post(now, id, rules::open_envelope(body, "posts")?),
            Endpoint::ListMessages { conversation, until } => self.list(&conversation, until),
            Endpoint::GetMessage { id } => self.show(&id),
            Endpoint::List(asked) => Ok((Verdict::Served, Answer::json(&self.directory.page(&asked)))),
        }
    }

    fn take_message(&mut self, now: u64, request: u64, object: Map<String, Value>) -> Outcome {
        let kind = self.kind_of(rules::account(&object)?)?;
        let incoming = rules::message(object, MessageRules::new(kind, &self.switches))?;
        if let Some(answer) = self.note_repeated(request, incoming.external_id.as_deref()) {
            return Ok((Verdict::Accepted, answer));
        }
        let place = Place { conversation: incoming.conversation.as_deref(), references: &incoming.references };
        let thread = match self.place(request, &place)? {
            Some(thread) => thread,
            None => self.open_thread(request, Some(&incoming.account), Some(kind)),
        };
        self.note_overlap(request, &thread);
        let message = self.message_of(now, kind, &incoming);
        let message_id = message.id.clone();
        self.threads.append(&thread, message);
        if let Some(conversation) = self.threads.conversation_mut(&thread) {
            apply_message(conversation, incoming);
        }
        self.notify(&thread);
        self.tally.messages += 1;
        Ok((Verdict::Accepted, self.accepted(request, "messages", message_id, &thread)))
    }

    fn take_post(&mut self, now: u64, request: u64, object: Map<String, Value>) -> Outcome {
        let post = rules::post(object)?;
        let place = Place { conversation: post.conversation.as_deref(), references: &post.references };
        let thread = match self.place(request, &place)? {
            Some(thread) => thread,
            None => self.open_thread(request, None, None),
        };
        let message = self.message_of_post(now, &post);
        let message_id = message.id.clone();
        self.threads.append(&thread, message);
        if let Some(conversation) = self.threads.conversation_mut(&thread) {
            apply_post(conversation, post);
        }
        self.notify(&thread);
        self.tally.posts += 1;
        Ok((Verdict::Accepted, self.accepted(request, "posts", message_id, &thread)))
    }

    fn list(&self, id: &str, until: u64) -> Outcome {
        let conversation = self.threads.conversation(id).ok_or(Refusal::UnknownConversation)?;
        let page = self.threads.page(conversation, until, PAGE_MESSAGES);
        let items: Vec<Value> = page.into_iter().map(|message| self.item(message)).collect();
        Ok((Verdict::Served, Answer::json(&json!({"messages": items}))))
    }

    fn show(&self, id: &str) -> Outcome {
        let (message, conversation) = self.threads.message(id).ok_or(Refusal::UnknownMessage)?;
        let mut item = self.item(message);
        item["conversation"] = json!({"id": conversation.id, "subject": conversation.subject});
        Ok((Verdict::Served, Answer::json(&json!({"messages": item}))))
    }

    fn item(&self, message: &Message) -> Value {
        let item = MessageItem::new(message);
        let item = if self.switches.list_external_id { item } else { item.without_external_id() };
        serde_json::to_value(item).unwrap_or_default()
    }

    fn kind_of(&self, account: &str) -> Result<ChannelType, Refusal> {
        let declared = self.channels.get(account).map(|channel| channel.kind);
        declared.or(self.switches.accept_any_account).ok_or(Refusal::UnknownAccount)
    }

    fn notify(&mut self, thread: &str) {
        let muted = self.threads.conversation(thread).is_none_or(Conversation::is_muted);
        self.tally.notifications += u64::from(!muted);
    }

    /// Counts a repeated `external_id`; if repeats are swallowed, gives the answer of the first.
    fn note_repeated(&mut self, request: u64, external_id: Option<&str>) -> Option<Answer> {
        let (message, conversation) = self.threads.by_external_id(external_id?)?;
        let (id, thread) = (message.id.clone(), conversation.id.clone());
        self.tally.repeated_external_ids += 1;
        self.switches.deduplicate_external_id.then(|| self.accepted(request, "messages", id, &thread))
    }

    fn note_overlap(&mut self, request: u64, thread: &str) {
        let busy = |(id, open): (&u64, &super::Open)| *id != request && open.conversation.as_deref() == Some(thread);
        if self.open.iter().any(busy) {
            self.tally.overlaps += 1;
            self.ledger.change(request, |entry| entry.overlapped = true);
        }
        if let Some(open) = self.open.get_mut(&request) {
            open.conversation = Some(thread.to_owned());
        }
    }

    fn accepted(&mut self, request: u64, key: &str, message: String, thread: &Arc<str>) -> Answer {
        let answer = Answer::accepted(&self.switches, key, &message, thread);
        self.ledger.change(request, |entry| {
            entry.conversation = Some(thread.to_string());
            entry.message = Some(message);
        });
        answer
    }

    /// The conversation that a message belongs to, if there is one already.
    fn place(&self, request: u64, place: &Place<'_>) -> Result<Option<Arc<str>>, Refusal> {
        let by_references = || self.by_references(request, place.references);
        let Some(id) = place.conversation else { return Ok(by_references()) };
        let by_id = || self.threads.conversation(&id.to_ascii_lowercase()).map(|thread| thread.id.clone());
        let found = if self.switches.conversation_wins { by_id() } else { by_references().or_else(by_id) };
        found.map(Some).ok_or(Refusal::UnknownConversation)
    }

    fn by_references(&self, request: u64, references: &[String]) -> Option<Arc<str>> {
        let split = self.switches.split_racing_first_messages;
        let settled =
            |thread: &Conversation| !split || thread.opened_by == request || !self.open.contains_key(&thread.opened_by);
        let references = references.iter().map(String::as_str);
        self.threads.matching(references, settled).map(|thread| thread.id.clone())
    }

    fn open_thread(&mut self, request: u64, account: Option<&str>, kind: Option<ChannelType>) -> Arc<str> {
        let id = self.random.uuid();
        self.threads.open(id, request, account, kind)
    }

    fn message_of(&mut self, now: u64, kind: ChannelType, incoming: &Incoming) -> Message {
        Message {
            id: self.random.uuid(),
            origin: Origin::Incoming,
            kind: Some(kind),
            delivered_at: incoming.delivered_at.unwrap_or(now / 1000),
            created_at: now / 1000,
            from: incoming.from.clone(),
            to: incoming.to.clone(),
            author: None,
            subject: incoming.subject.clone().map(clipped),
            body: Clipped::new(&incoming.body, TEXT_BYTES_MAX),
            external_id: incoming.external_id.as_deref().map(Arc::from),
            references: shared(&incoming.references),
            attachments: incoming.attachments.clone(),
        }
    }

    fn message_of_post(&mut self, now: u64, post: &Post) -> Message {
        let text = post.markdown.as_deref().or(post.text.as_deref()).unwrap_or_default();
        Message {
            id: self.random.uuid(),
            origin: Origin::Post,
            kind: None,
            delivered_at: now / 1000,
            created_at: now / 1000,
            from: Person::default(),
            to: Vec::new(),
            author: None,
            subject: None,
            body: Clipped::new(text, TEXT_BYTES_MAX),
            external_id: None,
            references: shared(&post.references),
            attachments: Vec::new(),
        }
    }
}

/// What a message says about where it belongs.
struct Place<'a> {
    conversation: Option<&'a str>,
    references: &'a [String],
}

fn shared(texts: &[String]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(text.as_str())).collect()
}

fn clipped(text: String) -> String {
    Clipped::new(&text, TEXT_BYTES_MAX).text
}

fn apply_message(conversation: &mut Conversation, incoming: Incoming) {
    let subject = incoming.conversation_subject.or(incoming.subject);
    conversation.subject = subject.map(clipped).or(conversation.subject.take());
    conversation.color = incoming.conversation_color.or(conversation.color.take());
    retag(&mut conversation.labels, incoming.add_shared_labels, &incoming.remove_shared_labels);
    retag(&mut conversation.assignees, incoming.add_assignees, &incoming.remove_assignees);
    conversation.closed = incoming.close;
}

fn apply_post(conversation: &mut Conversation, post: Post) {
    conversation.subject = post.conversation_subject.map(clipped).or(conversation.subject.take());
    conversation.color = post.conversation_color.or(conversation.color.take());
    let stays_closed = conversation.closed && post.reopen == Some(false);
    conversation.closed = post.close || stays_closed;
}
