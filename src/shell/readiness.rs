//! Who is ready: a registry of named components, read by `/readyz` and by nobody else.
//!
//! A component holds a [`Gate`] for as long as it lives. One that ends in order retires its gate; a gate that is merely
//! dropped, by a panic or a forgotten task, leaves its component halted, so that a dead part never looks ready. Without any
//! component nothing is ready. Limits: as many components as the program names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

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
    states: Mutex<BTreeMap<Box<str>, ReadyState>>,
}

/// One component's say in it.
#[derive(Debug)]
#[must_use = "a gate that is dropped leaves its component halted"]
pub struct Gate {
    readiness: Arc<Readiness>,
    name: Box<str>,
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
    /// A new component, starting. A name that is taken already passes to the new gate.
    pub fn component(self: &Arc<Self>, name: impl Into<Box<str>>) -> Gate {
        let gate = Gate { readiness: Arc::clone(self), name: name.into(), end: End::Dropped };
        gate.set(ReadyState::Starting("not begun"));
        gate
    }

    pub fn whole(&self) -> Whole {
        whole(&self.lock())
    }

    /// The whole, and a JSON object with every component.
    pub fn report(&self) -> (Whole, Vec<u8>) {
        let states = self.lock();
        let whole = whole(&states);
        let components = states.iter().map(|(name, state)| component(name, state)).collect();
        let report = Report { ready: whole == Whole::Ready, components };
        (whole, serde_json::to_vec(&report).expect("texts can always be written as JSON"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, ReadyState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    pub fn set(&self, state: ReadyState) {
        let mut states = self.readiness.lock();
        if states.get(&self.name) != Some(&state) {
            tracing::info!(component = &*self.name, ?state, "readiness");
            states.insert(self.name.clone(), state);
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
        match self.end {
            End::Retired => drop(self.readiness.lock().remove(&self.name)),
            End::Left => {}
            End::Dropped => self.set(ReadyState::Halted("ended unexpectedly".to_owned())),
        }
    }
}

fn whole(states: &BTreeMap<Box<str>, ReadyState>) -> Whole {
    match !states.is_empty() && states.values().all(|state| *state == ReadyState::Ready) {
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
        readiness.component("owner").retire();
        assert_eq!(readiness.whole(), Whole::Ready);
        drop(hook);
        assert_eq!(readiness.whole(), Whole::NotReady, "a dropped gate is a component that died");
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
