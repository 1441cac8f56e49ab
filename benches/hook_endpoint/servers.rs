//! What is measured: the hook before an in-process Kafka, and a bare hyper server that reads bodies and says 200.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use missived::config;
use missived::event::Timestamp;
use missived::hook::{Door, SIGNATURE_HEADERS, Secret};
use missived::missive::ChannelType;
use missived::shell::edge::{Renewable, serve};
use missived::shell::hook::{Clock, Hook, Outlet, producer};
use missived::shell::kafka::bounded_producer_config;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SECRET: &str = "s3cr3t";
const BODY_BYTES: usize = 1024;
const TWO_DAYS_MS: u64 = 2 * 24 * 3_600 * 1_000;

pub struct Servers {
    pub bare: SocketAddr,
    pub hook: SocketAddr,
    pub bootstrap: String,
    _cluster: MockCluster<'static, DefaultProducerContext>,
    _stop: watch::Sender<bool>,
}

pub async fn start(settings: &[(String, String)]) -> Servers {
    let cluster = MockCluster::new(1).expect("cluster");
    cluster.create_topic("bench.replies", 1, 1).expect("topic");
    cluster.create_topic("bench.ledger", 1, 1).expect("topic");
    let (stop, stopped) = watch::channel(false);
    let hook = Arc::new(Renewable::new(hook(&cluster.bootstrap_servers(), settings)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, hook, stopped, Duration::ZERO));
    Servers {
        bare: bare().await,
        hook: address,
        bootstrap: cluster.bootstrap_servers(),
        _cluster: cluster,
        _stop: stop,
    }
}

fn hook(bootstrap: &str, settings: &[(String, String)]) -> Hook {
    let millis = AtomicU64::new(1_795_317_120_000);
    let clock: Clock = Arc::new(move || Timestamp::from_millis(millis.fetch_add(TWO_DAYS_MS, Ordering::Relaxed)));
    let mut client = bounded_producer_config(&kafka(bootstrap), Duration::from_secs(10));
    for (key, value) in settings {
        client.set(key, value);
    }
    let outlet = Outlet {
        producer: producer(&client, Arc::clone(&clock)).expect("a producer"),
        replies: "bench.replies".to_owned(),
        ledger: "bench.ledger".to_owned(),
        partition_of_lane: HashMap::from([("default".into(), 0)]),
        reply_bytes_max: 1 << 20,
    };
    let secrets = vec![Secret::parse(SECRET).expect("a secret")];
    let door = Door { channel: "ops".into(), kind: ChannelType::Text, lane: "default".into(), secrets };
    let config = config::Hook {
        edge: edge(),
        kafka_timeout: Duration::from_secs(10),
        raw: config::Raw::Dropped,
        signature_headers: SIGNATURE_HEADERS.map(Box::from).to_vec(),
        doors: vec![door],
    };
    Hook::new(config, outlet, clock).expect("a hook")
}

pub fn kafka(bootstrap: &str) -> config::Kafka {
    config::Kafka {
        bootstrap: bootstrap.to_owned(),
        namespace: "bench".into(),
        instance: None,
        session_timeout: Duration::from_secs(6),
        topics: config::Topics {
            ledger_partitions: 1,
            reply_partitions: 1,
            replication: 1,
            message_bytes_max: 1 << 20,
            decisions: None,
        },
        librdkafka: BTreeMap::new(),
    }
}

/// The defaults, but for quotas that nobody exhausts; they are counted all the same.
fn edge() -> config::Edge {
    let second = Duration::from_secs(1);
    config::Edge {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        body_bytes_max: 1 << 20,
        head_timeout: second * 5,
        body_timeout: second * 10,
        idle_timeout: second * 30,
        write_timeout: second * 5,
        requests_per_connection_max: 1_000_000,
        connections_max: 1_024,
        connections_per_address_max: 1_024,
        bodies_bytes_max: 64 << 20,
        requests_per_minute: NonZeroU32::MAX,
        failures_per_minute: NonZeroU32::MAX,
        proxies: Vec::new(),
    }
}

async fn bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(read_and_answer);
            stream.set_nodelay(true).expect("an open stream");
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn read_and_answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        drop(frame);
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}

/// A reply of 1 KiB; without an id it is a probe, which needs no Kafka.
pub fn body(id: Option<usize>) -> String {
    let id = id.map_or("null".to_owned(), |id| format!("\"m-{id}\""));
    let start = format!(r#"{{"message":{{"id":{id},"to_fields":[{{"id":"alerts/lag"}}],"body":""#);
    let end = r#""},"conversation":{"id":"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee","messages_count":2}}"#;
    format!("{start}{}{end}", "x".repeat(BODY_BYTES - start.len() - end.len()))
}

pub fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One good request; its status line.
pub async fn ask(address: SocketAddr, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "POST /hooks/ops HTTP/1.1\r\nHost: h\r\nX-Hook-Signature: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        signature(body),
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer.lines().next().unwrap_or_default().to_owned()
}

pub async fn each_answers(servers: &Servers) {
    for address in [servers.bare, servers.hook] {
        for id in [None, Some(1)] {
            assert_eq!(ask(address, &body(id)).await, "HTTP/1.1 200 OK");
        }
    }
}
