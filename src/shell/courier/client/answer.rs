//! What is kept of an answer: the status, what it says of limits, and the beginning of the body.
//!
//! Once the status is known the request has been answered; a body that breaks off or is late changes nothing about that.

use std::pin::Pin;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderName, RETRY_AFTER};
use hyper::http::response::Parts;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::Sleep;

use crate::event::Timestamp;
use crate::missive::answer::{RateLimit, Status};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Unix seconds.
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Read to its end: the connection can be used again.
    Whole,
    /// Too long, too late or broken off.
    Cut,
}

/// At most `bytes_max` bytes of a body, and how it ended.
pub(super) async fn read(body: &mut Incoming, bytes_max: usize, mut over: Pin<&mut Sleep>) -> (Vec<u8>, End) {
    let mut kept = Vec::new();
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = &mut over => return (kept, End::Cut),
        };
        match frame {
            None => return (kept, End::Whole),
            Some(Err(_)) => return (kept, End::Cut),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let room = bytes_max - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    return (kept, End::Cut);
                }
            }
        }
    }
}

/// What the lane hears of an answer.
pub(super) fn status(head: &Parts, body: Vec<u8>, now: Timestamp) -> Status {
    Status {
        code: head.status.as_u16(),
        retry_after: retry_after(&head.headers, now),
        rate_limit: rate_limit(&head.headers, now),
        body: String::from_utf8_lossy(&body).into(),
    }
}

/// All three, or nothing: one alone doesn't say which window it is about, and for how long.
fn rate_limit(headers: &HeaderMap, now: Timestamp) -> Option<RateLimit> {
    let reset = Timestamp::from_millis(number::<u64>(headers, &RESET)?.saturating_mul(1_000));
    let reset = reset.since(date(headers, &DATE).unwrap_or(now));
    Some(RateLimit { limit: number(headers, &LIMIT)?, remaining: number(headers, &REMAINING)?, reset })
}

/// Seconds, or an HTTP date. A date is counted from the server's own `Date` where there is one: clocks disagree.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = number(headers, &RETRY_AFTER) {
        return Some(Duration::from_secs(seconds));
    }
    let at = date(headers, &RETRY_AFTER)?;
    Some(at.since(date(headers, &DATE).unwrap_or(now)))
}

fn number<N: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<N> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let instant = DateTimeParser::new().parse_timestamp(headers.get(name)?.to_str().ok()?.trim()).ok()?;
    Some(Timestamp::from_signed_millis(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_understood_in_both_forms_and_nonsense_is_none() {
        // 2026-11-22T03:12:00Z
        let now = Timestamp::from_millis(1_795_317_120_000);
        let rows: [(&str, Option<&str>, Option<u64>); 9] = [
            ("0", None, Some(0)),
            ("30", None, Some(30)),
            (" 7 ", None, Some(7)),
            ("Sun, 22 Nov 2026 03:12:45 GMT", None, Some(45)),
            ("Sun, 22 Nov 2026 03:12:45 GMT", Some("Sun, 22 Nov 2026 03:12:15 GMT"), Some(30)),
            ("Sun, 22 Nov 2026 03:11:00 GMT", None, Some(0)),
            ("-1", None, None),
            ("soon", None, None),
            ("99999999999999999999999", None, None),
        ];
        for (value, date, seconds) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("test header"));
            date.map(|date| headers.insert(DATE, HeaderValue::from_str(date).expect("test header")));
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
