//! Fields as data: a name, the shape of its value, the channel types that take it, the field it needs.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::base64;
use crate::sandbox::channels::ChannelType;
use crate::sandbox::refusal::{Quote, Refusal};

/// One documented field.
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub on: &'static [ChannelType],
    pub needs: Option<&'static str>,
}

/// What a value has to look like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Text,
    Uuid,
    /// Whole Unix seconds.
    Seconds,
    Flag,
    Texts,
    /// `#rgb`, `#rrggbb`, or one of Missive's three words.
    Color,
    /// An object of these text keys.
    Keys(&'static [&'static str]),
    /// An array of objects of these text keys.
    ListOfKeys(&'static [&'static str]),
    /// Attachments of a message: both keys, valid base64.
    Files,
    /// Attachments of a post: display blocks.
    Blocks,
}

/// Every channel type.
pub const ALL: &[ChannelType] = &[ChannelType::Text, ChannelType::Html, ChannelType::Email];

const BLOCK_TEXTS: &[&str] = &[
    "color",
    "pretext",
    "author_name",
    "author_link",
    "author_icon",
    "title",
    "title_link",
    "image_url",
    "text",
    "markdown",
    "footer",
    "footer_icon",
];

/// A field that every channel type takes and that needs no other.
pub const fn plain(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, on: ALL, needs: None }
}

/// A field that needs `needs` beside it.
pub const fn needing(name: &'static str, shape: Shape, needs: &'static str) -> Field {
    Field { name, shape, on: ALL, needs: Some(needs) }
}

/// Judges every key of `object`.
pub fn check(
    object: &Map<String, Value>,
    field_of: impl Fn(&str) -> Option<&'static Field>,
    kind: Option<ChannelType>,
) -> Result<(), Refusal> {
    for (name, value) in object {
        let field = field_of(name).ok_or_else(|| Refusal::UnknownField(Quote::new(name)))?;
        field.allowed_on(kind)?;
        field.shape.check(field.name, value)?;
        field.has_what_it_needs(object)?;
    }
    Ok(())
}

impl Field {
    fn allowed_on(&self, kind: Option<ChannelType>) -> Result<(), Refusal> {
        match kind {
            Some(kind) if !self.on.contains(&kind) => Err(Refusal::NotOnThisChannel { field: self.name, kind }),
            Some(_) | None => Ok(()),
        }
    }

    fn has_what_it_needs(&self, object: &Map<String, Value>) -> Result<(), Refusal> {
        match self.needs {
            Some(needs) if !object.contains_key(needs) => Err(Refusal::Needs { field: self.name, needs }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Shape {
    fn check(self, field: &'static str, value: &Value) -> Result<(), Refusal> {
        if self.fits(value) { Ok(()) } else { Err(Refusal::WrongValue { field, wanted: self.wanted() }) }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Uuid => value.as_str().is_some_and(|text| Uuid::parse_str(text).is_ok()),
            Self::Seconds => value.is_u64(),
            Self::Flag => value.is_boolean(),
            Self::Texts => each(value, Value::is_string),
            Self::Color => value.as_str().is_some_and(is_color),
            Self::Keys(keys) => has_only_texts(value, keys),
            Self::ListOfKeys(keys) => each(value, |item| has_only_texts(item, keys)),
            Self::Files => each(value, is_file),
            Self::Blocks => each(value, is_block),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Uuid => "a UUID string",
            Self::Seconds => "an integer, Unix seconds",
            Self::Flag => "true or false",
            Self::Texts => "an array of strings",
            Self::Color => "a HEX color, good, warning or danger",
            Self::Keys(_) => "an object of the documented string keys",
            Self::ListOfKeys(_) => "an array of objects of the documented string keys",
            Self::Files => "an array of {base64_data, filename}, both strings, the first valid base64",
            Self::Blocks => "an array of objects of the documented keys",
        }
    }
}

fn each(value: &Value, fits: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(fits))
}

fn has_only_texts(value: &Value, keys: &[&str]) -> bool {
    let fits = |(key, value): (&String, &Value)| keys.contains(&key.as_str()) && value.is_string();
    value.as_object().is_some_and(|object| object.iter().all(fits))
}

fn is_color(text: &str) -> bool {
    let is_hex = |digits: &str| matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(text, "good" | "warning" | "danger") || text.strip_prefix('#').is_some_and(is_hex)
}

fn is_file(value: &Value) -> bool {
    let data = value.get("base64_data").and_then(Value::as_str);
    let named = value.get("filename").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    has_only_texts(value, &["base64_data", "filename"]) && named && data.and_then(base64::decoded_len).is_some()
}

fn is_block(value: &Value) -> bool {
    let fits = |(key, value): (&String, &Value)| match key.as_str() {
        "timestamp" => value.is_u64(),
        "fields" => each(value, is_block_field),
        other => BLOCK_TEXTS.contains(&other) && value.is_string(),
    };
    value.as_object().is_some_and(|object| object.iter().all(fits))
}

fn is_block_field(value: &Value) -> bool {
    let fits = |(key, value): (&String, &Value)| match key.as_str() {
        "title" | "value" => value.is_string(),
        "short" => value.is_boolean(),
        _ => false,
    };
    value.as_object().is_some_and(|object| object.iter().all(fits))
}
