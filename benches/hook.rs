//! What a proof costs: HMAC-SHA256 by RustCrypto and by ring, beside the hashing alone, and whether a mismatch tells where.
//!
//! Keys are scheduled once, as the hook does it. "One-shot" shows a body whole, "streamed" in pieces of 4 KiB. "Hashing" is
//! SHA-256 over the same bytes and two blocks more, which is what HMAC adds with its key scheduled: a proof at 1 KiB is to
//! cost no more than 1.05 of it. The last group is a timing test: a signature wrong in its first byte and one wrong in its
//! last take the same time.
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

fn doors() -> Doors {
    let secret = std::str::from_utf8(SECRET).ok().and_then(Secret::parse).expect("a secret");
    let door = Door { channel: "ops".into(), kind: ChannelType::Text, lane: "default".into(), secrets: vec![secret] };
    Doors::new([door], 1 << 20)
}

fn hex(mac: [u8; 32]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

criterion_group!(benches, macs, proofs);
criterion_main!(benches);
