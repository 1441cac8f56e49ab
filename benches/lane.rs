//! What one observation costs, from a record's bytes to the lane, and what a webhook's proof costs.
//!
//! `step` is a frame of 100 observations, read and folded: identities that are new or known, with few and with many live
//! ones, and news that a digest absorbs while nothing is sent. `decode` is one record of each format beside what
//! `serde_json` takes for the same bytes. `prove` is a signed body of 1 KiB. The ten million keys are filled in only under
//! `cargo bench`.

#[path = "keys/mod.rs"]
mod keys;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use missived::event::frame::LedgerRecord;
use missived::event::{
    Decoder, Field, Format, FrameBuilder, Handling, HashKey, Kind, Path, Place, Pointers, Record, Timestamp,
};
use missived::hook::{Door, Doors, Head, Protocol, Secret};
use missived::lane::{Effects, Input, Lane};
use missived::missive::ChannelType;
use missived::route::{Condition, Rule, Source, Start, Test};
use sha2::Sha256;

use keys::{FRAME, FRAME_MICROS, START, observation, policy};

const ALERTMANAGER: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"High5xx\",cluster=\"eu-1\"}","truncatedAlerts":0,"status":"firing","receiver":"missived","groupLabels":{"alertname":"High5xx"},"commonLabels":{"alertname":"High5xx","severity":"critical"},"alerts":[{"status":"firing","labels":{"alertname":"High5xx","pod":"pay-1","severity":"critical"},"annotations":{"summary":"5xx ratio is 12%"},"startsAt":"2026-11-22T03:12:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"https://prometheus.example/graph","fingerprint":"a1b2c3d4e5f60718"}],"externalURL":"https://alerts"}"#;

const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"A234-1234-1234","source":"/crm/deals","type":"com.example.deal.changed","subject":"deal-17","time":"2026-11-22T03:12:00Z","datacontenttype":"application/json","data":{"title":"Big deal","stage":"won","amount":120000,"owner":{"name":"Ann","mail":"ann@example.com"},"note":"signed on Sunday, of all days"}}"#;

const DEAL: &str = r#"{"event":{"id":"e-17","at":"2026-11-22T03:12:00Z"},"deal":{"id":"deal-17","title":"Big deal","stage":"won","amount":120000,"owner":{"name":"Ann","mail":"ann@example.com"}},"text":"Ann moved Big deal to won","link":"https://crm.example/deals/17"}"#;

const SECRET: &str = "s3cr3t";

/// A lane with its identities, and who feeds it.
struct Feed {
    lane: Lane,
    effects: Effects,
    builder: FrameBuilder,
    now: Timestamp,
    micros: u64,
    offset: i64,
    next: u64,
    keys: u64,
}

impl Feed {
    /// With that many live keys; nothing is ever sent.
    fn new(keys: u64) -> Self {
        let mut feed = Self {
            lane: Lane::new(Arc::new(policy(keys)), HashKey::new([3; 16]), 1),
            effects: Effects::default(),
            builder: FrameBuilder::default(),
            now: START,
            micros: 0,
            offset: 0,
            next: 0,
            keys,
        };
        feed.lane.step(feed.now, Input::Drain, &mut feed.effects);
        for _ in 0..keys / FRAME {
            let frame = feed.unique();
            feed.fold(&frame);
        }
        feed
    }

    /// The next frame of news, when its time has come.
    fn unique(&mut self) -> Vec<u8> {
        self.micros += FRAME_MICROS;
        self.now = self.now + Duration::from_millis(self.micros / 1_000);
        self.micros %= 1_000;
        self.next += FRAME;
        self.frame(self.next - FRAME, 1)
    }

    /// A frame of what came in the last eight tenths of the window.
    fn known(&mut self) -> Vec<u8> {
        let stride = self.keys * 8 / 10 / FRAME;
        let shift = u64::try_from(self.offset).expect("positive") / FRAME % stride;
        self.frame(self.next - self.keys * 8 / 10 + shift, stride)
    }

    fn frame(&mut self, first: u64, stride: u64) -> Vec<u8> {
        for place in 0..FRAME {
            self.offset += 1;
            self.builder.push(&observation(first + place * stride, self.offset, self.now));
        }
        let mut bytes = Vec::new();
        self.builder.seal("default", "deals", 0, &mut bytes);
        bytes
    }

    fn fold(&mut self, bytes: &[u8]) {
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(bytes) else { panic!("a frame that was just built") };
        self.lane.step(self.now, Input::Observed(&frame), &mut self.effects);
        self.effects.dirty.clear();
        self.lane.committed();
    }
}

/// Criterion's own sign that this is no smoke test.
fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step, 100 observations");
    group.throughput(Throughput::Elements(FRAME));
    let many = if measures() { 10_000_000 } else { 20_000 };
    for (name, keys) in [("10 thousand keys", 10_000), ("10 million keys", many)] {
        // both sides of a frame need the feed, one after the other
        let feed = std::cell::RefCell::new(Feed::new(keys));
        let mut bench = |what: &str, frame: fn(&mut Feed) -> Vec<u8>| {
            group.bench_function(format!("{what}, {name}"), |b| {
                b.iter_batched(
                    || frame(&mut feed.borrow_mut()),
                    |bytes| feed.borrow_mut().fold(&bytes),
                    BatchSize::PerIteration,
                );
            });
        };
        bench("unique", Feed::unique);
        bench("duplicate", Feed::known);
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let place = |at: &str| Place::at(Path::parse(at).expect("a pointer"));
    let pointers = Pointers {
        id: Some(place("/event/id")),
        title: Some(place("/deal/title")),
        text: Some(place("/text")),
        time: Some(place("/event/at")),
        link: Some(place("/link")),
        ..Pointers::new(Kind::Record, place("/deal/id"))
    };
    let rows = [
        ("alertmanager", Format::Alertmanager, ALERTMANAGER),
        ("cloudevents", Format::CloudEvents { kind: Kind::Record }, CLOUD_EVENT),
        ("json", Format::Json(Box::new(pointers)), DEAL),
    ];
    let mut group = c.benchmark_group("decode");
    for (name, format, payload) in rows {
        let mut decoder = Decoder::new(HashKey::new([3; 16]));
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(format!("{name}, {} B", payload.len()), |b| {
            b.iter(|| {
                let emitted = decoder.decode(&format, black_box(record), &mut |event| {
                    black_box(event.identity);
                });
                assert_eq!(emitted, Ok(1));
            });
        });
        group.bench_function(format!("{name}, {} B, serde_json::Value", payload.len()), |b| {
            b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(payload.as_bytes())).expect("JSON"));
        });
    }
    group.finish();
}

/// An alert that only the last of many rules takes.
fn route(c: &mut Criterion) {
    let rule = |place: usize, field: &str| Rule {
        conditions: vec![Condition {
            field: Field::parse(field).expect("a field"),
            test: Test::Equals([format!("team-{place}").into()].into()),
        }],
        ..Rule::new(&format!("r{place}"), "default")
    };
    let same = |place| rule(place, "team");
    let other = |place: usize| rule(place, &format!("label-{place}"));
    let mut group = c.benchmark_group("route, 100 rules");
    for (name, conditions) in [("one field", &same as &dyn Fn(usize) -> Rule), ("100 fields", &other)] {
        let source = Source {
            name: "alerts".into(),
            topic: "alerts".into(),
            format: Format::Alertmanager,
            handling: Handling::plain(),
            start: Start::Latest,
            max_age: Duration::from_secs(3600),
            record_bytes_max: 1 << 20,
            rules: (0..99).map(conditions).chain([Rule::new("last", "default")]).collect(),
        };
        let record = Record { payload: Some(ALERTMANAGER.as_bytes()), headers: &[] };
        let mut decoder = Decoder::new(HashKey::new([3; 16]));
        let emitted = decoder.decode(&source.format, record, &mut |event| {
            group.bench_function(name, |b| b.iter(|| assert!(source.route(black_box(event)).eq([99]))));
        });
        assert_eq!(emitted, Ok(1));
    }
    group.finish();
}

fn prove(c: &mut Criterion) {
    let body = vec![b'x'; 1024];
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(&body);
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let door = Door {
        channel: "ops".into(),
        kind: ChannelType::Text,
        lane: "default".into(),
        secrets: vec![Secret::parse(SECRET).expect("a secret")],
    };
    let doors = Doors::new([door], 1 << 20);
    let headers = [("host", &b"h"[..]), ("content-length", b"1024"), ("x-hook-signature", signature.as_bytes())];
    let mut group = c.benchmark_group("prove");
    group.throughput(Throughput::Bytes(1024));
    group.bench_function("a signed body of 1 KiB", |b| {
        b.iter(|| {
            let head = Head {
                protocol: Protocol::Http11,
                method: "POST",
                path: "/hooks/ops",
                headers: headers.iter().copied().collect(),
            };
            let mut proving = doors.admit(&head).expect("a good head");
            proving.push(black_box(&body)).expect("short enough");
            black_box(proving.finish(Timestamp::EPOCH).expect("signed").body.get().bytes().len())
        });
    });
    group.finish();
}

criterion_group!(benches, step, decode, route, prove);
criterion_main!(benches);
