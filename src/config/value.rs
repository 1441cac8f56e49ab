//! What single values of the file look like, and what a fault asks for instead.
//!
//! Durations are texts such as `"5m"`, sizes `"10MiB"`, shares `"20%"`: a bare number never leaves its unit to guessing.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::tz::TimeZone;
use toml::de::DeValue;
use uuid::Uuid;

use super::fault::quoted;
use super::raw::{NAME_WANTED, is_name};
use crate::event::{Compression, Field, Kind, Path, SnapshotRows, Typed, Urgency};
use crate::lane::policy::OnDoubt;
use crate::lane::templates::SOURCE_BYTES_MAX;
use crate::missive::ChannelType;
use crate::route::Start;

/// A value of the file.
pub(super) trait Value: Sized {
    /// What it is, for `{noun} from {least} to {most}`.
    const NOUN: &'static str;
    /// All it can be, if that is a short list.
    const CHOICES: &'static [&'static str] = &[];

    /// What a fault asks for.
    fn wanted() -> String;
    fn parse(value: &DeValue<'_>) -> Option<Self>;
    /// As it would be written in the file.
    fn show(&self) -> String;
}

/// One line of text: not empty, no control characters, at most 1,024 bytes.
impl Value for Box<str> {
    const NOUN: &'static str = "a string";

    fn wanted() -> String {
        "a string of 1 to 1024 bytes on one line".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?;
        let fits = (1..=1024).contains(&text.len()) && !text.contains(char::is_control);
        fits.then(|| text.into())
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for bool {
    const NOUN: &'static str = "true or false";

    fn wanted() -> String {
        Self::NOUN.to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_number {
    ($($number:ty)*) => {$(
        impl Value for $number {
            const NOUN: &'static str = "a whole number";

            fn wanted() -> String {
                Self::NOUN.to_owned()
            }

            fn parse(value: &DeValue<'_>) -> Option<Self> {
                let number = value.as_integer()?;
                Self::from_str_radix(number.as_str(), number.radix()).ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_number!(usize u32 i32);

impl Value for Duration {
    const NOUN: &'static str = "a duration";

    fn wanted() -> String {
        "a duration such as \"5m\"".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        humantime::parse_duration(value.as_str()?).ok()
    }

    fn show(&self) -> String {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
        let seconds = self.as_secs();
        let whole = self.subsec_nanos() == 0 && seconds > 0;
        match UNITS.iter().find(|(unit, _)| whole && seconds.is_multiple_of(*unit)) {
            Some((unit, letter)) => format!("\"{}{letter}\"", seconds / unit),
            None => format!("\"{}\"", humantime::format_duration(*self)),
        }
    }
}

/// Bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub usize);

impl Size {
    pub const fn kib(count: usize) -> Self {
        Self(count << 10)
    }

    pub const fn mib(count: usize) -> Self {
        Self(count << 20)
    }
}

impl Value for Size {
    const NOUN: &'static str = "a size";

    fn wanted() -> String {
        "a size such as \"10MiB\"".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str().filter(|text| text.ends_with(['b', 'B']))?;
        usize::try_from(text.parse::<ByteSize>().ok()?.as_u64()).ok().map(Self)
    }

    fn show(&self) -> String {
        match self.0 {
            bytes if bytes != 0 && bytes.is_multiple_of(1 << 20) => format!("\"{}MiB\"", bytes >> 20),
            bytes if bytes != 0 && bytes.is_multiple_of(1 << 10) => format!("\"{}KiB\"", bytes >> 10),
            bytes => format!("\"{bytes}B\""),
        }
    }
}

/// A share of a whole, in percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Percent(pub u8);

impl Value for Percent {
    const NOUN: &'static str = "a share";

    fn wanted() -> String {
        "a share such as \"20%\"".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        let digits = value.as_str()?.strip_suffix('%')?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(Self)
    }

    fn show(&self) -> String {
        format!("\"{}%\"", self.0)
    }
}

macro_rules! text_value {
    ($value:ty, $wanted:expr, $parse:expr, $show:expr) => {
        impl Value for $value {
            const NOUN: &'static str = $wanted;

            fn wanted() -> String {
                Self::NOUN.to_owned()
            }

            fn parse(value: &DeValue<'_>) -> Option<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                value.as_str().and_then(parse)
            }

            fn show(&self) -> String {
                let show: fn(&Self) -> String = $show;
                format!("{:?}", show(self))
            }
        }
    };
}

/// A name of ours: lane, channel, route.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Name(pub Box<str>);

/// A Kafka topic.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Topic(pub Box<str>);

/// An RFC 6901 pointer to a part of an event; not to the whole.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pointer(pub Path);

/// The same, or to the whole.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Each(pub Path);

/// Names of fields and pointers.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct FieldList(pub Vec<Field>);

/// One topic or several.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Topics(pub Vec<Box<str>>);

/// A template: lines of text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TemplateText(pub Box<str>);

/// An address of email.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct MailAddress(pub Box<str>);

/// A time zone and the name it was asked for by.
#[derive(Clone)]
pub(super) struct Zone(pub TimeZone);

text_value!(Name, NAME_WANTED, |text| is_name(text).then(|| Self(text.into())), |name| name.0.to_string());
text_value!(
    Topic,
    "a topic's name of 1 to 249 letters, digits, \".\", \"_\" and \"-\"",
    |text| is_topic(text).then(|| Self(text.into())),
    |topic| topic.0.to_string()
);
text_value!(
    Pointer,
    "a JSON pointer such as \"/deal/id\"",
    |text| pointer(text).filter(|path| !path.as_str().is_empty()).map(Self),
    |pointer| pointer.0.as_str().to_owned()
);
text_value!(
    Each,
    "a JSON pointer to an array such as \"/items\", or \"\" for the whole record",
    |text| pointer(text).map(Self),
    |each| each.0.as_str().to_owned()
);
text_value!(Zone, "a time zone such as \"Europe/Berlin\"", |text| TimeZone::get(text).ok().map(Self), |zone| zone
    .0
    .iana_name()
    .unwrap_or("UTC")
    .to_owned());
text_value!(
    Uuid,
    "a UUID such as \"11111111-2222-4333-8444-555555555555\"",
    |text| Uuid::try_parse(text).ok().filter(|id| text.len() == 36 && !id.is_nil()),
    |id| id.to_string()
);
text_value!(
    SocketAddr,
    "an address and a port such as \"127.0.0.1:8080\"",
    |text| SocketAddr::from_str(text).ok(),
    |address| address.to_string()
);

text_value!(
    TemplateText,
    "a template of 1 to 16384 bytes",
    |text| {
        let fits = !text.trim().is_empty() && text.len() <= SOURCE_BYTES_MAX;
        let plain = !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
        (fits && plain).then(|| Self(text.into()))
    },
    |template| template.0.to_string()
);
text_value!(
    MailAddress,
    "an address such as \"ops@example.com\"",
    |text| {
        let parts = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c));
        (parts && plain && text.len() <= 254).then(|| Self(text.into()))
    },
    |address| address.0.to_string()
);

fn is_topic(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&text.len()) && text.bytes().all(fits) && text != "." && text != ".."
}

/// A pointer of a bearable length.
pub(super) fn pointer(text: &str) -> Option<Path> {
    Path::parse(text).filter(|_| text.len() <= 1024)
}

/// The name of a field, or a pointer to one.
pub(super) fn field(text: &str) -> Option<Field> {
    Field::parse(text).filter(|_| text.len() <= 1024)
}

impl Value for FieldList {
    const NOUN: &'static str = "a list of fields";

    fn wanted() -> String {
        "a list of names of fields and JSON pointers such as [\"email\", \"/customer/phone\"]".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        const FIELDS_MAX: usize = 256;
        let list = value.as_array().filter(|list| list.len() <= FIELDS_MAX)?;
        list.iter().map(|item| item.get_ref().as_str().and_then(field)).collect::<Option<_>>().map(Self)
    }

    fn show(&self) -> String {
        let fields: Vec<_> = self.0.iter().map(|field| quoted(field.as_str())).collect();
        format!("[{}]", fields.join(", "))
    }
}

impl Value for Topics {
    const NOUN: &'static str = "topics";

    fn wanted() -> String {
        format!("{}, or a list of such", Topic::NOUN)
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        const TOPICS_MAX: usize = 100;
        let Some(list) = value.as_array() else { return Topic::parse(value).map(|topic| Self(vec![topic.0])) };
        let topics: Option<Vec<_>> = list.iter().map(|item| Some(Topic::parse(item.get_ref())?.0)).collect();
        topics.filter(|topics| (1..=TOPICS_MAX).contains(&topics.len())).map(Self)
    }

    fn show(&self) -> String {
        let topics: Vec<_> = self.0.iter().map(|topic| quoted(topic)).collect();
        format!("[{}]", topics.join(", "))
    }
}

macro_rules! choice {
    ($choice:ty, $($word:literal => $variant:path),+ $(,)?) => {
        impl $crate::config::value::Value for $choice {
            const NOUN: &'static str = "a word";
            const CHOICES: &'static [&'static str] = &[$($word),+];

            fn wanted() -> String {
                $crate::config::fault::one_of(Self::CHOICES)
            }

            fn parse(value: &toml::de::DeValue<'_>) -> Option<Self> {
                match value.as_str()? {
                    $($word => Some($variant),)+
                    _ => None,
                }
            }

            fn show(&self) -> String {
                match self {
                    $($variant => concat!("\"", $word, "\"").to_owned(),)+
                }
            }
        }
    };
}

/// A format's word, before its pointers are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FormatWord {
    Alertmanager,
    Grafana,
    CloudEvents,
    HubSpot,
    Debezium,
    Json,
}

choice!(
    FormatWord,
    "alertmanager" => Self::Alertmanager,
    "grafana" => Self::Grafana,
    "cloudevents" => Self::CloudEvents,
    "hubspot" => Self::HubSpot,
    "debezium" => Self::Debezium,
    "json" => Self::Json,
);
pub(super) use choice;

choice!(SnapshotRows, "skip" => Self::Skip, "tell" => Self::Tell);
choice!(Compression, "none" => Self::None, "gzip" => Self::Gzip, "zstd" => Self::Zstd);
choice!(
    Typed,
    "any" => Self::Any,
    "text" => Self::Text,
    "number" => Self::Number,
    "boolean" => Self::Truth,
    "html" => Self::Html,
    "seconds" => Self::Seconds,
    "milliseconds" => Self::Milliseconds,
    "microseconds" => Self::Microseconds,
    "rfc3339" => Self::Rfc3339,
);
choice!(Kind, "alert" => Self::Alert, "record" => Self::Record, "thread" => Self::Thread);
/// What becomes of a route's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActionWord {
    Tell,
    Heartbeat,
}

choice!(Urgency, "critical" => Self::Critical, "normal" => Self::Normal, "low" => Self::Low);
choice!(Start, "earliest" => Self::Earliest, "latest" => Self::Latest);
choice!(ActionWord, "tell" => Self::Tell, "heartbeat" => Self::Heartbeat);
choice!(OnDoubt, "resend" => Self::Resend, "hold" => Self::Hold);
choice!(ChannelType, "text" => Self::Text, "html" => Self::Html, "email" => Self::Email);
