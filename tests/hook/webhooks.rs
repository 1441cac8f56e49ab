//! What Missive sends and what becomes of it: on Kafka once, whatever happens on the way.

use super::scene::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_reply_is_on_kafka_when_it_is_answered() {
    let stage = stage(|_| {}).await;
    let answer = send(stage.address, &signed(&reply("m-1"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n{}"), "{answer}");
    let replies = records(&stage.cluster, REPLIES, 0, |_| true);
    assert_eq!(replies[0].key(), Some(b"alerts/lag".as_slice()));
    let headers = ["content-type", "missived-version", "missived-message-id", "missived-channel"];
    let wanted = ["application/json", "1", "m-1", "ops"].map(Some);
    assert_eq!(headers.map(|name| header(&replies[0], name)), wanted);
    let value: serde_json::Value = serde_json::from_slice(replies[0].payload().expect("payload")).expect("JSON");
    assert_eq!((value["body"].as_str(), value["route"].as_str()), (Some("ack"), Some("alerts")));

    let ledger = records(&stage.cluster, LEDGER, 2, |_| true);
    let Ok(LedgerRecord::Lessons(lessons)) = LedgerRecord::read(ledger[0].payload().expect("payload")) else {
        panic!("no lessons")
    };
    let learned: Vec<_> = lessons.iter().map(|lesson| (lesson.about, lesson.routing_key)).collect();
    assert_eq!(learned, [(Learned::Answered, "alerts/lag")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_active_secret_and_any_documented_header_is_accepted() {
    let stage = stage(|_| {}).await;
    let body = reply("m-1");
    for secret in [SECRET, "next"] {
        for name in ["X-Hook-Signature: ", "x-hook-signature:sha256=", "X-Missive-Signature: sha256="] {
            let line = format!("{name}{}", signature(secret, &body));
            let answer = send(stage.address, &request("/hooks/ops", &[&line, "Connection: close"], &body)).await;
            assert_eq!(status(&answer), "200", "{line}");
        }
    }
    let answer = send(stage.address, &request("/hooks/open", &["Connection: close"], &reply("m-2"))).await;
    assert_eq!(status(&answer), "200", "a door that the config leaves open");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_for_the_next_reply() {
    let stage = stage(|_| {}).await;
    let both: String = ["m-1", "m-2"].map(|id| signed(&reply(id))).concat();
    let answer = send(stage.address, &both.replacen("Connection: close\r\n", "", 1)).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_and_not_written_again() {
    let stage = stage(|_| {}).await;
    let again = signed(&reply("m-1"));
    assert_eq!(status(&send(stage.address, &again).await), "200");
    assert_eq!(status(&send(stage.address, &again).await), "200");
    let same = || {
        let (address, same) = (stage.address, signed(&reply("m-2")));
        tokio::spawn(async move { send(address, &same).await })
    };
    let crowd: Vec<_> = (0..20).map(|_| same()).collect();
    for one in crowd {
        assert_eq!(status(&one.await.expect("sent")), "200");
    }
    assert_eq!(status(&send(stage.address, &signed(&reply("m-3"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-3"), ["m-1", "m-2", "m-3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_kafka_took_late_is_not_written_again() {
    let stage = stage(|hook| hook.kafka_timeout = Duration::from_millis(100)).await;
    stage.cluster.broker_round_trip_time(1, Duration::from_millis(700)).expect("slow");
    let late = signed(&reply("m-1"));
    assert_eq!(status(&send(stage.address, &late).await), "503");
    stage.cluster.broker_round_trip_time(1, Duration::ZERO).expect("fast");
    until_taken(stage.address, &late).await;
    until_taken(stage.address, &signed(&reply("m-2"))).await;
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_whose_sender_hung_up_is_written_once() {
    let stage = stage(|_| {}).await;
    stage.cluster.broker_round_trip_time(1, Duration::from_millis(300)).expect("slow");
    let mut impatient = TcpStream::connect(stage.address).await.expect("connected");
    impatient.write_all(signed(&reply("m-1")).as_bytes()).await.expect("written");
    drop(impatient);
    assert_eq!(status(&send(stage.address, &signed(&reply("m-1"))).await), "200");
    assert_eq!(status(&send(stage.address, &signed(&reply("m-2"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-2"), ["m-1", "m-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_nothing_is_taken() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let closed = nobody.local_addr().expect("address").to_string();
    drop(nobody);
    let (address, _stop, _server) = start(|hook| hook.kafka_timeout = Duration::from_millis(100), &closed).await;
    for _ in 0..2 {
        let answer = send(address, &signed(&reply("m-1"))).await;
        assert_eq!(status(&answer), "503");
        assert!(answer.contains("retry-after: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!(status(&send(address, &signed("{}")).await), "200", "a probe needs no Kafka");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proven_nonsense_is_refused_and_a_probe_writes_nothing() {
    let stage = stage(|_| {}).await;
    assert_eq!(status(&send(stage.address, &signed("ack")).await), "400");
    assert_eq!(status(&send(stage.address, &signed(r#"{"hello":1}"#)).await), "200");
    assert_eq!(status(&send(stage.address, &signed(&reply("m-1"))).await), "200");
    assert_eq!(ids(&stage.cluster, "m-1"), ["m-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_other() {
    let stage = stage(|_| {}).await;
    let mut under_way = TcpStream::connect(stage.address).await.expect("connected");
    let whole = signed(&reply("m-1")).replace("Content-Length", "Expect: 100-continue\r\nContent-Length");
    let (head, body) = whole.split_once("\r\n\r\n").expect("a head");
    under_way.write_all(format!("{head}\r\n\r\n").as_bytes()).await.expect("written");
    let mut go_on = [0; 25];
    under_way.read_exact(&mut go_on).await.expect("100 Continue: the request is under way");
    stage.stop.send(true).expect("the server listens");
    under_way.write_all(body.as_bytes()).await.expect("written");
    assert_eq!(status(&read(&mut under_way).await), "200");
    timeout(PATIENCE, stage.server).await.expect("ended in time").expect("ended in peace");
    assert!(TcpStream::connect(stage.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_a_restart_is_answered_and_not_written_again() {
    let stage = stage(|_| {}).await;
    let rule = r#"{"rule":{"id":"r","type":"conversation_closed"},"conversation":{"id":"c-1"}}"#;
    // The cluster writes the time of day, and a rule's repeat is known for a minute from then.
    let later = [signed(&reply("m-1")), signed(rule)];
    for request in &later {
        assert_eq!(status(&send(stage.address, request).await), "200");
    }
    let address = successor(&stage).await;
    for request in &later {
        assert_eq!(status(&send(address, request).await), "200");
    }
    assert_eq!(status(&send(address, &signed(&reply("m-2"))).await), "200");
    let kinds: Vec<_> =
        records(&stage.cluster, REPLIES, 0, |message| header(message, "missived-message-id") == Some("m-2"))
            .iter()
            .map(|message| header(message, "missived-kind").map(str::to_owned))
            .collect();
    assert_eq!(kinds, ["reply", "rule", "reply"].map(|kind| Some(kind.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_name_of_a_reply_is_documented_and_no_other() {
    const DOCUMENT: &str = include_str!("../../docs/replies.md");
    let stage = stage(|hook| hook.raw = config::Raw::Kept).await;
    let rule = r#"{"rule":{"id":"r","type":"conversation_closed"},"conversation":{"id":"c-1"}}"#;
    assert_eq!(status(&send(stage.address, &signed(rule)).await), "200");
    let replies = records(&stage.cluster, REPLIES, 0, |_| true);
    let value: serde_json::Value = serde_json::from_slice(replies[0].payload().expect("payload")).expect("JSON");
    let (_, table) = DOCUMENT.split_once("## The object").expect("a section");
    let mut documented: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut written: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    documented.sort_unstable();
    written.sort_unstable();
    assert_eq!(documented, written);
    assert!(DOCUMENT.contains(&format!("This is version {}.", missived::hook::VERSION)));
    for header in replies[0].headers().expect("headers").iter() {
        assert!(DOCUMENT.contains(&format!("| `{}` |", header.key)), "{}", header.key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_itself_goes_along_where_the_config_says_so() {
    let stage = stage(|hook| hook.raw = config::Raw::Kept).await;
    let body = reply("m-1");
    assert_eq!(status(&send(stage.address, &signed(&body)).await), "200");
    let replies = records(&stage.cluster, REPLIES, 0, |_| true);
    let value: serde_json::Value = serde_json::from_slice(replies[0].payload().expect("payload")).expect("JSON");
    assert_eq!(value["raw"].as_str(), Some(body.as_str()));
}
