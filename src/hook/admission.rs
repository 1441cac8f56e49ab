//! What the head of a request must say before a byte of its body is read, cheapest first.
//!
//! HTTP/1.1 and one host → path `/hooks/<channel>` → `POST` → a length that is told once and is under the limit → a
//! well-formed signature. A channel that doesn't exist is treated like one that does, up to and including the MAC over the
//! body, so that neither the answer nor the moment it comes tells which channels there are.

use std::collections::HashMap;

use super::Door;
use super::head::{Head, Headers, Protocol};
use super::proof::{Locks, Proving};
use super::refusal::Refusal;
use super::signature::{self, Signature};

const PREFIX: &str = "/hooks/";

const HOST: &str = "host";
const CONTENT_LENGTH: &str = "content-length";
const TRANSFER_ENCODING: &str = "transfer-encoding";

/// All ways in.
#[derive(Debug)]
pub struct Doors {
    by_channel: HashMap<Box<str>, Entrance>,
    /// For doors that don't exist: opened by nothing.
    nowhere: Locks,
    body_bytes_max: usize,
    signature_headers: Vec<Box<str>>,
}

#[derive(Debug)]
struct Entrance {
    door: Door,
    locks: Locks,
}

impl Doors {
    /// Bodies over `body_bytes_max` bytes are refused at every door.
    pub fn new(doors: impl IntoIterator<Item = Door>, body_bytes_max: usize) -> Self {
        let doors: Vec<Door> = doors.into_iter().collect();
        // As many MACs at every door, one that doesn't exist included: none is faster than another.
        let width = doors.iter().map(|door| door.secrets.len()).max().unwrap_or(0).max(1);
        let entrance = |door: Door| (door.channel.clone(), Entrance { locks: Locks::new(&door.secrets, width), door });
        Self {
            by_channel: doors.into_iter().map(entrance).collect(),
            nowhere: Locks::new(&[], width),
            body_bytes_max,
            signature_headers: signature::HEADERS.map(Box::from).to_vec(),
        }
    }

    /// With other names for the signature's header, lowercase, in the order in which they count.
    pub fn with_signature_headers(mut self, names: Vec<Box<str>>) -> Self {
        self.signature_headers = names;
        self
    }

    /// Judges the head of a request; the body is to be shown to what comes back.
    pub fn admit(&self, head: &Head<'_>) -> Result<Proving<'_>, Refusal> {
        one_host(head)?;
        let channel = channel(head.path).ok_or(Refusal::Path)?;
        post(head)?;
        length(&head.headers, self.body_bytes_max)?;
        let entrance = self.by_channel.get(channel);
        if let Some(open) = entrance.filter(|entrance| entrance.door.secrets.is_empty()) {
            return Ok(Proving::unsigned_by_config(&open.door, &open.locks, self.body_bytes_max));
        }
        let signature = Signature::claimed(&head.headers, &self.signature_headers)?;
        let locks = entrance.map_or(&self.nowhere, |entrance| &entrance.locks);
        Ok(Proving::signed(entrance.map(|entrance| &entrance.door), locks, signature, self.body_bytes_max))
    }

    /// The channel that a path names, if there is such a one: a label that strangers can't invent values for.
    pub fn known(&self, path: &str) -> Option<&Door> {
        self.by_channel.get(channel(path)?).map(|entrance| &entrance.door)
    }
}

/// The body's length is told once and is not over `bytes_max`, or comes in chunks.
pub(super) fn length(headers: &Headers<'_>, bytes_max: usize) -> Result<(), Refusal> {
    if headers.all(TRANSFER_ENCODING).next().is_some() {
        return chunked_and_nothing_else(headers);
    }
    let mut lengths = headers.all(CONTENT_LENGTH);
    let Some(length) = lengths.next() else { return Ok(()) };
    let length = std::str::from_utf8(length).ok().and_then(|length| length.parse::<u64>().ok());
    let (Some(length), None) = (length, lengths.next()) else { return Err(Refusal::Framing) };
    match usize::try_from(length) {
        Ok(length) if length <= bytes_max => Ok(()),
        Ok(_) | Err(_) => Err(Refusal::TooLarge),
    }
}

pub(super) fn post(head: &Head<'_>) -> Result<(), Refusal> {
    if head.method == "POST" { Ok(()) } else { Err(Refusal::Method) }
}

/// HTTP/1.1, and one host.
pub(super) fn one_host(head: &Head<'_>) -> Result<(), Refusal> {
    if head.protocol != Protocol::Http11 {
        return Err(Refusal::Version);
    }
    match head.headers.all(HOST).count() {
        1 => Ok(()),
        _ => Err(Refusal::Host),
    }
}

fn chunked_and_nothing_else(headers: &Headers<'_>) -> Result<(), Refusal> {
    let mut codings = headers.all(TRANSFER_ENCODING);
    let chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() || headers.all(CONTENT_LENGTH).next().is_some() {
        return Err(Refusal::Framing);
    }
    Ok(())
}

fn channel(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|channel| !channel.is_empty() && !channel.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::super::refusal::Unauthentic;
    use super::super::tests::door;
    use super::*;

    const HEX: &str = "8af612fdf00ba7a1ea11cd480eb74a3a05b1bc2d92d7090e2041b2e61a7d676d";

    fn admit(line: &str, headers: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let doors = Doors::new([door("ops", &["s3cr3t"])], 100);
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        doors.admit(&Head { protocol: Protocol::Http11, method, path, headers }).map(|_| ())
    }

    #[test]
    fn the_first_thing_missing_is_the_one_that_is_named() {
        let (host, length, sign) = (("host", "h"), ("content-length", "100"), ("x-hook-signature", HEX));
        let (long, absurd) = (("content-length", "101"), ("content-length", "99999999999999999999"));
        let (chunked, zipped) = (("transfer-encoding", "Chunked"), ("transfer-encoding", "gzip, chunked"));
        let missing = Refusal::Unauthentic(Unauthentic::Missing);
        let rows = [
            ("POST /hooks/ops", vec![host, length, sign], Ok(())),
            ("POST /hooks/nobody", vec![host, length, sign], Ok(())),
            ("POST /hooks/ops", vec![host, chunked, sign], Ok(())),
            ("GET /elsewhere", vec![], Err(Refusal::Host)),
            ("GET /elsewhere", vec![host, host], Err(Refusal::Host)),
            ("GET /elsewhere", vec![host], Err(Refusal::Path)),
            ("POST /hooks/", vec![host], Err(Refusal::Path)),
            ("POST /hooks/ops/more", vec![host], Err(Refusal::Path)),
            ("GET /hooks/ops", vec![host, long], Err(Refusal::Method)),
            ("post /hooks/ops", vec![host, long], Err(Refusal::Method)),
            ("POST /hooks/ops", vec![host, long], Err(Refusal::TooLarge)),
            ("POST /hooks/ops", vec![host, absurd], Err(Refusal::Framing)),
            ("POST /hooks/ops", vec![host, length, length, sign], Err(Refusal::Framing)),
            ("POST /hooks/ops", vec![host, length, chunked], Err(Refusal::Framing)),
            ("POST /hooks/ops", vec![host, chunked, chunked], Err(Refusal::Framing)),
            ("POST /hooks/ops", vec![host, zipped], Err(Refusal::Framing)),
            ("POST /hooks/ops", vec![host, length], Err(missing)),
            ("POST /hooks/nobody", vec![host, length], Err(missing)),
        ];
        for (line, headers, outcome) in rows {
            assert_eq!(admit(line, &headers), outcome, "{line} {headers:?}");
        }
    }

    #[test]
    fn only_http_1_1_comes_in() {
        let doors = Doors::new([door("ops", &["s3cr3t"])], 100);
        let headers = Headers::default();
        let head = Head { protocol: Protocol::Other, method: "POST", path: "/hooks/ops", headers };
        assert_eq!(doors.admit(&head).err(), Some(Refusal::Version));
    }
}
