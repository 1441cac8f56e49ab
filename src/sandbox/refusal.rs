//! Every "no" of the sandbox: its name in the ledger and the summary, its status, and the sentence the caller reads.
//!
//! Sentences quote what the caller sent only in short, and never a token.

use thiserror::Error;

use super::channels::ChannelType;
use super::limits::Full;
use super::switches::{RefusalStatus, Switches};

/// Why a request was refused. The caller is at fault in all of them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("The access token is missing or unknown")]
    Unauthorized,
    #[error("Too many requests: {} allowed", .0.allowed)]
    RateLimited(Full),
    #[error("Nothing is found at this path with this method")]
    NoSuchPath,
    #[error("The body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("Content-Type must be application/json")]
    ContentType,
    #[error("The body did not arrive whole")]
    BodyIncomplete,
    #[error("The body is not JSON")]
    NotJson,
    #[error("The body must be an object with the one key {0}, holding one object")]
    Envelope(&'static str),
    #[error("Unknown field {0}")]
    UnknownField(Quote),
    #[error("{field} is not taken on a channel of type {}", .kind.name())]
    NotOnThisChannel { field: &'static str, kind: ChannelType },
    #[error("{field} must be {wanted}")]
    WrongValue { field: &'static str, wanted: &'static str },
    #[error("{0} is required")]
    Missing(&'static str),
    #[error("{field} needs {needs}")]
    Needs { field: &'static str, needs: &'static str },
    #[error("No channel with this account")]
    UnknownAccount,
    #[error("No such conversation")]
    UnknownConversation,
    #[error("No such message")]
    UnknownMessage,
    #[error("until must be Unix seconds")]
    WrongUntil,
    #[error("limit must be from 1 to 200, and offset a whole number")]
    WrongPage,
}

/// A few characters of what the caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Quote(String);

const QUOTE_CHARS_MAX: usize = 60;

impl Quote {
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(QUOTE_CHARS_MAX).collect())
    }
}

impl Refusal {
    /// The name in the ledger and the key in the summary.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::RateLimited(_) => "rate_limited",
            Self::NoSuchPath => "no_such_path",
            Self::TooLarge(_) => "too_large",
            Self::ContentType => "content_type",
            Self::BodyIncomplete => "body_incomplete",
            Self::NotJson => "not_json",
            Self::Envelope(_) => "envelope",
            Self::UnknownField(_) => "unknown_field",
            Self::NotOnThisChannel { .. } => "not_on_this_channel",
            Self::WrongValue { .. } => "wrong_value",
            Self::Missing(_) => "missing_field",
            Self::Needs { .. } => "needs_another_field",
            Self::UnknownAccount => "unknown_account",
            Self::UnknownConversation => "unknown_conversation",
            Self::UnknownMessage => "unknown_message",
            Self::WrongUntil => "wrong_until",
            Self::WrongPage => "wrong_page",
        }
    }

    /// The status it is answered with.
    pub fn status(&self, switches: &Switches) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::RateLimited(_) => 429,
            Self::TooLarge(_) => 413,
            Self::BodyIncomplete => 408,
            Self::NoSuchPath | Self::UnknownAccount | Self::UnknownConversation | Self::UnknownMessage => 404,
            Self::ContentType | Self::NotJson => RefusalStatus::BadRequest.into(),
            Self::Envelope(_)
            | Self::UnknownField(_)
            | Self::NotOnThisChannel { .. }
            | Self::WrongValue { .. }
            | Self::Missing(_)
            | Self::Needs { .. }
            | Self::WrongUntil
            | Self::WrongPage => switches.refusal_status.into(),
        }
    }
}
