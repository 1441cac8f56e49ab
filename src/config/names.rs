//! `[names.labels]`, `[names.teams]`, `[names.people]`: what people call what Missive knows by an id.
//!
//! Wherever the file asks for a label, a team or a person, an id or one of these names can stand. Nothing is asked of Missive
//! here: who wants names looked up writes them into these tables, or hands [`Names`] over.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::fault::quoted;
use super::raw::{Section, found};
use super::value::Value as _;

/// Names of one kind.
const NAMES_MAX: usize = 10_000;

/// Ids by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub labels: Arc<BTreeMap<Box<str>, Uuid>>,
    pub teams: Arc<BTreeMap<Box<str>, Uuid>>,
    pub people: Arc<BTreeMap<Box<str>, Uuid>>,
}

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOf {
    Label,
    Team,
    Person,
}

impl NameOf {
    const fn wanted(self) -> &'static str {
        match self {
            Self::Label => "an id, or a label from [names.labels]",
            Self::Team => "an id, or a team from [names.teams]",
            Self::Person => "an id, or a person from [names.people]",
        }
    }
}

impl Names {
    pub fn of(&self, of: NameOf) -> &BTreeMap<Box<str>, Uuid> {
        match of {
            NameOf::Label => &self.labels,
            NameOf::Team => &self.teams,
            NameOf::Person => &self.people,
        }
    }

    /// The id that `text` is, or is the name of.
    pub fn id(&self, of: NameOf, text: &str) -> Option<Uuid> {
        let id = || Uuid::try_parse(text).ok().filter(|id| text.len() == 36 && !id.is_nil());
        self.of(of).get(text).copied().or_else(id)
    }

    /// None only with a fault noted.
    pub(super) fn resolve(&self, section: &Section<'_>, key: &str, of: NameOf, text: &str) -> Option<Uuid> {
        let id = self.id(of, text);
        if id.is_none() {
            let known: Vec<&str> = self.of(of).keys().map(|name| &**name).collect();
            section.unknown_name(key, text, of.wanted(), &known);
        }
        id
    }

    /// The one that stands at `key`; None if none does, or with a fault noted.
    pub(super) fn one(&self, section: &Section<'_>, key: &'static str, of: NameOf) -> Option<Uuid> {
        let text = section.optional::<Box<str>>(key)?;
        self.resolve(section, key, of, &text)
    }

    /// Those that stand at `key`.
    pub(super) fn several(&self, section: &Section<'_>, key: &'static str, of: NameOf) -> Box<[Uuid]> {
        let Some(value) = section.value(key) else { return [].into() };
        let Some(list) = value.as_array() else {
            section.unfit(key, found(value), format_args!("a list: {} each", of.wanted()));
            return [].into();
        };
        let texts = list.iter().filter_map(|item| {
            let text = item.get_ref().as_str();
            if text.is_none() {
                section.unfit(key, found(item.get_ref()), of.wanted());
            }
            text
        });
        texts.filter_map(|text| self.resolve(section, key, of, text)).collect()
    }
}

pub(super) fn names(root: &Section<'_>) -> Names {
    let section = root.section("names");
    let [labels, teams, people] = ["labels", "teams", "people"].map(|kind| Arc::new(ids(section.section(kind))));
    Names { labels, teams, people }
}

fn ids(mut section: Section<'_>) -> BTreeMap<Box<str>, Uuid> {
    let reading = section.reading();
    let ids = section.entries(NAMES_MAX).filter_map(|(name, key, value)| {
        let id = Uuid::parse(value);
        if id.is_none() {
            reading.unfit(key, found(value), format_args!("{}: the id of {}", Uuid::wanted(), quoted(name)));
        }
        Some((name.into(), id?))
    });
    ids.collect()
}
