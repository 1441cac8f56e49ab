//! Whatever comes over the wire has one answer, or is cut, and the next good request is served at once.

use proptest::prelude::*;

use super::scene::*;

const AMBIGUOUS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A request with a good signature whose header lines are `lines` and nothing else but the host.
fn head(body: &str, lines: &str) -> String {
    format!(
        "POST /hooks/ops HTTP/1.1\r\nHost: h\r\nX-Hook-Signature: {}\r\n{lines}\r\n\r\n{body}",
        signature(SECRET, body)
    )
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> Ending {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes).await.expect("written");
    ending(&mut stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_smuggling_shape_is_refused_with_the_same_bytes_and_nothing_behind_it_is_read() {
    let stage = stage(|_| {}).await;
    let smuggled = request("/hooks/open", &["Connection: close"], &reply("smuggled"));
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let rows = [
        ("a length beside chunks", head("{}", "Content-Length: 2\r\nTransfer-Encoding: chunked")),
        (
            "chunks beside a length",
            head("{}", "Transfer-Encoding: chunked\r\nContent-Length: 2")
                .replace("\r\n{}", &format!("\r\n{}", chunked("{}"))),
        ),
        ("one length twice", head("{}", "Content-Length: 2\r\nContent-Length: 2")),
        ("two lengths", head("{}", "Content-Length: 2\r\nContent-Length: 3")),
        ("lengths in a list", head("{}", "Content-Length: 2, 2")),
        ("a signed length", head("{}", "Content-Length: +2")),
        ("a negative length", head("{}", "Content-Length: -2")),
        ("a length in hex", head("{}", "Content-Length: 0x2")),
        ("a length over 64 bits", head("{}", "Content-Length: 18446744073709551618")),
        ("chunks twice", head("{}", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("chunks before another coding", head("{}", "Transfer-Encoding: chunked, identity")),
        ("another coding before chunks", head("{}", "Transfer-Encoding: gzip, chunked")),
        ("a coding that only looks like chunks", head("{}", "Transfer-Encoding: xchunked")),
        ("white space before a colon", head("{}", "Content-Length : 2")),
        ("a folded line", head("{}", "X: y\r\n Content-Length: 2")),
        ("a bare line feed", head("{}", "X: y\nContent-Length: 2")),
        ("a bare carriage return", head("{}", "X: y\rContent-Length: 2")),
        ("a NUL in a value", head("{}", "X: \0\r\nContent-Length: 2")),
        ("a NUL in a name", head("{}", "X\0: y\r\nContent-Length: 2")),
        ("an empty name", head("{}", ": y\r\nContent-Length: 2")),
        ("an empty line before the request", format!("\r\n{}", head("{}", "Content-Length: 2"))),
        ("a NUL in the target", head("{}", "Content-Length: 2").replace("/ops", "/o\0ps")),
        ("two hosts", head("{}", "Host: i\r\nContent-Length: 2")),
        ("an absolute target", head("{}", "Content-Length: 2").replace("/hooks", "http://h/hooks")),
        ("an absolute target of another host", head("{}", "Content-Length: 2").replace("/hooks", "http://other/hooks")),
    ];
    for (name, row) in rows {
        let answer = exchange(stage.address, format!("{row}{smuggled}").as_bytes()).await;
        let Ending::Answered(answer) = answer else { panic!("{name}: {answer:?}") };
        let one_line = answer.lines().next().unwrap_or_default();
        assert_eq!((answer.as_str(), answer.matches("HTTP/1.1").count()), (AMBIGUOUS, 1), "{name}: {one_line}");
        serves_at_once(stage.address).await;
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-1"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-1"), ["m-1"], "nothing was smuggled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_chunks_is_never_read_as_a_request() {
    let stage = stage(|_| {}).await;
    let body = reply("m-1");
    let smuggled = request("/hooks/open", &["Connection: close"], &reply("smuggled"));
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let whole = head(&body, "Transfer-Encoding: chunked").replace(&body, &chunks);
    let Ending::Answered(answer) = exchange(stage.address, format!("{whole}{smuggled}").as_bytes()).await else {
        panic!("not answered")
    };
    assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), ("200", 1), "{answer}");
    assert_eq!(status(&send(stage.address, &signed(&reply("m-2"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_what_it_was_said_to_be_is_refused() {
    let stage = stage(|_| {}).await;
    let chunked = |chunks: &str| head("", "Transfer-Encoding: chunked") + chunks;
    let rows = [
        ("a chunk's size that is none", chunked("x\r\n{}\r\n0\r\n\r\n"), "400 Bad Request"),
        ("a negative chunk", chunked("-2\r\n{}\r\n0\r\n\r\n"), "400 Bad Request"),
        ("a chunk over 64 bits", chunked("10000000000000002\r\n{}\r\n0\r\n\r\n"), "400 Bad Request"),
        ("a chunk that is longer than its size", chunked("1\r\n{}\r\n0\r\n\r\n"), "400 Bad Request"),
        (
            "a chunk over the limit",
            chunked(&format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001))),
            "413 Payload Too Large",
        ),
        ("a length over the limit", head("", "Content-Length: 1001"), "413 Payload Too Large"),
    ];
    for (name, row, wanted) in rows {
        let Ending::Answered(answer) = exchange(stage.address, row.as_bytes()).await else { panic!("{name}: cut") };
        assert_eq!(answer, refusal(wanted), "{name}");
        serves_at_once(stage.address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_stops_in_the_middle_is_answered_or_cut() {
    let stage = stage(|_| {}).await;
    let whole = head("{}", "Content-Length: 2\r\nConnection: close");
    let served =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
            .to_owned();
    let rows = [
        ("nothing", 0, None),
        ("half a head", 20, None),
        ("half a body", whole.len() - 1, Some(refusal("400 Bad Request"))),
        ("all of it", whole.len(), Some(served)),
    ];
    for (name, length, wanted) in rows {
        let mut stream = TcpStream::connect(stage.address).await.expect("connected");
        stream.write_all(&whole.as_bytes()[..length]).await.expect("written");
        stream.shutdown().await.expect("half closed");
        match (ending(&mut stream).await, wanted) {
            (Ending::Answered(answer), Some(wanted)) => assert_eq!(answer, wanted, "{name}"),
            (ending, wanted) => assert_eq!((ending, wanted), (Ending::Cut, None), "{name}"),
        }
        serves_at_once(stage.address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_is_no_progress_for_a_head_or_a_body() {
    let stage = stage(|hook| {
        hook.edge.head_timeout = Duration::from_millis(100);
        hook.edge.body_timeout = Duration::from_millis(100);
    })
    .await;
    let body = "x".repeat(900);
    let rows = [
        ("a head", format!("POST /hooks/ops HTTP/1.1\r\nX: {}", "x".repeat(900)), None),
        ("a body", head(&body, "Content-Length: 900"), Some("408")),
    ];
    for (name, bytes, wanted) in rows {
        let mut stream = TcpStream::connect(stage.address).await.expect("connected");
        let begun = bytes.len() - 800;
        stream.write_all(&bytes.as_bytes()[..begun]).await.expect("written");
        let answer = trickle(&mut stream, &bytes.as_bytes()[begun..]).await;
        assert_eq!(answer.as_deref().map(status), wanted, "{name}");
        serves_at_once(stage.address).await;
    }
}

/// A byte whenever nothing has come for a moment; what the server says at last, if anything.
async fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> Option<String> {
    let mut answer = [0; 512];
    for byte in bytes {
        match timeout(Duration::from_millis(5), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(length)) => return Some(String::from_utf8_lossy(&answer[..length]).into_owned()),
            Err(_) => {}
        }
        if stream.write_all(&[*byte]).await.is_err() {
            return None;
        }
    }
    panic!("the server waited for all of it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_together_are_answered_in_order_up_to_the_limit() {
    let stage = stage(|hook| hook.edge.requests_per_connection_max = 3).await;
    let each = head("{}", "Content-Length: 2");
    let Ending::Answered(answer) = exchange(stage.address, each.repeat(5).as_bytes()).await else { panic!("cut") };
    assert_eq!(
        (answer.matches("HTTP/1.1 200 OK").count(), answer.matches("connection: close").count()),
        (3, 1),
        "{answer}"
    );
    serves_at_once(stage.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_is_ended() {
    let stage = stage(|hook| hook.edge.idle_timeout = Duration::from_millis(50)).await;
    let Ending::Answered(answer) = exchange(stage.address, head("{}", "Content-Length: 2").as_bytes()).await else {
        panic!("cut")
    };
    assert_eq!(status(&answer), "200", "answered, then ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_cut() {
    let stage = stage(|hook| {
        hook.edge.write_timeout = Duration::from_millis(100);
        hook.edge.requests_per_connection_max = 1_000_000;
    })
    .await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(1_024).expect("a small window");
    let mut stream = socket.connect(stage.address).await.expect("connected");
    let each = head("{}", "Content-Length: 2").repeat(100);
    let writing = async { while stream.write_all(each.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, writing).await.expect("cut in time");
    serves_at_once(stage.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_together_have_a_bound() {
    let stage = stage(|hook| hook.edge.bodies_bytes_max = 1_500).await;
    let whole = head(&"x".repeat(1_000), "Content-Length: 1000\r\nExpect: 100-continue");
    let (start, body) = whole.split_once("\r\n\r\n").expect("a head");
    let mut first = TcpStream::connect(stage.address).await.expect("connected");
    first.write_all(format!("{start}\r\n\r\n").as_bytes()).await.expect("written");
    let mut go_on = [0; 25];
    first.read_exact(&mut go_on).await.expect("100 Continue");
    first.write_all(&body.as_bytes()[..999]).await.expect("written");
    let refused = async {
        loop {
            let Ending::Answered(answer) = exchange(stage.address, head(body, "Content-Length: 1000").as_bytes()).await
            else {
                panic!("cut")
            };
            if status(&answer) == "503" {
                return answer;
            }
        }
    };
    let answer = timeout(PATIENCE, refused).await.expect("refused once the first body is there");
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    first.write_all(b"x").await.expect("written");
    let Ending::Answered(answer) = ending(&mut first).await else { panic!("cut") };
    assert_eq!(status(&answer), "400", "proven, and no JSON: the first was not disturbed");
    serves_at_once(stage.address).await;
}

/// Pieces that requests are made of, in any order.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"POST /hooks/ops HTTP/1.1\r\n".to_vec()),
        Just(b"Host: h\r\n".to_vec()),
        Just(b"Content-Length: 2\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"{}".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"GET http://h/ HTTP/1.1\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

#[test]
fn no_bytes_without_a_proof_get_a_yes_or_keep_the_server_from_serving() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let stage = runtime.block_on(stage(|hook| {
        hook.edge.head_timeout = Duration::from_millis(50);
        hook.edge.idle_timeout = Duration::from_millis(50);
        hook.edge.body_timeout = Duration::from_millis(50);
    }));
    proptest!(ProptestConfig::with_cases(48), |(pieces in proptest::collection::vec(piece(), 0..12))| {
        let bytes = pieces.concat();
        let ending = runtime.block_on(async {
            let mut stream = TcpStream::connect(stage.address).await.expect("connected");
            if stream.write_all(&bytes).await.is_err() {
                return Ending::Cut;
            }
            ending(&mut stream).await
        });
        if let Ending::Answered(answer) = ending {
            prop_assert!(!answer.contains("HTTP/1.1 2") && answer.starts_with("HTTP/1.1 "), "{}", answer);
        }
        runtime.block_on(serves_at_once(stage.address));
    });
}
