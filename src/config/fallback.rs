//! `[halt_fallback]`: where critical news goes while Missive refuses a lane's token.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::TokenSource;
use super::fault::quoted;
use super::missive::is_loopback;
use super::raw::Section;
use super::secrets::{Environment, Given, certificates, token};
use super::value::Topic;

/// Where critical news goes: at least one of topic and pager.
#[derive(Clone, Debug)]
pub struct HaltFallback {
    /// How long a lane is halted before that.
    pub after: Duration,
    pub topic: Option<Box<str>>,
    pub pager: Option<Pager>,
}

/// A web address that takes JSON.
#[derive(Clone, Debug)]
pub struct Pager {
    pub url: Uri,
    pub ca_file: Option<PathBuf>,
    /// Sent as a bearer token.
    pub token: Option<TokenSource>,
}

/// None where nothing is said, or with a fault noted.
pub(super) fn fallback(root: &Section<'_>, environment: &Environment) -> Option<HaltFallback> {
    let section = root.section("halt_fallback");
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3_600));
    let after = section.between("after", Duration::from_secs(120), second..=day);
    let topic = section.optional::<Topic>("topic").map(|topic| topic.0);
    let url = url(&section);
    let ca_file = certificates(&section, "ca_file", environment);
    let token = match token(&section, environment) {
        Given::Whole(credential) => Some(credential.source),
        Given::Absent | Given::Faulty => None,
    };
    if section.is_given() && !section.has("topic") && !section.has("url") {
        section.reading().missing(section.at("topic"), "a Kafka topic here, or a url, or both");
    }
    let pager = url.map(|url| Pager { url, ca_file, token });
    let given = topic.is_some() || pager.is_some();
    given.then_some(HaltFallback { after, topic, pager })
}

fn url(section: &Section<'_>) -> Option<Uri> {
    let text = section.optional::<Box<str>>("url")?;
    let url = text.parse::<Uri>().ok().filter(|url| match url.scheme_str() {
        Some("https") => url.host().is_some_and(|host| !host.is_empty()),
        Some("http") => is_loopback(url),
        _ => false,
    });
    if url.is_none() {
        section.unfit("url", quoted(&text), "an https:// address that takes JSON (http:// only on this machine)");
    }
    url
}
