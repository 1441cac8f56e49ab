//! The whole daemon, joined: topics and installation first, then intake, courier, hook and admin side by side.
//!
//! A part that fails is started again after a pause; nothing but a fault of the config or of the installation ends the daemon
//! by itself. Stopping is one drain: the hook takes nothing new, the intake writes and commits what it has read, the courier
//! lets answers come in and commits, all of them within one deadline.
//!
//! A reload is the same drain for intake and lanes, which then start with what is new; the doors stay open (`reload`).

mod doors;
mod parts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as Task;
use tokio::time::sleep;

use super::admin::{self, Pages};
use super::clock::{self, Deadline};
use super::courier::client::{self, Client, ClientError};
use super::drain::Drain;
use super::edge::TlsError;
use super::hook::HookError;
use super::kafka::{Installation, InstallationError, Names, TopicError, create_topics, install};
use super::readiness::{Gate, Readiness, ReadyState, Whole as Readied};
use super::reload::{Changes, Reach, Refusal};
use super::sockets::Sockets;
use super::status::Status;
use crate::config::Config;
use crate::telemetry::{Telemetry, process};
use doors::{Doors, Served};
use parts::{Parts, pause};

pub use super::status::ConfigStatus;

/// How long a part that failed rests before it starts again, and how often Kafka is looked for.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How often the supervisor looks whether it is time to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often histograms are kept small.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// A part that hangs for so long is counted.
const STALLED_AFTER: Duration = Duration::from_secs(60);

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
    Hook(#[from] HookError),
    #[error("no thread: {0}")]
    Thread(std::io::Error),
}

/// A daemon that runs. Dropping it does not stop it: [`Daemon::stop`] does.
pub struct Daemon {
    pub telemetry: Arc<Telemetry>,
    pub readiness: Arc<Readiness>,
    pub admin_address: SocketAddr,
    pub hook_address: Option<SocketAddr>,
    config: watch::Sender<ConfigStatus>,
    orders: SyncSender<Order>,
    stop: Arc<Stop>,
    supervisor: JoinHandle<Result<(), DaemonError>>,
    servers: Vec<Task<()>>,
    drain_deadline: Duration,
    drain: Drain,
}

/// Told once, heard by threads and tasks.
struct Stop {
    threads: AtomicBool,
    tasks: watch::Sender<bool>,
}

/// A new config, how far it reaches, and who waits to hear what became of it.
struct Order {
    config: Config,
    reach: Reach,
    done: oneshot::Sender<Result<(), Refusal>>,
}

/// Asks a daemon to go on with another config.
#[derive(Clone)]
pub struct Reloader(SyncSender<Order>);

impl Reloader {
    /// Returns when the new config is in use, or is refused and the former one still is.
    pub async fn apply(&self, config: Config, changes: &Changes) -> Result<(), Refusal> {
        changes.permitted()?;
        let (done, answer) = oneshot::channel();
        let order = Order { config, reach: changes.reach, done };
        self.0.try_send(order).map_err(|_| Refusal::Stopping)?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }
}

impl Daemon {
    /// Binds the listeners and starts everything else in the background, Kafka or no Kafka.
    pub async fn start(config: Config, telemetry: Arc<Telemetry>, seed: u64) -> Result<Self, DaemonError> {
        let readiness = Arc::new(Readiness::default());
        let (tasks, stopped) = watch::channel(false);
        let stop = Arc::new(Stop { threads: AtomicBool::new(false), tasks });
        process::started(clock::now());
        let mut sockets = Sockets::inherited();
        let admin_listener = listen(&mut sockets, "admin", config.admin.listen).await?;
        let admin_address = admin_listener.local_addr().unwrap_or(config.admin.listen);
        tracing::info!(address = %admin_address, "admin listening");
        let doors = bind(&mut sockets, &config).await?;
        drop(sockets);
        let hook_address = doors.hook.as_ref().and_then(|listener| listener.local_addr().ok());
        let (config_status, config_told) = watch::channel(ConfigStatus::default());
        let pages = pages(&telemetry, &readiness, config_told);
        let servers = vec![
            tokio::spawn(admin::serve(admin_listener, pages, Arc::clone(&readiness), stopped.clone())),
            tokio::spawn(upkeep(Arc::clone(&telemetry))),
        ];
        let drain_deadline = config.drain_deadline;
        let drain = Drain::new(drain_deadline);
        let whole = Whole::new(config, drain.clone(), Arc::clone(&readiness), Arc::clone(&telemetry), seed)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), run = format!("{:08x}", whole.run()), "starting");
        let (orders, ordered) = sync_channel(1);
        let supervised = Arc::clone(&stop);
        let kafka = readiness.component("kafka");
        let supervise =
            move || supervise(whole, &kafka, doors, &stopped, &supervised, &ordered).map(|()| kafka.retire());
        let supervisor =
            thread::Builder::new().name("supervisor".into()).spawn(supervise).map_err(DaemonError::Thread)?;
        Ok(Self {
            telemetry,
            readiness,
            admin_address,
            hook_address,
            config: config_status,
            orders,
            stop,
            supervisor,
            servers,
            drain_deadline,
            drain,
        })
    }

    /// Are all parts ready?
    pub fn is_ready(&self) -> bool {
        self.readiness.whole() == Readied::Ready
    }

    /// Has the daemon ended by itself? Then [`Daemon::stop`] says why.
    pub fn has_ended(&self) -> bool {
        self.supervisor.is_finished()
    }

    /// Whoever holds it can ask for another config.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.orders.clone())
    }

    /// What `/status` says of the config from now on.
    pub fn tell_config(&self, told: ConfigStatus) {
        self.config.send_replace(told);
    }

    /// What the daemon is doing now.
    pub fn status(&self) -> Status {
        Status::now(clock::now(), &self.readiness, &self.telemetry, self.config.borrow().clone())
    }

    /// Ends as a crash would: nothing more is written, what was on its way is in doubt for whoever comes next.
    pub async fn kill(self) -> Result<(), DaemonError> {
        self.drain.kill();
        for server in &self.servers {
            server.abort();
        }
        self.stop().await
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
            sleep(Duration::from_millis(10)).await;
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

/// Everything the supervisor hands on, for as long as one config is in use.
struct Whole {
    config: Config,
    drain: Drain,
    names: Names,
    client: Arc<Client>,
    readiness: Arc<Readiness>,
    telemetry: Arc<Telemetry>,
    runtime: Handle,
    seed: u64,
}

impl Whole {
    fn new(
        config: Config,
        drain: Drain,
        readiness: Arc<Readiness>,
        telemetry: Arc<Telemetry>,
        seed: u64,
    ) -> Result<Self, ClientError> {
        let now: client::Clock = Arc::new(clock::now);
        let client = Client::new(&config.missive, now)?.named(config.kafka.instance.as_deref(), run(seed));
        let names = Names::new(&config.kafka.namespace);
        let runtime = Handle::current();
        Ok(Self { config, drain, names, client: Arc::new(client), readiness, telemetry, runtime, seed })
    }

    /// The same daemon with another config.
    fn with(&self, config: Config) -> Result<Self, ClientError> {
        let (readiness, telemetry) = (Arc::clone(&self.readiness), Arc::clone(&self.telemetry));
        let (_inside, drain) = (self.runtime.enter(), self.drain.within(config.drain_deadline));
        Self::new(config, drain, readiness, telemetry, self.seed)
    }

    const fn run(&self) -> u32 {
        run(self.seed)
    }
}

/// Half of the seed is a name for this run as good as any, and gives nothing away.
const fn run(seed: u64) -> u32 {
    (seed >> 32) as u32
}

async fn listen(sockets: &mut Sockets, what: &'static str, address: SocketAddr) -> Result<TcpListener, DaemonError> {
    sockets.listen(what, address).await.map_err(|error| DaemonError::Listen { what, address, error })
}

async fn bind(sockets: &mut Sockets, config: &Config) -> Result<Doors, DaemonError> {
    let hook = match &config.hook {
        Some(hook) => Some(listen(sockets, "hook", hook.edge.listen).await?),
        None => None,
    };
    let ingest = match &config.ingest {
        Some(ingest) => Some(listen(sockets, "ingest", ingest.edge.listen).await?),
        None => None,
    };
    Ok(Doors { hook, ingest })
}

fn pages(telemetry: &Arc<Telemetry>, readiness: &Arc<Readiness>, config: watch::Receiver<ConfigStatus>) -> Pages {
    let metrics = {
        let (telemetry, readiness) = (Arc::clone(telemetry), Arc::clone(readiness));
        move || {
            process::parts(readiness.whole() == Readied::Ready, readiness.stalled(STALLED_AFTER).len());
            telemetry.render(clock::now()).into_bytes()
        }
    };
    let (telemetry, readiness) = (Arc::clone(telemetry), Arc::clone(readiness));
    let status = move || Status::now(clock::now(), &readiness, &telemetry, config.borrow().clone()).to_json();
    Pages { metrics: Arc::new(metrics), status: Arc::new(status) }
}

async fn upkeep(telemetry: Arc<Telemetry>) {
    loop {
        sleep(UPKEEP_EVERY).await;
        telemetry.upkeep();
    }
}

/// One config after the other, until it is time to stop.
fn supervise(
    mut whole: Whole,
    kafka: &Gate,
    doors: Doors,
    stopped: &watch::Receiver<bool>,
    stop: &Stop,
    orders: &Receiver<Order>,
) -> Result<(), DaemonError> {
    let Some(mut installation) = prepare(&mut whole, kafka, stop, orders)? else { return Ok(()) };
    let served = Served::open(&whole, &installation, doors, stopped)?;
    let mut reload: Option<Gate> = None;
    loop {
        let parts = Parts::start(&whole, &installation)?;
        // not before: a part that is not known yet is not missed, and the whole would be ready for a moment
        kafka.set(ReadyState::Ready);
        reload.take().into_iter().for_each(Gate::retire);
        let Some(next) = wait(&whole, &installation, &served, &parts, stop, orders) else {
            parts.end();
            break;
        };
        let gate = reload.insert(whole.readiness.component("reload"));
        gate.set(ReadyState::Starting("draining, to go on with the new config"));
        parts.end();
        (whole, installation) = (next.whole, next.installation);
        // whoever asked may have gone
        let _ = next.done.send(Ok(()));
    }
    served.end(&whole);
    Ok(())
}

/// What parts are to be started with.
struct Next {
    whole: Whole,
    installation: Installation,
    done: oneshot::Sender<Result<(), Refusal>>,
}

/// Waits until it is time to stop (`None`), or for a config that parts must be started anew with.
fn wait(
    whole: &Whole,
    installation: &Installation,
    served: &Served,
    parts: &Parts,
    stop: &Stop,
    orders: &Receiver<Order>,
) -> Option<Next> {
    while !stop.threads.load(Ordering::Acquire) {
        let order = match orders.recv_timeout(LOOK_EVERY) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                thread::park_timeout(LOOK_EVERY);
                continue;
            }
        };
        match take(whole, installation, served, order.config, order.reach) {
            Ok(Some((whole, installation))) => return Some(Next { whole, installation, done: order.done }),
            Ok(None) => {
                parts.forget_tokens();
                let _ = order.done.send(Ok(()));
            }
            Err(refusal) => drop(order.done.send(Err(refusal))),
        }
    }
    None
}

/// Gets everything ready that a config needs, and renews the doors. With an error nothing has changed; with `None` nothing
/// more has to.
fn take(
    whole: &Whole,
    installation: &Installation,
    served: &Served,
    config: Config,
    reach: Reach,
) -> Result<Option<(Whole, Installation)>, Refusal> {
    let same_kafka = config.kafka.librdkafka == whole.config.kafka.librdkafka;
    let next = whole.with(config).map_err(|error| Refusal::Kafka(error.to_string()))?;
    if reach == Reach::Doors && same_kafka {
        served.renew(&next, installation)?;
        return Ok(None);
    }
    let installation = match settle(&next).map_err(|error| Refusal::Kafka(error.to_string()))? {
        Settled::Ready(installation) => installation,
        Settled::Unreachable(why) => return Err(Refusal::Kafka(why)),
    };
    served.renew(&next, &installation)?;
    Ok(Some((next, installation)))
}

/// What came of looking for Kafka once.
enum Settled {
    Ready(Installation),
    /// It may be there later, and why it isn't now.
    Unreachable(String),
}

/// Waits for Kafka, then makes sure of topics and installation. `None`: stopped before that.
fn prepare(
    whole: &mut Whole,
    kafka: &Gate,
    stop: &Stop,
    orders: &Receiver<Order>,
) -> Result<Option<Installation>, DaemonError> {
    kafka.set(ReadyState::Starting("kafka is not reachable"));
    while !stop.threads.load(Ordering::Acquire) {
        match settle(whole)? {
            Settled::Ready(installation) => return Ok(Some(installation)),
            Settled::Unreachable(error) => {
                tracing::warn!(error, bootstrap = whole.config.kafka.bootstrap, "trying again");
            }
        }
        pause(&stop.threads);
        if let Ok(order) = orders.try_recv() {
            let taken = whole.with(order.config).map(|next| *whole = next);
            let _ = order.done.send(taken.map_err(|error| Refusal::Kafka(error.to_string())));
        }
    }
    Ok(None)
}

fn settle(whole: &Whole) -> Result<Settled, DaemonError> {
    let lanes: Vec<&str> = whole.config.lanes.iter().map(|lane| &*lane.policy.lane).collect();
    let kafka = &whole.config.kafka;
    match whole.runtime.block_on(create_topics(kafka, &whole.names)) {
        Ok(created) => {
            if !created.is_empty() {
                tracing::info!(topics = created.join(", "), "created internal topics");
            }
        }
        Err(error @ TopicError::Partitions { .. }) => return Err(DaemonError::Topics(error)),
        Err(error) => return Ok(Settled::Unreachable(error.to_string())),
    }
    match install(kafka, &whole.names, &lanes) {
        Ok(installation) => Ok(Settled::Ready(installation)),
        Err(error @ (InstallationError::Read(_) | InstallationError::Write(_))) => {
            Ok(Settled::Unreachable(error.to_string()))
        }
        Err(error) => Err(DaemonError::Installation(error)),
    }
}
