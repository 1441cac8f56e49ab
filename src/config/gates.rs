//! `[sources.NAME.ingest]`: sources that take events over HTTP, and what their senders must prove.

use toml::de::DeValue;

use super::raw::Section;
use super::secrets::{Environment, labelled_secrets};
use super::value::{FormatWord, Value};
use crate::hook::ingest::{Gate, Sender};

/// The gate of a source; none if it has none, or a fault is noted.
pub(super) fn gate(
    name: &str,
    topic: Option<&str>,
    format: Option<FormatWord>,
    section: &Section<'_>,
    environment: &Environment,
) -> Option<Gate> {
    let usual = match format {
        Some(FormatWord::Alertmanager) => Some(Sender::Alertmanager),
        Some(FormatWord::Grafana) => Some(Sender::Grafana),
        Some(FormatWord::HubSpot) => Some(Sender::HubSpot),
        Some(FormatWord::CloudEvents | FormatWord::Debezium | FormatWord::Json) | None => None,
    };
    let sender = match usual {
        Some(usual) => Some(section.or("sender", usual)),
        None if section.is_given() => section.required("sender"),
        None => section.optional("sender"),
    };
    let secrets = labelled_secrets(section, "secret_files", environment);
    let url = section.optional::<Box<str>>("url");
    if !section.is_given() {
        return None;
    }
    let (sender, secrets) = (sender?, secrets?);
    match sender {
        Sender::Alertmanager if !secrets.is_empty() => {
            section.unfit("secret_files", "secrets", "none: Alertmanager signs nothing, it carries ingest.token_file");
        }
        Sender::HubSpot if secrets.is_empty() => {
            section.reading().missing(section.at("secret_files"), "a file with the client secret of the HubSpot app");
        }
        Sender::HubSpot if url.is_none() => {
            let wanted =
                "the address that HubSpot calls, such as \"https://in.example.com/ingest/deals\": it is signed";
            section.reading().missing(section.at("url"), wanted);
        }
        Sender::Alertmanager | Sender::Grafana | Sender::HubSpot => {}
    }
    Some(Gate { source: name.into(), topic: topic?.into(), sender, secrets, url: url.unwrap_or_default() })
}

impl Value for Sender {
    const NOUN: &'static str = "a word";
    const CHOICES: &'static [&'static str] = &["alertmanager", "grafana", "hubspot"];

    fn wanted() -> String {
        super::fault::one_of(Self::CHOICES)
    }

    fn parse(value: &DeValue<'_>) -> Option<Self> {
        match value.as_str()? {
            "alertmanager" => Some(Self::Alertmanager),
            "grafana" => Some(Self::Grafana),
            "hubspot" => Some(Self::HubSpot),
            _ => None,
        }
    }

    fn show(&self) -> String {
        let word = match self {
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::HubSpot => "hubspot",
        };
        format!("{word:?}")
    }
}
