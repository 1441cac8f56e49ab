//! Where an event says something, and how it is taken: alternatives, composed texts, defaults, translations, types.
//!
//! Pure look-up. The first alternative that finds something that isn't empty counts; a composed text finds something if one of
//! its pointers does. A value that isn't of the type that the place wants is a fault of the record, named by its pointer. What
//! comes out is borrowed where it can be, and has at most [`TEXT_BYTES_MAX`] bytes.

use std::borrow::Cow;

use simd_json::tape::Value;

use super::cloudevents::bounded;
use super::decode::Refusal;
use super::markup;
use super::path::{Found, Path};
use super::{TEXT_BYTES_MAX, Timestamp};

/// A place in events of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In order.
    pub alternatives: Box<[Alternative]>,
    /// What holds if nothing is found.
    pub default: Option<Box<str>>,
    /// What the sender's words mean here, in any case; `*` is every other word.
    pub words: Box<[(Box<str>, Box<str>)]>,
    pub typed: Typed,
}

/// One way to find something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alternative {
    At(Path),
    /// Texts and pointers, one after another.
    Composed(Box<[Part]>),
}

/// A part of a composed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(Box<str>),
    At(Path),
}

/// What must stand at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Typed {
    /// A string, a number or a boolean.
    #[default]
    Any,
    Text,
    Number,
    Truth,
    /// HTML, of which the text is taken.
    Html,
    /// Unix time.
    Seconds,
    Milliseconds,
    Microseconds,
    Rfc3339,
}

/// Where places are looked up: in the event's own part of the record first, then in the whole.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub element: Option<Value<'a, 'a>>,
    pub root: Value<'a, 'a>,
}

impl<'a> Ground<'a> {
    fn find(self, path: &Path) -> Option<Found<'a>> {
        let here = self.element.and_then(|element| path.find(element)).and_then(Found::of);
        here.or_else(|| path.find(self.root).and_then(Found::of))
    }
}

impl Typed {
    const fn wanted(self) -> &'static str {
        match self {
            Self::Any => "a string, a number or a boolean",
            Self::Text | Self::Html => "a string",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Seconds => "Unix time in seconds",
            Self::Milliseconds => "Unix time in milliseconds",
            Self::Microseconds => "Unix time in microseconds",
            Self::Rfc3339 => "a time as RFC 3339 writes it",
        }
    }

    fn fits(self, found: Found<'_>) -> bool {
        match self {
            Self::Any => found != Found::Container,
            Self::Text | Self::Html => matches!(found, Found::Text(_)),
            Self::Number => found.number().is_some(),
            Self::Truth => matches!(found, Found::Truth(_) | Found::Text("true" | "false")),
            Self::Seconds | Self::Milliseconds | Self::Microseconds => found.number().is_some_and(|at| at >= 0.0),
            Self::Rfc3339 => matches!(found, Found::Text(text) if Timestamp::parse_rfc3339(text).is_some()),
        }
    }
}

impl Place {
    /// At one pointer, whatever stands there.
    pub fn at(path: Path) -> Self {
        Self { alternatives: [Alternative::At(path)].into(), default: None, words: [].into(), typed: Typed::Any }
    }

    /// What stands there; `None` if there is nothing.
    pub(super) fn find<'a>(&'a self, ground: Ground<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
        for alternative in &self.alternatives {
            let found = match alternative {
                Alternative::At(path) => self.stands_at(path, ground)?,
                Alternative::Composed(parts) => composed(parts, ground),
            };
            if let Some(found) = found.filter(|found| !found.is_empty()) {
                return Ok(Some(bounded(self.translated(found), TEXT_BYTES_MAX)));
            }
        }
        Ok(self.default.as_deref().map(Cow::Borrowed))
    }

    /// What stands there, or the record lacks it.
    pub(super) fn required<'a>(&'a self, ground: Ground<'a>) -> Result<Cow<'a, str>, Refusal> {
        self.find(ground)?.ok_or_else(|| Refusal::field(self.name(), self.typed.wanted()))
    }

    /// What stands there as a time: as its type says, or as it looks.
    pub(super) fn time(&self, ground: Ground<'_>) -> Result<Option<Timestamp>, Refusal> {
        let Some(found) = self.find(ground)? else { return Ok(None) };
        Ok(match self.typed {
            Typed::Seconds => in_millis(&found, 1000.0),
            Typed::Milliseconds => in_millis(&found, 1.0),
            Typed::Microseconds => in_millis(&found, 0.001),
            Typed::Any | Typed::Text | Typed::Number | Typed::Truth | Typed::Html | Typed::Rfc3339 => {
                Timestamp::parse_loose(&found)
            }
        })
    }

    /// How a fault calls it: by its first pointer.
    pub(super) fn name(&self) -> Box<str> {
        self.paths().first().map_or("the event", |path| path.as_str()).into()
    }

    /// Every pointer of it.
    pub(super) fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        for alternative in &self.alternatives {
            match alternative {
                Alternative::At(path) => paths.push(path),
                Alternative::Composed(parts) => paths.extend(parts.iter().filter_map(Part::path)),
            }
        }
        paths
    }

    fn stands_at<'a>(&self, path: &Path, ground: Ground<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(found) = ground.find(path) else { return Ok(None) };
        if !self.typed.fits(found) && found != Found::Text("") {
            return Err(Refusal::field(path.as_str(), self.typed.wanted()));
        }
        Ok(match (self.typed, found) {
            (Typed::Html, Found::Text(html)) => Some(markup::text_of(html)),
            _ => found.text(),
        })
    }

    fn translated<'a>(&'a self, word: Cow<'a, str>) -> Cow<'a, str> {
        let meaning = |wanted: &str| self.words.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted));
        match meaning(&word).or_else(|| meaning("*")) {
            Some((_, meaning)) => Cow::Borrowed(meaning),
            None => word,
        }
    }
}

impl Part {
    const fn path(&self) -> Option<&Path> {
        match self {
            Self::At(path) => Some(path),
            Self::Text(_) => None,
        }
    }
}

fn composed<'a>(parts: &[Part], ground: Ground<'a>) -> Option<Cow<'a, str>> {
    let mut text = String::new();
    let mut found_any = false;
    for part in parts {
        match part {
            Part::Text(between) => text.push_str(between),
            Part::At(path) => {
                let found = ground.find(path).and_then(Found::text).filter(|found| !found.is_empty());
                found_any |= found.is_some();
                text.push_str(super::cut(&found.unwrap_or_default(), TEXT_BYTES_MAX));
            }
        }
    }
    found_any.then(|| Cow::Owned(text.trim().to_owned()))
}

fn in_millis(number: &str, millis_each: f64) -> Option<Timestamp> {
    let millis = number.trim().parse::<f64>().ok()? * millis_each;
    // A saturating cast: a hostile number is a far day, not a panic.
    (millis > 0.0).then(|| Timestamp::from_millis(millis as u64))
}
