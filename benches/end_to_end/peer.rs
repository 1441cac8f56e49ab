//! A peer does the daemon's job on the same topic: consume, parse, drop what is known, batch by conversation, POST.
//!
//! It is built with Go from `benches/peers/connect`, and its config stands there with the settings chosen. It posts to a sink
//! in this process that answers 200 at once: peers don't pace themselves, so Missive's limits would only stop them. It is done
//! when its group has committed the end of every partition.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use missived::shell::clock;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::load::Load;
use crate::meter::{self, Cpu};
use crate::support::daemon::Process;
use crate::support::kafka;
use crate::support::wait::{Deadline, moment};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/connect");
/// Between two looks at the committed offsets.
const LOOK: Duration = Duration::from_millis(500);
/// How long a look may take, and how long the peer may commit nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the peer's run showed.
pub struct Run {
    /// From the first look that saw something committed to the one that saw everything.
    pub seconds: f64,
    /// Events in that time.
    pub events: u64,
    pub cpu: Cpu,
    pub threads: BTreeMap<String, Cpu>,
    pub peak_rss_kib: u64,
    pub requests: u64,
}

/// Runs Redpanda Connect on a topic that holds the load.
pub fn connect(bootstrap: &str, topic: &str, load: &Load) -> Run {
    let program = build();
    let requests = Arc::new(AtomicU64::new(0));
    let group = kafka::unique("peer");
    let mut command = Command::new(program);
    command.args(["-c", "connect.yaml"]).current_dir(FOLDER);
    command.env("KAFKA", bootstrap).env("TOPIC", topic).env("GROUP", &group);
    command.env("SINK", format!("http://{}/", sink(&requests)));
    // fewer collections as long as there is room
    command.env("GOGC", "200").env("GOMEMLIMIT", "2GiB");
    let process = Process::start(command);
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", &group).create().expect("a consumer");
    let first = wait(&consumer, topic, load, 1);
    let began = clock::monotonic();
    wait(&consumer, topic, load, load.events);
    Run {
        seconds: (clock::monotonic() - began).as_secs_f64(),
        events: load.events - first,
        cpu: meter::cpu(process.pid()),
        threads: meter::threads(process.pid()),
        peak_rss_kib: meter::memory_kib(process.pid(), "VmHWM:"),
        requests: requests.load(Ordering::Relaxed),
    }
}

fn build() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("peer-connect");
    let mut go = Command::new("go");
    let built = go.args(["build", "-trimpath", "-o"]).arg(&program).arg(".").current_dir(FOLDER).status();
    assert!(built.is_ok_and(|status| status.success()), "Go builds the peer in {FOLDER}");
    program
}

/// Waits until so many events are committed; how many are.
fn wait(consumer: &BaseConsumer, topic: &str, load: &Load, enough: u64) -> u64 {
    let (mut before, mut deadline) = (0, Deadline::after(PATIENCE));
    loop {
        let committed = committed(consumer, topic, load);
        if committed >= enough {
            return committed;
        }
        if committed > before {
            (before, deadline) = (committed, Deadline::after(PATIENCE));
        }
        assert!(!deadline.passed(), "the peer commits nothing any more; it is at {committed}");
        moment(LOOK);
    }
}

fn committed(consumer: &BaseConsumer, topic: &str, load: &Load) -> u64 {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, i32::from(load.partitions) - 1);
    let offsets = consumer.committed_offsets(partitions, PATIENCE).expect("an answer from Kafka");
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => 0,
    };
    offsets.elements().iter().map(offset).sum()
}

/// Answers every request with 200, and counts.
fn sink(requests: &Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let requests = Arc::clone(requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let requests = Arc::clone(&requests);
            std::thread::spawn(move || serve(stream, &requests));
        }
    });
    address
}

/// Until the connection ends, however it does.
fn serve(mut stream: TcpStream, requests: &AtomicU64) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut reader = BufReader::new(copy);
    while let Some(length) = content_length(&mut reader) {
        let taken = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink());
        let answered = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if taken.is_err() || answered.is_err() {
            return;
        }
        requests.fetch_add(1, Ordering::Relaxed);
    }
}

fn content_length(reader: &mut BufReader<TcpStream>) -> Option<u64> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok(),
            None if line.trim_end().is_empty() => return length,
            Some(_) | None => {}
        }
    }
}
