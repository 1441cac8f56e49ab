//! How often one address may ask, and whose word about addresses counts.

use std::num::NonZeroU32;

use missived::config::Network;

use super::scene::*;

const COUNT: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
const TOO_MANY: &str =
    "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";

fn forwarded(line: &str, secret: &str) -> String {
    let signature = format!("X-Hook-Signature: {}", signature(secret, "{}"));
    request("/hooks/ops", &[line, &signature, "Connection: close"], "{}")
}

fn trusting(hook: &mut config::Hook) {
    hook.edge.proxies = vec![Network::parse("127.0.0.1").expect("an address")];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_over_its_quota_is_told_to_come_back() {
    let stage = stage(|hook| hook.edge.requests_per_minute = COUNT).await;
    for _ in 0..5 {
        assert_eq!(status(&send(stage.address, &signed("{}")).await), "200");
    }
    assert_eq!(send(stage.address, &signed("{}")).await, TOO_MANY);
    assert_eq!(
        status(&send(stage.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await),
        "404",
        "what is cheaper is judged before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_proofs_bar_their_address_and_no_other_whatever_it_forges() {
    let stage = stage(|hook| {
        hook.edge.failures_per_minute = COUNT;
        trusting(hook);
    })
    .await;
    let wrong = |line: &str| forwarded(line, "wrong");
    for number in 0..6 {
        let line = format!("X-Forwarded-For: 203.0.113.{number}, 198.51.100.7");
        assert_eq!(status(&send(stage.address, &wrong(&line)).await), "401", "{number}");
    }
    let rows = [
        ("X-Forwarded-For: 198.51.100.7", "429", "barred, with a good signature too"),
        ("X-Forwarded-For: 203.0.113.1, 198.51.100.7", "429", "whatever it says of others"),
        ("X-Forwarded-For: 198.51.100.7, 127.0.0.1", "429", "our own proxy behind it"),
        ("X-Forwarded-For: 198.51.100.8", "200", "its neighbour"),
        ("X-Forwarded-For: 198.51.100.7, 203.0.113.1", "200", "one that only names it"),
        ("X: y", "200", "a proxy that names nobody"),
    ];
    for (line, wanted, sentence) in rows {
        assert_eq!(status(&send(stage.address, &forwarded(line, SECRET)).await), wanted, "{sentence}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_word_about_itself_is_nothing() {
    let stage = stage(|hook| hook.edge.requests_per_minute = COUNT).await;
    let answers: Vec<String> = {
        let mut answers = Vec::new();
        for number in 0..6 {
            let line = format!("X-Forwarded-For: 203.0.113.{number}");
            answers.push(send(stage.address, &forwarded(&line, SECRET)).await);
        }
        answers
    };
    assert_eq!(
        answers.iter().map(|answer| status(answer)).collect::<Vec<_>>(),
        ["200", "200", "200", "200", "200", "429"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_channels_use_up_failures_like_known_ones() {
    for path in ["/hooks/ops", "/hooks/nobody"] {
        let stage = stage(|hook| hook.edge.failures_per_minute = COUNT).await;
        let wrong = request(path, &[&format!("X-Hook-Signature: {}", "0".repeat(64))], "{}");
        for _ in 0..6 {
            assert_eq!(status(&send(stage.address, &wrong).await), "401", "{path}");
        }
        assert_eq!(send(stage.address, &wrong).await, TOO_MANY, "{path}");
    }
}
