//! Who is ready. Every part of the daemon has a gate; the daemon is ready when all gates are open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a part of the daemon stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// Not yet, and why.
    Starting(&'static str),
    Ready,
    /// Not able to work until somebody does something, and what.
    Halted(String),
}

/// All gates of one daemon.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<Box<str>, ReadyState>>>);

/// One part's gate. It stays as it was left.
#[derive(Clone, Debug)]
pub struct Gate {
    name: Box<str>,
    readiness: Readiness,
}

impl Readiness {
    /// A gate that is not open yet.
    pub fn component(&self, name: impl Into<Box<str>>) -> Gate {
        let gate = Gate { name: name.into(), readiness: self.clone() };
        gate.set(ReadyState::Starting("starting"));
        gate
    }

    pub fn is_ready(&self) -> bool {
        self.lock().values().all(|state| *state == ReadyState::Ready)
    }

    /// Every part and how it stands.
    pub fn components(&self) -> BTreeMap<Box<str>, ReadyState> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, ReadyState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    pub fn set(&self, state: ReadyState) {
        let mut states = self.readiness.lock();
        if states.get(&self.name) != Some(&state) {
            tracing::info!(component = &*self.name, state = ?state, "readiness");
            states.insert(self.name.clone(), state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_closed_gate_is_enough_not_to_be_ready() {
        let readiness = Readiness::default();
        let (intake, lane) = (readiness.component("intake"), readiness.component("lane"));
        intake.set(ReadyState::Ready);
        assert!(!readiness.is_ready());
        lane.set(ReadyState::Ready);
        assert!(readiness.is_ready());
        lane.set(ReadyState::Halted("the token is refused".to_owned()));
        assert!(!readiness.is_ready());
    }
}
