//! What came back from a request, and what it means.
//!
//! An [`Answer`] is what happened on the wire; a [`Verdict`] is what the lane does about it. Source: Missive's API
//! documentation, read defensively: only the status is trusted, bodies may be empty or not JSON.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// The longest answer body that is kept for people to read.
pub const ANSWER_BYTES_MAX: usize = 2 * 1024;

/// What happened to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Missive answered.
    Status(Status),
    /// Nothing was written: no connection, or the moment to send had passed.
    NotSent(NotSent),
    /// The request, or part of it, went out and no answer came.
    Lost(Lost),
}

/// Missive's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    /// `Retry-After`, whichever form it had, as a span from now.
    pub retry_after: Option<Duration>,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, where they were sent.
    pub rate_limit: Option<RateLimit>,
    /// At most [`ANSWER_BYTES_MAX`] of the body.
    pub body: Box<str>,
}

/// What Missive says of one of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests that its window takes.
    pub limit: u32,
    /// Requests that it still takes.
    pub remaining: u32,
    /// When it counts anew, as a span from now.
    pub reset: Duration,
}

/// Why a request never left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSent {
    #[error("no connection to Missive")]
    NoConnection,
    #[error("the moment to send had passed")]
    TooLate,
    #[error("no readable token")]
    NoToken,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Lost {
    #[error("no answer in time")]
    Timeout,
    #[error("the connection broke after the request had begun")]
    Broken,
    #[error("the sender ended while the request may have been under way")]
    SenderGone,
}

/// What the lane does about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Missive has it.
    Accepted {
        /// The conversation's id, where Missive told it.
        conversation_id: Option<Box<str>>,
    },
    /// Certainly not taken: send again after a backoff.
    Retry,
    /// The whole lane waits.
    Wait(Option<Duration>),
    /// May or may not have been taken.
    Doubt,
    /// Missive will never take it.
    Refused,
    /// The conversation id we named is unknown: thread by reference instead.
    LostConversation,
    /// The token is not accepted: the lane halts.
    Halt,
}

impl Answer {
    /// The verdict on this answer to a message that named a conversation id, or not.
    pub fn verdict(&self, addressed: Addressed) -> Verdict {
        match self {
            Self::Status(status) => status.verdict(addressed),
            Self::NotSent(NotSent::NoConnection | NotSent::TooLate) => Verdict::Retry,
            Self::NotSent(NotSent::NoToken) => Verdict::Halt,
            Self::Lost(Lost::Timeout | Lost::Broken | Lost::SenderGone) => Verdict::Doubt,
        }
    }

    /// A short label for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Status(status) => status.label(),
            Self::NotSent(NotSent::NoConnection) => "no_connection",
            Self::NotSent(NotSent::TooLate) => "too_late",
            Self::NotSent(NotSent::NoToken) => "no_token",
            Self::Lost(Lost::Timeout) => "timeout",
            Self::Lost(Lost::Broken) => "broken",
            Self::Lost(Lost::SenderGone) => "sender_gone",
        }
    }
}

/// How a message named its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    ByReference,
    ById,
}

impl Status {
    fn verdict(&self, addressed: Addressed) -> Verdict {
        match self.code {
            200..=299 => Verdict::Accepted { conversation_id: conversation_id(&self.body) },
            401 | 403 => Verdict::Halt,
            404 if addressed == Addressed::ById => Verdict::LostConversation,
            408 => Verdict::Retry,
            429 => Verdict::Wait(self.retry_after),
            500..=599 => Verdict::Doubt,
            _ => Verdict::Refused,
        }
    }

    const fn label(&self) -> &'static str {
        match self.code {
            200..=299 => "accepted",
            400 | 422 => "invalid",
            401 | 403 => "unauthorised",
            404 => "not_found",
            408 => "request_timeout",
            413 => "too_large",
            429 => "rate_limited",
            500..=599 => "server_error",
            _ => "other",
        }
    }
}

/// What a conversation's newest messages say of one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is there.
    Taken,
    /// It is not, and would be.
    NotTaken,
    /// The page doesn't tell: it can't be read, it names no external ids, or it doesn't go back far enough.
    Unclear,
}

/// Looks for `external_id` in an answer of `GET /v1/conversations/:id/messages`: newest first, [`PAGE_MESSAGES`] a page. Our
/// message can't be older than `since_secs`. That items name their external id is not documented: a page on which none does
/// tells nothing.
pub fn find(page: &str, external_id: &str, since_secs: u64) -> Finding {
    let Ok(page) = serde_json::from_str::<Page>(page) else { return Finding::Unclear };
    if page.messages.iter().any(|message| message.external_id.as_deref() == Some(external_id)) {
        return Finding::Taken;
    }
    let tells = page.messages.iter().any(|message| message.external_id.is_some());
    let goes_back = page.messages.last().and_then(|oldest| oldest.delivered_at).is_some_and(|at| at < since_secs);
    if tells && (goes_back || page.messages.len() < PAGE_MESSAGES) { Finding::NotTaken } else { Finding::Unclear }
}

/// Messages on one page.
pub const PAGE_MESSAGES: usize = 10;

#[derive(Deserialize)]
struct Page {
    messages: Vec<PageMessage>,
}

#[derive(Deserialize)]
struct PageMessage {
    #[serde(default)]
    external_id: Option<Box<str>>,
    #[serde(default)]
    delivered_at: Option<u64>,
}

/// `messages.conversation` of an answer, a string or an object with an `id`; Missive documents neither.
fn conversation_id(body: &str) -> Option<Box<str>> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    let conversation = value.get("messages")?.get("conversation")?;
    let id = conversation.as_str().or_else(|| conversation.get("id")?.as_str())?;
    uuid::Uuid::try_parse(id).ok().map(|_| id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, body: &str) -> Answer {
        Answer::Status(Status { code, body: body.into(), ..Status::default() })
    }

    #[test]
    fn every_answer_has_its_verdict() {
        let accepted = Verdict::Accepted { conversation_id: None };
        let rows = [
            (status(200, ""), Addressed::ByReference, accepted.clone()),
            (status(201, "not json"), Addressed::ByReference, accepted),
            (status(400, ""), Addressed::ByReference, Verdict::Refused),
            (status(401, ""), Addressed::ByReference, Verdict::Halt),
            (status(403, ""), Addressed::ByReference, Verdict::Halt),
            (status(404, ""), Addressed::ByReference, Verdict::Refused),
            (status(404, ""), Addressed::ById, Verdict::LostConversation),
            (status(408, ""), Addressed::ByReference, Verdict::Retry),
            (status(413, ""), Addressed::ByReference, Verdict::Refused),
            (status(422, ""), Addressed::ByReference, Verdict::Refused),
            (status(429, ""), Addressed::ByReference, Verdict::Wait(None)),
            (status(500, ""), Addressed::ByReference, Verdict::Doubt),
            (status(503, ""), Addressed::ByReference, Verdict::Doubt),
            (status(302, ""), Addressed::ByReference, Verdict::Refused),
            (Answer::NotSent(NotSent::NoConnection), Addressed::ByReference, Verdict::Retry),
            (Answer::NotSent(NotSent::TooLate), Addressed::ByReference, Verdict::Retry),
            (Answer::NotSent(NotSent::NoToken), Addressed::ByReference, Verdict::Halt),
            (Answer::Lost(Lost::Timeout), Addressed::ByReference, Verdict::Doubt),
            (Answer::Lost(Lost::SenderGone), Addressed::ById, Verdict::Doubt),
        ];
        for (answer, addressed, verdict) in rows {
            assert_eq!(answer.verdict(addressed), verdict, "{answer:?} {addressed:?}");
        }
    }

    #[test]
    fn a_message_is_found_on_its_page_or_certainly_not_there_or_nobody_knows() {
        let full = |external: &str, oldest: u64| {
            let item = |at: u64| format!(r#"{{"id":"m","external_id":{external},"delivered_at":{at}}}"#);
            format!(r#"{{"messages":[{}]}}"#, (0..10).map(|back| item(oldest + 9 - back)).collect::<Vec<_>>().join(","))
        };
        let rows = [
            (
                "it is there",
                r#"{"messages":[{"external_id":"e:1"},{"external_id":"ours"}]}"#.to_owned(),
                Finding::Taken,
            ),
            ("all there is, without it", r#"{"messages":[{"external_id":"e:1"}]}"#.to_owned(), Finding::NotTaken),
            ("a page that goes back far enough", full(r#""e:1""#, 90), Finding::NotTaken),
            ("a page of newer ones only", full(r#""e:1""#, 100), Finding::Unclear),
            ("a page that names no external ids", full("null", 90), Finding::Unclear),
            ("an empty page", r#"{"messages":[]}"#.to_owned(), Finding::Unclear),
            ("no page", "<html>".to_owned(), Finding::Unclear),
        ];
        for (sentence, page, finding) in rows {
            assert_eq!(find(&page, "ours", 100), finding, "{sentence}");
        }
    }

    #[test]
    fn a_conversation_id_is_found_in_either_form_and_never_made_up() {
        let id = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
        let rows = [
            (format!(r#"{{"messages":{{"conversation":"{id}"}}}}"#), Some(id)),
            (format!(r#"{{"messages":{{"conversation":{{"id":"{id}"}}}}}}"#), Some(id)),
            (r#"{"messages":{"conversation":"x"}}"#.to_owned(), None),
            (r#"{"messages":{}}"#.to_owned(), None),
            (String::new(), None),
        ];
        for (body, found) in rows {
            assert_eq!(conversation_id(&body).as_deref(), found, "{body}");
        }
    }
}
