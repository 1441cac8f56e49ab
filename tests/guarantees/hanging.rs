//! A transaction that Kafka has forgotten: its record stands in a partition, and nobody knows that it should ever end.
//!
//! Kafka's own faults leave such a thing now and then. Here it is written over the bare protocol, because every client asks
//! the coordinator first, who would remember: an id is taken for a transactional id, as whoever initialises it gets one, and
//! a batch of that id is written behind the coordinator's back. It needs a single broker with [`UNVERIFIED`].

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::wait::eventually;

/// Setting of a broker that doesn't ask the coordinator whether a transaction is known.
pub const UNVERIFIED: &str = "transaction.partition.verification.enable=false";

const SOON: Duration = Duration::from_secs(30);
const PRODUCE: i16 = 0;
const INIT_PRODUCER_ID: i16 = 22;
/// The attribute of a batch that belongs to a transaction.
const TRANSACTIONAL: i16 = 0x10;

/// Where the record is to stand, and what it says.
pub struct Hanging<'a> {
    pub transactional_id: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    pub key: &'a str,
    pub value: &'a str,
    /// The broker takes none from far in the future.
    pub timestamp_ms: i64,
}

struct ProducerId {
    id: i64,
    epoch: i16,
}

/// Leaves it there; whoever had the transactional id is fenced.
pub fn leave(bootstrap: &str, hanging: &Hanging<'_>) {
    // right after its start a coordinator says that it is loading
    let producer =
        eventually(SOON, "producer id", || init(bootstrap, hanging.transactional_id).expect("the broker answers"));
    let code = produce(bootstrap, hanging, &producer).expect("the broker answers");
    assert_eq!(code, 0, "the broker takes a batch that its coordinator doesn't know of");
}

fn init(bootstrap: &str, transactional_id: &str) -> io::Result<Option<ProducerId>> {
    let mut body = Vec::new();
    text(&mut body, transactional_id);
    body.extend(60_000_i32.to_be_bytes());
    let answer = ask(bootstrap, INIT_PRODUCER_ID, 0, &body)?;
    // throttle time, error, producer id, epoch
    let failed = answer[4..6] != [0, 0];
    let id = i64::from_be_bytes(answer[6..14].try_into().expect("eight bytes"));
    let epoch = i16::from_be_bytes(answer[14..16].try_into().expect("two bytes"));
    Ok((!failed).then_some(ProducerId { id, epoch }))
}

fn produce(bootstrap: &str, hanging: &Hanging<'_>, producer: &ProducerId) -> io::Result<i16> {
    let batch = batch(hanging, producer);
    let mut body = Vec::new();
    text(&mut body, hanging.transactional_id);
    body.extend((-1_i16).to_be_bytes()); // acknowledged by all
    body.extend(10_000_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    text(&mut body, hanging.topic);
    body.extend(1_i32.to_be_bytes());
    body.extend(hanging.partition.to_be_bytes());
    body.extend(length(&batch).to_be_bytes());
    body.extend(&batch);
    let answer = ask(bootstrap, PRODUCE, 3, &body)?;
    // one topic, its name, one partition, its number, error
    let at = 4 + 2 + hanging.topic.len() + 4 + 4;
    Ok(i16::from_be_bytes(answer[at..at + 2].try_into().expect("two bytes")))
}

/// One record in a batch of version 2.
fn batch(hanging: &Hanging<'_>, producer: &ProducerId) -> Vec<u8> {
    let mut record = vec![0]; // attributes
    [0, 0].into_iter().for_each(|delta| varint(&mut record, delta));
    for field in [hanging.key, hanging.value] {
        varint(&mut record, i64::from(length(field.as_bytes())));
        record.extend(field.as_bytes());
    }
    varint(&mut record, 0); // headers
    let mut rest = TRANSACTIONAL.to_be_bytes().to_vec();
    rest.extend(0_i32.to_be_bytes()); // the last record's place
    [hanging.timestamp_ms; 2].into_iter().for_each(|at| rest.extend(at.to_be_bytes()));
    rest.extend(producer.id.to_be_bytes());
    rest.extend(producer.epoch.to_be_bytes());
    rest.extend(0_i32.to_be_bytes()); // the first sequence of its epoch
    rest.extend(1_i32.to_be_bytes());
    varint(&mut rest, i64::from(length(&record)));
    rest.extend(&record);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend((length(&rest) + 9).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes()); // no leader's epoch
    batch.push(2);
    batch.extend(crc32c(&rest).to_be_bytes());
    batch.extend(&rest);
    batch
}

/// The body of the answer to one request.
fn ask(bootstrap: &str, api: i16, version: i16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut request = api.to_be_bytes().to_vec();
    request.extend(version.to_be_bytes());
    request.extend(7_i32.to_be_bytes()); // correlation
    text(&mut request, "hanging");
    request.extend(body);
    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(&length(&request).to_be_bytes())?;
    stream.write_all(&request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size")];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(4))
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
    into.extend(text.as_bytes());
}

fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("a few bytes")
}

fn varint(into: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        into.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    into.push(zigzag as u8);
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
