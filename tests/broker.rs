//! The ground that the other process tests stand on: the real Kafka keeps what it is given, byte for byte, and the
//! helpers that write, read, pause and kill see what they claim to see. Nothing of missived runs here.

use std::time::Duration;

use support::wait::eventually;
use support::{kafka, kcat};

#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_record_comes_back_as_it_was_written() {
    let Some((kafka, topic)) = topic(&[]) else { return };
    kcat::Record::to(&topic)
        .key("alert-7")
        .header("x-source", "prometheus")
        .header("x-empty", "")
        .payload(b"before\0after \xc3\xa9 \"quoted\"\nsecond line".as_slice())
        .send(&kafka);

    let records = kcat::consume(&kafka, &topic);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].key.as_deref(), Some("alert-7"));
    assert_eq!(records[0].header("x-source"), Some("prometheus"));
    assert_eq!(records[0].header("x-empty"), Some(""));
    assert_eq!(records[0].payload.as_deref(), Some("before\0after é \"quoted\"\nsecond line"));
    assert_eq!((records[0].partition, records[0].offset), (0, 0));
    assert!(records[0].timestamp_ms > 1_600_000_000_000, "milliseconds since 1970: {}", records[0].timestamp_ms);
}

#[test]
fn large_binary_payloads_and_tombstones_keep_every_byte() {
    let Some((kafka, topic)) = topic(&[]) else { return };
    let large: Vec<u8> = (0..900 * 1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(large.contains(&0) && std::str::from_utf8(&large).is_err(), "NULs and no UTF-8, so it is a real test");

    kcat::Record::to(&topic).key("k").payload(large.clone()).send(&kafka);
    kcat::Record::to(&topic).key("k").send(&kafka);

    assert!(kcat::payloads(&kafka, &topic) == [Some(large), None], "the payload came back changed");
}

#[test]
fn a_topic_may_take_more_than_the_broker_does_by_default() {
    let Some((kafka, topic)) = topic(&[("max.message.bytes", "4194304")]) else { return };
    let payload = vec![b'x'; 3 * 1024 * 1024];
    kcat::Record::to(&topic).payload(payload.clone()).send(&kafka);
    assert!(kcat::payloads(&kafka, &topic) == [Some(payload)], "the payload came back changed");
}

#[test]
fn lines_become_records_in_order() {
    let Some((kafka, topic)) = topic(&[]) else { return };
    kcat::send_lines(&kafka, &topic, (0..2_000).map(|i| format!("{{\"n\":{i}}}")));
    let numbers: Vec<_> = kcat::consume(&kafka, &topic).iter().map(|r| r.json()["n"].as_i64()).collect();
    assert_eq!(numbers, (0..2_000).map(Some).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "kcat")]
fn writing_to_a_topic_that_is_not_there_fails_the_test() {
    let Some((kafka, _)) = topic(&[]) else { panic!("kcat or Kafka isn't there") };
    kcat::Record::to(&kafka::unique("nowhere")).payload("lost").send(&kafka);
}

#[test]
fn a_killed_broker_comes_back_with_its_data_at_its_address() {
    if !kcat::available() {
        return;
    }
    let Some(mut broker) = kafka::Broker::start() else { return };
    let before = broker.bootstrap().to_owned();
    kafka::create_topic(&before, "kept", 1, &[]);
    kcat::Record::to("kept").payload("kept").send(&before);

    broker.kill();
    broker.start_again();

    assert_eq!(broker.bootstrap(), before);
    let read = || Some(kcat::payloads(&before, "kept")).filter(|all| !all.is_empty());
    assert_eq!(eventually(SOON, "record from before the crash", read), [Some(b"kept".to_vec())]);

    broker.pause();
    broker.resume();
    broker.stop();
    broker.start_again();
    assert_eq!(eventually(SOON, "record from before the stop", read), [Some(b"kept".to_vec())]);
}

fn topic(settings: &[(&str, &str)]) -> Option<(String, String)> {
    let kafka = kafka::bootstrap()?;
    let name = kcat::available().then(|| kafka::unique("broker"))?;
    kafka::create_topic(&kafka, &name, 1, settings);
    Some((kafka, name))
}
