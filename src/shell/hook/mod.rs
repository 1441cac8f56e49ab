//! The hook endpoint: `POST /hooks/<channel>`, proven, written to Kafka, and only then answered with 200.
//!
//! What a request must prove and what it says is decided in [`crate::hook`]; connections, TLS, quotas and deadlines are
//! [`super::edge`]'s; here are the memory of what was heard, the lessons that wait, and Kafka.
//!
//! | answer | when |
//! |---|---|
//! | 200 `{}` | Kafka has acknowledged it, had it already, or it was a probe |
//! | 400, 404, 405, 408, 413, 505 | the request is malformed, for nothing here, too slow or too large |
//! | 401 | whatever is wrong with the proof, an unknown channel included: the same bytes |
//! | 429, `Retry-After` | too many requests, or failed proofs, from one address |
//! | 503, `Retry-After: 5` | Kafka has not acknowledged it in time, or there is no room |
//!
//! Limits: writes under way and requests remembered in `memory`, lessons that wait in `lessons`; the rest in the config and in
//! [`super::edge`].

mod lessons;
mod memory;
mod outlet;
mod recall;
mod request;

use std::sync::Arc;

use super::edge::TlsError;
use crate::event::Timestamp;

pub use outlet::{Outlet, Producer, producer};
pub use request::Hook;

/// Where `now` comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why there is no hook.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}
