//! `[sources.NAME.message]`, and `message` of a route: words of its own, and what is asked of Missive besides.
//!
//! What a route doesn't say, its source does. Templates are judged here, against the channel that they speak to: a body is
//! markup on html and email channels. Names become ids here.

use super::channels::{ChannelPart, contacts};
use super::fault::quoted;
use super::links::address;
use super::names::{NameOf, Names};
use super::raw::{Section, found};
use super::value::{TemplateText, Value, choice, field};
use crate::event::{Field, Path};
use crate::lane::telling::{Closing, Colours, Dating, NAMES, Telling};
use crate::lane::templates::{Output, Template, TemplateError};
use crate::missive::{Channel, ChannelType, Colour, Contact, Posting};
use crate::route::{Carries, FIELDS_MAX, FileAt, FileName, Whole};

/// Templates of labels.
const LABELS_MAX: usize = 20;

/// Files of one event.
const FILES_MAX: usize = 10;

/// What all routes share.
pub(super) struct Shared<'a> {
    pub names: &'a Names,
    /// With what holds for all routes.
    pub carries: Carries,
}

/// The words of a route to `channel`, and what its observations carry for them.
pub(super) fn message(section: &Section<'_>, channel: &ChannelPart, shared: &Shared<'_>) -> (Telling, Carries) {
    let Shared { names, carries } = shared;
    let kind = channel.kind();
    let body = match kind {
        ChannelType::Text => Output::Plain,
        ChannelType::Html | ChannelType::Email => Output::Markup,
    };
    let telling = Telling {
        title: template(section, "title", Output::Plain),
        body: template(section, "body", body),
        sender: template(section, "sender", Output::Plain),
        colour: template(section, "colour", Output::Plain),
        colours: colours(&section.section("colours")),
        labels: labels(section, names),
        known_labels: names.labels.clone(),
        posting: posting(section, kind, names),
        closing: section.or("close", Closing::WhenOver),
        dating: section.or("delivered_at", Dating::Arrival),
    };
    let channel = channel.policy.as_ref().map(|policy| &policy.channel);
    if let Some(channel) = channel {
        check_needs(section, channel, &telling);
    }
    let whole = if section.or("attach_event", false) { Whole::Enclosed } else { Whole::Left };
    let carries = Carries {
        link: address(section, "link"),
        fields: fields(section, &telling),
        files: files(section),
        whole,
        ..carries.clone()
    };
    (telling, carries)
}

/// None if it isn't there, or with a fault noted.
fn template(section: &Section<'_>, key: &'static str, output: Output) -> Option<Template> {
    let source = section.optional::<TemplateText>(key)?.0;
    judged(section, key, &source, output)
}

fn judged(section: &Section<'_>, key: &str, source: &str, output: Output) -> Option<Template> {
    match Telling::template(source, output) {
        Ok(template) => return Some(template),
        Err(TemplateError::Unknown { name }) => section.unknown_name(key, &name, "what a template knows", &NAMES),
        Err(error @ (TemplateError::TooLong(_) | TemplateError::Broken { .. })) => {
            section.unfit(
                key,
                format_args!("{} ({error})", quoted(source)),
                "a template such as \"{{ event.title }}\"",
            );
        }
    }
    None
}

fn colours(section: &Section<'_>) -> Colours {
    let [critical, normal, low, resolved] =
        ["critical", "normal", "low", "resolved"].map(|key| section.optional::<Colour>(key));
    Colours { critical, normal, low, resolved }
}

/// A label without a template in it must be known now.
fn labels(section: &Section<'_>, names: &Names) -> Box<[Template]> {
    let Some(value) = section.value("labels") else { return [].into() };
    let wanted = "a list of at most 20: names from [names.labels], ids, or templates of such";
    let Some(list) = value.as_array().filter(|list| list.len() <= LABELS_MAX) else {
        section.unfit("labels", found(value), wanted);
        return [].into();
    };
    let label = |text: &str| {
        if !text.contains("{{") && !text.contains("{%") {
            names.resolve(section, "labels", NameOf::Label, text);
        }
        judged(section, "labels", text, Output::Plain)
    };
    let texts = list.iter().filter_map(|item| {
        let text = item.get_ref().as_str();
        if text.is_none() {
            section.unfit("labels", found(item.get_ref()), wanted);
        }
        text
    });
    texts.filter_map(label).collect()
}

fn posting(section: &Section<'_>, kind: ChannelType, names: &Names) -> Posting {
    let to = section.section("to");
    let recipient = to.is_given().then(|| super::channels::recipient(&to, kind, None)).flatten();
    let people = |key| names.several(section, key, NameOf::Person);
    let copies = |key| contacts(section, key, kind);
    Posting {
        recipient,
        cc: copies("cc"),
        bcc: copies("bcc"),
        team: names.one(section, "team", NameOf::Team),
        force_team: section.or("force_team", false),
        add_users: people("add_users"),
        add_assignees: people("add_assignees"),
        remove_assignees: people("remove_assignees"),
        add_labels: [].into(),
        remove_labels: names.several(section, "remove_labels", NameOf::Label),
        add_to_inbox: section.or("add_to_inbox", false),
        add_to_team_inbox: section.or("add_to_team_inbox", false),
    }
}

/// Missive takes some fields only beside others.
fn check_needs(section: &Section<'_>, channel: &Channel, telling: &Telling) {
    let posting = &telling.posting;
    let need_organization = [
        ("labels", telling.labels.is_empty()),
        ("remove_labels", posting.remove_labels.is_empty()),
        ("add_users", posting.add_users.is_empty()),
        ("add_assignees", posting.add_assignees.is_empty()),
        ("remove_assignees", posting.remove_assignees.is_empty()),
    ];
    for (key, _) in need_organization.into_iter().filter(|(_, empty)| !empty && channel.organization.is_none()) {
        section.unfit(key, "a list", format_args!("channels.{}.organization beside it", channel.name));
    }
    let need_team = [("force_team", posting.force_team), ("add_to_team_inbox", posting.add_to_team_inbox)];
    let has_team = posting.team.or(channel.team).is_some();
    for (key, _) in need_team.into_iter().filter(|(_, asked)| *asked && !has_team) {
        section.unfit(key, "true", "a team beside it");
    }
}

/// Where the fields that the templates name stand: where `fields` says, or else where the name says.
fn fields(section: &Section<'_>, telling: &Telling) -> Box<[(Box<str>, Field)]> {
    let mut called = section.section("fields");
    let reading = section.reading();
    let places = called.entries(FIELDS_MAX).filter_map(|(name, key, value)| {
        let at = value.as_str().and_then(field);
        if at.is_none() {
            reading.unfit(key, found(value), "the name of a field, or a JSON pointer such as \"/deal/stage\"");
        }
        Some((name, at?))
    });
    let places: Vec<(&str, Field)> = places.collect();
    let named = telling.fields();
    if named.len() > FIELDS_MAX {
        section.unfit(
            "fields",
            format_args!("templates that name {}", named.len()),
            format_args!("at most {FIELDS_MAX}"),
        );
    }
    let place = |name: &str| places.iter().find(|(known, _)| *known == name).map(|(_, at)| at.clone());
    named
        .into_iter()
        .take(FIELDS_MAX)
        .filter_map(|name| Some((name.clone(), place(&name).or_else(|| field(&name))?)))
        .collect()
}

/// `attachments = [{ name = "/file/name", data = "/file/content" }]`.
fn files(section: &Section<'_>) -> Box<[FileAt]> {
    let listed = section.list("attachments");
    if listed.len() > FILES_MAX {
        section.unfit("attachments", format_args!("{} of them", listed.len()), format_args!("at most {FILES_MAX}"));
    }
    let file = |section: &Section<'_>| {
        let name = section.required::<Box<str>>("name");
        let data = section.required::<Box<str>>("data").and_then(|data| {
            let at = field(&data);
            if at.is_none() {
                section.unfit("data", quoted(&data), "where its base64 stands: a field, or a JSON pointer");
            }
            at
        });
        let name = name.map(|name| match Path::parse(&name).filter(|_| name.starts_with('/')) {
            Some(path) => FileName::At(path),
            None => FileName::Called(name),
        });
        Some(FileAt { name: name?, data: data? })
    };
    listed.iter().filter_map(file).collect()
}

impl Value for Colour {
    const NOUN: &'static str = "\"good\", \"warning\", \"danger\" or HEX such as \"#c0ffee\"";

    fn wanted() -> String {
        Self::NOUN.to_owned()
    }

    fn parse(value: &toml::de::DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

choice!(Closing, "when_over" => Self::WhenOver, "never" => Self::Never, "always" => Self::Always);
choice!(Dating, "arrival" => Self::Arrival, "event" => Self::Event);

/// What a person's contact is on a channel of this type.
pub(super) fn mailbox(address: Box<str>, name: Box<str>) -> Contact {
    Contact { id: address, username: "".into(), name }
}
