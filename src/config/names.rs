//! `[names.labels]`, `[names.teams]`, `[names.people]`: what people call what Missive knows by an id.
//!
//! Wherever the file asks for a label, a team or a person, an id or one of these names can stand. Nothing is asked of Missive
//! here, nor by the daemon: what a name stands for is written down, so a config means the same at every start. Whoever can ask
//! (`missived check --online`) finds every name and id that the file has in its [`NameUse`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::fault::{KeyPath, quoted};
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

/// A name or an id of Missive's, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameUse {
    pub key: KeyPath,
    pub of: NameOf,
    /// As it stands there; of an entry of `[names]`, its name.
    pub text: Box<str>,
    /// What it stands for, if the file says so.
    pub id: Option<Uuid>,
}

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameOf {
    Label,
    Team,
    Person,
}

impl NameOf {
    /// `label`, `team` or `person`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Team => "team",
            Self::Person => "person",
        }
    }

    /// The table below `[names]`.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Label => "labels",
            Self::Team => "teams",
            Self::Person => "people",
        }
    }

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

    /// Nil only with a fault noted.
    pub(super) fn resolve(&self, section: &Section<'_>, key: &str, of: NameOf, text: &str) -> Uuid {
        let id = self.id(of, text);
        if id.is_none() {
            let known: Vec<&str> = self.of(of).keys().map(|name| &**name).collect();
            section.without_id(key, text, of.wanted(), &known);
        }
        section.reading().used(NameUse { key: section.at(key), of, text: text.into(), id });
        id.unwrap_or_default()
    }

    /// The one that stands at `key`; None if none does, or with a fault noted.
    pub(super) fn one(&self, section: &Section<'_>, key: &'static str, of: NameOf) -> Option<Uuid> {
        let text = section.optional::<Box<str>>(key)?;
        Some(self.resolve(section, key, of, &text))
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
        texts.map(|text| self.resolve(section, key, of, text)).collect()
    }
}

pub(super) fn names(root: &Section<'_>) -> Names {
    let section = root.section("names");
    let [labels, teams, people] = [NameOf::Label, NameOf::Team, NameOf::Person].map(|of| Arc::new(ids(&section, of)));
    Names { labels, teams, people }
}

fn ids(names: &Section<'_>, of: NameOf) -> BTreeMap<Box<str>, Uuid> {
    let mut section = names.section(of.table());
    let reading = section.reading();
    let ids = section.entries(NAMES_MAX).filter_map(|(name, key, value)| {
        let id = Uuid::parse(value);
        if id.is_none() {
            reading.unfit(key.clone(), found(value), format_args!("{}: the id of {}", Uuid::wanted(), quoted(name)));
        }
        reading.used(NameUse { key, of, text: name.into(), id: Some(id?) });
        Some((name.into(), id?))
    });
    ids.collect()
}
