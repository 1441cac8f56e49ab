//! What a route says in its own words: templates over what is known of a conversation, and what it asks of Missive besides.
//!
//! Without templates everything reads as `words` has it. A template that fails, or renders nothing, leaves the default in its
//! place and is counted; news is never lost for it. Templates are for news and people's words: repeats, silence and roll-ups
//! have words of their own, though they come from the route's sender.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Value;
use uuid::Uuid;

use super::conversation::Conversation;
use super::enclosed::Files;
use super::scene::{Scene, sample};
use super::templates::{Output, RenderError, Template, TemplateError};
use super::words::{Words, clean, say, say_again, verbatim};
use crate::event::{Kind, Timestamp, Urgency};
use crate::missive::{ChannelType, Colour, Content, Message, Posting, cut_with, with_note};

pub use super::scene::NAMES;

/// The most labels of one message.
const LABELS_MAX: usize = 20;

/// What a route says in its own words, and what it asks for.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    pub title: Option<Template>,
    pub body: Option<Template>,
    pub sender: Option<Template>,
    pub colour: Option<Template>,
    /// Where no template says so.
    pub colours: Colours,
    /// Each renders the name or the id of a label, or nothing.
    pub labels: Box<[Template]>,
    /// Ids by name.
    pub known_labels: Arc<BTreeMap<Box<str>, Uuid>>,
    pub posting: Posting,
    pub closing: Closing,
    pub dating: Dating,
}

/// Colours by how urgent what fires is; what isn't said is as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    pub critical: Option<Colour>,
    pub normal: Option<Colour>,
    pub low: Option<Colour>,
    pub resolved: Option<Colour>,
}

/// When a message closes its conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// When all that it was about is over.
    #[default]
    WhenOver,
    Never,
    Always,
}

/// What time a message has in Missive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dating {
    /// When it gets there.
    #[default]
    Arrival,
    /// When the newest of what it tells happened.
    Event,
}

/// The key of a template in the config, and how it failed.
pub type TemplateFault = (&'static str, RenderError);

/// A message's words as they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub subject: String,
    pub sender: String,
    pub body: String,
    pub colour: Option<Colour>,
    pub close: bool,
    pub labels: Vec<Uuid>,
    pub delivered_at: Option<u64>,
    pub faults: Vec<TemplateFault>,
}

impl Telling {
    /// Judges a template of a body, or of something else.
    pub fn template(source: &str, output: Output) -> Result<Template, TemplateError> {
        Template::parse(source, output, &sample(), &NAMES)
    }

    /// Fields of events that any of the templates names.
    pub fn fields(&self) -> BTreeSet<Box<str>> {
        let one = [&self.title, &self.body, &self.sender, &self.colour].into_iter().flatten();
        one.chain(&self.labels).flat_map(Template::fields).collect()
    }

    /// Whether anything is said in words of its own.
    fn has_templates(&self) -> bool {
        let one = [&self.title, &self.body, &self.sender, &self.colour];
        one.into_iter().any(Option::is_some) || !self.labels.is_empty()
    }

    /// Says what there is to say: in the route's own words where it has some and it is news or a thread. What doesn't fit into
    /// a thread's message goes along with it.
    pub(super) fn tell(&self, scene: &Scene<'_>, files: &mut Files) -> Told {
        let (conversation, zone) = (scene.conversation, &scene.channel.time_zone);
        let words = match scene.owed {
            Some(owed) => say_again(conversation, owed, scene.digest.repeats, zone),
            None => say(scene),
        };
        let all = if scene.said.is_empty() { String::new() } else { words.page.text() };
        let told = self.plainly(words, scene);
        let sent_back = !scene.said.is_empty() && conversation.kind() != Kind::Thread;
        let mut told = if scene.owed.is_some() || sent_back {
            self.in_its_name(told, scene)
        } else {
            self.in_own_words(told, scene)
        };
        let (kind, room) = (scene.channel.kind, Message::room(scene.channel));
        let chars = told.body.chars().count();
        if chars > room && !all.is_empty() {
            let name = files.enclose("message.txt", Content::Text(all.into()));
            let note = format!("… {name} has all of it: {chars} characters in all, cut here");
            told.body = cut_with(&told.body, kind, room, &note);
        }
        if let Some(left_out) = files.left_out() {
            told.body = with_note(&told.body, kind, room, &clean(&left_out));
        }
        told
    }

    fn in_own_words(&self, mut told: Told, scene: &Scene<'_>) -> Told {
        if !self.has_templates() {
            return told;
        }
        let facts = scene.facts(&told);
        let mut faults = Vec::new();
        let mut say = |key, template: &Option<Template>| {
            let rendered = template.as_ref()?.render(&facts).and_then(not_empty);
            rendered.map_err(|error| faults.push((key, error))).ok()
        };
        let (title, sender) = (say("title", &self.title), say("sender", &self.sender));
        let (body, colour) = (say("body", &self.body), say("colour", &self.colour));
        told.subject = title.map_or(told.subject, |title| clean(title.trim()));
        told.sender = sender.map_or(told.sender, |sender| clean(sender.trim()));
        told.body = body.map_or(told.body, |body| verbatim(body.trim_end()));
        match colour.map(|colour| colour.trim().parse::<Colour>()) {
            Some(Ok(colour)) => told.colour = Some(colour),
            Some(Err(_)) => faults.push(("colour", RenderError { line: 1, what: "no colour".to_owned() })),
            None => {}
        }
        told.labels = self.labels(&facts, &mut faults);
        told.faults = faults;
        told
    }

    /// Words that aren't the route's; the title stays as it was.
    fn in_its_name(&self, mut told: Told, scene: &Scene<'_>) -> Told {
        if let Some(sender) = &self.sender
            && let Ok(sender) = sender.render(&scene.facts(&told)).and_then(not_empty)
        {
            told.sender = clean(sender.trim());
        }
        if self.title.is_some() && scene.channel.kind != ChannelType::Email {
            told.subject.clear();
        }
        told
    }

    fn plainly(&self, words: Words, scene: &Scene<'_>) -> Told {
        let own = self.colours.of(&words, scene.conversation);
        let newest = scene.digest.last.filter(|_| self.dating == Dating::Event);
        Told {
            body: match scene.channel.kind {
                ChannelType::Text => words.page.text(),
                ChannelType::Html | ChannelType::Email => words.page.html(),
            },
            subject: words.subject,
            sender: words.sender,
            colour: own.or(words.colour),
            close: match self.closing {
                Closing::WhenOver => words.close,
                Closing::Never => false,
                Closing::Always => true,
            },
            labels: Vec::new(),
            delivered_at: newest.map(Timestamp::as_secs),
            faults: Vec::new(),
        }
    }

    fn labels(&self, facts: &Value, faults: &mut Vec<TemplateFault>) -> Vec<Uuid> {
        let mut labels = Vec::new();
        for template in &self.labels {
            let rendered = match template.render(facts) {
                Ok(rendered) => rendered,
                Err(error) => {
                    faults.push(("labels", error));
                    continue;
                }
            };
            for name in rendered.split(['\n', ',']).map(str::trim).filter(|name| !name.is_empty()) {
                let id = self.known_labels.get(name).copied().or_else(|| Uuid::try_parse(name).ok());
                match id {
                    Some(id) if !labels.contains(&id) && labels.len() < LABELS_MAX => labels.push(id),
                    Some(_) => {}
                    None => faults.push(("labels", RenderError { line: 1, what: "a name without an id".to_owned() })),
                }
            }
        }
        labels
    }
}

impl Colours {
    fn of(&self, words: &Words, conversation: &Conversation) -> Option<Colour> {
        words.colour?;
        if words.colour == Some(Colour::Good) {
            return self.resolved;
        }
        match conversation.members.worst_firing().unwrap_or(Urgency::Normal) {
            Urgency::Critical => self.critical,
            Urgency::Normal => self.normal,
            Urgency::Low => self.low,
        }
    }
}

fn not_empty(rendered: String) -> Result<String, RenderError> {
    let nothing = || RenderError { line: 1, what: "nothing was rendered".to_owned() };
    if rendered.trim().is_empty() { Err(nothing()) } else { Ok(rendered) }
}
