//! What reading an event costs: the decoder beside bare parsers, on Alertmanager bodies of 570 bytes, one a record.
//!
//! The rows, from the least that can be done to what the intake does: a copy of the bytes (simd-json writes into them, so its
//! rows hold one copy each), simd-json's tape with kept buffers, its tree of borrowed values, `serde_json` into a struct with
//! borrowed texts and into a `Value`, and the decoder with everything that makes an event of it. Then the keyed hash of an
//! identity. CloudEvents and free JSON are in `benches/lane.rs`.
//!
//! Limits: simd-json's serde interface isn't built into this program, so there is no row for it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use missived::event::{Decoder, Format, HashKey, Record};
use serde::Deserialize;

const KEY: HashKey = HashKey::new([3; 16]);

const BODY: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"High5xx\",service=\"s-00000042\"}","truncatedAlerts":0,"status":"firing","receiver":"missived","groupLabels":{"alertname":"High5xx","service":"s-00000042"},"commonLabels":{"alertname":"High5xx","severity":"warning"},"commonAnnotations":{},"alerts":[{"status":"firing","labels":{"alertname":"High5xx","pod":"p-0000000042","severity":"warning"},"annotations":{"summary":"5xx ratio is 12%"},"startsAt":"2026-11-22T03:12:00.000Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"a1b2c3d4e5f60718"}],"externalURL":"https://a"}"#;

/// What an alert needs of a body, and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    #[serde(borrow)]
    group_key: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    alerts: Vec<Alert<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'a str,
    starts_at: &'a str,
    fingerprint: &'a str,
}

fn body() -> String {
    format!("{BODY:<570}")
}

fn parsers(c: &mut Criterion) {
    let body = body();
    let bytes = body.as_bytes();
    let mut group = c.benchmark_group("decode, alertmanager, 570 B");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("a fresh copy of the bytes", |b| b.iter(|| black_box(bytes.to_vec())));
    group.bench_function("simd-json, tape", |b| {
        let mut buffers = simd_json::Buffers::new(bytes.len());
        b.iter(|| {
            let mut copy = black_box(bytes).to_vec();
            black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers).expect("JSON"));
        });
    });
    group.bench_function("simd-json, borrowed values", |b| {
        b.iter(|| {
            let mut copy = black_box(bytes).to_vec();
            black_box(simd_json::to_borrowed_value(&mut copy).expect("JSON"));
        });
    });
    group.bench_function("serde_json, typed", |b| {
        b.iter(|| {
            let group = serde_json::from_slice::<Group<'_>>(black_box(bytes)).expect("a group");
            let alert = &group.alerts[0];
            black_box((group.group_key.len(), alert.status, alert.starts_at, alert.fingerprint));
        });
    });
    group.bench_function("serde_json, Value", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(bytes)).expect("JSON"));
    });
    group.bench_function("the decoder", |b| {
        let mut decoder = Decoder::new(KEY);
        let record = Record { payload: Some(bytes), headers: &[] };
        b.iter(|| {
            let emitted = decoder.decode(&Format::Alertmanager, black_box(record), &mut |event| {
                black_box(event.identity);
            });
            assert_eq!(emitted, Ok(1));
        });
    });
    group.finish();
}

fn identity(c: &mut Criterion) {
    let labels = ["alertname", "High5xx", "pod", "p-0000000042", "severity", "warning"];
    let parts = labels.map(str::as_bytes);
    let mut group = c.benchmark_group("identity");
    group.throughput(Throughput::Bytes(labels.iter().map(|label| label.len() as u64).sum()));
    group.bench_function("three labels, keyed", |b| b.iter(|| KEY.fingerprint(black_box(&parts))));
    group.finish();
}

criterion_group!(benches, parsers, identity);
criterion_main!(benches);
