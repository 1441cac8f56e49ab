//! One record in, its events out, or the reason why not.
//!
//! A record is refused as a whole: no event of it is shown before all of it has been understood as far as its format
//! requires, so a dead letter never holds half-delivered news.

use thiserror::Error;

use super::identity::HashKey;
use super::json::Scratch;
use super::{Event, Format, alertmanager, cloudevents, pointers};

/// The most events one record may hold.
pub const EVENTS_PER_RECORD_MAX: usize = 10_000;

/// One Kafka record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// None is a tombstone.
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Record<'a> {
    /// The first header with this name, in any case, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// Why a record yields no events.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the record is not JSON (byte {at_byte})")]
    NotJson { at_byte: usize },
    #[error("the record holds a NUL byte")]
    NulByte,
    #[error("{field} is missing or not {wanted}")]
    Field { field: Box<str>, wanted: &'static str },
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("the record holds more than {EVENTS_PER_RECORD_MAX} events")]
    TooManyEvents,
    #[error("the record has no value")]
    Tombstone,
}

impl Refusal {
    /// The name that stands in metrics and dead-letter headers.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not_json",
            Self::NulByte => "nul_byte",
            Self::Field { .. } => "field",
            Self::Unsupported(_) => "unsupported",
            Self::TooManyEvents => "too_many_events",
            Self::Tombstone => "tombstone",
        }
    }

    pub(super) fn field(field: impl Into<Box<str>>, wanted: &'static str) -> Self {
        Self::Field { field: field.into(), wanted }
    }
}

/// Decodes one record after another, reusing its buffers.
pub struct Decoder {
    key: HashKey,
    scratch: Scratch,
}

impl Decoder {
    pub fn new(key: HashKey) -> Self {
        Self { key, scratch: Scratch::new() }
    }

    /// Shows every event of `record` to `emit`, in order; returns how many there were.
    pub fn decode(
        &mut self,
        format: &Format,
        record: Record<'_>,
        emit: &mut dyn FnMut(&Event<'_>),
    ) -> Result<usize, Refusal> {
        let Self { key, scratch } = self;
        let payload = || record.payload.ok_or(Refusal::Tombstone);
        match format {
            Format::Alertmanager => scratch.with(payload()?, |root| alertmanager::decode(key, root, emit)),
            Format::Json(at) => scratch.with(payload()?, |root| pointers::decode(key, at, root, payload()?, emit)),
            Format::CloudEvents { kind } => cloudevents::decode(key, scratch, *kind, record, emit),
        }
    }
}
