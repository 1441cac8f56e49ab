//! How a source's records are written: `format`, what belongs to it, and what is done before it reads.
//!
//! A place in a JSON event is a pointer, a text with pointers in braces, a list of these of which the first that finds
//! something counts, or a table `{ at, default, type, words }`.

use toml::de::DeValue;

use super::fault::{KeyPath, quoted};
use super::raw::{Reading, Section, found};
use super::value::{Each, FieldList, FormatWord, Pointer, Size, Value as _, pointer};
use crate::event::{
    Alternative, Compression, Format, Handling, Kind, Part, Path, Place, Pointers, Privacy, SnapshotRows, Table, Typed,
};

/// Alternatives of one place.
const ALTERNATIVES_MAX: usize = 16;

/// Translations of one place.
const WORDS_MAX: usize = 256;

/// Key columns of a table.
const KEYS_MAX: usize = 16;

const PLACE_WANTED: &str = "a JSON pointer such as \"/deal/id\", a text with pointers such as \"{/first} {/last}\", a \
    list of these, or a table { at, default, type, words }";

/// The kind of conversation that a format's events make, if the file may say.
pub(super) fn kind(section: &Section<'_>, format: FormatWord) -> Option<Kind> {
    let only = match format {
        FormatWord::Json => return section.required("kind"),
        FormatWord::CloudEvents => return Some(section.or("kind", Kind::Record)),
        FormatWord::Alertmanager => (Kind::Alert, "\"alert\": Alertmanager sends nothing else"),
        FormatWord::Grafana => (Kind::Alert, "\"alert\": Grafana sends nothing else"),
        FormatWord::HubSpot => (Kind::Record, "\"record\": HubSpot sends nothing else"),
        FormatWord::Debezium => (Kind::Record, "\"record\": rows are nothing else"),
    };
    let kind = section.or("kind", only.0);
    if kind != only.0 {
        section.unfit("kind", kind.show(), only.1);
        return None;
    }
    Some(kind)
}

/// None only with a fault noted.
pub(super) fn format(section: &Section<'_>, word: Option<FormatWord>, kind: Option<Kind>) -> Option<Format> {
    let (json, debezium) = (section.section("json"), section.section("debezium"));
    // An unknown format may have been meant to be one with a table: it is read all the same, for its own faults.
    let pointers = (word == Some(FormatWord::Json) || json.is_given()).then(|| pointers(&json, kind)).flatten();
    let table = (word == Some(FormatWord::Debezium) || debezium.is_given()).then(|| table(&debezium)).flatten();
    let word = word?;
    if word != FormatWord::Json && json.is_given() {
        section.unfit("json", "pointers", "none, or format = \"json\"");
    }
    if word != FormatWord::Debezium && debezium.is_given() {
        section.unfit("debezium", "a table's columns", "none, or format = \"debezium\"");
    }
    match word {
        FormatWord::Alertmanager => Some(Format::Alertmanager),
        FormatWord::Grafana => Some(Format::Grafana),
        FormatWord::CloudEvents => Some(Format::CloudEvents { kind: kind? }),
        FormatWord::HubSpot => Some(Format::HubSpot),
        FormatWord::Debezium => Some(Format::Debezium(Box::new(table?))),
        FormatWord::Json => Some(Format::Json(Box::new(pointers?))),
    }
}

/// What is done with records before `format` reads them.
pub(super) fn handling(section: &Section<'_>, format: Option<&Format>) -> Handling {
    let compression = section.or("compression", Compression::None);
    let opened_bytes_max = section.between("opened_bytes_max", Size::mib(8), Size::kib(1)..=Size::mib(64)).0;
    let redact = section.optional::<FieldList>("redact").map_or_else(Vec::new, |list| list.0);
    let only = section.optional::<FieldList>("only").map(|list| list.0);
    let needs = format.map(Format::needs).unwrap_or_default();
    Handling { compression, opened_bytes_max, privacy: Privacy { redact, only }, needs }
}

fn table(section: &Section<'_>) -> Option<Table> {
    let wanted = "a JSON pointer into the row such as \"/id\", or a list of such";
    let id = Path::parse("/id").expect("a pointer");
    let key = match section.value("key") {
        None => Some([id].into()),
        Some(value) => {
            let key = listed(value, KEYS_MAX, |text| pointer(text).filter(|path| !path.as_str().is_empty()));
            if key.is_none() {
                section.unfit("key", found(value), wanted);
            }
            key
        }
    };
    let title = section.optional::<Pointer>("title").map(|title| title.0);
    let snapshot = section.or("snapshot", SnapshotRows::Skip);
    Some(Table { key: key?, title, snapshot })
}

fn pointers(section: &Section<'_>, kind: Option<Kind>) -> Option<Pointers> {
    let each = section.optional::<Each>("each").map(|each| each.0);
    let place = |key| place(section, key);
    if !section.has("entity") {
        section.value("entity");
        section.reading().missing(section.at("entity"), PLACE_WANTED);
    }
    let entity = place("entity");
    let (id, conversation, subject) = (place("id"), place("conversation"), place("subject"));
    let (title, text, severity) = (place("title"), place("text"), place("severity"));
    let (state, time, link, author) = (place("state"), place("time"), place("link"), place("author"));
    let kind = kind?;
    let entity = entity?;
    Some(Pointers { kind, each, entity, id, conversation, subject, title, text, severity, state, time, link, author })
}

/// None if it isn't there, or doesn't fit, with a fault noted.
fn place(section: &Section<'_>, key: &'static str) -> Option<Place> {
    let value = section.value(key)?;
    if value.as_table().is_none() {
        let alternatives = alternatives(section.reading(), section.at(key), value)?;
        return Some(Place { alternatives, default: None, words: [].into(), typed: Typed::Any });
    }
    let table = section.whole(key);
    let default = table.optional::<Box<str>>("default");
    let typed = table.or("type", Typed::Any);
    let words = words(table.whole("words"));
    let alternatives = match table.value("at") {
        Some(at) => alternatives(table.reading(), table.at("at"), at),
        None => {
            table.reading().missing(table.at("at"), PLACE_WANTED);
            None
        }
    };
    Some(Place { alternatives: alternatives?, default, words, typed })
}

fn alternatives(reading: &Reading<'_>, key: KeyPath, value: &DeValue<'_>) -> Option<Box<[Alternative]>> {
    let alternatives = listed(value, ALTERNATIVES_MAX, alternative);
    if alternatives.is_none() {
        reading.unfit(key, found(value), PLACE_WANTED);
    }
    alternatives
}

/// What a text or each text of a list reads as; None if one doesn't, or there are none or too many.
fn listed<T>(value: &DeValue<'_>, most: usize, read: impl Fn(&str) -> Option<T>) -> Option<Box<[T]>> {
    if let Some(text) = value.as_str() {
        return Some([read(text)?].into());
    }
    let list = value.as_array().filter(|list| (1..=most).contains(&list.len()))?;
    list.iter().map(|item| item.get_ref().as_str().and_then(&read)).collect()
}

/// A pointer, or a text with pointers in braces; `{}` is the element itself.
fn alternative(text: &str) -> Option<Alternative> {
    const TEXT_BYTES_MAX: usize = 1024;
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    if !text.contains("{/") && !text.contains("{}") {
        return pointer(text).map(Alternative::At);
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}')?;
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        parts.push(Part::At(pointer(inside)?));
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Some(Alternative::Composed(parts.into()))
}

fn words(mut section: Section<'_>) -> Box<[(Box<str>, Box<str>)]> {
    let reading = section.reading();
    let words = section.entries(WORDS_MAX).filter_map(|(word, key, value)| {
        let meaning = value.as_str();
        if meaning.is_none() {
            reading.unfit(key, found(value), format_args!("a string: what {} means", quoted(word)));
        }
        Some((word.into(), meaning?.into()))
    });
    words.collect()
}
