//! What reads and what sends: the threads of the intake and of the lanes, for as long as one config is in use.
//!
//! They end together, each by its own drain, and start together with the next config. One that fails starts again by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{DaemonError, RESTART_PAUSE, Whole};
use crate::shell::clock::Deadline;
use crate::shell::courier::{self, Tokens};
use crate::shell::intake;
use crate::shell::kafka::Installation;
use crate::shell::readiness::Gate;

/// All threads of one config.
pub struct Parts {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    gates: Vec<Arc<Gate>>,
    tokens: Tokens,
}

impl Parts {
    pub fn start(whole: &Whole, installation: &Installation) -> Result<Self, DaemonError> {
        let tokens = whole.config.lanes.iter().map(|lane| (lane.policy.lane.clone(), lane.token.clone()));
        let mut parts =
            Self { stop: Arc::default(), threads: Vec::new(), gates: Vec::new(), tokens: Tokens::new(tokens) };
        parts.start_courier(whole, installation)?;
        for number in 0..whole.config.intake.threads {
            parts.start_intake(whole, installation, number)?;
        }
        Ok(parts)
    }

    /// Token files are read again.
    pub fn forget_tokens(&self) {
        self.tokens.forget();
    }

    /// Are all threads gone by themselves?
    pub fn end(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a part of the daemon panicked");
            }
        }
        self.gates.into_iter().filter_map(Arc::into_inner).for_each(Gate::retire);
    }

    fn start_courier(&mut self, whole: &Whole, installation: &Installation) -> Result<(), DaemonError> {
        let plan = Arc::new(courier::Plan {
            kafka: whole.config.kafka.clone(),
            names: whole.names.clone(),
            installation: installation.clone(),
            lanes: whole.config.lanes.clone(),
            client: Arc::clone(&whole.client),
            tokens: self.tokens.clone(),
            ways: courier::Ways::open(whole.config.halt_fallback.as_ref(), &whole.runtime)?,
            runtime: whole.runtime.clone(),
            seed: whole.seed,
            drain: whole.drain.clone(),
            telemetry: Arc::clone(&whole.telemetry),
            gate: self.gate(whole, "lanes".to_owned()),
            readiness: Arc::clone(&whole.readiness),
        });
        let work = move |stop: &AtomicBool| {
            courier::run(Arc::clone(&plan), stop)
                .unwrap_or_else(|error| tracing::error!(%error, "the courier failed and starts again"));
        };
        self.spawn("lanes".to_owned(), work)
    }

    fn start_intake(&mut self, whole: &Whole, installation: &Installation, number: usize) -> Result<(), DaemonError> {
        let member = format!("intake-{number}");
        let (config, names, telemetry) = (whole.config.clone(), whole.names.clone(), Arc::clone(&whole.telemetry));
        let (installation, gate) = (installation.clone(), self.gate(whole, member.clone()));
        let drain = whole.drain.clone();
        let sources: Arc<[_]> = config.sources.clone().into();
        let name = member.clone();
        let plan = move || intake::Plan {
            kafka: config.kafka.clone(),
            names: names.clone(),
            intake: config.intake,
            sources: Arc::clone(&sources),
            hash_key: installation.hash_key.clone(),
            lanes: installation.lanes.clone(),
            member: member.clone(),
            drain: drain.clone(),
            telemetry: Arc::clone(&telemetry),
            gate: Arc::clone(&gate),
        };
        let work = move |stop: &AtomicBool| {
            intake::run(plan(), stop)
                .unwrap_or_else(|error| tracing::error!(%error, "an intake thread failed and starts again"));
        };
        self.spawn(name, work)
    }

    fn gate(&mut self, whole: &Whole, name: String) -> Arc<Gate> {
        let gate = Arc::new(whole.readiness.component(name));
        self.gates.push(Arc::clone(&gate));
        gate
    }

    /// A thread that does its work again and again until it is time to stop.
    fn spawn(&mut self, name: String, work: impl Fn(&AtomicBool) + Send + 'static) -> Result<(), DaemonError> {
        let stop = Arc::clone(&self.stop);
        let again = move || {
            while !stop.load(Ordering::Acquire) {
                work(&stop);
                pause(&stop);
            }
        };
        self.threads.push(thread::Builder::new().name(name).spawn(again).map_err(DaemonError::Thread)?);
        Ok(())
    }
}

/// Rests, but not when it is time to stop.
pub fn pause(stop: &AtomicBool) {
    let deadline = Deadline::after(RESTART_PAUSE);
    while !deadline.has_passed() && !stop.load(Ordering::Acquire) {
        thread::park_timeout(Duration::from_millis(50));
    }
}
