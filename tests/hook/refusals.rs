//! Every no, and what it looks like.

use super::scene::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_authenticity_are_the_same_bytes_and_write_nothing() {
    let stage = stage(|_| {}).await;
    let body = reply("m-1");
    let (right, wrong) = (signature(SECRET, &body), signature("other", &body));
    let line = |signature: &str| format!("X-Hook-Signature: {signature}");
    let second = format!("X-Missive-Signature: {right}");
    let rows = [
        request("/hooks/ops", &[], &body),
        request("/hooks/ops", &[&line(&wrong)], &body),
        request("/hooks/ops", &[&line("sha256=")], &body),
        request("/hooks/ops", &[&line(&right), &line(&right)], &body),
        request("/hooks/ops", &[&line(&wrong), &second], &body),
        request("/hooks/ops", &[&line(&right)], "{}"),
        request("/hooks/ops", &[&line(&right)], ""),
        request("/hooks/nobody", &[], &body),
        request("/hooks/nobody", &[&line(&right)], &body),
        request("/hooks/nobody", &[&line(&signature("", &body))], &body),
    ];
    for row in rows {
        let answer = send(stage.address, &row).await;
        assert_eq!(answer, "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "{row}");
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-2"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_does_not_exist_waits_for_the_body_like_one_that_does() {
    let stage = stage(|hook| hook.edge.body_timeout = Duration::from_millis(50)).await;
    let line = format!("X-Hook-Signature: {}", "0".repeat(64));
    for path in ["/hooks/ops", "/hooks/nobody"] {
        let whole = request(path, &[&line], "{}");
        let answer = send(stage.address, &whole[..whole.len() - 1]).await;
        assert_eq!(status(&answer), "408", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_nothing_here_is_told_so() {
    let stage = stage(|_| {}).await;
    let rows = [
        (request("/", &[], ""), "404"),
        (request("/hooks/", &[], ""), "404"),
        (request("/hooks/ops/x", &[], ""), "404"),
        (request("/metrics", &[], ""), "404"),
        ("GET /hooks/ops HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "405"),
        ("POST /hooks/ops HTTP/1.0\r\nHost: h\r\n\r\n".to_owned(), "505"),
        ("POST /hooks/ops HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), "400"),
        ("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(), "400"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), "431"),
        (format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: x\r\n".repeat(HEADERS_MAX)), "431"),
    ];
    for (row, wanted) in rows {
        let answer = send(stage.address, &row).await;
        assert_eq!(status(&answer), wanted, "{row:.80}: {answer}");
        assert_eq!(answer.contains("allow: POST"), wanted == "405", "{answer}");
        serves_at_once(stage.address).await;
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-1"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-1"), ["m-1"], "nothing of it had an effect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_by_length_and_by_chunks() {
    let stage = stage(|_| {}).await;
    let line = format!("X-Hook-Signature: {}", "0".repeat(64));
    let (fits, over) = ("x".repeat(1000), "x".repeat(1001));
    let head = format!("POST /hooks/ops HTTP/1.1\r\nHost: h\r\n{line}\r\n");
    let chunked = |length: usize| {
        let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(400), chunk(length - 400))
    };
    let rows = [
        (request("/hooks/ops", &[&line], &fits), "401 Unauthorized"),
        (chunked(1000), "401 Unauthorized"),
        (request("/hooks/ops", &[&line], &over), "413 Payload Too Large"),
        (request("/hooks/nobody", &[&line], &over), "413 Payload Too Large"),
        (format!("{head}Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n"), "413 Payload Too Large"),
        (chunked(1001), "413 Payload Too Large"),
    ];
    for (row, wanted) in rows {
        assert_eq!(send(stage.address, &row).await, refusal(wanted), "{row:.200}");
        serves_at_once(stage.address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_is_given_up() {
    let stage = stage(|hook| hook.edge.body_timeout = Duration::from_millis(50)).await;
    let whole = signed(&reply("m-1"));
    let answer = send(stage.address, &whole[..whole.len() - 10]).await;
    assert_eq!(answer, refusal("408 Request Timeout"));
    serves_at_once(stage.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_given_up() {
    let stage = stage(|hook| hook.edge.head_timeout = Duration::from_millis(50)).await;
    for begun in ["", "P", "POST /hooks/ops HTTP/1.1\r\nHost:"] {
        assert_eq!(send(stage.address, begun).await, "", "{begun:?}");
        serves_at_once(stage.address).await;
    }
}
