//! `[channels.NAME]`: Missive's custom channels, and the doors through which their replies come.

use std::time::Duration;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::raw::Section;
use super::secrets::{Environment, hook_secrets};
use super::value::{Name, Zone};
use crate::hook::Door;
use crate::lane::policy::ChannelPolicy;
use crate::missive::{Channel, ChannelType, Contact};

/// A channel as far as the file makes sense. It has its name and lane even where the rest doesn't, so that a route to it
/// is not called wrong as well.
pub(super) struct ChannelPart {
    pub name: Box<str>,
    pub lane: Box<str>,
    /// None only with a fault noted.
    pub policy: Option<ChannelPolicy>,
    pub door: Option<Door>,
}

/// The channels of the file. `lanes` are the names they may belong to.
pub(super) fn channels(root: &Section<'_>, lanes: &[&str], environment: &Environment) -> Vec<ChannelPart> {
    let named = root.named("channels");
    if named.is_empty() && !root.has("channels") {
        root.reading().missing(root.at("channels"), "at least one channel: [channels.NAME] with account and type");
    }
    named.into_iter().map(|(name, section)| channel(name, &section, lanes, environment)).collect()
}

fn channel(name: Box<str>, section: &Section<'_>, lanes: &[&str], environment: &Environment) -> ChannelPart {
    let account = section.required::<Uuid>("account");
    let kind = kind(section);
    let lane = section.or("lane", Name(super::missive::DEFAULT_LANE.into())).0;
    if !lanes.contains(&&*lane) {
        section.unknown_name("lane", &lane, "a lane from [lanes]", lanes);
    }
    let recipient = recipient(&section.section("recipient"), &name);
    let organization = section.optional("organization");
    let team = section.optional("team");
    let body_chars_max = section.between("body_chars_max", 8_000, 200..=100_000);
    let time_zone = section.or("time_zone", Zone(TimeZone::UTC)).0;
    let window_range = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
    let new_conversations = section.between("new_conversations", 10, 1..=900);
    let new_conversations_critical = section.between("new_conversations_critical", 20, 1..=900);
    let new_conversations_window = section.between("new_conversations_window", Duration::from_secs(300), window_range);
    let door = door(section, &name, kind, &lane, environment);
    let policy = account.zip(kind).map(|(account, kind)| ChannelPolicy {
        channel: Channel {
            name: name.clone(),
            account,
            kind,
            recipient,
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

fn kind(section: &Section<'_>) -> Option<ChannelType> {
    match section.required::<ChannelType>("type")? {
        ChannelType::Text => Some(ChannelType::Text),
        ChannelType::Html => refuse_kind(section, "\"html\", which is not built yet"),
        ChannelType::Email => refuse_kind(section, "\"email\", which is not built yet"),
    }
}

fn refuse_kind(section: &Section<'_>, found: &str) -> Option<ChannelType> {
    section.unfit("type", found, "\"text\"");
    None
}

fn recipient(section: &Section<'_>, channel: &str) -> Contact {
    let id = section.or::<Box<str>>("id", channel.into());
    let username = section.or("username", id.clone());
    let name = section.or("name", id.clone());
    Contact { id, username, name }
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
    let secrets = hook_secrets(&section, environment)?;
    if secrets.is_empty() {
        section.reading().warn(section.at("insecure_unsigned"), "whoever knows the address can write replies to Kafka");
    }
    Some(Door { channel: name.into(), kind: kind?, lane: lane.into(), secrets })
}
