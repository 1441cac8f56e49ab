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
    #[error("the path is none of ours")]
    Path,
    #[error("the method is not POST")]
    Method,
    #[error("the length of the body is not told in one clear way")]
    Framing,
    #[error("the body is over the limit")]
    TooLarge,
    #[error("the body took too long")]
    TooSlow,
    #[error("the body broke off")]
    BrokenOff,
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
}

/// What the caller sees of a refusal. The body is always empty and the connection always ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outward {
    pub status: u16,
    /// Value of the `Allow` header.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// All there are, for counters that exist before the first refusal.
    pub const ALL: [Self; 14] = [
        Self::Version,
        Self::Host,
        Self::Path,
        Self::Method,
        Self::Framing,
        Self::TooLarge,
        Self::TooSlow,
        Self::BrokenOff,
        Self::Unauthentic(Unauthentic::Channel),
        Self::Unauthentic(Unauthentic::Missing),
        Self::Unauthentic(Unauthentic::Several),
        Self::Unauthentic(Unauthentic::Malformed),
        Self::Unauthentic(Unauthentic::Wrong),
        Self::Unreadable,
    ];

    /// The name that stands in logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Host => "host",
            Self::Path => "path",
            Self::Method => "method",
            Self::Framing => "framing",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::BrokenOff => "broken_off",
            Self::Unauthentic(Unauthentic::Channel) => "unknown_channel",
            Self::Unauthentic(Unauthentic::Missing) => "signature_missing",
            Self::Unauthentic(Unauthentic::Several) => "signature_several",
            Self::Unauthentic(Unauthentic::Malformed) => "signature_malformed",
            Self::Unauthentic(Unauthentic::Wrong) => "signature_wrong",
            Self::Unreadable => "unreadable",
        }
    }

    /// What the caller is told.
    pub const fn outward(self) -> Outward {
        let (status, allow) = match self {
            Self::Version => (505, None),
            Self::Path => (404, None),
            Self::Method => (405, Some("POST")),
            Self::TooLarge => (413, None),
            Self::TooSlow => (408, None),
            Self::Unauthentic(_) => (401, None),
            Self::Host | Self::Framing | Self::BrokenOff | Self::Unreadable => (400, None),
        };
        Outward { status, allow }
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
        assert_eq!(outward, [Outward { status: 401, allow: None }; 5]);
    }
}
