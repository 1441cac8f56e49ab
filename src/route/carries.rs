//! What an observation takes along when it is news: addresses that people may open, fields that templates name, files.
//!
//! Looked up only for what is told, never for repeats. People get to see `https` addresses and no others; where a system calls
//! itself by an internal name, [`Rewrite`] says what people call it. Limits: [`FIELD_BYTES_MAX`] bytes of a field, what a rule
//! says of files; a file that is larger goes along by its name.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::links::{self, LINK_BYTES_MAX, Silencing, encoded, is_unbroken};
use crate::event::{Enclosed, Enclosure, Event, Facts, Field, Fields, Path, State, cut};

/// The longest value of a field that a template names.
pub const FIELD_BYTES_MAX: usize = 1024;

/// The most fields that one rule looks up for templates.
pub const FIELDS_MAX: usize = 64;

/// The longest name of a file.
const FILE_NAME_BYTES_MAX: usize = 120;

/// What a rule adds to what is news.
#[derive(Clone, Debug, Default)]
pub struct Carries {
    /// Instead of the event's own address.
    pub link: Option<Address>,
    pub rewrites: Arc<[Rewrite]>,
    pub silencing: Silencing,
    /// What templates call fields, and where they stand; at most [`FIELDS_MAX`].
    pub fields: Box<[(Box<str>, Field)]>,
    pub files: Box<[FileAt]>,
    pub whole: Whole,
    /// Of all files of one event, as they are sent.
    pub files_bytes_max: usize,
}

/// Whether the event goes along as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whole {
    #[default]
    Left,
    Enclosed,
}

/// An address with fields of the event in it, percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub Box<[AddressPart]>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPart {
    Text(Box<str>),
    At(Field),
}

/// What an address begins with, and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub from: Box<str>,
    pub to: Box<str>,
}

/// A file in an event, in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAt {
    pub name: FileName,
    pub data: Field,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    Called(Box<str>),
    At(Path),
}

impl Address {
    /// Nothing, if one of its fields is missing.
    fn of(&self, fields: &Fields<'_>) -> Option<String> {
        let mut address = String::new();
        for part in &self.0 {
            match part {
                AddressPart::Text(text) => address.push_str(text),
                AddressPart::At(field) => {
                    let found = fields.find(field).and_then(|found| found.text()).filter(|found| !found.is_empty())?;
                    address.push_str(&encoded(cut(&found, FIELD_BYTES_MAX)));
                }
            }
        }
        (address.len() <= LINK_BYTES_MAX).then_some(address)
    }
}

impl Carries {
    /// Adds to the facts of an event; `scratch` holds what has to be put together.
    pub fn furnish<'a>(&'a self, event: &Event<'a>, scratch: &'a mut String, facts: &mut Facts<'a>) {
        let fields = &event.fields;
        if let Some(address) = &self.link {
            facts.link = address.of(fields).map(Cow::Owned).unwrap_or_default();
        }
        facts.link = self.public(std::mem::take(&mut facts.link));
        if matches!(event.state, State::Firing | State::Resolved) {
            facts.runbook = self.public(links::runbook(fields));
        }
        if event.state == State::Firing {
            facts.silence = self.public(links::silence(fields, self.silencing, scratch));
        }
        facts.named = self.named(fields);
        facts.files = self.files(fields);
    }

    /// As people call it; empty if it isn't `https` then.
    fn public<'a>(&self, link: Cow<'a, str>) -> Cow<'a, str> {
        let rewrite = self.rewrites.iter().find(|rewrite| is_below(&link, &rewrite.from));
        let link = match rewrite {
            Some(rewrite) => Cow::Owned(format!("{}{}", rewrite.to, &link[rewrite.from.len()..])),
            None => link,
        };
        let fit = link.starts_with("https://") && link.len() <= LINK_BYTES_MAX && is_unbroken(&link);
        if fit { link } else { Cow::Borrowed("") }
    }

    fn named<'a>(&'a self, fields: &Fields<'a>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let value = |field| fields.find(field).and_then(|found| found.text());
        let named = self.fields.iter().filter_map(|(name, field)| Some((name, value(field)?)));
        named.map(|(name, value)| (Cow::Borrowed(&**name), shortened(value))).collect()
    }

    fn files<'a>(&self, fields: &Fields<'a>) -> Vec<Enclosed<'a>> {
        let mut files = Vec::new();
        let mut room = self.files_bytes_max;
        for at in &self.files {
            let Some(data) = fields.find(&at.data).and_then(|found| found.text()) else { continue };
            files.push(Enclosed { name: at.name.of(fields), content: opened(&data, &mut room) });
        }
        if self.whole == Whole::Enclosed {
            let json = links::json(fields).unwrap_or_default();
            let content = match json.len() {
                bytes if base64_len(bytes) > room => Enclosure::TooLarge { bytes: bytes as u64 },
                _ => Enclosure::Text(Cow::Owned(json)),
            };
            files.push(Enclosed { name: Cow::Borrowed("event.json"), content });
        }
        files
    }
}

impl FileName {
    fn of<'a>(&self, fields: &Fields<'_>) -> Cow<'a, str> {
        let found = match self {
            Self::Called(name) => Cow::Borrowed(&**name),
            Self::At(path) => fields.find(&Field::At(path.clone())).and_then(|found| found.text()).unwrap_or_default(),
        };
        let plain: String = found.chars().map(|c| if c.is_control() || "/\\".contains(c) { '_' } else { c }).collect();
        let name = cut(plain.trim(), FILE_NAME_BYTES_MAX);
        Cow::Owned(if name.is_empty() { "attachment.bin" } else { name }.to_owned())
    }
}

/// How long so many bytes are in base64.
pub const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// What base64 should be; with or without the head of a `data:` address, and without its line ends.
fn opened(data: &str, room: &mut usize) -> Enclosure<'static> {
    let data = data.split_once(";base64,").map_or(data, |(_, data)| data);
    let data: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if data.len() > *room {
        return Enclosure::TooLarge { bytes: data.len() as u64 / 4 * 3 };
    }
    if STANDARD.decode(&data).is_err() {
        return Enclosure::Unreadable;
    }
    *room -= data.len();
    Enclosure::Base64(Cow::Owned(data))
}

fn shortened(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(cut(value, FIELD_BYTES_MAX)),
        Cow::Owned(value) => Cow::Owned(cut(&value, FIELD_BYTES_MAX).to_owned()),
    }
}

/// Whether `link` is `prefix` or something below it: `http://am:9093` is no prefix of `http://am:90931`.
fn is_below(link: &str, prefix: &str) -> bool {
    let rest = link.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with(['/', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Decoder, Format, HashKey, Record};

    const PAYLOAD: &str = r#"{"groupKey":"k","externalURL":"http://am:9093","alerts":[{"status":"firing",
        "labels":{"alertname":"X"},"annotations":{"runbook_url":"http://wiki/run"},"generatorURL":"http://prom:9090/g",
        "id":"a/b c","n":3,"file":{"name":"../x\u0000.txt","data":"data:text/plain;base64,YWJj\nZA=="}}]}"#;

    fn furnished(carries: &Carries) -> Facts<'static> {
        let mut facts = Facts::default();
        let carries: &'static Carries = Box::leak(Box::new(carries.clone()));
        let look = &mut |event: &Event<'_>| {
            let (mut names, mut scratch) = (String::new(), String::new());
            let mut furnished = event.facts(&mut names);
            let link = Cow::Owned(furnished.link.into_owned());
            furnished = Facts { link, ..Facts::default() };
            carries.furnish(event, &mut scratch, &mut furnished);
            let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
            facts.link = owned(furnished.link);
            facts.runbook = owned(furnished.runbook);
            facts.silence = owned(furnished.silence);
            facts.named = furnished.named.into_iter().map(|(name, value)| (owned(name), owned(value))).collect();
            let content = |content: Enclosure<'_>| match content {
                Enclosure::Base64(data) => Enclosure::Base64(owned(data)),
                Enclosure::Text(text) => Enclosure::Text(owned(text)),
                Enclosure::TooLarge { bytes } => Enclosure::TooLarge { bytes },
                Enclosure::Unreadable => Enclosure::Unreadable,
            };
            let files = furnished.files.into_iter();
            facts.files =
                files.map(|file| Enclosed { name: owned(file.name), content: content(file.content) }).collect();
        };
        let record = Record { payload: Some(PAYLOAD.as_bytes()), headers: &[] };
        Decoder::new(HashKey::new([0; 16])).decode(&Format::Alertmanager, record, look).expect("a body");
        facts
    }

    fn field(text: &str) -> Field {
        Field::parse(text).expect("a field")
    }

    #[test]
    fn people_see_https_addresses_only_by_the_names_that_they_know() {
        let facts = furnished(&Carries { silencing: Silencing::Built, ..Carries::default() });
        assert_eq!([&*facts.link, &facts.runbook, &facts.silence], ["", "", ""]);
        let rewrite = |from: &str, to: &str| Rewrite { from: from.into(), to: to.into() };
        let rewrites = [
            rewrite("http://prom:909", "https://wrong"),
            rewrite("http://prom:9090", "https://prom.example"),
            rewrite("http://am:9093", "https://am.example/x"),
            rewrite("http://wiki/", "http://still-plain/"),
        ];
        let facts =
            furnished(&Carries { silencing: Silencing::Built, rewrites: rewrites.into(), ..Carries::default() });
        assert_eq!([&*facts.link, &facts.runbook], ["https://prom.example/g", ""]);
        assert!(facts.silence.starts_with("https://am.example/x/#/silences/new?filter=%7B"), "{}", facts.silence);
    }

    #[test]
    fn an_address_is_made_of_fields_or_not_at_all() {
        let address = |parts: &[AddressPart]| Some(Address(parts.into()));
        let text = AddressPart::Text("https://crm/".into());
        let at = |name: &str| AddressPart::At(field(name));
        let whole = Carries { link: address(&[text.clone(), at("/id")]), ..Carries::default() };
        assert_eq!(furnished(&whole).link, "https://crm/a%2Fb%20c");
        let lacking = Carries { link: address(&[text, at("/nothing")]), ..Carries::default() };
        assert_eq!(furnished(&lacking).link, "");
    }

    #[test]
    fn fields_are_those_that_are_named_and_files_are_base64_within_their_room() {
        let fields = [("id", "/id"), ("n", "/n"), ("none", "/none")].map(|(name, at)| (name.into(), field(at)));
        let file = |name, data: &str| FileAt { name, data: field(data) };
        let at = FileName::At(Path::parse("/file/name").expect("a pointer"));
        let files = [file(at, "/file/data"), file(FileName::Called("id".into()), "/id")];
        let carries = Carries {
            fields: fields.into(),
            files: files.into(),
            files_bytes_max: 8,
            whole: Whole::Enclosed,
            ..Carries::default()
        };
        let facts = furnished(&carries);
        assert_eq!(facts.named, [("id".into(), "a/b c".into()), ("n".into(), "3".into())]);
        let names: Vec<_> = facts.files.iter().map(|file| &*file.name).collect();
        assert_eq!(names, [".._x_.txt", "id", "event.json"]);
        assert_eq!(facts.files[0].content, Enclosure::Base64("YWJjZA==".into()));
        assert_eq!(facts.files[1].content, Enclosure::TooLarge { bytes: 3 });
        assert!(matches!(facts.files[2].content, Enclosure::TooLarge { bytes: 100.. }));
    }
}
