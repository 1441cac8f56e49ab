//! What touches the world: the clock, the listener, and the webhooks on their way. It decides nothing.
//!
//! Everything runs in the caller's tokio runtime, owned by the [`Sandbox`] handle: with the handle goes every task.

mod sender;
mod server;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::backstage::{Arrived, Books, Wish};
use super::channels::{Channel, ChannelError};
use super::control::WishError;
use super::deliveries::{AttemptAnswer, Delivery, Outgoing};
use super::faults::{Fault, FaultError};
use super::ledger::Page;
use super::options::Options;
use super::referee::{Change, PeopleError, Receipt, Referee, Reply, RuleCall, Rulebook};
use super::summary::Summary;
use super::switches::SwitchError;
use super::views::{self, ConversationView};
use super::webhook::MessageItem;

/// A running stand-in. Dropping it ends it at once.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// Why it could not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("can't listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("a channel can't be declared")]
    Channel(#[from] ChannelError),
    #[error("the system has no randomness for a seed")]
    Seed(#[from] getrandom::Error),
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    referee: Mutex<Referee>,
    clock: Clock,
    outgoing: mpsc::Sender<Outgoing>,
    wishes: Option<mpsc::Sender<Wish>>,
    seats: Arc<Semaphore>,
    patience: Duration,
    body_bytes_max: usize,
}

/// Wall clock milliseconds that never run backwards.
#[derive(Debug)]
struct Clock {
    started: Instant,
    started_unix_ms: u64,
}

/// Webhooks that may wait for a sender.
const OUTGOING_MAX: usize = 4096;

/// Starts the stand-in in the runtime of the caller.
///
/// # Errors
/// When it can't listen, a channel makes no sense, or there is no randomness.
pub async fn start(options: Options) -> Result<Sandbox, StartError> {
    let seed = options.seed.map_or_else(getrandom::u64, Ok)?;
    let mut referee = Referee::new(Rulebook {
        tokens: options.tokens,
        limits: options.limits,
        switches: options.switches,
        retry: options.webhook_retry,
        seed,
        messages_max: options.messages_max,
        ledger_entries_max: options.ledger_entries_max,
    });
    for channel in options.channels {
        referee.declare(channel)?;
    }
    let not_listening = |source| StartError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(not_listening)?;
    let address = listener.local_addr().map_err(not_listening)?;
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let body_bytes_max = options.body_bytes_max;
    let shared = Arc::new(Shared {
        referee: Mutex::new(referee),
        clock: Clock::start(),
        outgoing,
        wishes: options.wishes,
        seats: stream::seats(),
        patience: options.patience,
        body_bytes_max,
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(server::accept(listener, shared.clone()));
    tasks.spawn(sender::send_all(shared.clone(), queue));
    Ok(Sandbox { address, shared, tasks })
}

impl Sandbox {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happened so far, in numbers.
    pub fn summary(&self) -> Summary {
        self.shared.with(|_, referee| referee.summary())
    }

    /// Somebody writes in Missive; the webhook goes out in the background.
    ///
    /// # Errors
    /// When there is no such conversation, channel or webhook.
    pub fn reply(&self, reply: Reply) -> Result<Receipt, PeopleError> {
        self.shared.with(|now, referee| referee.reply(now, reply))
    }

    /// Somebody closes, reopens, labels or assigns; the rule webhooks of that go out in the background.
    ///
    /// # Errors
    /// When there is no such conversation.
    pub fn change(&self, change: Change) -> Result<Receipt, PeopleError> {
        self.shared.with(|_, referee| referee.change(change))
    }

    /// Somebody deletes a conversation: its id becomes unknown, and its references free.
    ///
    /// # Errors
    /// When there is no such conversation.
    pub fn delete(&self, conversation: &str) -> Result<Receipt, PeopleError> {
        self.shared.with(|_, referee| referee.delete(conversation))
    }

    /// A rule fires.
    ///
    /// # Errors
    /// When there is no such conversation, channel or webhook.
    pub fn fire_rule(&self, call: &RuleCall) -> Result<Receipt, PeopleError> {
        self.shared.with(|_, referee| referee.fire_rule(call))
    }

    /// The conversations written to last, newest first; at most 1,000.
    pub fn conversations(&self, limit: usize) -> Vec<ConversationView> {
        self.shared.with(|_, referee| views::conversations(referee, limit))
    }

    /// The messages of a conversation, newest first; at most 1,000.
    pub fn messages(&self, conversation: &str, limit: usize) -> Vec<MessageItem> {
        self.shared.with(|_, referee| views::messages(referee, conversation, limit))
    }

    /// The requests after the one with the id `after`, oldest first.
    pub fn ledger(&self, after: u64, limit: usize) -> Page {
        self.shared.with(|_, referee| referee.ledger.page(after, limit))
    }

    /// The webhooks after the one with the id `after`, oldest first, with every answer they got.
    pub fn webhooks(&self, after: u64, limit: usize) -> Vec<Delivery> {
        self.shared.with(|_, referee| referee.deliveries.page(after, limit))
    }

    /// Makes a channel known, or changes it: its webhook, for one.
    ///
    /// # Errors
    /// When the channel makes no sense.
    pub fn declare(&self, channel: Channel) -> Result<(), ChannelError> {
        self.shared.with(|_, referee| referee.declare(channel))
    }

    /// Sets switches: an object of names and values.
    ///
    /// # Errors
    /// When one of them doesn't exist; then none is set.
    pub fn switch(&self, changes: &Value) -> Result<(), SwitchError> {
        self.shared.with(|_, referee| referee.switches.set(changes))
    }

    /// Sets one more fault.
    ///
    /// # Errors
    /// When it makes no sense, or there are too many.
    pub fn fault(&self, fault: Fault) -> Result<(), FaultError> {
        self.shared.with(|_, referee| referee.faults.add(fault))
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.with(|_, referee| referee.faults.clear());
    }

    /// What those behind it have counted, for the page.
    pub fn publish(&self, books: Books) {
        self.shared.with(|_, referee| referee.publish(books));
    }

    /// The reply with this message id has become a record, for the page.
    pub fn arrived(&self, message: &str, record: Arrived) {
        self.shared.with(|_, referee| referee.arrived(message, record));
    }

    /// Ends it: no connection and no webhook outlives this.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    /// One step of the referee, and the webhooks that it leads to.
    fn with<R>(&self, step: impl FnOnce(u64, &mut Referee) -> R) -> R {
        let mut referee = self.referee.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let result = step(now, &mut referee);
        for outgoing in referee.take_outbox() {
            if let Err(refused) = self.outgoing.try_send(outgoing) {
                let outgoing = refused.into_inner();
                referee.attempted(now, &outgoing, 1, AttemptAnswer::QueueFull);
            }
        }
        result
    }

    /// Passes a wish on to those behind.
    fn wish(&self, wish: Wish) -> Result<(), WishError> {
        let wishes = self.wishes.as_ref().ok_or(WishError::NobodyBehind)?;
        wishes.try_send(wish.bounded()).map_err(|_| WishError::Busy)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox is a program of its own, and this is where it reads the clock"
)]
impl Clock {
    fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix_ms: u64::try_from(unix.as_millis()).unwrap_or_default() }
    }

    fn now(&self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.started_unix_ms.saturating_add(passed)
    }
}
