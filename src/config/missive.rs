//! `[missive]` and `[lanes.NAME]`: the API, its rate limits, and the tokens that each have a budget of their own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use subtle::ConstantTimeEq as _;

use super::Missive;
use super::fault::quoted;
use super::raw::{Reading, Section};
use super::secrets::{Credential, Environment, Given, certificates, token};
use super::value::Percent;
use crate::lane::policy::{Limits, OnDoubt, Retry};

/// The lane of the token under `[missive]`.
pub(super) const DEFAULT_LANE: &str = "default";

/// What Missive documents: at once, in a minute, in a quarter of an hour.
const MISSIVE_LIMITS: [usize; 3] = [5, 300, 900];

/// Everything about Missive that all lanes share.
pub(super) struct MissivePart {
    /// None only with a fault noted.
    pub missive: Option<Missive>,
    pub limits: Limits,
    pub retry: Retry,
    pub on_doubt: OnDoubt,
    /// The `default` lane's.
    pub token: Given<Credential>,
}

/// A lane by name, before its channels and routes are known.
pub(super) struct LanePart {
    pub name: Box<str>,
    /// None only with a fault noted.
    pub credential: Option<Credential>,
}

pub(super) fn missive(root: &Section<'_>, environment: &Environment) -> MissivePart {
    let section = root.section("missive");
    let url = url(&section);
    let ca_file: Option<PathBuf> = certificates(&section, "ca_file", environment);
    let stand_in = url.as_ref().is_some_and(is_loopback);
    MissivePart {
        limits: limits(&section, stand_in),
        retry: retry(&section),
        on_doubt: section.or("on_doubt", OnDoubt::Resend),
        token: token(&section, environment),
        missive: url.map(|url| Missive { url, ca_file }),
    }
}

fn url(section: &Section<'_>) -> Option<Uri> {
    let text = section.or::<Box<str>>("url", "https://public.missiveapp.com".into());
    let url = text.parse::<Uri>().ok().filter(|url| is_base(url) && !text.contains(['?', '#', '@']));
    if url.is_none() {
        section.unfit("url", quoted(&text), "https:// and a host (http:// only to this machine), without a path");
    }
    url
}

fn is_base(url: &Uri) -> bool {
    let secure = match url.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(url),
        _ => false,
    };
    let host = url.host().unwrap_or_default();
    // A URI's parser lets any text stand for a port.
    let has_fit_port = url.port_u16().is_some() || url.authority().is_some_and(|authority| authority.as_str() == host);
    secure && !host.is_empty() && has_fit_port && matches!(url.path(), "" | "/")
}

/// Whether a URL stays on this machine: what answers there is a stand-in, not Missive.
pub(super) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn limits(missive: &Section<'_>, stand_in: bool) -> Limits {
    let section = missive.section("limits");
    let [concurrent, per_minute, per_quarter_hour] = MISSIVE_LIMITS;
    // A stand-in may allow anything that still fits into memory.
    let most = |documented: usize| if stand_in { 100_000 } else { documented };
    Limits {
        concurrent: section.between("concurrent", concurrent, 1..=most(concurrent)),
        per_minute: section.between("per_minute", per_minute, 1..=most(per_minute)),
        per_quarter_hour: section.between("per_quarter_hour", per_quarter_hour, 1..=most(per_quarter_hour)),
        critical_share_percent: section.between("critical_share", Percent(20), Percent(0)..=Percent(90)).0,
        skew_margin: section.between("skew_margin", seconds(1), seconds(0)..=seconds(60)),
        request_timeout: missive.between("request_timeout", seconds(10), seconds(1)..=seconds(120)),
        send_within: missive.between("send_within", seconds(2), Duration::from_millis(100)..=seconds(60)),
        retry_after_max: section.between("retry_after_max", seconds(15 * 60), seconds(1)..=seconds(24 * 3600)),
    }
}

fn retry(section: &Section<'_>) -> Retry {
    let least = Duration::from_millis(10);
    let first = section.between("retry_first", seconds(1), least..=seconds(3600));
    let longest = section.between("retry_longest", seconds(5 * 60), least..=seconds(24 * 3600));
    Retry { first, longest }
}

/// The lanes of the file: `default`, if it has a token or somebody needs it, and those of `[lanes]`.
///
/// `needed` says whether a channel names no other lane.
pub(super) fn lanes(
    root: &Section<'_>,
    named: Vec<(Box<str>, Section<'_>)>,
    default: Given<Credential>,
    needed: bool,
    environment: &Environment,
) -> Vec<LanePart> {
    let reading = root.reading();
    let first = match default {
        Given::Whole(credential) => Some(Some(credential)),
        Given::Faulty => Some(None),
        Given::Absent if needed || named.is_empty() => {
            reading.missing(root.at("missive").key("token_file"), TOKEN_FILE_WANTED);
            Some(None)
        }
        Given::Absent => None,
    };
    let first = first.map(|credential| LanePart { name: DEFAULT_LANE.into(), credential });
    let others = named.into_iter().map(|(name, section)| lane(name, &section, environment));
    let lanes: Vec<LanePart> = first.into_iter().chain(others).collect();
    refuse_shared_tokens(reading, &lanes);
    lanes
}

const TOKEN_FILE_WANTED: &str = "a file that holds the API token, such as \"/etc/missived/secrets/missive-token\"";

fn lane(name: Box<str>, section: &Section<'_>, environment: &Environment) -> LanePart {
    let credential = match token(section, environment) {
        Given::Whole(credential) => Some(credential),
        Given::Faulty => None,
        Given::Absent => {
            section.reading().missing(section.at("token_file"), TOKEN_FILE_WANTED);
            None
        }
    };
    if &*name == DEFAULT_LANE {
        let found = "a second lane of that name";
        section.reading().unfit(
            section.path().clone(),
            found,
            "another name: the token of \"default\" is missive.token_file",
        );
    }
    LanePart { name, credential }
}

/// Two lanes with one token would each spend the whole budget of it.
fn refuse_shared_tokens(reading: &Reading<'_>, lanes: &[LanePart]) {
    let credentials: Vec<&Credential> = lanes.iter().filter_map(|lane| lane.credential.as_ref()).collect();
    for (at, later) in credentials.iter().enumerate() {
        let token = later.token.expose().as_bytes();
        let same = credentials[..at].iter().find(|earlier| bool::from(earlier.token.expose().as_bytes().ct_eq(token)));
        if let Some(earlier) = same {
            let found = format!("the token that {} gives, too", earlier.key);
            reading.unfit(
                later.key.clone(),
                found,
                "a token of its own: two lanes with one token would exceed its limits",
            );
        }
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
