//! Answers as Missive gives them: a status, a few headers, and JSON or nothing.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::limits::Full;
use super::refusal::Refusal;
use super::switches::{AnswerBody, RetryAfterForm, Switches};

/// What goes back to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 with JSON.
    pub fn json(value: &Value) -> Self {
        Self::with_json(200, value)
    }

    /// Any status with JSON.
    pub fn with_json(status: u16, value: &Value) -> Self {
        Self { status, headers: Vec::new(), body: value.to_string().into_bytes() }
    }

    /// A message or post that was taken. `key` is the envelope's.
    pub fn accepted(switches: &Switches, key: &str, id: &str, conversation: &str) -> Self {
        let status = switches.answer_status.into();
        let conversation = match switches.answer_body {
            AnswerBody::Empty => return Self { status, headers: Vec::new(), body: Vec::new() },
            AnswerBody::ConversationId => json!(conversation),
            AnswerBody::ConversationObject => json!({"id": conversation}),
        };
        Self::with_json(status, &json!({key: {"id": id, "conversation": conversation}}))
    }

    /// A refusal in the shape that was seen live.
    pub fn refused(now: u64, refusal: &Refusal, switches: &Switches) -> Self {
        let body = json!({"error": {"message": refusal.to_string()}});
        let mut answer = Self::with_json(refusal.status(switches), &body);
        if let Refusal::RateLimited(full) = refusal {
            answer.headers = limit_headers(now, full, switches.retry_after);
        }
        answer
    }

    /// A fault's status.
    pub fn fault(now: u64, status: u16, retry_after: Option<u64>, form: RetryAfterForm) -> Self {
        let mut answer = Self::with_json(status, &json!({"error": {"message": "A fault that was asked for"}}));
        let wait = retry_after.map(|seconds| ("retry-after", retry_after_text(now, seconds, form)));
        answer.headers.extend(wait);
        answer
    }
}

fn limit_headers(now: u64, full: &Full, form: RetryAfterForm) -> Vec<(&'static str, String)> {
    let wait_seconds = full.free_at_ms.saturating_sub(now).div_ceil(1000).max(1);
    vec![
        ("retry-after", retry_after_text(now, wait_seconds, form)),
        ("x-ratelimit-limit", full.allowed.to_string()),
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", full.free_at_ms.div_ceil(1000).to_string()),
    ]
}

fn retry_after_text(now: u64, seconds: u64, form: RetryAfterForm) -> String {
    match form {
        RetryAfterForm::Seconds => seconds.to_string(),
        RetryAfterForm::Date => http_date(now.div_ceil(1000).saturating_add(seconds)),
    }
}

/// An RFC 9110 date; a second out of range becomes the epoch.
fn http_date(unix_seconds: u64) -> String {
    let second = i64::try_from(unix_seconds).unwrap_or_default();
    let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::limits::BrokenLimit;

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let full = Full { limit: BrokenLimit::PerWindow { ms: 60_000 }, allowed: 300, free_at_ms: 784_111_777_000 };
        let header = |form: &str, name: &str| {
            let mut switches = Switches::default();
            switches.set_written(form).expect(form);
            let answer = Answer::refused(784_111_775_500, &Refusal::RateLimited(full), &switches);
            answer.headers.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let rows = [
            ("retry_after=seconds", "retry-after", "2", "rounded up"),
            ("retry_after=date", "retry-after", "Sun, 06 Nov 1994 08:49:38 GMT", "a date, rounded up"),
            ("retry_after=seconds", "x-ratelimit-limit", "300", "the limit that is full"),
            ("retry_after=seconds", "x-ratelimit-remaining", "0", "nothing is left"),
            ("retry_after=seconds", "x-ratelimit-reset", "784111777", "Unix seconds"),
        ];
        for (form, name, expected, sentence) in rows {
            assert_eq!(header(form, name).as_deref(), Some(expected), "{sentence}");
        }
    }

    #[test]
    fn an_accepted_message_is_answered_as_the_switch_says() {
        let rows = [
            ("answer_body=empty", "", "nothing"),
            ("answer_body=conversation_id", r#"{"messages":{"conversation":"c","id":"m"}}"#, "a string"),
            ("answer_body=conversation_object", r#"{"messages":{"conversation":{"id":"c"},"id":"m"}}"#, "an object"),
        ];
        for (written, expected, sentence) in rows {
            let mut switches = Switches::default();
            switches.set_written(written).expect(written);
            let answer = Answer::accepted(&switches, "messages", "m", "c");
            assert_eq!((answer.status, answer.body.as_slice()), (201, expected.as_bytes()), "{sentence}");
        }
    }
}
