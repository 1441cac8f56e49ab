//! What people in Missive do: write, close, label, assign; and the webhooks that follow.
//!
//! A webhook needs a declared channel with an address. Email channels send none when somebody writes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Referee;
use crate::sandbox::channels::{Channel, ChannelType, Recipient, Webhook};
use crate::sandbox::clip::{Clipped, TEXT_BYTES_MAX};
use crate::sandbox::deliveries::{Outgoing, WebhookSort};
use crate::sandbox::rules::Person;
use crate::sandbox::threads::{Author, Message, Origin, retag};
use crate::sandbox::webhook::{self, Rule, Signing};

/// How many recipients one message can have.
pub const RECIPIENTS_MAX: usize = 32;

/// Somebody writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "WrittenReply")]
pub struct Reply {
    pub to: ReplyTo,
    /// At most 16 KiB are sent.
    pub body: String,
    /// Ann, if nobody else.
    pub author: Author,
    /// The id of the identity that somebody writes as; the channel's recipient, if nothing else.
    pub alias: Option<String>,
    /// Whom it goes to instead of the conversation's customer, if anybody; at most `RECIPIENTS_MAX`.
    pub recipients: Vec<Person>,
    pub signing: Signing,
}

/// Whom somebody writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// The conversation with this id.
    Conversation(String),
    /// The conversation that this reference matches.
    Reference(String),
    /// A new conversation in a channel.
    Recipient { account: String, recipient: Person },
}

/// A rule fires.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleCall {
    #[serde(default)]
    pub conversation: Option<String>,
    #[serde(default)]
    pub reference: Option<String>,
    /// `conversation_closed`, `label_change`, …; any text.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub signing: Signing,
}

/// Somebody changes a conversation; the rule webhook of that change follows if the channel has an address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    #[serde(default)]
    pub conversation: Option<String>,
    #[serde(default)]
    pub reference: Option<String>,
    #[serde(default)]
    pub closed: Option<bool>,
    #[serde(default)]
    pub add_labels: Vec<String>,
    #[serde(default)]
    pub remove_labels: Vec<String>,
    #[serde(default)]
    pub add_assignees: Vec<String>,
    #[serde(default)]
    pub remove_assignees: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Receipt {
    pub conversation: Option<String>,
    /// The id of the new message: every attempt at its webhook carries it.
    pub message: Option<String>,
    /// The webhooks that are on their way.
    pub webhooks: Vec<u64>,
}

/// Why it can't be done.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PeopleError {
    #[error("no such conversation")]
    UnknownConversation,
    #[error("no channel was declared with this account")]
    UnknownChannel,
    #[error("this channel has no webhook")]
    NoWebhook,
    #[error("the channel knows no such alias")]
    UnknownAlias,
    #[error("the channel does not allow {0}")]
    NotAllowed(&'static str),
    #[error("a message goes to at most {RECIPIENTS_MAX} recipients")]
    Recipients,
    #[error("say one of: conversation, reference, or account and recipient")]
    Whom,
}

/// What somebody writes, as whom and to whom.
struct Writing<'a> {
    body: &'a str,
    author: Author,
    from: Recipient,
    to: Vec<Person>,
}

const RECIPIENTS_OVER: usize = RECIPIENTS_MAX + 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReply {
    conversation: Option<String>,
    reference: Option<String>,
    account: Option<String>,
    recipient: Option<Person>,
    body: String,
    #[serde(default)]
    author: Author,
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    recipients: Vec<Person>,
    #[serde(default)]
    signing: Signing,
}

impl Reply {
    /// Ann writes, and the webhook is signed as it should be.
    pub fn new(to: ReplyTo, body: impl Into<String>) -> Self {
        Self {
            to,
            body: body.into(),
            author: Author::default(),
            alias: None,
            recipients: Vec::new(),
            signing: Signing::Right,
        }
    }
}

impl Referee {
    /// Somebody writes in a conversation, or begins one.
    pub fn reply(&mut self, now: u64, reply: Reply) -> Result<Receipt, PeopleError> {
        let Reply { to, body, author, alias, recipients, signing } = reply;
        let begins = matches!(to, ReplyTo::Recipient { .. });
        let (thread, channel) = match to {
            ReplyTo::Conversation(id) => self.thread_and_channel(Some(&id), None)?,
            ReplyTo::Reference(reference) => self.thread_and_channel(None, Some(&reference))?,
            ReplyTo::Recipient { account, recipient } => {
                let channel = self.channel_to_begin_in(&account, alias.as_deref())?;
                (self.begin(&channel, recipient), channel)
            }
        };
        let webhook = channel.webhook.clone().filter(|_| channel.kind != ChannelType::Email);
        let webhook = webhook.ok_or(PeopleError::NoWebhook)?;
        if !begins && !channel.allowed.replies {
            return Err(PeopleError::NotAllowed("replies"));
        }
        let from = identity(&channel, alias.as_deref())?;
        let to = self.recipients(&thread, &channel, recipients)?;
        let message = self.written(now, &thread, &channel, Writing { body: &body, author, from, to })?;
        let id = message.id.clone();
        self.threads.append(&thread, message.clone());
        let conversation = self.threads.conversation(&thread).ok_or(PeopleError::UnknownConversation)?;
        let body = webhook::channel_body(&message, conversation);
        let sent = self.send(WebhookSort::Reply, &webhook, body, signing, (Some(&id), Some(&thread)));
        Ok(Receipt { conversation: Some(thread.to_string()), message: Some(id), webhooks: vec![sent] })
    }

    /// A rule fires on a conversation.
    pub fn fire_rule(&mut self, call: &RuleCall) -> Result<Receipt, PeopleError> {
        let (thread, channel) = self.thread_and_channel(call.conversation.as_deref(), call.reference.as_deref())?;
        let webhook = channel.webhook.ok_or(PeopleError::NoWebhook)?;
        let sent = self.send_rule(&thread, &webhook, &call.kind, call.signing)?;
        Ok(Receipt { conversation: Some(thread.to_string()), message: None, webhooks: vec![sent] })
    }

    /// Somebody closes, reopens, labels or assigns.
    pub fn change(&mut self, change: Change) -> Result<Receipt, PeopleError> {
        let thread = self.thread(change.conversation.as_deref(), change.reference.as_deref())?;
        let conversation = self.threads.conversation_mut(&thread).ok_or(PeopleError::UnknownConversation)?;
        let account = conversation.account.clone();
        let rules = rules_of(&change);
        conversation.closed = change.closed.unwrap_or(conversation.closed);
        retag(&mut conversation.labels, change.add_labels, &change.remove_labels);
        retag(&mut conversation.assignees, change.add_assignees, &change.remove_assignees);
        let channel = account.and_then(|account| self.channels.get(&account).cloned());
        let mut receipt = Receipt { conversation: Some(thread.to_string()), ..Receipt::default() };
        if let Some(webhook) = channel.and_then(|channel| channel.webhook) {
            for rule in rules {
                receipt.webhooks.push(self.send_rule(&thread, &webhook, rule, Signing::Right)?);
            }
        }
        Ok(receipt)
    }

    /// Somebody opens a conversation: nothing in it is unread any more.
    pub fn seen(&mut self, conversation: &str) -> Result<Receipt, PeopleError> {
        let thread = self.thread(Some(conversation), None)?;
        let unread = self.threads.conversation(&thread).map_or(0, |thread| thread.unread);
        if unread > 0
            && let Some(thread) = self.threads.conversation_mut(&thread)
        {
            thread.unread = 0;
        }
        Ok(Receipt { conversation: Some(thread.to_string()), ..Receipt::default() })
    }

    /// Somebody deletes a conversation: its id becomes unknown, and its references free.
    pub fn delete(&mut self, conversation: &str) -> Result<Receipt, PeopleError> {
        let thread = self.thread(Some(conversation), None)?;
        self.threads.delete(&thread);
        Ok(Receipt { conversation: Some(thread.to_string()), ..Receipt::default() })
    }

    /// Somebody saves a rule: its address is tried with a signed body that has no message.
    pub fn probe(&mut self, account: &str) -> Result<Receipt, PeopleError> {
        let channel = self.channels.get(account).ok_or(PeopleError::UnknownChannel)?;
        let webhook = channel.webhook.clone().ok_or(PeopleError::NoWebhook)?;
        let sent = self.send(WebhookSort::Rule, &webhook, b"{}".to_vec(), Signing::Right, (None, None));
        Ok(Receipt { webhooks: vec![sent], ..Receipt::default() })
    }

    fn thread(&self, conversation: Option<&str>, reference: Option<&str>) -> Result<Arc<str>, PeopleError> {
        let found = match (conversation, reference) {
            (Some(id), None) => self.threads.conversation(&id.to_ascii_lowercase()),
            (None, Some(reference)) => self.threads.matching([reference], |_| true),
            (Some(_), Some(_)) | (None, None) => return Err(PeopleError::Whom),
        };
        found.map(|thread| thread.id.clone()).ok_or(PeopleError::UnknownConversation)
    }

    fn thread_and_channel(
        &self,
        conversation: Option<&str>,
        reference: Option<&str>,
    ) -> Result<(Arc<str>, Channel), PeopleError> {
        let thread = self.thread(conversation, reference)?;
        let account = self.threads.conversation(&thread).and_then(|thread| thread.account.clone());
        let channel = account.and_then(|account| self.channels.get(&account).cloned());
        channel.map(|channel| (thread, channel)).ok_or(PeopleError::UnknownChannel)
    }

    /// The channel, if somebody can begin a conversation in it: refused before there is an empty one.
    fn channel_to_begin_in(&self, account: &str, alias: Option<&str>) -> Result<Channel, PeopleError> {
        let channel = self.channels.get(account).cloned().ok_or(PeopleError::UnknownChannel)?;
        if channel.webhook.is_none() || channel.kind == ChannelType::Email {
            return Err(PeopleError::NoWebhook);
        }
        if !channel.allowed.new_messages {
            return Err(PeopleError::NotAllowed("new messages"));
        }
        identity(&channel, alias)?;
        Ok(channel)
    }

    /// A conversation that somebody in Missive begins.
    fn begin(&mut self, channel: &Channel, recipient: Person) -> Arc<str> {
        const NO_REQUEST: u64 = 0;
        let id = self.random.uuid();
        let thread = self.threads.open(id, NO_REQUEST, Some(&channel.account), Some(channel.kind));
        if let Some(conversation) = self.threads.conversation_mut(&thread) {
            conversation.customer = recipient;
        }
        thread
    }

    /// Whom a message goes to: the customer, or whom somebody put there instead.
    fn recipients(&self, thread: &str, channel: &Channel, edited: Vec<Person>) -> Result<Vec<Person>, PeopleError> {
        let conversation = self.threads.conversation(thread).ok_or(PeopleError::UnknownConversation)?;
        let customer = vec![conversation.customer.clone()];
        match edited.len() {
            0 => Ok(customer),
            _ if edited == customer => Ok(customer),
            _ if !channel.allowed.editing_recipients => Err(PeopleError::NotAllowed("editing recipients")),
            RECIPIENTS_OVER.. => Err(PeopleError::Recipients),
            _ => Ok(edited),
        }
    }

    fn written(
        &mut self,
        now: u64,
        thread: &str,
        channel: &Channel,
        writing: Writing<'_>,
    ) -> Result<Message, PeopleError> {
        let conversation = self.threads.conversation(thread).ok_or(PeopleError::UnknownConversation)?;
        let echoed = conversation.customer_references.iter().filter(|_| self.switches.echo_references);
        let Writing { body, author, from, to } = writing;
        Ok(Message {
            id: self.random.uuid(),
            origin: Origin::Outgoing,
            kind: Some(channel.kind),
            delivered_at: now / 1000,
            created_at: now / 1000,
            from: Person { id: Some(from.id), name: Some(from.name), username: Some(from.username), address: None },
            to,
            author: Some(author),
            subject: None,
            body: Clipped::new(body, TEXT_BYTES_MAX),
            external_id: None,
            references: echoed.cloned().collect(),
            attachments: Vec::new(),
        })
    }

    fn send_rule(&mut self, thread: &str, webhook: &Webhook, kind: &str, signing: Signing) -> Result<u64, PeopleError> {
        let rule = Rule { id: self.random.uuid(), description: format!("When {kind}"), kind: kind.to_owned() };
        let conversation = self.threads.conversation(thread).ok_or(PeopleError::UnknownConversation)?;
        let body = webhook::rule_body(&rule, conversation, self.threads.latest(conversation));
        Ok(self.send(WebhookSort::Rule, webhook, body, signing, (None, Some(thread))))
    }

    /// Puts a webhook into the outbox; `about` is its message and conversation.
    fn send(
        &mut self,
        sort: WebhookSort,
        webhook: &Webhook,
        body: Vec<u8>,
        signing: Signing,
        about: (Option<&str>, Option<&str>),
    ) -> u64 {
        let headers = webhook::signature_headers(webhook.secret.as_ref(), signing, &self.switches, &body);
        let id = self.deliveries.open(sort, &webhook.url, about.0, about.1);
        self.outbox.push(Outgoing { id, sort, url: webhook.url.clone(), headers, body });
        id
    }
}

impl TryFrom<WrittenReply> for Reply {
    type Error = PeopleError;

    fn try_from(written: WrittenReply) -> Result<Self, PeopleError> {
        let to = match (written.conversation, written.reference, written.account, written.recipient) {
            (Some(id), None, None, None) => ReplyTo::Conversation(id),
            (None, Some(reference), None, None) => ReplyTo::Reference(reference),
            (None, None, Some(account), Some(recipient)) if written.recipients.is_empty() => {
                ReplyTo::Recipient { account, recipient }
            }
            _ => return Err(PeopleError::Whom),
        };
        let WrittenReply { body, author, alias, recipients, signing, .. } = written;
        Ok(Self { to, body, author, alias, recipients, signing })
    }
}

/// The identity that somebody writes as.
fn identity(channel: &Channel, alias: Option<&str>) -> Result<Recipient, PeopleError> {
    let found = alias.map_or(Some(&channel.recipient), |id| channel.identity(id));
    found.cloned().ok_or(PeopleError::UnknownAlias)
}

/// The types of the rules that a change sets off.
fn rules_of(change: &Change) -> Vec<&'static str> {
    let closing = change.closed.map(|closed| if closed { "conversation_closed" } else { "conversation_reopened" });
    let relabels = !change.add_labels.is_empty() || !change.remove_labels.is_empty();
    let reassigns = !change.add_assignees.is_empty() || !change.remove_assignees.is_empty();
    let labels = relabels.then_some("label_change");
    let assignees = reassigns.then_some("conversation_assignee_change");
    closing.into_iter().chain(labels).chain(assignees).collect()
}
