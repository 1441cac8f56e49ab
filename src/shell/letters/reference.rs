//! What is left of something that is too large for the dead-letters topic: where it stands, how long it is, its hash and how
//! it begins.
//!
//! The hash proves that what stands at that place later is still the same, so that it can be replayed from there.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// This much of its beginning is kept, in bytes.
const PREFIX_BYTES: usize = 4 * 1024;

/// By reference. Without a topic it stands nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    pub bytes: usize,
    pub sha256: String,
    pub prefix: String,
}

impl Reference {
    pub fn of(payload: &[u8]) -> Self {
        let prefix = &payload[..payload.len().min(PREFIX_BYTES)];
        Self {
            topic: None,
            partition: None,
            offset: None,
            bytes: payload.len(),
            sha256: hash(payload),
            prefix: String::from_utf8_lossy(prefix).into_owned(),
        }
    }

    /// The same, of something that stands on a topic.
    #[must_use]
    pub fn at(self, topic: &str, partition: i32, offset: i64) -> Self {
        Self { topic: Some(topic.to_owned()), partition: Some(partition), offset: Some(offset), ..self }
    }

    /// As a letter's value.
    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }

    pub fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Is this what it stands for?
    pub fn is_of(&self, payload: &[u8]) -> bool {
        self.bytes == payload.len() && self.sha256 == hash(payload)
    }
}

fn hash(payload: &[u8]) -> String {
    Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_knows_what_it_stands_for_and_nothing_else() {
        let payload = "é".repeat(5_000);
        let reference = Reference::of(payload.as_bytes()).at("alerts", 2, 7);
        assert_eq!(Reference::read(&reference.written()), Some(reference.clone()));
        assert!(reference.is_of(payload.as_bytes()) && !reference.is_of(&payload.as_bytes()[1..]));
        assert!(reference.prefix.len() <= PREFIX_BYTES + 3);
        assert_eq!(Reference::read(b"{}"), None);
    }
}
