//! What can be wrong with a config file, as values: a key, what stands there, what is wanted.
//!
//! A [`Fault`] never holds a secret: who reports one about a secret passes [`REDACTED`] as what was found. Texts from the
//! file are quoted, escaped and cut, and the list of faults is bounded, so a hostile file can't flood a terminal.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// Stands for a secret in a fault.
pub const REDACTED: &str = "<redacted>";

/// Faults kept by text; more are only counted.
const FAULTS_MAX: usize = 200;

/// Characters of a text from the file that a fault repeats.
const QUOTE_CHARS_MAX: usize = 80;

/// Where something stands in the file: `sources.alerts.format`, `sources.deals.routes[0].match`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// A key whose name is ours.
    Key(Box<str>),
    /// A key that the file's author chose: a channel's name.
    Name(Box<str>),
    /// A place in an array.
    Index(usize),
}

impl KeyPath {
    /// `"kafka.topics.replication"` as a path of our own keys.
    pub(super) fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Segment::Key(key.into())).collect())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.into()))
    }

    pub(super) fn name(&self, name: &str) -> Self {
        self.with(Segment::Name(name.into()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Another key of the same table.
    fn sibling(&self, key: &str) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec()).key(key)
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The path with `NAME` for what the author chose, and without array places: the same for all channels.
    pub fn pattern(&self) -> String {
        let words = self.0.iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(&**key),
            Segment::Name(_) => Some("NAME"),
            Segment::Index(_) => None,
        });
        words.collect::<Vec<_>>().join(".")
    }

    fn with(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) | Segment::Name(key) => {
                    let dot = if at == 0 { "" } else { "." };
                    write!(f, "{dot}{}", Bare(key))?;
                }
            }
        }
        Ok(())
    }
}

/// A key as TOML writes it: quoted only where it must be.
struct Bare<'a>(&'a str);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !self.0.is_empty() && self.0.len() <= QUOTE_CHARS_MAX && self.0.bytes().all(bare) {
            return f.write_str(self.0);
        }
        f.write_str(&quoted(self.0))
    }
}

/// A text from the file in quotes, escaped, cut to a bearable length; not if it is a token at the wrong place, or a URL
/// with a password.
pub(super) fn quoted(text: &str) -> String {
    if text.contains("missive_pat-") || may_have_password(text) {
        return REDACTED.to_owned();
    }
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// Whether something like `https://user:password@host` stands there, well written or not.
fn may_have_password(text: &str) -> bool {
    let (_, authority) = text.split_once("://").unwrap_or_default();
    let port = authority.split('/').next().and_then(|authority| authority.rsplit_once(':'));
    let odd_port = port.is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit() || byte == b']'));
    odd_port || text.contains('@') && text.contains(':')
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1; of the table it should stand in, if it is missing.
    pub line: Option<usize>,
    pub key: KeyPath,
    pub problem: Problem,
}

/// How it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nobody reads this key.
    UnknownKey { did_you_mean: Option<String>, known: Vec<&'static str> },
    /// It must stand there.
    Missing { wanted: String },
    /// It stands there and can't stay.
    Unfit { found: String, wanted: String, did_you_mean: Option<String> },
    /// A name that `[names]` has no id for: Missive can be asked.
    WithoutId { found: String, wanted: String, did_you_mean: Option<String> },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { did_you_mean: Some(near), .. } => write!(f, "unknown key; did you mean {near:?}?"),
            Self::UnknownKey { did_you_mean: None, known } => write!(f, "unknown key; wanted {}", one_of(known)),
            Self::Missing { wanted } => write!(f, "missing; wanted {wanted}"),
            Self::Unfit { found, wanted, did_you_mean: Some(near) } => {
                write!(f, "found {found}; wanted {wanted}; did you mean {near:?}?")
            }
            Self::Unfit { found, wanted, did_you_mean: None } => write!(f, "found {found}; wanted {wanted}"),
            Self::WithoutId { found, wanted, did_you_mean: Some(near) } => {
                write!(f, "found {found}; wanted {wanted}; did you mean {near:?}?")
            }
            Self::WithoutId { found, wanted, did_you_mean: None } => {
                write!(f, "found {found}; wanted {wanted}; `missived check --online` asks Missive for its id")
            }
        }
    }
}

/// `one of "a", "b"`, or what to say when there is one, none, or too many to list.
pub(super) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    const LISTED_MAX: usize = 20;
    let list: Vec<String> = words.iter().take(LISTED_MAX).map(|word| quoted(word.as_ref())).collect();
    match words.len() {
        0 => "nothing here".to_owned(),
        1 => list.concat(),
        2..=LISTED_MAX => format!("one of {}", list.join(", ")),
        more => format!("one of {} and {} more", list.join(", "), more - LISTED_MAX),
    }
}

/// Everything that is wrong with a file, in the order of its lines. Displayed one fault a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    file: PathBuf,
    faults: Vec<Fault>,
    /// Found beyond what is kept by text.
    more: usize,
}

impl Faults {
    /// None if there is nothing to say.
    pub(super) fn collect(file: PathBuf, mut faults: Vec<Fault>) -> Option<Self> {
        drop_echoes(&mut faults);
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        let more = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        (!faults.is_empty()).then_some(Self { file, faults, more })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many there are, shown or not.
    pub fn count(&self) -> usize {
        self.faults.len() + self.more
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            let end = if at + 1 < self.faults.len() { "\n" } else { "" };
            write!(f, "{}{fault}{end}", Place { file: &self.file, line: fault.line })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// A misspelt key that must stand there is one fault, not an unknown key and a missing one.
fn drop_echoes(faults: &mut Vec<Fault>) {
    let meant: BTreeSet<KeyPath> = faults.iter().filter_map(Fault::meant).collect();
    faults.retain(|fault| !(matches!(fault.problem, Problem::Missing { .. }) && meant.contains(&fault.key)));
}

impl Fault {
    /// The key that an unknown one was probably meant to be.
    fn meant(&self) -> Option<KeyPath> {
        match &self.problem {
            Problem::UnknownKey { did_you_mean, .. } => Some(self.key.sibling(did_you_mean.as_deref()?)),
            Problem::Missing { .. } | Problem::Unfit { .. } | Problem::WithoutId { .. } => None,
        }
    }
}

/// Something that works and is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub file: PathBuf,
    pub line: Option<usize>,
    pub key: KeyPath,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {}", Place { file: &self.file, line: self.line }, self.key, self.text)
    }
}

/// `missived.toml:14: `, short enough to leave the line to the fault.
struct Place<'a> {
    file: &'a std::path::Path,
    line: Option<usize>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy();
        match self.line {
            Some(line) => write!(f, "{name}:{line}: "),
            None => write!(f, "{name}: "),
        }
    }
}

/// The word of `known` that `found` was probably meant to be.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const COMPARED_BYTES_MAX: usize = 64;
    if found.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let found = found.to_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::damerau_levenshtein(&found, &word.to_lowercase().replace('-', "_"));
    let (far, near) = known.into_iter().map(|word| (distance(word), word)).min()?;
    let begins = found.len() >= 3 && (near.starts_with(&found) || found.starts_with(near));
    (far <= 1 + found.len() / 4 && far < near.len() || begins).then_some(near)
}
