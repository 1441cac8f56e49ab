//! The field rules of `POST /v1/messages` and `POST /v1/posts`, strict: only documented keys, of the documented types, on
//! the channel types that take them, with the fields they need.
//!
//! A body passes [`message`] or [`post`] and comes out as a type; there is no other way to make one. What Missive leaves
//! open (lengths of strings, whether ids exist) is not judged here.

mod base64;
mod fields;
mod message;
mod post;

use serde_json::{Map, Value};

pub use message::{Attachment, Incoming, MessageRules, Person, account, message};
pub use post::{Post, post};

use super::refusal::Refusal;

/// The object inside the envelope `{"<key>": {…}}`.
pub fn open_envelope(body: &[u8], key: &'static str) -> Result<Map<String, Value>, Refusal> {
    let envelope: Value = serde_json::from_slice(body).map_err(|_| Refusal::NotJson)?;
    match envelope {
        Value::Object(mut outer) if outer.len() == 1 => match outer.remove(key) {
            Some(Value::Object(inner)) => Ok(inner),
            _ => Err(Refusal::Envelope(key)),
        },
        _ => Err(Refusal::Envelope(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_holds_one_object_under_one_key() {
        let refused = Err(Refusal::Envelope("messages"));
        let rows: &[(&str, Result<usize, Refusal>, &str)] = &[
            (r#"{"messages":{"a":1}}"#, Ok(1), "as documented"),
            (r#"{"messages":[{"a":1}]}"#, refused.clone(), "an array is not one object"),
            (r#"{"messages":{},"posts":{}}"#, refused.clone(), "a second key"),
            (r#"{"posts":{}}"#, refused.clone(), "another key"),
            (r#"{"a":1}"#, refused.clone(), "no envelope"),
            ("[]", refused, "no object"),
            ("{", Err(Refusal::NotJson), "cut off"),
            ("", Err(Refusal::NotJson), "empty"),
        ];
        for (body, expected, sentence) in rows {
            let opened = open_envelope(body.as_bytes(), "messages").map(|inner| inner.len());
            assert_eq!(opened, *expected, "{sentence}");
        }
    }
}
