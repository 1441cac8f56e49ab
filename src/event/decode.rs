//! One record in, its events out, or the reason why not.
//!
//! A record is refused as a whole: no event of it is shown before all of it has been understood as far as its format
//! requires, so a dead letter never holds half-delivered news.

use thiserror::Error;

use super::identity::HashKey;
use super::json::Scratch;
use super::opened::{Compression, Opener};
use super::screen::{Needs, Privacy, Screen};
use super::{Event, Format, alertmanager, cloudevents, debezium, grafana, hubspot, pointers};

/// The most events one record may hold.
pub const EVENTS_PER_RECORD_MAX: usize = 10_000;

/// What a source does with a record before its format reads it.
#[derive(Clone, Debug)]
pub struct Handling {
    pub compression: Compression,
    /// The most bytes that a compressed body may unfold to.
    pub opened_bytes_max: usize,
    pub privacy: Privacy,
    /// What the source's format lives on.
    pub needs: Needs,
}

impl Handling {
    /// Bodies as they are, for everybody to see.
    pub fn plain() -> Self {
        let (compression, privacy, needs) = (Compression::None, Privacy::default(), Needs::default());
        Self { compression, opened_bytes_max: 0, privacy, needs }
    }

    fn screen<'a>(&'a self, key: &'a HashKey) -> Option<Screen<'a>> {
        let Self { privacy, needs, .. } = self;
        (!privacy.is_open()).then_some(Screen { privacy, needs, key })
    }
}

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
    #[error("the record is not {0}, which its source says it is")]
    NotCompressed(&'static str),
    #[error("the record unfolds to more than {bytes_max} bytes")]
    OpensTooLarge { bytes_max: usize },
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
            Self::NotCompressed(_) => "not_compressed",
            Self::OpensTooLarge { .. } => "opens_too_large",
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
    /// For JSON within a record.
    inner: Scratch,
    opener: Opener,
}

impl Decoder {
    pub fn new(key: HashKey) -> Self {
        Self { key, scratch: Scratch::new(), inner: Scratch::new(), opener: Opener::default() }
    }

    /// Shows every event of a `record` that needs no handling to `emit`, in order; returns how many there were.
    pub fn decode(
        &mut self,
        format: &Format,
        record: Record<'_>,
        emit: &mut dyn FnMut(&Event<'_>),
    ) -> Result<usize, Refusal> {
        let Self { key, scratch, inner, .. } = self;
        read(Buffers { key, scratch, inner, screen: None }, format, record, emit)
    }

    /// The same for a record that its source wants handled: opened, and screened.
    pub fn decode_handled(
        &mut self,
        format: &Format,
        handling: &Handling,
        record: Record<'_>,
        emit: &mut dyn FnMut(&Event<'_>),
    ) -> Result<usize, Refusal> {
        let Self { key, scratch, inner, opener } = self;
        let payload = match record.payload {
            Some(payload) => Some(opener.open(handling.compression, payload, handling.opened_bytes_max)?),
            None => None,
        };
        let screen = handling.screen(key);
        read(Buffers { key, scratch, inner, screen }, format, Record { payload, ..record }, emit)
    }
}

/// What decoding one record takes.
pub(super) struct Buffers<'d> {
    pub key: &'d HashKey,
    pub scratch: &'d mut Scratch,
    pub inner: &'d mut Scratch,
    pub screen: Option<Screen<'d>>,
}

fn read(
    buffers: Buffers<'_>,
    format: &Format,
    record: Record<'_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    if let Format::CloudEvents { kind } = format {
        return cloudevents::decode(buffers, *kind, record, emit);
    }
    let Buffers { key, scratch, screen, .. } = buffers;
    let Some(payload) = record.payload else {
        return match format {
            // What follows a deletion, for Kafka's own housekeeping.
            Format::Debezium(_) => Ok(0),
            Format::Alertmanager | Format::Grafana | Format::CloudEvents { .. } | Format::HubSpot | Format::Json(_) => {
                Err(Refusal::Tombstone)
            }
        };
    };
    scratch.with(screen, payload, |root| match format {
        Format::Alertmanager => alertmanager::decode(key, root, emit),
        Format::Grafana => grafana::decode(key, root, emit),
        Format::CloudEvents { .. } => unreachable!("read above, as its attributes stand in headers"),
        Format::HubSpot => hubspot::decode(key, root, emit),
        Format::Debezium(table) => debezium::decode(key, table, root, emit),
        Format::Json(at) => pointers::decode(key, at, root, payload, emit),
    })
}
