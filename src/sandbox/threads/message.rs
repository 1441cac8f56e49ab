//! A message as it is kept, and about how much memory that takes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sandbox::channels::ChannelType;
use crate::sandbox::clip::Clipped;
use crate::sandbox::rules::{Attachment, Person};
use crate::sandbox::{live, markup};

/// One message as it is kept.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub origin: Origin,
    pub kind: Option<ChannelType>,
    /// Unix seconds.
    pub delivered_at: u64,
    /// Unix seconds.
    pub created_at: u64,
    pub from: Person,
    pub to: Vec<Person>,
    pub author: Option<Author>,
    pub subject: Option<String>,
    pub body: Clipped,
    pub external_id: Option<Arc<str>>,
    pub references: Vec<Arc<str>>,
    pub attachments: Vec<Attachment>,
}

/// How a message came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `POST /v1/messages`
    Incoming,
    /// Somebody in Missive wrote it.
    Outgoing,
    /// `POST /v1/posts`
    Post,
}

/// The Missive user who wrote a reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    pub id: String,
    pub email: String,
    pub name: String,
    #[serde(default)]
    pub avatar_url: Option<String>,
}

impl Default for Author {
    fn default() -> Self {
        Self {
            id: "99999999-0000-4000-8000-000000000001".into(),
            email: "ann@example.com".into(),
            name: "Ann".into(),
            avatar_url: None,
        }
    }
}

impl Message {
    /// Who it is from, in the words that there are.
    pub fn from_name(&self) -> &str {
        let words = [&self.from.name, &self.from.username, &self.from.address, &self.from.id];
        words.into_iter().flatten().find(|text| !text.is_empty()).map_or("", String::as_str)
    }

    /// What a phone's lock screen shows of it: the first line, without its markup.
    pub fn first_line(&self) -> String {
        match self.kind {
            Some(ChannelType::Html | ChannelType::Email) => live::first_line(&markup::words(&self.body.text)),
            Some(ChannelType::Text) | None => live::first_line(&self.body.text),
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 900;
        let references: usize = self.references.iter().chain(&self.external_id).map(|text| text.len() + 64).sum();
        let people = self.to.iter().chain([&self.from]).map(Person::bytes).sum::<usize>();
        let files: usize = self.attachments.iter().map(|file| file.filename.len() + 64).sum();
        let subject = self.subject.as_ref().map_or(0, String::len);
        OVERHEAD + self.body.text.len() + references + people + files + subject
    }
}

impl Person {
    fn bytes(&self) -> usize {
        let texts = [&self.id, &self.name, &self.username, &self.address];
        texts.into_iter().flatten().map(String::len).sum::<usize>() + 96
    }
}
