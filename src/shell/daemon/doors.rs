//! The listeners that strangers can reach: bound once, served until the end, renewed behind their connections.

use std::sync::Arc;

use rdkafka::producer::FutureProducer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

use super::{DaemonError, Whole};
use crate::config;
use crate::shell::edge::{self, Renewable};
use crate::shell::hook::{self, Hook, Outlet};
use crate::shell::ingest::Ingest;
use crate::shell::kafka::{Installation, bounded_producer_config};
use crate::shell::readiness::{Gate, ReadyState};
use crate::shell::reload::Refusal;
use crate::shell::{clock, readiness::Readiness};

/// Bound and not served yet.
pub struct Doors {
    pub hook: Option<TcpListener>,
    pub ingest: Option<TcpListener>,
}

/// What is served.
pub struct Served {
    hook: Option<Arc<Renewable<Hook>>>,
    ingest: Option<Arc<Renewable<Ingest>>>,
    tasks: Vec<Task<()>>,
    gates: Vec<Arc<Gate>>,
}

/// What a door writes with, made and not in use yet.
struct Fresh {
    hook: Option<(config::Hook, Outlet)>,
    ingest: Option<(config::Ingest, FutureProducer)>,
}

impl Served {
    /// Serves what is bound, until `stopped`.
    pub fn open(
        whole: &Whole,
        installation: &Installation,
        doors: Doors,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Self, DaemonError> {
        let _inside = whole.runtime.enter();
        let fresh = Fresh::make(whole, installation)?;
        let mut served = Self { hook: None, ingest: None, tasks: Vec::new(), gates: Vec::new() };
        if let (Some((config, producer)), Some(listener)) = (fresh.ingest, doors.ingest) {
            let ingest = Ingest::new(config, producer, Arc::new(clock::now))?;
            served.serve_ingest(whole, listener, ingest, stopped.clone());
        }
        if let (Some((config, outlet)), Some(listener)) = (fresh.hook, doors.hook) {
            let hook = Hook::new(config, outlet, Arc::new(clock::now))?;
            served.serve_hook(whole, listener, hook, stopped.clone());
        }
        Ok(served)
    }

    /// From the next request on, what `whole` says counts. Connections stay.
    pub fn renew(&self, whole: &Whole, installation: &Installation) -> Result<(), Refusal> {
        let _inside = whole.runtime.enter();
        let fresh = Fresh::make(whole, installation).map_err(|error| Refusal::Kafka(error.to_string()))?;
        if fresh.hook.is_some() != self.hook.is_some() {
            return Err(Refusal::NeedsRestart(vec!["hook (a listener more, or less)".to_owned()]));
        }
        if fresh.ingest.is_some() != self.ingest.is_some() {
            return Err(Refusal::NeedsRestart(vec!["ingest (a listener more, or less)".to_owned()]));
        }
        let hook = self.hook.as_ref().map(|hook| hook.edge());
        let ingest = self.ingest.as_ref().map(|ingest| ingest.edge());
        for certificates in hook.into_iter().chain(ingest).filter_map(|edge| edge.certificates()) {
            certificates.reload()?;
        }
        if let (Some((config, outlet)), Some(hook)) = (fresh.hook, &self.hook) {
            hook.renew(hook.current().renewed(config, outlet));
        }
        if let (Some((config, producer)), Some(ingest)) = (fresh.ingest, &self.ingest) {
            ingest.renew(ingest.current().renewed(config, producer));
        }
        Ok(())
    }

    /// Waits until requests under way are answered; they have heard the same stop.
    pub fn end(self, whole: &Whole) {
        for task in self.tasks {
            let ended = whole.runtime.block_on(async { tokio::time::timeout(whole.config.drain_deadline, task).await });
            if ended.is_err() {
                tracing::warn!("a listener did not drain in time");
            }
        }
        self.gates.into_iter().filter_map(Arc::into_inner).for_each(Gate::retire);
    }

    fn serve_hook(&mut self, whole: &Whole, listener: TcpListener, hook: Hook, stopped: watch::Receiver<bool>) {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "hook listening");
        }
        let hook = Arc::new(Renewable::new(hook));
        hook.edge().on_turn(self.gate(&whole.readiness, "hook"));
        self.hook = Some(Arc::clone(&hook));
        let (kafka, drain) = (whole.config.kafka.clone(), whole.config.drain_deadline);
        self.tasks.push(whole.runtime.spawn(async move {
            let recalling = hook.current();
            if tokio::task::spawn_blocking(move || recalling.recall(&kafka)).await.is_err() {
                tracing::error!("reading back replies panicked");
            }
            edge::serve(listener, hook, stopped, drain).await;
        }));
    }

    fn serve_ingest(&mut self, whole: &Whole, listener: TcpListener, ingest: Ingest, stopped: watch::Receiver<bool>) {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "ingest listening");
        }
        let ingest = Arc::new(Renewable::new(ingest));
        ingest.edge().on_turn(self.gate(&whole.readiness, "ingest"));
        self.ingest = Some(Arc::clone(&ingest));
        let drain = whole.config.drain_deadline;
        self.tasks.push(whole.runtime.spawn(edge::serve(listener, ingest, stopped, drain)));
    }

    /// A door's say in whether we are ready, and how it says that its loop turns.
    fn gate(&mut self, readiness: &Arc<Readiness>, name: &str) -> impl Fn() + Send + Sync + use<> {
        let gate = Arc::new(readiness.component(name));
        gate.set(ReadyState::Ready);
        let pulse = Arc::downgrade(&gate);
        self.gates.push(gate);
        move || {
            if let Some(gate) = pulse.upgrade() {
                gate.beat();
            }
        }
    }
}

impl Fresh {
    fn make(whole: &Whole, installation: &Installation) -> Result<Self, DaemonError> {
        let kafka = &whole.config.kafka;
        let hook = match &whole.config.hook {
            Some(config) => {
                let client = bounded_producer_config(kafka, config.kafka_timeout);
                let producer = hook::producer(&client, Arc::new(clock::now))?;
                Some((config.clone(), outlet(whole, installation, producer)))
            }
            None => None,
        };
        let ingest = match &whole.config.ingest {
            Some(config) => Some((config.clone(), bounded_producer_config(kafka, config.kafka_timeout).create()?)),
            None => None,
        };
        Ok(Self { hook, ingest })
    }
}

fn outlet(whole: &Whole, installation: &Installation, producer: hook::Producer) -> Outlet {
    Outlet {
        producer,
        replies: whole.names.replies.clone(),
        ledger: whole.names.ledger.clone(),
        partition_of_lane: installation.lanes.iter().map(|(lane, partition)| (lane.clone(), *partition)).collect(),
        reply_bytes_max: whole.config.kafka.topics.message_bytes_max,
    }
}
