//! Names and ids that the file uses, against what Missive lists: pure, nothing is asked here.
//!
//! A name that `[names]` has no id for is looked up as Missive writes it: a label also by its path (`Customers/VIP`), a person also
//! by address. An id must be listed. What several things are called is narrowed to the organizations of the file's channels,
//! and is ambiguous if it still stands for several. What is found and isn't in the file is written as a block that can be put
//! there. Limit: what any lane's token sees counts for all lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use thiserror::Error;
use uuid::Uuid;

use super::Proof;
use crate::config::{Asking, Config, NameOf, NameUse};

/// Near names that are told.
const NEAR_MAX: usize = 3;

/// Characters of a name of Missive's that are shown.
const SHOWN_CHARS_MAX: usize = 80;

/// Missive's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Organizations,
    Labels,
    Teams,
    People,
}

/// One thing that Missive lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub id: Uuid,
    pub name: Box<str>,
    /// A label's path, a person's address.
    pub other: Option<Box<str>>,
    pub organization: Option<Uuid>,
}

/// All that was listed.
#[derive(Debug, Default)]
pub(super) struct Directory(BTreeMap<List, BTreeMap<Uuid, Listed>>);

/// Why a name or an id can't stay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(in crate::cli) enum NameFault {
    #[error("Missive has no {of} of this name{}", meant(.near))]
    NoName { of: &'static str, near: Vec<Box<str>> },
    #[error("Missive has no {of} with this id{}", now(.instead.as_ref()))]
    NoId { of: &'static str, instead: Option<Uuid> },
    #[error("stands for {}: write the id of the one that is meant", several(.0))]
    Ambiguous(Vec<(Uuid, Box<str>)>),
    #[error("Missive has it as {0}; put that into the file, as below")]
    NotInFile(Uuid),
}

/// What is to be asked about.
pub(super) struct Sought<'a> {
    uses: Vec<Sight<'a>>,
    /// Organizations of channels, by the key that names one first.
    organizations: BTreeMap<Uuid, String>,
}

/// A name or an id, and where it stands.
struct Sight<'a> {
    first: &'a NameUse,
    places: usize,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Found {
    proofs: Vec<Proof>,
    /// What isn't in the file yet.
    ids: BTreeMap<NameOf, BTreeMap<Box<str>, Uuid>>,
}

impl List {
    /// As Missive's paths and answers have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organizations => "organizations",
            Self::Labels => "shared_labels",
            Self::Teams => "teams",
            Self::People => "users",
        }
    }

    const fn of(of: NameOf) -> Self {
        match of {
            NameOf::Label => Self::Labels,
            NameOf::Team => Self::Teams,
            NameOf::Person => Self::People,
        }
    }
}

impl Directory {
    pub fn add(&mut self, list: List, items: Vec<Listed>) {
        self.0.entry(list).or_default().extend(items.into_iter().map(|item| (item.id, item)));
    }

    /// Not every lane could be asked: what isn't in this list may be there all the same.
    pub fn forget(&mut self, list: List) {
        self.0.remove(&list);
    }

    fn list(&self, list: List) -> impl Iterator<Item = &Listed> {
        self.0.get(&list).into_iter().flat_map(BTreeMap::values)
    }

    fn by_id(&self, list: List, id: Uuid) -> Option<&Listed> {
        self.0.get(&list)?.get(&id)
    }

    /// A list that could not be asked for says nothing about what isn't in it.
    fn has(&self, list: List) -> bool {
        self.0.contains_key(&list)
    }
}

impl<'a> Sought<'a> {
    pub fn of(asking: &'a Asking) -> Self {
        let mut uses: Vec<Sight<'a>> = Vec::new();
        let mut known: BTreeMap<(NameOf, &str), usize> = BTreeMap::new();
        for used in &asking.uses {
            match known.get(&(used.of, &*used.text)) {
                Some(at) => uses[*at].places += 1,
                None => {
                    known.insert((used.of, &used.text), uses.len());
                    uses.push(Sight { first: used, places: 1 });
                }
            }
        }
        Self { uses, organizations: organizations(&asking.loaded.config) }
    }

    /// The lists that say something about it.
    pub fn lists(&self) -> Vec<List> {
        let names = self.uses.iter().map(|sight| List::of(sight.first.of));
        let any = !self.uses.is_empty() || !self.organizations.is_empty();
        names.chain(any.then_some(List::Organizations)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub fn look_up(&self, directory: &Directory) -> Found {
        let mut found = Found::default();
        for (id, key) in self.organizations.iter().filter(|_| directory.has(List::Organizations)) {
            let named = directory.by_id(List::Organizations, *id).map(|listed| shown(&listed.name));
            let outcome = named.ok_or(NameFault::NoId { of: "organization", instead: None }.into());
            found.proofs.push(Proof { what: format!("missive: organization {id} ({key})"), outcome });
        }
        for sight in self.uses.iter().filter(|sight| directory.has(List::of(sight.first.of))) {
            let outcome = match sight.first.id {
                Some(id) => by_id(directory, sight.first, id),
                None => Err(self.by_name(directory, sight.first)),
            };
            if let Err(NameFault::NotInFile(id) | NameFault::NoId { instead: Some(id), .. }) = &outcome {
                found.ids.entry(sight.first.of).or_default().insert(sight.first.text.clone(), *id);
            }
            found.proofs.push(Proof { what: sight.to_string(), outcome: outcome.map_err(Into::into) });
        }
        found
    }

    /// A name that the file has no id for.
    fn by_name(&self, directory: &Directory, used: &NameUse) -> NameFault {
        let called = self.called(directory, used.of, &used.text);
        match called.as_slice() {
            [] => NameFault::NoName { of: used.of.as_str(), near: nearest(directory, used.of, &used.text) },
            [one] => NameFault::NotInFile(one.id),
            several => {
                NameFault::Ambiguous(several.iter().map(|listed| (listed.id, place(directory, listed))).collect())
            }
        }
    }

    /// Those of this name: in the channels' organizations, if that leaves any.
    fn called<'d>(&self, directory: &'d Directory, of: NameOf, text: &str) -> Vec<&'d Listed> {
        let is = |listed: &&Listed| &*listed.name == text || listed.other.as_deref() == Some(text);
        let all: Vec<&Listed> = directory.list(List::of(of)).filter(is).collect();
        let here = |listed: &&&Listed| listed.organization.is_some_and(|id| self.organizations.contains_key(&id));
        let ours: Vec<&Listed> = all.iter().filter(here).copied().collect();
        if ours.is_empty() { all } else { ours }
    }
}

impl Found {
    pub fn proofs(self) -> Vec<Proof> {
        self.proofs
    }

    /// `[names]` as it should be, as far as it isn't; none if nothing is to be put there.
    pub fn block(&self) -> Option<String> {
        let mut block = String::new();
        for (of, ids) in &self.ids {
            let _ = writeln!(block, "[names.{}]", of.table());
            for (name, id) in ids {
                let _ = writeln!(block, "{} = \"{id}\"", key(name));
            }
        }
        (!block.is_empty()).then_some(block)
    }
}

impl fmt::Display for Sight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NameUse { key, of, text, id } = self.first;
        let is_id = id.is_some_and(|id| Uuid::try_parse(text) == Ok(id));
        let text = if is_id { text.to_string() } else { shown(text) };
        write!(f, "missive: {} {text} ({key}", of.as_str())?;
        match self.places {
            1 => f.write_str(")"),
            more => write!(f, " and {} more)", more - 1),
        }
    }
}

/// The organizations that channels name.
fn organizations(config: &Config) -> BTreeMap<Uuid, String> {
    let channels = config.lanes.iter().flat_map(|lane| lane.policy.channels.values());
    let mut found = BTreeMap::new();
    for channel in channels.map(|policy| &policy.channel) {
        let key = format!("channels.{}.organization", channel.name);
        let Some(id) = channel.organization else { continue };
        let known: &mut String = found.entry(id).or_insert_with(|| key.clone());
        *known = std::mem::take(known).min(key);
    }
    found
}

fn by_id(directory: &Directory, used: &NameUse, id: Uuid) -> Result<String, NameFault> {
    if let Some(listed) = directory.by_id(List::of(used.of), id) {
        return Ok(format!("{id} is {}", place(directory, listed)));
    }
    // An entry of `[names]` may have an id that its name had once.
    let named: Vec<_> = directory.list(List::of(used.of)).filter(|listed| listed.name == used.text).collect();
    let instead = if let [one] = named.as_slice() { Some(one.id) } else { None };
    Err(NameFault::NoId { of: used.of.as_str(), instead })
}

/// What it is called, and in which organization.
fn place(directory: &Directory, listed: &Listed) -> Box<str> {
    let name = shown(listed.other.as_deref().filter(|other| !other.contains('@')).unwrap_or(&listed.name));
    let organization = listed.organization.and_then(|id| directory.by_id(List::Organizations, id));
    match organization {
        Some(organization) => format!("{name} of {}", shown(&organization.name)).into(),
        None => name.into(),
    }
}

/// Names that may have been meant, the nearest first.
fn nearest(directory: &Directory, of: NameOf, text: &str) -> Vec<Box<str>> {
    let wanted = text.to_lowercase();
    let distance = |name: &str| {
        let name: String = name.to_lowercase().chars().take(SHOWN_CHARS_MAX).collect();
        let far = strsim::damerau_levenshtein(&wanted, &name);
        let near = far <= 1 + wanted.chars().count() / 4 || wanted.len() >= 3 && name.contains(&wanted);
        near.then_some(far)
    };
    let names = directory.list(List::of(of)).flat_map(|listed| [Some(&listed.name), listed.other.as_ref()]).flatten();
    let near: BTreeSet<(usize, &Box<str>)> = names.filter_map(|name| Some((distance(name)?, name))).collect();
    near.into_iter().map(|(_, name)| name.clone()).take(NEAR_MAX).collect()
}

/// Strangers' names in quotes, escaped and cut.
fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// A key as TOML takes any: JSON's escapes are TOML's, but for the delete character.
fn key(name: &str) -> String {
    serde_json::Value::from(name).to_string().replace('\u{7f}', "\\u007f")
}

fn meant(near: &[Box<str>]) -> String {
    let list: Vec<String> = near.iter().map(|name| shown(name)).collect();
    if list.is_empty() { String::new() } else { format!("; did you mean {}?", list.join(" or ")) }
}

fn now(instead: Option<&Uuid>) -> String {
    instead.map_or_else(String::new, |id| format!("; of this name it has {id}"))
}

fn several(found: &[(Uuid, Box<str>)]) -> String {
    let list: Vec<String> = found.iter().map(|(id, place)| format!("{id} ({place})")).collect();
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    const HERE: &str = "22222222-3333-4444-8555-666666666666";
    const ELSEWHERE: &str = "22222222-3333-4444-8555-777777777777";

    fn id(number: u8) -> Uuid {
        format!("66666666-7777-4888-8999-0000000000{number:02}").parse().expect("a UUID")
    }

    fn asking(names: &str, message: &str) -> Asking {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        let config = format!(
            "[kafka]\nbootstrap = \"k:9092\"\n[missive]\ninsecure_inline_token = \"missive_pat-x\"\n{names}\n[channels.ops]\n\
             account = \"11111111-2222-4333-8444-555555555555\"\ntype = \"text\"\norganization = \"{HERE}\"\n\
             [sources.alerts]\ntopic = \"alerts\"\nformat = \"alertmanager\"\nchannel = \"ops\"\n\
             [sources.alerts.message]\n{message}\n"
        );
        std::fs::write(file.path(), config).expect("written");
        Config::load_to_ask(file.path(), &Environment::default()).expect("a config that works but for names")
    }

    fn listed(number: u8, name: &str, other: Option<&str>, organization: &str) -> Listed {
        let organization = Uuid::try_parse(organization).ok();
        Listed { id: id(number), name: name.into(), other: other.map(Into::into), organization }
    }

    fn directory() -> Directory {
        let mut directory = Directory::default();
        let organization = Listed { id: HERE.parse().expect("a UUID"), ..listed(0, "Acme", None, "") };
        directory.add(List::Organizations, vec![organization]);
        directory.add(List::Teams, vec![listed(1, "Support", None, HERE), listed(2, "Support", None, ELSEWHERE)]);
        let labels = [("VIP", "VIP"), ("VIP", "Customers/VIP"), ("Urgent", "Urgent")];
        let label = |(at, (name, path)): (usize, &(&str, &str))| listed(10 + at as u8, name, Some(path), HERE);
        directory.add(List::Labels, labels.iter().enumerate().map(label).collect());
        directory.add(List::People, vec![listed(20, "Ann", Some("ann@example.com"), "")]);
        directory
    }

    fn told(names: &str, message: &str) -> (Vec<String>, String) {
        let asking = asking(names, message);
        let found = Sought::of(&asking).look_up(&directory());
        let block = found.block().unwrap_or_default();
        let line = |proof: Proof| match proof.outcome {
            Ok(found) => format!("{}: {found}", proof.what),
            Err(fault) => format!("{}: FAULT {fault}", proof.what),
        };
        (found.proofs().into_iter().map(line).collect(), block)
    }

    #[test]
    fn each_name_and_id_is_told_with_what_missive_knows_it_as() {
        let rows = [
            (
                "team = \"Support\"",
                "team \"Support\" (sources.alerts.message.team): FAULT Missive has it as 66666666-7777-4888-8999-000000000001; put that into the file, as below",
                "in the channel's organization",
            ),
            (
                "team = \"Suport\"",
                "team \"Suport\" (sources.alerts.message.team): FAULT Missive has no team of this name; did you mean \"Support\"?",
                "misspelt",
            ),
            (
                "team = \"Legal\"",
                "team \"Legal\" (sources.alerts.message.team): FAULT Missive has no team of this name",
                "nothing like it",
            ),
            (
                "labels = [\"Customers/VIP\"]",
                "label \"Customers/VIP\" (sources.alerts.message.labels): FAULT Missive has it as 66666666-7777-4888-8999-000000000011; put that into the file, as below",
                "by its path",
            ),
            (
                "labels = [\"VIP\"]",
                "label \"VIP\" (sources.alerts.message.labels): FAULT stands for 66666666-7777-4888-8999-000000000010 (\"VIP\" of \"Acme\"), 66666666-7777-4888-8999-000000000011 (\"Customers/VIP\" of \"Acme\"): write the id of the one that is meant",
                "two of one name",
            ),
            (
                "add_users = [\"ann@example.com\"]",
                "person \"ann@example.com\" (sources.alerts.message.add_users): FAULT Missive has it as 66666666-7777-4888-8999-000000000020; put that into the file, as below",
                "by address",
            ),
            (
                "labels = [\"66666666-7777-4888-8999-000000000012\"]",
                "label 66666666-7777-4888-8999-000000000012 (sources.alerts.message.labels): 66666666-7777-4888-8999-000000000012 is \"Urgent\" of \"Acme\"",
                "an id that is one",
            ),
            (
                "team = \"66666666-7777-4888-8999-000000000099\"",
                "team 66666666-7777-4888-8999-000000000099 (sources.alerts.message.team): FAULT Missive has no team with this id",
                "an id that is none",
            ),
        ];
        for (message, line, sentence) in rows {
            let (lines, _) = told("", message);
            assert_eq!(
                lines[0],
                format!("missive: organization {HERE} (channels.ops.organization): \"Acme\""),
                "{sentence}"
            );
            assert!(lines[1..].contains(&format!("missive: {line}")), "{sentence}: {lines:#?}");
        }
    }

    #[test]
    fn what_is_found_can_be_put_into_the_file_and_then_nothing_is_left_to_ask() {
        let message = "team = \"Support\"\nlabels = [\"Customers/VIP\"]\nadd_users = [\"Ann\"]";
        let (lines, block) = told("", message);
        assert_eq!(lines.iter().filter(|line| line.contains("FAULT")).count(), 3, "{lines:#?}");
        let wanted = "[names.labels]\n\"Customers/VIP\" = \"66666666-7777-4888-8999-000000000011\"\n[names.teams]\n\"Support\" = \
                      \"66666666-7777-4888-8999-000000000001\"\n[names.people]\n\"Ann\" = \"66666666-7777-4888-8999-000000000020\"\n";
        assert_eq!(block, wanted);
        let (lines, rest) = told(&block, message);
        assert_eq!((lines.iter().filter(|line| line.contains("FAULT")).count(), &*rest), (0, ""), "{lines:#?}");
        assert!(asking(&block, message).without_id.is_none());
    }

    #[test]
    fn a_name_whose_id_is_gone_is_told_with_the_id_that_it_has_now() {
        let (lines, block) =
            told("[names.people]\nAnn = \"66666666-7777-4888-8999-000000000098\"", "add_users = [\"Ann\"]");
        let wanted = "missive: person \"Ann\" (names.people.Ann and 1 more): FAULT Missive has no person with this id; of this name it \
                      has 66666666-7777-4888-8999-000000000020";
        assert!(lines.iter().any(|line| line == wanted), "{lines:#?}");
        assert_eq!(block, "[names.people]\n\"Ann\" = \"66666666-7777-4888-8999-000000000020\"\n");
    }

    #[test]
    fn a_list_that_could_not_be_asked_for_says_nothing() {
        let asking = asking("", "team = \"Support\"");
        let mut directory = directory();
        directory.forget(List::Teams);
        let found = Sought::of(&asking).look_up(&directory);
        assert_eq!((found.proofs.len(), found.block()), (1, None), "the organization alone");
    }
}
