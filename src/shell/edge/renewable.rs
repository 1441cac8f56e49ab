//! A service that can be exchanged while its listener and its connections stay: the next request asks the new one.

use std::sync::{Arc, PoisonError, RwLock};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use super::{Service, Visit};

/// The service in use. A request keeps the one that it began with.
pub struct Renewable<S>(RwLock<Arc<S>>);

impl<S> Renewable<S> {
    pub fn new(service: S) -> Self {
        Self(RwLock::new(Arc::new(service)))
    }

    pub fn current(&self) -> Arc<S> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn renew(&self, service: S) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(service);
    }
}

impl<S: Service> Service for Renewable<S> {
    async fn answer(&self, request: Request<Incoming>, visit: Visit) -> Response<Full<Bytes>> {
        let service = self.current();
        service.answer(request, visit).await
    }

    fn malformed(&self) {
        self.current().malformed();
    }
}
