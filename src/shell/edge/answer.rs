//! From hyper's words to ours, and back.
//!
//! Answers carry nothing of the request and nothing that tells refusals of one kind apart. A refusal always ends the
//! connection: what else it carries, perhaps a body that nobody read, is not looked at.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Version};

use super::{Service, Visit};
use crate::hook::{Framed, Head, Protocol, Refusal};
use crate::telemetry::hook::{Outcome, Unwritten};

/// What a caller is asked to wait when Kafka is away.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("5");

/// Has a request judged, counts how it ended, and answers it.
pub(super) async fn answer(
    service: &impl Service,
    request: Box<Request<Incoming>>,
    visit: &Visit<'_>,
) -> Response<Full<Bytes>> {
    let edge = service.edge();
    let name = service.known(request.uri().path());
    let origin = edge.origin(visit, request.headers());
    let outcome = service.outcome(request, visit, origin).await.unwrap_or_else(Outcome::Refused);
    if matches!(outcome, Outcome::Refused(Refusal::Unauthentic(_))) {
        edge.failed(origin);
    }
    tracing::debug!(name, outcome = outcome.label(), "answered");
    service.count(name, outcome);
    response(outcome)
}

/// The head in the words of [`crate::hook`], if it can be read in one way only and asks for a path.
pub fn plain<'h>(head: &'h Parts, visit: &Visit<'_>) -> Result<Head<'h>, Refusal> {
    if visit.framed() == Framed::Ambiguously {
        return Err(Refusal::Framing);
    }
    if head.uri.authority().is_some() {
        return Err(Refusal::Target);
    }
    let protocol = match head.version {
        Version::HTTP_11 => Protocol::Http11,
        _ => Protocol::Other,
    };
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    Ok(Head { protocol, method: head.method.as_str(), path: head.uri.path(), headers })
}

fn response(outcome: Outcome) -> Response<Full<Bytes>> {
    match outcome {
        Outcome::Accepted | Outcome::Repeated | Outcome::Probe => taken(),
        Outcome::Unwritten(Unwritten::Late | Unwritten::Rejected | Unwritten::Busy) => try_later(),
        Outcome::Unwritten(Unwritten::TooLarge) => refused(Refusal::TooLarge),
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Malformed => refused(Refusal::Framing),
    }
}

/// 200 with an empty object: what was said is on Kafka, or needs not be.
fn taken() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 503: nothing is wrong with the request, and it may come again.
fn try_later() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS);
    response
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let outward = refusal.outward();
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(outward.status).expect("refusals name valid statuses");
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(allow) = outward.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = outward.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    response
}
