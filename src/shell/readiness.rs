//! Who is ready: a registry of named components, read by `/readyz` and by nobody else.
//!
//! A component holds a [`Gate`] for as long as it lives. One that ends in order retires its gate; a gate that is merely
//! dropped, by a panic or a forgotten task, leaves its component halted, so that a dead part never looks ready. Without any
//! component nothing is ready. Limits: as many components as the program names.
//!
//! A component whose loop turns says so ([`Gate::beat`]); from its first beat on, one that falls silent is *stalled*
//! ([`Readiness::stalled`]). That is another question than whether it is ready: a loop that waits for Kafka turns as well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::clock;

/// How far a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// On its way, and what it is doing.
    Starting(&'static str),
    Ready,
    /// It can't go on by itself, and why.
    Halted(String),
}

/// The whole: ready if every component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    Ready,
    NotReady,
}

/// All components and their states.
#[derive(Debug, Default)]
pub struct Readiness {
    states: Mutex<BTreeMap<Box<str>, Held>>,
    /// Until when each component may be silent without being thought dead, from its first beat on.
    beats: Mutex<BTreeMap<Box<str>, Instant>>,
}

/// A component's state, and the number of the gate that may change it.
#[derive(Debug)]
struct Held {
    gate: u64,
    state: ReadyState,
}

/// One component's say in it.
#[derive(Debug)]
#[must_use = "a gate that is dropped leaves its component halted"]
pub struct Gate {
    readiness: Arc<Readiness>,
    name: Box<str>,
    number: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Dropped,
    Retired,
    Left,
}

#[derive(Serialize)]
struct Report<'a> {
    ready: bool,
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Component<'a> {
    name: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Readiness {
    /// A new component, starting. A name that is taken already passes to the new gate; the old one has no say any more.
    pub fn component(self: &Arc<Self>, name: impl Into<Box<str>>) -> Gate {
        let (name, state) = (name.into(), ReadyState::Starting("not begun"));
        let mut states = self.lock();
        let number = states.get(&name).map_or(0, |held| held.gate + 1);
        tracing::info!(component = &*name, ?state, "readiness");
        states.insert(name.clone(), Held { gate: number, state });
        Gate { readiness: Arc::clone(self), name, number, end: End::Dropped }
    }

    pub fn whole(&self) -> Whole {
        whole(&self.lock())
    }

    /// Every component and its state.
    pub fn states(&self) -> BTreeMap<Box<str>, ReadyState> {
        self.lock().iter().map(|(name, held)| (name.clone(), held.state.clone())).collect()
    }

    /// The components that have been silent for longer than `allowed`.
    pub fn stalled(&self, allowed: Duration) -> Vec<Box<str>> {
        let now = clock::monotonic();
        let silent = |last: &Instant| now.saturating_duration_since(*last) > allowed;
        self.beats().iter().filter(|(_, last)| silent(last)).map(|(name, _)| name.clone()).collect()
    }

    /// The whole, and a JSON object with every component.
    pub fn report(&self) -> (Whole, Vec<u8>) {
        let states = self.lock();
        let whole = whole(&states);
        let components = states.iter().map(|(name, held)| component(name, &held.state)).collect();
        let report = Report { ready: whole == Whole::Ready, components };
        (whole, serde_json::to_vec(&report).expect("texts can always be written as JSON"))
    }

    fn beats(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Instant>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Held>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    pub fn set(&self, state: ReadyState) {
        let mut states = self.readiness.lock();
        let Some(held) = states.get_mut(&self.name).filter(|held| held.gate == self.number) else { return };
        if held.state != state {
            tracing::info!(component = &*self.name, ?state, "readiness");
            held.state = state;
        }
    }

    /// The component's loop has turned.
    pub fn beat(&self) {
        self.excuse(Duration::ZERO);
    }

    /// The component's loop has turned, and may be silent for `span` because of what it does now.
    pub fn excuse(&self, span: Duration) {
        let until = clock::monotonic() + span;
        let mut beats = self.readiness.beats();
        match beats.get_mut(&self.name) {
            Some(last) => *last = until,
            None => drop(beats.insert(self.name.clone(), until)),
        }
    }

    /// The component has ended in order and is no longer asked about.
    pub fn retire(mut self) {
        self.end = End::Retired;
    }

    /// The component goes on with another gate, soon; until then it stands as it was last set.
    pub fn leave(mut self) {
        self.end = End::Left;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if self.readiness.lock().get(&self.name).is_none_or(|held| held.gate != self.number) {
            return;
        }
        self.readiness.beats().remove(&self.name);
        match self.end {
            End::Retired => drop(self.readiness.lock().remove(&self.name)),
            End::Left => {}
            End::Dropped => self.set(ReadyState::Halted("ended unexpectedly".to_owned())),
        }
    }
}

fn whole(states: &BTreeMap<Box<str>, Held>) -> Whole {
    match !states.is_empty() && states.values().all(|held| held.state == ReadyState::Ready) {
        true => Whole::Ready,
        false => Whole::NotReady,
    }
}

fn component<'a>(name: &'a str, state: &'a ReadyState) -> Component<'a> {
    let (state, detail) = match state {
        ReadyState::Starting(what) => ("starting", Some(*what)),
        ReadyState::Ready => ("ready", None),
        ReadyState::Halted(why) => ("halted", Some(why.as_str())),
    };
    Component { name, state, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_ready_when_all_of_it_is_and_there_is_something() {
        let readiness = Arc::new(Readiness::default());
        assert_eq!(readiness.whole(), Whole::NotReady);
        let (hook, lane) = (readiness.component("hook"), readiness.component("lane default"));
        assert_eq!(readiness.whole(), Whole::NotReady);
        hook.set(ReadyState::Ready);
        assert_eq!(readiness.whole(), Whole::NotReady);
        lane.set(ReadyState::Ready);
        assert_eq!(readiness.whole(), Whole::Ready);
        lane.set(ReadyState::Halted("the token is refused".to_owned()));
        assert_eq!(readiness.whole(), Whole::NotReady);
        lane.retire();
        assert_eq!(readiness.whole(), Whole::Ready);
        let owner = readiness.component("owner");
        owner.leave();
        assert_eq!(readiness.whole(), Whole::NotReady, "a gate that was left stands as it was set");
        let (former, latter) = (readiness.component("owner"), readiness.component("owner"));
        latter.set(ReadyState::Ready);
        drop(former);
        assert_eq!(readiness.whole(), Whole::Ready, "a former gate has no say");
        latter.retire();
        assert_eq!(readiness.whole(), Whole::Ready);
        drop(hook);
        assert_eq!(readiness.whole(), Whole::NotReady, "a dropped gate is a component that died");
    }

    #[test]
    fn a_component_is_stalled_when_it_falls_silent_unless_it_is_excused_or_has_never_spoken() {
        let readiness = Arc::new(Readiness::default());
        let (lane, hook) = (readiness.component("lane"), readiness.component("hook"));
        let stalled = || readiness.stalled(Duration::ZERO);
        hook.set(ReadyState::Ready);
        assert!(stalled().is_empty(), "nobody has spoken yet");
        lane.beat();
        hook.excuse(Duration::from_secs(60));
        while stalled().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(stalled(), [Box::from("lane")]);
        assert!(readiness.stalled(Duration::from_secs(60)).is_empty(), "it was silent for a moment only");
        lane.leave();
        assert!(stalled().is_empty(), "nobody waits for one that has left");
        hook.retire();
    }

    #[test]
    fn the_report_names_every_component() {
        let readiness = Arc::new(Readiness::default());
        let hook = readiness.component("hook");
        let lane = readiness.component("lane default");
        hook.set(ReadyState::Ready);
        lane.set(ReadyState::Halted("the token is \"refused\"".to_owned()));
        let (whole, json) = readiness.report();
        let wanted = serde_json::json!({"ready": false, "components": [
            {"name": "hook", "state": "ready"},
            {"name": "lane default", "state": "halted", "detail": "the token is \"refused\""}]});
        assert_eq!(whole, Whole::NotReady);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).expect("JSON"), wanted);
    }
}
