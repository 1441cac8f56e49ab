//! kcat: a Kafka client that shares no code path of ours, to write what the daemon should read and read what it wrote.
//!
//! Every call is one process that ends by itself. Where kcat isn't installed a test is skipped ([`available`]); a kcat
//! that fails is a failed test, with what it said.
//!
//! Limits: keys and header values are text without NULs (they travel as arguments); payloads are any bytes up to what
//! the topic takes, and under 30 MB.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What no key contains.
const UNIT_SEPARATOR: &str = "\x1f";

/// Whether kcat can be run; otherwise says that this test is skipped.
pub fn available() -> bool {
    let found = Command::new("kcat").arg("-V").output().is_ok();
    if !found {
        super::kafka::skip("kcat isn't installed");
    }
    found
}

/// One record to be written.
#[derive(Clone, Debug, Default)]
pub struct Record {
    topic: String,
    partition: Option<i32>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

impl Record {
    pub fn to(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }

    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An empty payload is written as a tombstone.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Returns when Kafka has acknowledged the record. A record without a payload needs a key.
    pub fn send(&self, bootstrap: &str) {
        let mut kcat = produce(bootstrap, &self.topic);
        if let Some(partition) = self.partition {
            kcat.args(["-p", &partition.to_string()]);
        }
        for (name, value) in &self.headers {
            kcat.args(["-H", &format!("{name}={value}")]);
        }
        if self.payload.is_empty() { self.send_tombstone(&mut kcat) } else { self.send_file(&mut kcat) }
    }

    /// A file, because kcat splits its standard input into records.
    fn send_file(&self, kcat: &mut Command) {
        let mut file = tempfile::NamedTempFile::new().expect("a scratch file");
        file.write_all(&self.payload).expect("the scratch file takes the payload");
        if let Some(key) = &self.key {
            kcat.args(["-k", key]);
        }
        finish(kcat.arg(file.path()), b"");
    }

    /// Standard input, because kcat sends nothing for an empty file.
    fn send_tombstone(&self, kcat: &mut Command) {
        let key = self.key.as_deref().expect("a tombstone has a key");
        finish(kcat.args(["-Z", "-K", UNIT_SEPARATOR]), format!("{key}{UNIT_SEPARATOR}\n").as_bytes());
    }
}

/// Writes one record a line; returns when Kafka has acknowledged them all. Lines hold no line breaks.
pub fn send_lines<L: AsRef<str>>(bootstrap: &str, topic: &str, lines: impl IntoIterator<Item = L>) {
    let mut input = String::new();
    for line in lines {
        input.push_str(line.as_ref());
        input.push('\n');
    }
    finish(&mut produce(bootstrap, topic), input.as_bytes());
}

/// One record as kcat read it. Bytes that aren't UTF-8 are replaced; [`payloads`] gives them as they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Consumed {
    pub partition: i64,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<String>,
    pub headers: Vec<(String, String)>,
    pub payload: Option<String>,
}

impl Consumed {
    /// The payload as JSON; panics when it isn't.
    pub fn json(&self) -> Value {
        let text = self.payload.as_deref().expect("a payload");
        serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON ({e}): {text}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Everything that is committed in the topic, from its beginning to its end, partition by partition as it comes.
pub fn consume(bootstrap: &str, topic: &str) -> Vec<Consumed> {
    let out = finish(read(bootstrap, topic).arg("-J"), b"");
    String::from_utf8_lossy(&out.stdout).lines().map(parse).collect()
}

/// The payloads alone, as bytes; `None` is a tombstone.
pub fn payloads(bootstrap: &str, topic: &str) -> Vec<Option<Vec<u8>>> {
    let out = finish(read(bootstrap, topic).args(["-f", "%R%s"]), b"");
    let mut rest = out.stdout.as_slice();
    let mut all = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (payload, tail) = tail.split_at(length.unwrap_or(0));
        all.push(length.map(|_| payload.to_vec()));
        rest = tail;
    }
    all
}

/// What a compacted topic holds in the end, byte for byte: the last payload of each key of a partition.
pub fn latest(bootstrap: &str, topic: &str, partition: i32) -> BTreeMap<String, Vec<u8>> {
    let out = finish(read(bootstrap, topic).args(["-p", &partition.to_string(), "-f", "%K %k%R%s"]), b"");
    let mut rest = out.stdout.as_slice();
    let mut latest = BTreeMap::new();
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok()).expect("a length");
        let (key, tail) = rest[digits + 1..].split_at(length);
        let (length, tail) = tail.split_first_chunk().expect("a length");
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (payload, tail) = tail.split_at(length.unwrap_or(0));
        let key = String::from_utf8_lossy(key).into_owned();
        match length {
            Some(_) => drop(latest.insert(key, payload.to_vec())),
            None => drop(latest.remove(&key)),
        }
        rest = tail;
    }
    latest
}

fn produce(bootstrap: &str, topic: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", bootstrap, "-t", topic]);
    let settings = ["message.max.bytes=30000000", "message.timeout.ms=20000", "topic.metadata.propagation.max.ms=3000"];
    kcat.args(settings.iter().flat_map(|setting| ["-X", setting]));
    kcat
}

fn read(bootstrap: &str, topic: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-u"]);
    kcat.args(["-X", "isolation.level=read_committed", "-X", "fetch.message.max.bytes=20000000"]);
    kcat
}

fn finish(kcat: &mut Command, input: &[u8]) -> Output {
    let piped = kcat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("kcat starts");
    child.stdin.take().expect("its input is piped").write_all(input).expect("kcat takes its input");
    let out = child.wait_with_output().expect("kcat ends");
    assert!(out.status.success(), "{kcat:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out
}

fn parse(line: &str) -> Consumed {
    let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("kcat's JSON ({e}): {line}"));
    let number = |name: &str| record[name].as_i64().unwrap_or_else(|| panic!("no {name} in {line}"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let flat: Vec<String> =
        record["headers"].as_array().into_iter().flatten().map(|v| text(v).unwrap_or_default()).collect();
    Consumed {
        partition: number("partition"),
        offset: number("offset"),
        timestamp_ms: number("ts"),
        key: text(&record["key"]),
        headers: flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
        payload: text(&record["payload"]),
    }
}
