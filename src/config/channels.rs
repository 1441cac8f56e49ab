//! `[channels.NAME]`: Missive's custom channels, and the doors through which their replies come.

use std::time::Duration;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::message::mailbox;
use super::names::{NameOf, Names};
use super::raw::Section;
use super::secrets::{Environment, hook_secrets};
use super::value::{MailAddress, Name, Value as _, Zone};
use crate::hook::Door;
use crate::lane::policy::ChannelPolicy;
use crate::missive::{Channel, ChannelType, Contact, Mail};

/// Copies of one email.
const COPIES_MAX: usize = 20;

/// A channel as far as the file makes sense. It has its name and lane even where the rest doesn't, so that a route to it
/// is not called wrong as well.
pub(super) struct ChannelPart {
    pub name: Box<str>,
    pub lane: Box<str>,
    /// None only with a fault noted.
    pub policy: Option<ChannelPolicy>,
    pub door: Option<Door>,
}

impl ChannelPart {
    /// As far as it is known.
    pub fn kind(&self) -> ChannelType {
        self.policy.as_ref().map_or(ChannelType::Text, |policy| policy.channel.kind)
    }
}

/// The channels of the file. `lanes` are the names they may belong to.
pub(super) fn channels(
    root: &Section<'_>,
    lanes: &[&str],
    names: &Names,
    environment: &Environment,
) -> Vec<ChannelPart> {
    let named = root.named("channels");
    if named.is_empty() && !root.has("channels") {
        root.reading().missing(root.at("channels"), "at least one channel: [channels.NAME] with account and type");
    }
    named.into_iter().map(|(name, section)| channel(name, &section, lanes, names, environment)).collect()
}

fn channel(
    name: Box<str>,
    section: &Section<'_>,
    lanes: &[&str],
    names: &Names,
    environment: &Environment,
) -> ChannelPart {
    let account = section.required::<Uuid>("account");
    let account_key = section.or("account_key", Name("account".into())).0;
    let kind = section.required::<ChannelType>("type");
    let lane = section.or("lane", Name(super::missive::DEFAULT_LANE.into())).0;
    if !lanes.contains(&&*lane) {
        section.unknown_name("lane", &lane, "a lane from [lanes]", lanes);
    }
    let shown = kind.unwrap_or(ChannelType::Text);
    let recipient = recipient(&section.section("recipient"), shown, Some(&name));
    let mail = mail(section, shown);
    let organization = section.optional("organization");
    let team = names.one(section, "team", NameOf::Team);
    let body_chars_max = section.between("body_chars_max", 8_000, 200..=100_000);
    let time_zone = section.or("time_zone", Zone(TimeZone::UTC)).0;
    let window_range = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
    let new_conversations = section.between("new_conversations", 10, 1..=900);
    let new_conversations_critical = section.between("new_conversations_critical", 20, 1..=900);
    let new_conversations_window = section.between("new_conversations_window", Duration::from_secs(300), window_range);
    let door = door(section, &name, kind, &lane, environment);
    let policy = account.zip(kind).zip(recipient).map(|((account, kind), recipient)| ChannelPolicy {
        channel: Channel {
            name: name.clone(),
            account,
            account_key,
            kind,
            recipient,
            mail,
            organization,
            team,
            body_chars_max,
            time_zone,
        },
        new_conversations,
        new_conversations_critical,
        new_conversations_window,
    });
    ChannelPart { name, lane, policy, door }
}

/// Whom messages are addressed to. Without a `default` it must be said. None only with a fault noted.
pub(super) fn recipient(section: &Section<'_>, kind: ChannelType, default: Option<&str>) -> Option<Contact> {
    let id = section.optional::<Box<str>>("id");
    let (username, name) = (section.optional::<Box<str>>("username"), section.optional::<Box<str>>("name"));
    let address = section.optional::<MailAddress>("address").map(|address| address.0);
    match kind {
        ChannelType::Text | ChannelType::Html => {
            if section.has("address") {
                section.unfit("address", "an address", "id, username and name: only email has addresses");
            }
            let id = id.or_else(|| default.map(Into::into));
            if id.is_none() {
                section.reading().missing(section.at("id"), "the id of one of the channel's aliases");
            }
            let id = id?;
            let (username, name) = (username.unwrap_or_else(|| id.clone()), name.unwrap_or_else(|| id.clone()));
            Some(Contact { id, username, name })
        }
        ChannelType::Email => {
            for key in ["id", "username"].into_iter().filter(|key| section.has(key)) {
                section.unfit(key, "a string", "address and name: email knows no other");
            }
            if !section.has("address") {
                section.reading().missing(section.at("address"), MailAddress::wanted());
            }
            let address = address?;
            let name = name.unwrap_or_else(|| address.clone());
            Some(mailbox(address, name))
        }
    }
}

/// What only emails have.
fn mail(section: &Section<'_>, kind: ChannelType) -> Mail {
    let from = section.optional::<MailAddress>("from").map(|address| address.0);
    match kind {
        ChannelType::Text | ChannelType::Html if from.is_some() => {
            section.unfit("from", "an address", "none: only email has addresses");
        }
        ChannelType::Email if !section.has("from") => {
            section.reading().missing(section.at("from"), MailAddress::wanted());
        }
        ChannelType::Text | ChannelType::Html | ChannelType::Email => {}
    }
    let copies = |key| contacts(section, key, kind);
    Mail { from: from.unwrap_or_default(), cc: copies("cc"), bcc: copies("bcc") }
}

/// `cc = [{ address = "…", name = "…" }]`.
pub(super) fn contacts(section: &Section<'_>, key: &'static str, kind: ChannelType) -> Box<[Contact]> {
    let listed = section.list(key);
    if !listed.is_empty() && kind != ChannelType::Email {
        section.unfit(key, "addresses", "none: only email has copies");
    }
    if listed.len() > COPIES_MAX {
        section.unfit(key, format_args!("{} of them", listed.len()), format_args!("at most {COPIES_MAX}"));
    }
    let contact = |section: &Section<'_>| {
        let address = section.required::<MailAddress>("address").map(|address| address.0);
        let name = section.optional::<Box<str>>("name");
        let address = address?;
        Some(mailbox(address.clone(), name.unwrap_or(address)))
    };
    listed.iter().filter_map(contact).collect()
}

fn door(
    channel: &Section<'_>,
    name: &str,
    kind: Option<ChannelType>,
    lane: &str,
    environment: &Environment,
) -> Option<Door> {
    let section = channel.section("hook");
    if !section.is_given() {
        return None;
    }
    if kind == Some(ChannelType::Email) {
        channel.unfit("hook", "a table", "none: Missive sends no webhooks for email channels");
    }
    let secrets = hook_secrets(&section, environment)?;
    if secrets.is_empty() {
        section.reading().warn(section.at("insecure_unsigned"), "whoever knows the address can write replies to Kafka");
    }
    Some(Door { channel: name.into(), kind: kind?, lane: lane.into(), secrets })
}
