//! Many callers at once: whoever has proven nothing gives way, and nobody waits for those who only wait.

use super::scene::*;

/// Idle connections, if this process may have so many sockets.
const IDLE: usize = 10_000;

/// Sockets that this process may still open, with some to spare.
fn sockets_allowed() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(1_024);
    soft.saturating_sub(2_500).clamp(200, IDLE)
}

async fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(count);
    for _ in 0..count {
        crowd.push(TcpStream::connect(address).await.expect("connected"));
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    for per_address in [64, 65_536] {
        let stage = stage(|hook| {
            hook.edge.connections_max = 1_024;
            hook.edge.connections_per_address_max = per_address;
        })
        .await;
        let mut crowd = idle(stage.address, sockets_allowed()).await;
        serves_at_once(stage.address).await;
        assert_eq!(ending(&mut crowd[0]).await, Ending::Cut, "the first to come goes first");
        serves_at_once(stage.address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_bodies_that_are_not_whole_give_way_too() {
    let stage = stage(|hook| hook.edge.connections_max = 2).await;
    let whole = signed("{}");
    let mut begun = Vec::new();
    for length in [20, whole.len() - 1] {
        let mut stream = TcpStream::connect(stage.address).await.expect("connected");
        stream.write_all(&whole.as_bytes()[..length]).await.expect("written");
        begun.push(stream);
    }
    serves_at_once(stage.address).await;
    assert_eq!(ending(&mut begun[0]).await, Ending::Cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_whose_proof_stands_keep_their_seats_and_others_are_told_to_come_back() {
    let stage = stage(|hook| {
        hook.edge.connections_max = 2;
        hook.edge.head_timeout = Duration::from_millis(200);
    })
    .await;
    // Once before, so that the slow answer is to the write alone.
    assert_eq!(status(&send(stage.address, &signed(&reply("m-0"))).await), "200");
    stage.cluster.broker_round_trip_time(1, Duration::from_secs(8)).expect("slow");
    let mut waiting = Vec::new();
    for id in ["m-1", "m-2"] {
        let mut stream = TcpStream::connect(stage.address).await.expect("connected");
        stream.write_all(signed(&reply(id)).as_bytes()).await.expect("written");
        waiting.push(stream);
    }
    // Nothing comes yet, and meanwhile both are proven: whoever comes earlier would take the seat of one who isn't.
    let early = timeout(Duration::from_millis(1_500), waiting[0].read_u8()).await;
    assert!(early.is_err(), "Kafka is slower than this");
    let shed = async {
        loop {
            let mut stream = TcpStream::connect(stage.address).await.expect("connected");
            match ending(&mut stream).await {
                Ending::Answered(answer) => return answer,
                Ending::Cut => {}
            }
        }
    };
    let answer = timeout(PATIENCE, shed).await.expect("turned away once both are proven");
    let wanted = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answer, wanted);
    for mut stream in waiting {
        let Ending::Answered(answer) = ending(&mut stream).await else { panic!("cut") };
        assert_eq!(status(&answer), "200");
    }
    serves_at_once(stage.address).await;
}
