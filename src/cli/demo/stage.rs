//! Everything that plays in the demo, joined: mock Kafka, the stand-in for Missive, the daemon between them, the generator,
//! people, and those who count.
//!
//! What must hold: the daemon gets nothing that a real one wouldn't get; it finds Kafka and Missive by address and comes with
//! a config. Dropping the stage ends all of it; [`Stage::end`] lets the daemon drain first.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::accounts::Accounts;
use super::books::Counted;
use super::cluster::{Cluster, ClusterError};
use super::feed::{Feed, Pace, Progress};
use super::keeper::Keeper;
use super::settings::{self, Places};
use super::{people, replies};
use crate::config::LoadError;
use crate::sandbox::backstage::Daemon as Mood;
use crate::sandbox::{self, Books, Options, RetryPolicy, Sandbox, Wish};
use crate::shell::clock::{self, Deadline};
use crate::shell::daemon::{Daemon, DaemonError};
use crate::telemetry::Telemetry;

/// Why the demo can't go on.
#[derive(Debug, Error)]
pub enum StageError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("the stand-in for Missive: {0}")]
    Sandbox(#[from] sandbox::StartError),
    #[error("{0}")]
    Config(#[from] LoadError),
    #[error("the daemon: {0}")]
    Daemon(#[from] DaemonError),
    #[error("the daemon has no hook")]
    NoHook,
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    pub seed: u64,
    pub pace: Pace,
    /// Between two replies.
    pub people_pause: Duration,
    /// Where the stand-in and its page listen.
    pub listen: SocketAddr,
}

/// Wishes of the page that may wait.
const WISHES_MAX: usize = 8;

/// How often the page is told the numbers.
const PUBLISH: Duration = Duration::from_millis(250);

/// A running demo.
pub struct Stage {
    play: Play,
    places: Places,
    daemon: Option<Daemon>,
    accounts: Arc<Accounts>,
    progress: Arc<Progress>,
    sandbox: Arc<Sandbox>,
    keeper: Keeper,
    replies_read: Arc<AtomicU64>,
    people: AbortHandle,
    wishes: mpsc::Receiver<Wish>,
    /// When the page is told the next numbers.
    publish_due: Deadline,
    /// Conversations that people began.
    begun: u64,
    /// Dropped before the cluster that they talk to.
    tasks: JoinSet<()>,
    started: Instant,
    _cluster: Cluster,
}

impl Stage {
    /// Starts everything; events flow when the daemon has joined its groups.
    pub async fn set(play: Play) -> Result<Self, StageError> {
        let started = clock::monotonic();
        let cluster = Cluster::start(settings::topics().into())?;
        let webhook_retry = RetryPolicy { retries: 8, backoff_ms: 500, ..RetryPolicy::default() };
        let (wished, wishes) = mpsc::channel(WISHES_MAX);
        let options = Options {
            listen: play.listen,
            seed: Some(play.seed),
            webhook_retry,
            wishes: Some(wished),
            ..Options::default()
        };
        let sandbox = Arc::new(sandbox::start(options).await?);
        let bootstrap = cluster.bootstrap().to_owned();
        let places = Places { bootstrap, missive: sandbox.address(), hook: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let accounts = Arc::new(Accounts::default());
        let progress = Arc::new(Progress::new(play.pace.events));
        let feed = Feed::new(&places.bootstrap, play.seed, play.pace, progress.clone(), accounts.clone())?;
        let (keeper, replies_read) = (Keeper::new(&places.bootstrap)?, Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        tasks.spawn(replies::count(replies::follow(&places.bootstrap)?, replies_read.clone(), sandbox.clone()));
        tasks.spawn(feed.run());
        // Nobody writes before the daemon has a hook.
        let people = tasks.spawn(async {});
        let mut stage = Self {
            play,
            places,
            daemon: None,
            accounts,
            progress,
            sandbox,
            keeper,
            replies_read,
            people,
            wishes,
            publish_due: Deadline::after(PUBLISH),
            begun: 0,
            tasks,
            started,
            _cluster: cluster,
        };
        stage.start_daemon().await?;
        stage.begun = people::begin(&stage.sandbox);
        stage.people = stage.tasks.spawn(people::write(stage.sandbox.clone(), play.seed, play.people_pause));
        Ok(stage)
    }

    /// The next wish from the page.
    pub async fn next_wish(&mut self) -> Option<Wish> {
        self.wishes.recv().await
    }

    /// Grants it.
    pub async fn grant(&mut self, wish: Wish) -> Result<(), StageError> {
        match wish {
            Wish::Storm { events } => {
                self.progress.storm(events);
                Ok(())
            }
            Wish::Stop => self.drain_daemon().await,
            Wish::Start => self.start_daemon_anew().await,
            Wish::Kill => self.kill_daemon().await,
        }
    }

    /// Ends it, and the page is told before and after.
    async fn drain_daemon(&mut self) -> Result<(), StageError> {
        self.publish(Mood::Draining);
        self.stop_daemon().await?;
        self.publish(self.mood());
        Ok(())
    }

    /// The daemon's parts die in the middle of what they do, and start again from what is in Kafka.
    pub async fn kill_daemon(&mut self) -> Result<(), StageError> {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill().await?;
            self.accounts.end();
            self.publish(self.mood());
        }
        self.start_daemon_anew().await
    }

    /// The daemon drains and ends.
    pub async fn end(mut self) -> Result<(), StageError> {
        self.stop_daemon().await?;
        self.tasks.shutdown().await;
        Ok(())
    }

    /// Nobody writes in Missive any more.
    pub fn send_people_home(&self) {
        self.people.abort();
    }

    /// Does anybody still write?
    pub fn has_people(&self) -> bool {
        !self.people.is_finished()
    }

    /// To be called often: what has to be looked at while everything runs.
    pub fn look_after(&mut self) {
        self.keeper.read_along();
        if self.publish_due.has_passed() {
            self.publish(self.mood());
        }
    }

    /// What everybody has counted by now.
    pub fn counted(&self) -> Counted {
        Counted {
            unwritten: self.progress.unwritten(),
            written: self.progress.written(),
            daemon: self.accounts.totals(),
            missive: self.sandbox.summary(),
            begun_by_people: self.begun,
            replies_read: self.replies_read.load(Ordering::Acquire),
            took: clock::monotonic().saturating_duration_since(self.started),
        }
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Where the stand-in for Missive listens.
    pub fn missive(&self) -> SocketAddr {
        self.sandbox.address()
    }

    pub fn is_ready(&self) -> bool {
        self.daemon.as_ref().is_some_and(Daemon::is_ready)
    }

    fn mood(&self) -> Mood {
        match &self.daemon {
            None => Mood::Stopped,
            Some(daemon) if daemon.is_ready() => Mood::Running,
            Some(_) => Mood::Joining,
        }
    }

    /// Tells the page the numbers.
    fn publish(&mut self, daemon: Mood) {
        self.publish_due = Deadline::after(PUBLISH);
        let Counted { daemon: totals, replies_read, .. } = self.counted();
        let balance = totals.balance;
        let untold = self.accounts.lane().map(|lane| lane.untold.oldest).unwrap_or_default();
        self.sandbox.publish(Books {
            consumed: balance.consumed,
            duplicates: balance.duplicates,
            suppressed: balance.suppressed,
            told: balance.delivered.saturating_sub(totals.rolled_up),
            rolled_up: totals.rolled_up,
            dead_lettered: balance.dead_lettered,
            pending: balance.pending,
            replies_read,
            oldest_untold: untold.iter().map(|(urgency, since)| (urgency.as_str(), since.as_millis())).collect(),
            daemon,
        });
    }

    /// Starts one that is not running, on a state that has lost nothing.
    async fn start_daemon_anew(&mut self) -> Result<(), StageError> {
        if self.daemon.is_some() {
            return Ok(());
        }
        self.keeper.write_anew()?;
        self.start_daemon().await
    }

    async fn start_daemon(&mut self) -> Result<(), StageError> {
        let config = settings::config(&self.places)?;
        let telemetry = Arc::new(Telemetry::new());
        self.accounts.begin(telemetry.clone());
        let daemon = Daemon::start(config, telemetry, self.play.seed).await?;
        self.places.hook = daemon.hook_address.ok_or(StageError::NoHook)?;
        self.daemon = Some(daemon);
        for channel in settings::declared(self.places.hook) {
            self.sandbox.declare(channel).map_err(sandbox::StartError::from)?;
        }
        Ok(())
    }

    async fn stop_daemon(&mut self) -> Result<(), StageError> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await?;
            self.accounts.end();
        }
        Ok(())
    }
}
