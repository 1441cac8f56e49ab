//! `[kafka.librdkafka]`: properties that go to every Kafka client as they stand.
//!
//! Refused are those that missived's promises hang on, each with the reason or the key to use instead. librdkafka itself is
//! asked whether it knows the others, so a misspelt one is found by `check` and not at night.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use toml::de::DeValue;

use super::fault::{KeyPath, REDACTED, quoted};
use super::raw::{Reading, Section, found};
use super::secrets::{Environment, value_file};

/// Properties that are ours, and why.
const OURS: &[(&str, &str)] = &[
    ("acks", "nothing here: an offset moves on only when all replicas have acknowledged"),
    ("request.required.acks", "nothing here: an offset moves on only when all replicas have acknowledged"),
    ("auto.offset.reset", "start under [sources.NAME] instead"),
    ("bootstrap.servers", "kafka.bootstrap instead"),
    ("metadata.broker.list", "kafka.bootstrap instead"),
    ("delivery.timeout.ms", "nothing here: a frame is retried until it is acknowledged or the partition is lost"),
    ("message.timeout.ms", "nothing here: a frame is retried until it is acknowledged or the partition is lost"),
    ("enable.auto.commit", "nothing here: offsets are committed after the state that reflects them"),
    ("enable.auto.offset.store", "nothing here: offsets are committed after the state that reflects them"),
    ("enable.gapless.guarantee", "nothing here: a producer that stops at the first gap would stop the lane"),
    ("enable.idempotence", "nothing here: every producer is idempotent"),
    ("enable.partition.eof", "nothing here: taking over a partition waits for its end"),
    ("group.id", "kafka.namespace instead"),
    ("group.instance.id", "kafka.instance instead"),
    ("group.protocol", "nothing here: static members need the classic protocol to come back quickly"),
    ("isolation.level", "nothing here: aborted records must never be read"),
    ("partition.assignment.strategy", "nothing here: all instances must agree on it"),
    ("session.timeout.ms", "kafka.session_timeout instead"),
    ("transactional.id", "kafka.namespace instead"),
];

const PROPERTIES_MAX: usize = 256;

/// The properties in the file. What didn't fit is left out, with a fault noted.
pub(super) fn properties(mut section: Section<'_>, environment: &Environment) -> BTreeMap<String, String> {
    let reading = section.reading();
    let entries = section.entries(PROPERTIES_MAX);
    let properties = entries.filter_map(|(name, key, value)| {
        if let Some((_, instead)) = OURS.iter().find(|(ours, _)| *ours == name) {
            reading.unfit(key, "a property that is missived's own", instead);
            return None;
        }
        let text = text_of(reading, name, &key, value, environment)?;
        check_property(reading, name, key, &text);
        Some((name.to_owned(), text))
    });
    properties.collect()
}

/// Whether a property's value may be a secret.
fn is_secret(property: &str) -> bool {
    ["password", "passphrase", "secret", "key.pem", "oauthbearer.config"].iter().any(|word| property.contains(word))
}

/// Properties with the secret ones redacted.
pub(super) struct Shown<'a>(pub &'a BTreeMap<String, String>);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| (name, if is_secret(name) { REDACTED } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

fn show(property: &str, value: &str) -> String {
    if is_secret(property) { REDACTED.to_owned() } else { quoted(value) }
}

fn text_of(
    reading: &Reading<'_>,
    name: &str,
    key: &KeyPath,
    value: &DeValue<'_>,
    environment: &Environment,
) -> Option<String> {
    match value {
        DeValue::String(text) if !text.contains('\0') => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Table(table) => {
            let path = table.get("file").and_then(|path| path.get_ref().as_str()).filter(|_| table.len() == 1);
            let Some(path) = path else {
                reading.unfit(key.clone(), "a table", VALUE_WANTED);
                return None;
            };
            value_file(reading, key, path, environment).map(|text| text.to_string())
        }
        DeValue::String(_) | DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            let found = if is_secret(name) { REDACTED.to_owned() } else { found(value) };
            reading.unfit(key.clone(), found, VALUE_WANTED);
            None
        }
    }
}

const VALUE_WANTED: &str = "a string, a whole number, true, false, or { file = \"/…\" } to read it from a file";

fn check_property(reading: &Reading<'_>, name: &str, key: KeyPath, value: &str) {
    let mut client = ClientConfig::new();
    client.set(name, value);
    match client.create_native_config() {
        Ok(_) => {}
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            reading.unfit(key, "a property that librdkafka doesn't know", "one from its CONFIGURATION.md");
        }
        // The error's own text repeats the value.
        Err(_) => reading.unfit(key, show(name, value), "a value that librdkafka accepts, see its CONFIGURATION.md"),
    }
}
