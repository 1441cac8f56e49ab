//! What the sandbox is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;

use super::backstage::Wish;
use super::channels::{Channel, Secret};
use super::deliveries::RetryPolicy;
use super::limits::Limits;
use super::switches::Switches;

/// The token that is accepted when none is named.
pub const TOKEN: &str = "missive_pat-sandbox";

/// A request body must stay under this: 10 MB.
pub const BODY_BYTES_MAX: usize = 10_000_000;

/// Everything that can be chosen at start.
#[derive(Debug, Clone)]
pub struct Options {
    /// A loopback address: the control endpoint asks for no token.
    pub listen: SocketAddr,
    pub tokens: Vec<Secret>,
    pub channels: Vec<Channel>,
    pub switches: Switches,
    pub limits: Limits,
    pub webhook_retry: RetryPolicy,
    /// Decides ids and dice; drawn at start if there is none. With one seed, message ids repeat from start to start.
    pub seed: Option<u64>,
    pub body_bytes_max: usize,
    /// Messages that are kept, in all conversations together.
    pub messages_max: usize,
    pub ledger_entries_max: usize,
    /// How long a page that follows may take nothing before it is cut.
    pub patience: Duration,
    /// Where the page's wishes go for what isn't the sandbox's own; without it, it has none.
    pub wishes: Option<mpsc::Sender<Wish>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tokens: vec![Secret::new(TOKEN)],
            channels: Vec::new(),
            switches: Switches::default(),
            limits: Limits::default(),
            webhook_retry: RetryPolicy::default(),
            seed: None,
            body_bytes_max: BODY_BYTES_MAX,
            messages_max: 100_000,
            ledger_entries_max: 200_000,
            patience: Duration::from_secs(10),
            wishes: None,
        }
    }
}
