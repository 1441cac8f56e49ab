//! The file as it stands: tables whose keys are asked for by name and type.
//!
//! A [`Section`] is a table, or the place where one could stand. Whoever asks it for a key gets a typed value or a default,
//! and a fault is noted when what stands there doesn't fit. When a section is dropped, every key that nobody asked for is a
//! fault too. Nothing here stops at the first fault; [`Reading`] holds them all until the end.

use std::cell::{Ref, RefCell};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, KeyPath, Problem, REDACTED, Segment, Warning, nearest, one_of, quoted};
use super::names::NameUse;
use super::value::Value;

/// A file being read, and everything said about it so far.
pub(super) struct Reading<'a> {
    pub file: PathBuf,
    text: &'a str,
    root: &'a DeTable<'a>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Warning>>,
    known: RefCell<Vec<KnownKey>>,
    uses: RefCell<Vec<NameUse>>,
    credentials: RefCell<Vec<KeyPath>>,
}

/// A key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    pub key: KeyPath,
    /// What holds if it doesn't stand there, written as TOML. None: nothing, or it must stand there.
    pub default: Option<String>,
}

/// What a reading leaves behind.
pub(super) struct Noted {
    pub faults: Vec<Fault>,
    pub warnings: Vec<Warning>,
    pub known: Vec<KnownKey>,
    pub uses: Vec<NameUse>,
    pub credentials: Vec<KeyPath>,
}

impl<'a> Reading<'a> {
    pub fn new(file: PathBuf, text: &'a str, root: &'a DeTable<'a>) -> Self {
        let (faults, warnings, known, uses, credentials) = Default::default();
        Self { file, text, root, faults, warnings, known, uses, credentials }
    }

    pub fn root(&'a self) -> Section<'a> {
        Section::new(self, KeyPath::default(), Some(self.root))
    }

    pub fn finish(self) -> Noted {
        let (faults, warnings) = (self.faults.into_inner(), self.warnings.into_inner());
        let (known, uses, credentials) =
            (self.known.into_inner(), self.uses.into_inner(), self.credentials.into_inner());
        Noted { faults, warnings, known, uses, credentials }
    }

    pub fn unfit(&self, key: KeyPath, found: impl Display, wanted: impl Display) {
        let (found, wanted) = (found.to_string(), wanted.to_string());
        self.fault(key, Problem::Unfit { found, wanted, did_you_mean: None });
    }

    pub fn missing(&self, key: KeyPath, wanted: impl Display) {
        self.fault(key, Problem::Missing { wanted: wanted.to_string() });
    }

    pub fn warn(&self, key: KeyPath, text: impl Display) {
        let (file, line, text) = (self.file.clone(), self.line(&key), text.to_string());
        self.warnings.borrow_mut().push(Warning { file, line, key, text });
    }

    /// A name or an id of Missive's that stands in the file.
    pub fn used(&self, name: NameUse) {
        self.uses.borrow_mut().push(name);
    }

    /// What `key` names is one of systemd's copies.
    pub fn credential(&self, key: KeyPath) {
        self.credentials.borrow_mut().push(key);
    }

    fn fault(&self, key: KeyPath, problem: Problem) {
        // Finding a line walks the text: a file of nothing but faults must not make that quadratic.
        let line = if self.faults.borrow().len() < 1000 { self.line(&key) } else { None };
        self.faults.borrow_mut().push(Fault { line, key, problem });
    }

    /// Line of the deepest part of `key` that stands in the file.
    fn line(&self, key: &KeyPath) -> Option<usize> {
        let mut table = Some(self.root);
        let mut array = None;
        let mut at = None;
        for segment in key.segments() {
            let (offset, value) = match segment {
                Segment::Key(name) | Segment::Name(name) => {
                    let Some((key, value)) = table.and_then(|table| table.get_key_value(&**name)) else { break };
                    (key.span().start, value.get_ref())
                }
                Segment::Index(index) => {
                    let Some(value) = array.and_then(|array: &toml::de::DeArray<'_>| array.get(*index)) else { break };
                    (value.span().start, value.get_ref())
                }
            };
            at = Some(offset);
            table = value.as_table();
            array = value.as_array();
        }
        at.map(|offset| line_of(self.text, offset))
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Tables below one key: channels, sources, routes of a source.
const LIST_MAX: usize = 1000;

/// A table of the file, or the place where it could stand.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    path: KeyPath,
    table: Option<&'a DeTable<'a>>,
    /// What holds where the file says nothing: a preset's table.
    under: Option<&'a DeTable<'a>>,
    /// All of it is a preset's: what is asked for here is nothing that the file would have to name.
    preset: bool,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    fn new(reading: &'a Reading<'a>, path: KeyPath, table: Option<&'a DeTable<'a>>) -> Self {
        Self { reading, path, table, under: None, preset: false, asked: RefCell::default() }
    }

    /// The same section over a preset's table, which holds key by key where the file says nothing.
    pub fn over(mut self, preset: Option<&'a DeTable<'a>>) -> Self {
        self.under = preset;
        self
    }

    /// The same section, whose keys the example file names elsewhere.
    pub const fn unlisted(mut self) -> Self {
        self.preset = true;
        self
    }

    /// The table that it is, the file's or else the preset's.
    pub const fn table(&self) -> Option<&'a DeTable<'a>> {
        match self.table {
            Some(table) => Some(table),
            None => self.under,
        }
    }

    /// Whether the file or a preset has it at all.
    pub fn is_given(&self) -> bool {
        self.table.is_some() || self.under.is_some()
    }

    pub fn has(&self, key: &str) -> bool {
        self.stands(key).is_some()
    }

    /// What stands at `key` in the file, or else in the preset.
    fn stands(&self, key: &str) -> Option<&'a DeValue<'a>> {
        let tables = [self.table, self.under];
        tables.into_iter().flatten().find_map(|table| table.get(key)).map(toml::Spanned::get_ref)
    }

    /// Where `key` stands, or would.
    pub fn at(&self, key: &str) -> KeyPath {
        self.path.key(key)
    }

    pub fn path(&self) -> &KeyPath {
        &self.path
    }

    pub fn reading(&self) -> &'a Reading<'a> {
        self.reading
    }

    /// A table below this one.
    pub fn section(&self, key: &'static str) -> Section<'a> {
        self.ask(key, None);
        let own = self.table.and_then(|table| table.get(key));
        let table = own.and_then(|value| self.table_of(self.at(key), value.get_ref()));
        let under = self.under.and_then(|under| under.get(key)).and_then(|value| value.get_ref().as_table());
        let mut section = Section::new(self.reading, self.at(key), table);
        section.preset = self.preset;
        section.over(under)
    }

    /// The table at `key`, as it stands: the file's whole, or else the preset's.
    pub fn whole(&self, key: &'static str) -> Section<'a> {
        let table = self.value(key).and_then(|value| self.table_of(self.at(key), value));
        let own = self.table.is_some_and(|table| table.contains_key(key)) && !self.preset;
        let mut section = Section::new(self.reading, self.at(key), table);
        section.preset = table.is_some() && !own;
        section
    }

    /// The tables below `key`, whose names the author chose.
    pub fn named(&self, key: &'static str) -> Vec<(Box<str>, Section<'a>)> {
        let path = self.at(key);
        let Some(table) = self.value(key).and_then(|value| self.table_of(path.clone(), value)) else {
            return Vec::new();
        };
        self.check_count(&path, table.len(), LIST_MAX);
        let sections = table.iter().take(LIST_MAX).filter_map(|(name, value)| {
            let (name, path) = (&**name.get_ref(), path.name(name.get_ref()));
            let table = self.table_of(path.clone(), value.get_ref())?;
            check_name(self.reading, &path, name);
            Some((name.into(), Section::new(self.reading, path, Some(table))))
        });
        sections.collect()
    }

    /// The tables of an array: `[[sources.deals.routes]]`.
    pub fn list(&self, key: &'static str) -> Vec<Section<'a>> {
        let path = self.at(key);
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            self.reading.unfit(path, found(value), "an array of tables");
            return Vec::new();
        };
        self.check_count(&path, array.len(), LIST_MAX);
        let sections = array.iter().take(LIST_MAX).enumerate().filter_map(|(at, value)| {
            let path = path.index(at);
            let table = self.table_of(path.clone(), value.get_ref())?;
            let mut section = Section::new(self.reading, path, Some(table));
            section.preset = self.preset;
            Some(section)
        });
        sections.collect()
    }

    /// The keys and values of this table, whose keys the author chose; none of them is unknown then. More than `most` are
    /// a fault, and left out.
    pub fn entries(&mut self, most: usize) -> impl Iterator<Item = (&'a str, KeyPath, &'a DeValue<'a>)> {
        let path = self.path.clone();
        let table = self.table.take();
        self.check_count(&path, table.map_or(0, DeTable::len), most);
        let entries = table.into_iter().flat_map(|table| table.iter()).take(most);
        entries.map(move |(key, value)| (&**key.get_ref(), path.name(key.get_ref()), value.get_ref()))
    }

    /// The default if it isn't there, or doesn't fit, with a fault noted.
    pub fn or<T: Value>(&self, key: &'static str, default: T) -> T {
        self.ask(key, Some(default.show()));
        self.read(key, &T::wanted(), |_| true).unwrap_or(default)
    }

    /// Like [`Self::or`], and the value must be in the range.
    pub fn between<T: Value + PartialOrd>(&self, key: &'static str, default: T, range: RangeInclusive<T>) -> T {
        self.ask(key, Some(default.show()));
        let wanted = format!("{} from {} to {}", T::NOUN, range.start().show(), range.end().show());
        self.read(key, &wanted, |value| range.contains(value)).unwrap_or(default)
    }

    /// None if it isn't there, or doesn't fit.
    pub fn optional<T: Value>(&self, key: &'static str) -> Option<T> {
        self.ask(key, None);
        self.read(key, &T::wanted(), |_| true)
    }

    /// None only with a fault noted.
    pub fn required<T: Value>(&self, key: &'static str) -> Option<T> {
        if !self.has(key) {
            self.ask(key, None);
            self.reading.missing(self.at(key), T::wanted());
        }
        self.optional(key)
    }

    /// A text that no fault may repeat.
    pub fn secret(&self, key: &'static str) -> Option<&'a str> {
        let value = self.value(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.unfit(key, REDACTED, "a string");
        }
        text
    }

    /// What stands there, whatever it is.
    pub fn value(&self, key: &'static str) -> Option<&'a DeValue<'a>> {
        self.ask(key, None);
        self.stands(key)
    }

    pub fn unfit(&self, key: &str, found: impl Display, wanted: impl Display) {
        self.reading.unfit(self.at(key), found, wanted);
    }

    /// `key` must be one of `known`: the name of something else in the file.
    pub fn unknown_name(&self, key: &str, name: &str, wanted: &str, known: &[&str]) {
        let did_you_mean = nearest(name, known.iter().copied()).map(str::to_owned);
        let wanted = match known.len() {
            0 => format!("{wanted}, which has none"),
            _ => format!("{wanted}: {}", one_of(known)),
        };
        let problem = Problem::Unfit { found: quoted(name), wanted, did_you_mean };
        self.reading.fault(self.at(key), problem);
    }

    /// `key` must be an id, or a name that `[names]` has an id for.
    pub fn without_id(&self, key: &str, name: &str, wanted: &str, known: &[&str]) {
        let did_you_mean = nearest(name, known.iter().copied()).map(str::to_owned);
        let known = if known.is_empty() { ", which has none".to_owned() } else { format!(": {}", one_of(known)) };
        let wanted = format!("{wanted}{known}");
        let problem = Problem::WithoutId { found: quoted(name), wanted, did_you_mean };
        self.reading.fault(self.at(key), problem);
    }

    fn ask(&self, key: &'static str, default: Option<String>) {
        if self.asked.borrow().contains(&key) {
            return;
        }
        self.asked.borrow_mut().push(key);
        if self.preset {
            return;
        }
        self.reading.known.borrow_mut().push(KnownKey { key: self.at(key), default });
    }

    fn read<T: Value>(&self, key: &str, wanted: &str, fits: impl Fn(&T) -> bool) -> Option<T> {
        let value = self.stands(key)?;
        if let Some(fitting) = T::parse(value).filter(fits) {
            return Some(fitting);
        }
        let word = value.as_str().unwrap_or_default();
        let did_you_mean = nearest(word, T::CHOICES.iter().copied()).map(str::to_owned);
        self.reading
            .fault(self.at(key), Problem::Unfit { found: found(value), wanted: wanted.to_owned(), did_you_mean });
        None
    }

    fn check_count(&self, path: &KeyPath, count: usize, most: usize) {
        if count > most {
            self.reading.unfit(path.clone(), format_args!("{count} of them"), format_args!("at most {most}"));
        }
    }

    fn table_of(&self, path: KeyPath, value: &'a DeValue<'a>) -> Option<&'a DeTable<'a>> {
        let table = value.as_table();
        if table.is_none() {
            self.reading.unfit(path, found(value), "a table");
        }
        table
    }

    fn asked(&self) -> Ref<'_, Vec<&'static str>> {
        self.asked.borrow()
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        let asked = self.asked();
        for (key, _) in table.iter().filter(|(key, _)| !asked.contains(&&**key.get_ref())) {
            let did_you_mean = nearest(key.get_ref(), asked.iter().copied()).map(str::to_owned);
            let problem = Problem::UnknownKey { did_you_mean, known: asked.clone() };
            self.reading.fault(self.path.key(key.get_ref()), problem);
        }
    }
}

/// What stands there, for a fault.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Names become parts of paths, metric labels, references and transactional ids.
fn check_name(reading: &Reading<'_>, path: &KeyPath, name: &str) {
    if !is_name(name) {
        reading.unfit(path.clone(), quoted(name), NAME_WANTED);
    }
}

pub(super) const NAME_WANTED: &str = "a name of 1 to 64 letters, digits, \"-\" and \"_\"";

/// Whether `name` can name a lane, channel, source or route.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}
