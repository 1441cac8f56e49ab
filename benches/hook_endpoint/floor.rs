//! What Kafka costs at least: the records of one webhook after another, without any webhook, handed over by one thread as
//! fast as the client takes them, so that it can fill its batches.
//!
//! No endpoint that writes them with this client, to this in-process broker, can spend less.

use std::time::Duration;

use missived::shell::kafka::bounded_producer_config;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::servers::{Servers, body, kafka};
use super::wrk::Cpu;

const WEBHOOKS: u32 = 200_000;

/// How many are handed over before all of them are waited for.
const TOGETHER: u32 = 2_000;

/// What the lane learns comes together; a record of it takes so much.
static LESSONS: [u8; 32 << 10] = [b'x'; 32 << 10];

/// About so much is learned from a reply.
const LESSON_BYTES: u32 = 100;

/// Prints processor time a webhook, in microseconds.
pub fn run(servers: &Servers) {
    let config = bounded_producer_config(&kafka(&servers.bootstrap), Duration::from_secs(10));
    let client: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    let (value, patience) = (body(Some(1)).repeat(2), Duration::from_secs(20));
    let before = Cpu::now();
    for webhook in 0..WEBHOOKS {
        let reply = BaseRecord::to("bench.replies").key("alerts/lag").payload(&value).headers(headers());
        client.send(reply).expect("room in the client's queue");
        if webhook % (LESSONS.len() as u32 / LESSON_BYTES) == 0 {
            let lessons = BaseRecord::<'_, str, _>::to("bench.ledger").payload(&LESSONS[..]).partition(0);
            client.send(lessons).expect("room in the client's queue");
        }
        if webhook % TOGETHER == 0 {
            client.flush(patience).expect("acknowledged");
        }
    }
    client.flush(patience).expect("acknowledged");
    let cpu = Cpu::now().since(before, f64::from(WEBHOOKS));
    let (handing, client, broker) = (cpu.server, cpu.client, cpu.broker);
    println!("Kafka alone, a webhook: handing over {handing:.1} µs, client {client:.1} µs, broker {broker:.1} µs");
}

fn headers() -> OwnedHeaders {
    let headers = ["application/json", "1", "ops", "reply", "m-1", "message:m-1"];
    headers.into_iter().fold(OwnedHeaders::new(), |headers, value| {
        headers.insert(Header { key: "missived-something", value: Some(value) })
    })
}
