//! The whole daemon, joined: topics and installation first, then intake, courier, hook and admin side by side.
//!
//! A part that fails is started again after a pause; nothing but a fault of the config or of the installation ends the daemon
//! by itself. Stopping is one drain: the hook takes nothing new, the intake writes and commits what it has read, the courier
//! lets answers come in and commits, all of them within one deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::producer::FutureProducer;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

use super::clock::{self, Deadline};
use super::courier::client::{Client, ClientError};
use super::courier::{self, Tokens};
use super::edge::TlsError;
use super::hook::Outlet;
use super::intake;
use super::kafka::{
    Installation, InstallationError, Names, TopicError, bounded_producer_config, create_topics, install,
};
use super::readiness::{Gate, Readiness, ReadyState, Whole as Readied};
use super::sockets::Sockets;
use super::{admin, hook, ingest};
use crate::config::{self, Config};
use crate::telemetry::Telemetry;

/// How long a part that failed rests before it starts again, and how often Kafka is looked for.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Why the daemon can't run with what it has been given; nothing here passes by waiting.
#[derive(Debug, Error)]
pub enum DaemonError {
    #[error("{what} can't listen on {address}: {error}")]
    Listen { what: &'static str, address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Topics(TopicError),
    #[error(transparent)]
    Installation(InstallationError),
    #[error("kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Hook(#[from] hook::HookError),
    #[error("no thread: {0}")]
    Thread(std::io::Error),
}

/// A daemon that runs. Dropping it does not stop it: [`Daemon::stop`] does.
pub struct Daemon {
    pub telemetry: Arc<Telemetry>,
    pub readiness: Arc<Readiness>,
    pub admin_address: SocketAddr,
    pub hook_address: Option<SocketAddr>,
    stop: Arc<Stop>,
    supervisor: JoinHandle<Result<(), DaemonError>>,
    servers: Vec<Task<()>>,
    drain_deadline: Duration,
}

/// Told once, heard by threads and tasks.
struct Stop {
    threads: AtomicBool,
    tasks: watch::Sender<bool>,
}

impl Daemon {
    /// Binds the listeners and starts everything else in the background, Kafka or no Kafka.
    pub async fn start(config: Config, telemetry: Arc<Telemetry>, seed: u64) -> Result<Self, DaemonError> {
        let readiness = Arc::new(Readiness::default());
        let (tasks, stopped) = watch::channel(false);
        let stop = Arc::new(Stop { threads: AtomicBool::new(false), tasks });
        let names = Names::new(&config.kafka.namespace);
        let now: courier::client::Clock = Arc::new(clock::now);
        // Half of the seed is a name for this run as good as any, and gives nothing away.
        let run = u32::try_from(seed >> 32).unwrap_or_default();
        let client = Client::new(&config.missive, now)?.named(config.kafka.instance.as_deref(), run);
        let client = Arc::new(client);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), run = format!("{run:08x}"), "starting");
        let mut servers = Vec::new();

        let mut sockets = Sockets::inherited();
        let admin_listener = listen(&mut sockets, "admin", config.admin.listen).await?;
        let admin_address = admin_listener.local_addr().unwrap_or(config.admin.listen);
        tracing::info!(address = %admin_address, "admin listening");
        let scrape = {
            let telemetry = Arc::clone(&telemetry);
            move || telemetry.render(clock::now())
        };
        servers.push(tokio::spawn(admin::serve(
            admin_listener,
            Arc::new(scrape),
            Arc::clone(&readiness),
            stopped.clone(),
        )));

        let hook = match &config.hook {
            Some(hook) => Some((listen(&mut sockets, "hook", hook.edge.listen).await?, hook.clone())),
            None => None,
        };
        let ingest = match &config.ingest {
            Some(ingest) => Some((listen(&mut sockets, "ingest", ingest.edge.listen).await?, ingest.clone())),
            None => None,
        };
        drop(sockets);
        let hook_address = hook.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        let doors = Doors { hook, ingest };
        let whole = Whole {
            gates: Gates::new(&readiness, &config),
            readiness: Arc::clone(&readiness),
            names,
            client,
            telemetry: Arc::clone(&telemetry),
            runtime: Handle::current(),
            seed,
            drain_deadline: config.drain_deadline,
            config,
        };
        let (drain_deadline, supervised) = (whole.drain_deadline, Arc::clone(&stop));
        let supervise = move || {
            let ended = supervise(&whole, doors, stopped, &supervised);
            whole.gates.retire();
            ended
        };
        let supervisor =
            thread::Builder::new().name("supervisor".into()).spawn(supervise).map_err(DaemonError::Thread)?;
        Ok(Self { telemetry, readiness, admin_address, hook_address, stop, supervisor, servers, drain_deadline })
    }

    /// Are all parts ready?
    pub fn is_ready(&self) -> bool {
        self.readiness.whole() == Readied::Ready
    }

    /// Has the daemon ended by itself? Then [`Daemon::stop`] says why.
    pub fn has_ended(&self) -> bool {
        self.supervisor.is_finished()
    }

    /// Drains and ends; after the deadline what is left is left to a successor.
    pub async fn stop(self) -> Result<(), DaemonError> {
        let drain = self.readiness.component("drain");
        drain.set(ReadyState::Starting("draining"));
        self.stop.threads.store(true, Ordering::Release);
        self.stop.tasks.send_replace(true);
        let deadline = Deadline::after(self.drain_deadline + Duration::from_secs(2));
        let supervisor = self.supervisor;
        while !supervisor.is_finished() && !deadline.has_passed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for server in self.servers {
            server.abort();
        }
        drain.retire();
        if !supervisor.is_finished() {
            tracing::warn!("the drain took longer than its deadline; what is left is left to a successor");
            return Ok(());
        }
        supervisor.join().unwrap_or(Ok(()))
    }
}

/// Everything the supervisor hands on.
struct Whole {
    config: Config,
    names: Names,
    client: Arc<Client>,
    gates: Gates,
    readiness: Arc<Readiness>,
    telemetry: Arc<Telemetry>,
    runtime: Handle,
    seed: u64,
    drain_deadline: Duration,
}

struct Gates {
    kafka: Gate,
    lanes: Arc<Gate>,
    intake: Vec<Arc<Gate>>,
    hook: Option<Gate>,
}

impl Gates {
    /// Every part has ended in order.
    fn retire(self) {
        let shared = self.intake.into_iter().chain([self.lanes]).filter_map(Arc::into_inner);
        shared.chain([self.kafka]).chain(self.hook).for_each(Gate::retire);
    }

    fn new(readiness: &Arc<Readiness>, config: &Config) -> Self {
        Self {
            kafka: readiness.component("kafka"),
            lanes: Arc::new(readiness.component("lanes")),
            intake: (0..config.intake.threads)
                .map(|number| Arc::new(readiness.component(format!("intake-{number}"))))
                .collect(),
            hook: config.hook.as_ref().map(|_| readiness.component("hook")),
        }
    }
}

/// The listeners that strangers can reach, bound and not served yet.
struct Doors {
    hook: Option<(TcpListener, config::Hook)>,
    ingest: Option<(TcpListener, config::Ingest)>,
}

async fn listen(sockets: &mut Sockets, what: &'static str, address: SocketAddr) -> Result<TcpListener, DaemonError> {
    sockets.listen(what, address).await.map_err(|error| DaemonError::Listen { what, address, error })
}

fn supervise(whole: &Whole, doors: Doors, stopped: watch::Receiver<bool>, stop: &Arc<Stop>) -> Result<(), DaemonError> {
    let Some(installation) = prepare(whole, stop)? else { return Ok(()) };
    whole.gates.kafka.set(ReadyState::Ready);
    let mut served = Vec::new();
    if let Some((listener, config)) = doors.ingest {
        served.push(serve_ingest(whole, listener, config, stopped.clone())?);
    }
    if let Some((listener, config)) = doors.hook {
        served.push(serve_hook(whole, &installation, listener, config, stopped)?);
    }
    let mut threads = vec![spawn_courier(whole, installation.clone(), stop)?];
    for (number, gate) in whole.gates.intake.iter().enumerate() {
        threads.push(spawn_intake(whole, &installation, number, Arc::clone(gate), stop)?);
    }
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a part of the daemon panicked");
        }
    }
    for server in served {
        // It has heard the same stop and drains by itself.
        let ended = whole.runtime.block_on(async { tokio::time::timeout(whole.drain_deadline, server).await });
        if ended.is_err() {
            tracing::warn!("a listener did not drain in time");
        }
    }
    Ok(())
}

/// Waits for Kafka, then makes sure of topics and installation. `None`: stopped before that.
fn prepare(whole: &Whole, stop: &Stop) -> Result<Option<Installation>, DaemonError> {
    let lanes: Vec<&str> = whole.config.lanes.iter().map(|lane| &*lane.policy.lane).collect();
    let kafka = &whole.config.kafka;
    whole.gates.kafka.set(ReadyState::Starting("kafka is not reachable"));
    while !stop.threads.load(Ordering::Acquire) {
        match whole.runtime.block_on(create_topics(kafka, &whole.names)) {
            Ok(created) => {
                if !created.is_empty() {
                    tracing::info!(topics = created.join(", "), "created internal topics");
                }
                match install(kafka, &whole.names, &lanes) {
                    Ok(installation) => return Ok(Some(installation)),
                    Err(error @ (InstallationError::Read(_) | InstallationError::Write(_))) => {
                        tracing::warn!(%error, "trying again");
                    }
                    Err(error) => return Err(DaemonError::Installation(error)),
                }
            }
            Err(error @ TopicError::Partitions { .. }) => return Err(DaemonError::Topics(error)),
            Err(error) => tracing::warn!(%error, bootstrap = kafka.bootstrap, "trying again"),
        }
        pause(stop);
    }
    Ok(None)
}

/// Rests, but not when it is time to stop.
fn pause(stop: &Stop) {
    let deadline = Deadline::after(RESTART_PAUSE);
    while !deadline.has_passed() && !stop.threads.load(Ordering::Acquire) {
        thread::park_timeout(Duration::from_millis(50));
    }
}

fn serve_hook(
    whole: &Whole,
    installation: &Installation,
    listener: TcpListener,
    config: config::Hook,
    stopped: watch::Receiver<bool>,
) -> Result<Task<()>, DaemonError> {
    let _inside = whole.runtime.enter();
    let client = bounded_producer_config(&whole.config.kafka, config.kafka_timeout);
    let producer = hook::producer(&client, Arc::new(clock::now))?;
    let outlet = Outlet {
        producer,
        replies: whole.names.replies.clone(),
        ledger: whole.names.ledger.clone(),
        partition_of_lane: installation.lanes.iter().map(|(lane, partition)| (lane.clone(), *partition)).collect(),
        reply_bytes_max: whole.config.kafka.topics.message_bytes_max,
    };
    let hook = Arc::new(hook::Hook::new(config, outlet, Arc::new(clock::now))?);
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "hook listening");
    }
    if let Some(gate) = &whole.gates.hook {
        gate.set(ReadyState::Ready);
    }
    let (kafka, drain) = (whole.config.kafka.clone(), whole.drain_deadline);
    Ok(whole.runtime.spawn(async move {
        let recalling = Arc::clone(&hook);
        if tokio::task::spawn_blocking(move || recalling.recall(&kafka)).await.is_err() {
            tracing::error!("reading back replies panicked");
        }
        hook::serve(listener, hook, stopped, drain).await;
    }))
}

fn serve_ingest(
    whole: &Whole,
    listener: TcpListener,
    config: config::Ingest,
    stopped: watch::Receiver<bool>,
) -> Result<Task<()>, DaemonError> {
    let _inside = whole.runtime.enter();
    let producer: FutureProducer = bounded_producer_config(&whole.config.kafka, config.kafka_timeout).create()?;
    let ingest = Arc::new(ingest::Ingest::new(config, producer, Arc::new(clock::now))?);
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "ingest listening");
    }
    Ok(whole.runtime.spawn(ingest::serve(listener, ingest, stopped, whole.drain_deadline)))
}

fn spawn_courier(whole: &Whole, installation: Installation, stop: &Arc<Stop>) -> Result<JoinHandle<()>, DaemonError> {
    let tokens = whole.config.lanes.iter().map(|lane| (lane.policy.lane.clone(), lane.token.clone()));
    let plan = Arc::new(courier::Plan {
        kafka: whole.config.kafka.clone(),
        names: whole.names.clone(),
        installation,
        lanes: whole.config.lanes.clone(),
        client: Arc::clone(&whole.client),
        tokens: Tokens::new(tokens),
        runtime: whole.runtime.clone(),
        seed: whole.seed,
        drain_deadline: whole.drain_deadline,
        telemetry: Arc::clone(&whole.telemetry),
        gate: Arc::clone(&whole.gates.lanes),
        readiness: Arc::clone(&whole.readiness),
    });
    let stop = Arc::clone(stop);
    let work = move || {
        while !stop.threads.load(Ordering::Acquire) {
            if let Err(error) = courier::run(Arc::clone(&plan), &stop.threads) {
                tracing::error!(%error, "the courier failed and starts again");
                pause(&stop);
            }
        }
    };
    thread::Builder::new().name("lanes".into()).spawn(work).map_err(DaemonError::Thread)
}

fn spawn_intake(
    whole: &Whole,
    installation: &Installation,
    number: usize,
    gate: Arc<Gate>,
    stop: &Arc<Stop>,
) -> Result<JoinHandle<()>, DaemonError> {
    let (config, names, telemetry) = (whole.config.clone(), whole.names.clone(), Arc::clone(&whole.telemetry));
    let (installation, drain_deadline, stop) = (installation.clone(), whole.drain_deadline, Arc::clone(stop));
    let sources: Arc<[_]> = config.sources.clone().into();
    let plan = move || intake::Plan {
        kafka: config.kafka.clone(),
        names: names.clone(),
        intake: config.intake,
        sources: Arc::clone(&sources),
        hash_key: installation.hash_key.clone(),
        lanes: installation.lanes.clone(),
        member: format!("intake-{number}"),
        drain_deadline,
        telemetry: Arc::clone(&telemetry),
        gate: Arc::clone(&gate),
    };
    let work = move || {
        while !stop.threads.load(Ordering::Acquire) {
            if let Err(error) = intake::run(plan(), &stop.threads) {
                tracing::error!(%error, "an intake thread failed and starts again");
                pause(&stop);
            }
        }
    };
    thread::Builder::new().name(format!("intake-{number}")).spawn(work).map_err(DaemonError::Thread)
}
