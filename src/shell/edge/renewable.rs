//! A service that can be exchanged while its listener and its connections stay: the next request asks the new one.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Edge, Service};

/// The service in use. A request keeps the one that it began with; the edge is the same for all of them.
pub struct Renewable<S> {
    edge: Arc<Edge>,
    current: RwLock<Arc<S>>,
}

impl<S: Service> Renewable<S> {
    pub fn new(service: S) -> Self {
        Self { edge: Arc::clone(service.edge()), current: RwLock::new(Arc::new(service)) }
    }

    pub fn renew(&self, service: S) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(service);
    }
}

impl<S> Renewable<S> {
    /// What all connections have in common.
    pub const fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    pub fn current(&self) -> Arc<S> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}
