//! What the head of a request must say before a byte of its body is read, cheapest first.
//!
//! HTTP/1.1 and one host → path `/hooks/<channel>` → `POST` → a length that is told once and is under the limit → a
//! well-formed signature. A channel that doesn't exist is treated like one that does, up to and including the MAC over the
//! body, so that neither the answer nor the moment it comes tells which channels there are.

use std::collections::HashMap;

use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Version};

use super::Door;
use super::proof::{Proving, Visitor};
use super::refusal::Refusal;
use super::signature::Signature;

const PREFIX: &str = "/hooks/";

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub version: Version,
    pub method: &'a Method,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
}

/// All ways in.
#[derive(Debug)]
pub struct Doors {
    by_channel: HashMap<Box<str>, Door>,
    body_bytes_max: usize,
}

impl Doors {
    /// Bodies over `body_bytes_max` bytes are refused at every door.
    pub fn new(doors: impl IntoIterator<Item = Door>, body_bytes_max: usize) -> Self {
        let by_channel = doors.into_iter().map(|door| (door.channel.clone(), door)).collect();
        Self { by_channel, body_bytes_max }
    }

    /// Judges the head of a request; the body is to be shown to what comes back.
    pub fn admit(&self, head: &Head<'_>) -> Result<Proving<'_>, Refusal> {
        http_1_1_for_one_host(head)?;
        let channel = channel(head.path).ok_or(Refusal::Path)?;
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        self.length(head.headers)?;
        match self.by_channel.get(channel) {
            Some(door) if door.secrets.is_empty() => Ok(Proving::unsigned_by_config(door, self.body_bytes_max)),
            Some(door) => self.signed(Visitor::Known(door), head.headers),
            None => self.signed(Visitor::Unknown, head.headers),
        }
    }

    /// The channel that a path names, if there is such a one: a label that strangers can't invent values for.
    pub fn known(&self, path: &str) -> Option<&Door> {
        self.by_channel.get(channel(path)?)
    }

    fn signed<'d>(&self, visitor: Visitor<'d>, headers: &HeaderMap) -> Result<Proving<'d>, Refusal> {
        let signature = Signature::claimed(headers)?;
        Ok(Proving::signed(visitor, signature, self.body_bytes_max))
    }

    fn length(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(TRANSFER_ENCODING) {
            return chunked_and_nothing_else(headers);
        }
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        let Some(length) = lengths.next() else { return Ok(()) };
        let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok()).ok_or(Refusal::Framing)?;
        if lengths.next().is_some() {
            return Err(Refusal::Framing);
        }
        match usize::try_from(length) {
            Ok(length) if length <= self.body_bytes_max => Ok(()),
            Ok(_) | Err(_) => Err(Refusal::TooLarge),
        }
    }
}

fn http_1_1_for_one_host(head: &Head<'_>) -> Result<(), Refusal> {
    if head.version != Version::HTTP_11 {
        return Err(Refusal::Version);
    }
    match head.headers.get_all(HOST).iter().count() {
        1 => Ok(()),
        _ => Err(Refusal::Host),
    }
}

fn chunked_and_nothing_else(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() || headers.contains_key(CONTENT_LENGTH) {
        return Err(Refusal::Framing);
    }
    Ok(())
}

fn channel(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|channel| !channel.is_empty() && !channel.contains('/'))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::super::refusal::Unauthentic;
    use super::super::{Secret, tests::door};
    use super::*;

    const HEX: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    fn admit(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let doors = Doors::new([door("ops", &["s3cr3t"])], 100);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("test header"));
        }
        doors.admit(&Head { version: Version::HTTP_11, method, path, headers: &map }).map(|_| ())
    }

    #[test]
    fn the_first_thing_missing_is_the_one_that_is_named() {
        let (host, length, sign) = (("host", "h"), ("content-length", "100"), ("x-hook-signature", HEX));
        let rows: [(&Method, &str, &[(&'static str, &str)], Result<(), Refusal>); 16] = [
            (&Method::POST, "/hooks/ops", &[host, length, sign], Ok(())),
            (&Method::POST, "/hooks/nobody", &[host, length, sign], Ok(())),
            (&Method::POST, "/hooks/ops", &[host, ("transfer-encoding", "Chunked"), sign], Ok(())),
            (&Method::GET, "/elsewhere", &[], Err(Refusal::Host)),
            (&Method::GET, "/elsewhere", &[host, host], Err(Refusal::Host)),
            (&Method::GET, "/elsewhere", &[host], Err(Refusal::Path)),
            (&Method::POST, "/hooks/", &[host], Err(Refusal::Path)),
            (&Method::POST, "/hooks/ops/more", &[host], Err(Refusal::Path)),
            (&Method::GET, "/hooks/ops", &[host, ("content-length", "101")], Err(Refusal::Method)),
            (&Method::POST, "/hooks/ops", &[host, ("content-length", "101")], Err(Refusal::TooLarge)),
            (&Method::POST, "/hooks/ops", &[host, ("content-length", "99999999999999999999")], Err(Refusal::Framing)),
            (&Method::POST, "/hooks/ops", &[host, length, length, sign], Err(Refusal::Framing)),
            (&Method::POST, "/hooks/ops", &[host, length, ("transfer-encoding", "chunked")], Err(Refusal::Framing)),
            (&Method::POST, "/hooks/ops", &[host, ("transfer-encoding", "gzip, chunked")], Err(Refusal::Framing)),
            (&Method::POST, "/hooks/ops", &[host, length], Err(Unauthentic::Missing.into())),
            (&Method::POST, "/hooks/nobody", &[host, length], Err(Unauthentic::Missing.into())),
        ];
        for (method, path, headers, outcome) in rows {
            assert_eq!(admit(method, path, headers), outcome, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn only_http_1_1_comes_in() {
        let doors = Doors::new([door("ops", &["s3cr3t"])], 100);
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2] {
            let head = Head { version, method: &Method::POST, path: "/hooks/ops", headers: &HeaderMap::new() };
            assert_eq!(doors.admit(&head).err(), Some(Refusal::Version), "{version:?}");
        }
    }

    #[test]
    fn an_empty_secret_never_opens_a_door() {
        assert!(Secret::parse("").is_none());
        assert!(Secret::parse("\r\n").is_none());
    }
}
