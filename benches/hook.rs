//! What a proof costs: HMAC-SHA256 by RustCrypto and by ring, beside the hashing alone, and whether a mismatch tells where.
//!
//! Keys are scheduled once, as the hook does it. "One-shot" shows a body whole, "streamed" in pieces of 4 KiB. "Hashing" is
//! SHA-256 over the same bytes and two blocks more, which is what HMAC adds with its key scheduled: a proof at 1 KiB is to
//! cost no more than 1.05 of it. At the end comes a timing test: proofs that are wrong in the signature's first byte and in its
//! last, in turn, and Welch's t of the two; beyond ±4.5 their times differ.
//!
//! Beside it, on the same machine: `openssl speed -hmac sha256 -bytes 1024`.

use std::hint::black_box;

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use hmac::{Hmac, KeyInit, Mac};
use missived::event::Timestamp;
use missived::hook::{Door, Doors, Head, Protocol, Secret};
use missived::missive::ChannelType;
use missived::shell::clock;
use ring::hmac::{Context, HMAC_SHA256, Key};
use sha2::{Digest, Sha256};

const SECRET: &[u8] = b"a secret of thirty-two characters";
const SIZES: [(&str, usize); 5] =
    [("256 B", 256), ("1 KiB", 1 << 10), ("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];
const PIECE: usize = 4 << 10;
const BLOCK: usize = 64;

fn macs(c: &mut Criterion) {
    let scheduled = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length");
    let key = Key::new(HMAC_SHA256, SECRET);
    for (name, size) in SIZES {
        let body = vec![b'x'; size];
        let padded = vec![b'x'; size + 2 * BLOCK];
        let mut group = c.benchmark_group(format!("mac of {name}"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function("hashing", |b| b.iter(|| Sha256::digest(black_box(&padded))));
        group.bench_function("rustcrypto, one-shot", |b| b.iter(|| rustcrypto(&scheduled, black_box(&body), size)));
        group.bench_function("ring, one-shot", |b| b.iter(|| ring::hmac::sign(&key, black_box(&body))));
        if size > PIECE {
            group.bench_function("rustcrypto, streamed", |b| {
                b.iter(|| rustcrypto(&scheduled, black_box(&body), PIECE));
            });
            group.bench_function("ring, streamed", |b| b.iter(|| ring_streamed(&key, black_box(&body))));
        }
        group.finish();
    }
}

fn rustcrypto(scheduled: &Hmac<Sha256>, body: &[u8], piece: usize) -> [u8; 32] {
    let mut mac = scheduled.clone();
    body.chunks(piece).for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

fn ring_streamed(key: &Key, body: &[u8]) -> ring::hmac::Tag {
    let mut context = Context::with_key(key);
    body.chunks(PIECE).for_each(|piece| context.update(piece));
    context.sign()
}

/// The whole proof of the hook, with a good signature and with one that is wrong at either end.
fn proofs(c: &mut Criterion) {
    let body = vec![b'x'; 1024];
    let good = rustcrypto(&Hmac::new_from_slice(SECRET).expect("a key of any length"), &body, body.len());
    let wrong = |at: usize| {
        let mut mac = good;
        mac[at] ^= 1;
        hex(mac)
    };
    let doors = doors();
    let mut group = c.benchmark_group("proof of 1 KiB");
    group.throughput(Throughput::Bytes(1024));
    let rows = [
        ("good", hex(good), true),
        ("wrong in its first byte", wrong(0), false),
        ("wrong in its last byte", wrong(31), false),
    ];
    for (name, signature, believed) in &rows {
        prove(&mut group, name, &doors, "/hooks/ops", signature, &body, *believed);
    }
    prove(&mut group, "good, for a channel that isn't there", &doors, "/hooks/nobody", &hex(good), &body, false);
    group.finish();
}

fn prove(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    doors: &Doors,
    path: &str,
    signature: &str,
    body: &[u8],
    believed: bool,
) {
    let headers = [("host", &b"h"[..]), ("content-length", b"1024"), ("x-hook-signature", signature.as_bytes())];
    let head = || Head { protocol: Protocol::Http11, method: "POST", path, headers: headers.iter().copied().collect() };
    group.bench_function(name, |b| {
        b.iter_batched(
            head,
            |head| {
                let mut proving = doors.admit(&head).expect("a good head");
                proving.push(black_box(body)).expect("short enough");
                assert_eq!(proving.finish(Timestamp::EPOCH).is_ok(), believed);
            },
            BatchSize::SmallInput,
        );
    });
}

/// Proofs of each kind, in turn.
const TIMED: usize = 200_000;

/// Of the times of each kind, this share at the upper end is what other processes did.
const DISTURBED: f64 = 0.05;

fn timing(_: &mut Criterion) {
    // `cargo test` asks every bench to show that it runs.
    let timed = if std::env::args().any(|arg| arg == "--bench") { TIMED } else { TIMED / 1_000 };
    let body = vec![b'x'; 1024];
    let good = rustcrypto(&Hmac::new_from_slice(SECRET).expect("a key of any length"), &body, body.len());
    let wrong = |at: usize| {
        let mut mac = good;
        mac[at] ^= 1;
        hex(mac)
    };
    let (doors, signatures) = (doors(), [wrong(0), wrong(31)]);
    let mut nanos = [Vec::with_capacity(timed), Vec::with_capacity(timed)];
    for turn in 0..2 * timed {
        // In pairs whose order changes, so that neither kind always comes behind the other.
        let kind = (turn ^ (turn / 2)) % 2;
        nanos[kind].push(refused_in_nanos(&doors, &signatures[kind], &body));
    }
    let [first, last] = nanos.map(undisturbed);
    let t = (first.mean - last.mean) / (first.variance / first.count + last.variance / last.count).sqrt();
    println!(
        "wrong in the first byte {:.1} ns, in the last {:.1} ns on average; Welch's t {t:+.2}",
        first.mean, last.mean
    );
}

fn refused_in_nanos(doors: &Doors, signature: &str, body: &[u8]) -> f64 {
    let headers = [("host", &b"h"[..]), ("content-length", b"1024"), ("x-hook-signature", signature.as_bytes())];
    let headers = headers.iter().copied().collect();
    let head = Head { protocol: Protocol::Http11, method: "POST", path: "/hooks/ops", headers };
    let mut proving = doors.admit(&head).expect("a good head");
    proving.push(body).expect("short enough");
    let begun = clock::monotonic();
    let refused = black_box(proving).finish(Timestamp::EPOCH);
    let taken = clock::monotonic().duration_since(begun);
    assert!(refused.is_err());
    taken.as_secs_f64() * 1e9
}

struct Times {
    count: f64,
    mean: f64,
    variance: f64,
}

fn undisturbed(mut nanos: Vec<f64>) -> Times {
    nanos.sort_by(f64::total_cmp);
    nanos.truncate((nanos.len() as f64 * (1.0 - DISTURBED)) as usize);
    let count = nanos.len() as f64;
    let mean = nanos.iter().sum::<f64>() / count;
    Times { count, mean, variance: nanos.iter().map(|taken| (taken - mean).powi(2)).sum::<f64>() / (count - 1.0) }
}

fn doors() -> Doors {
    let secret = std::str::from_utf8(SECRET).ok().and_then(Secret::parse).expect("a secret");
    let door = Door { channel: "ops".into(), kind: ChannelType::Text, lane: "default".into(), secrets: vec![secret] };
    Doors::new([door], 1 << 20)
}

fn hex(mac: [u8; 32]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

criterion_group!(benches, macs, proofs, timing);
criterion_main!(benches);
