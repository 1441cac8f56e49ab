//! Every "no" of the hook, in two forms: a reason for us (log and metric label) and a fixed answer for the caller.
//!
//! What must hold: all refusals that concern authenticity look the same from outside, byte for byte, so that nobody learns
//! which channels exist or how close a forged signature came.

use thiserror::Error;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    #[error("the request is not HTTP/1.1")]
    Version,
    #[error("the request names no host, or several")]
    Host,
    #[error("the target is not a path")]
    Target,
    #[error("the path is none of ours")]
    Path,
    #[error("the method is not POST")]
    Method,
    #[error("the length of the body is not told in one clear way, or the head could be read in two")]
    Framing,
    #[error("the body is over the limit")]
    TooLarge,
    #[error("the body took too long")]
    TooSlow,
    #[error("the body broke off")]
    BrokenOff,
    #[error("too many requests, or failed proofs, from one address")]
    Quota,
    #[error("all bodies together are over the limit")]
    Overloaded,
    #[error("{0}")]
    Unauthentic(Unauthentic),
    #[error("the proven body is not JSON, or its ids are no ids")]
    Unreadable,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Unauthentic {
    #[error("no such channel")]
    Channel,
    #[error("no signature")]
    Missing,
    #[error("several signatures of one name")]
    Several,
    #[error("the signature is not 64 hex digits")]
    Malformed,
    #[error("the signature is wrong")]
    Wrong,
    #[error("the signature was made with a secret that has expired")]
    Expired,
}

/// What the caller sees of a refusal. The body is always empty and the connection always ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outward {
    pub status: u16,
    /// Value of the `Allow` header.
    pub allow: Option<&'static str>,
    /// Value of the `Retry-After` header, seconds.
    pub retry_after: Option<&'static str>,
}

impl Refusal {
    /// All there are, for counters that exist before the first refusal.
    pub const ALL: [Self; 18] = [
        Self::Version,
        Self::Host,
        Self::Target,
        Self::Path,
        Self::Method,
        Self::Framing,
        Self::TooLarge,
        Self::TooSlow,
        Self::BrokenOff,
        Self::Quota,
        Self::Overloaded,
        Self::Unauthentic(Unauthentic::Channel),
        Self::Unauthentic(Unauthentic::Missing),
        Self::Unauthentic(Unauthentic::Several),
        Self::Unauthentic(Unauthentic::Malformed),
        Self::Unauthentic(Unauthentic::Wrong),
        Self::Unauthentic(Unauthentic::Expired),
        Self::Unreadable,
    ];

    /// The name that stands in logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Host => "host",
            Self::Target => "target",
            Self::Path => "path",
            Self::Method => "method",
            Self::Framing => "framing",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::BrokenOff => "broken_off",
            Self::Quota => "quota",
            Self::Overloaded => "overloaded",
            Self::Unauthentic(Unauthentic::Channel) => "unknown_channel",
            Self::Unauthentic(Unauthentic::Missing) => "signature_missing",
            Self::Unauthentic(Unauthentic::Several) => "signature_several",
            Self::Unauthentic(Unauthentic::Malformed) => "signature_malformed",
            Self::Unauthentic(Unauthentic::Wrong) => "signature_wrong",
            Self::Unauthentic(Unauthentic::Expired) => "signature_expired",
            Self::Unreadable => "unreadable",
        }
    }

    /// What the caller is told.
    pub const fn outward(self) -> Outward {
        let status = match self {
            Self::Version => 505,
            Self::Path => 404,
            Self::Method => 405,
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Quota => 429,
            Self::Overloaded => 503,
            Self::Unauthentic(_) => 401,
            Self::Host | Self::Target | Self::Framing | Self::BrokenOff | Self::Unreadable => 400,
        };
        let allow = if matches!(self, Self::Method) { Some("POST") } else { None };
        let retry_after = match status {
            429 => Some("60"),
            503 => Some("5"),
            _ => None,
        };
        Outward { status, allow, retry_after }
    }
}

impl From<Unauthentic> for Refusal {
    fn from(why: Unauthentic) -> Self {
        Self::Unauthentic(why)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_refusal_has_a_label_of_its_own() {
        let labels: HashSet<_> = Refusal::ALL.into_iter().map(Refusal::reason).collect();
        assert_eq!(labels.len(), Refusal::ALL.len());
    }

    #[test]
    fn refusals_of_authenticity_look_the_same_from_outside() {
        let outward: Vec<_> = Refusal::ALL
            .into_iter()
            .filter(|refusal| matches!(refusal, Refusal::Unauthentic(_)))
            .map(Refusal::outward)
            .collect();
        assert_eq!(outward, [Outward { status: 401, allow: None, retry_after: None }; 6]);
    }
}
