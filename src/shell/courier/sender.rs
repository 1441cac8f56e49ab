//! Deliveries on the wire: one task each, one answer each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use hyper::body::Bytes;

use super::client::{Client, Deadlines};
use crate::config::TokenSource;
use crate::event::Timestamp;
use crate::lane::{Delivery, DeliveryId, Request};
use crate::missive::answer::{Answer, NotSent, Status};
use crate::missive::{MESSAGES_PATH, Token, messages_of};
use crate::shell::clock;
use crate::telemetry::process::requested;

/// The largest token file.
const TOKEN_FILE_BYTES_MAX: usize = 4 * 1024;

/// The tokens of all lanes. A file is read when it is first needed, and again after Missive has refused what it held.
#[derive(Clone)]
pub struct Tokens(Arc<All>);

struct All {
    held: HashMap<Box<str>, Held>,
    /// How often files were to be read again because somebody said so.
    renewals: AtomicU64,
}

struct Held {
    source: TokenSource,
    token: Mutex<Option<Token>>,
}

impl Tokens {
    pub fn new(sources: impl IntoIterator<Item = (Box<str>, TokenSource)>) -> Self {
        let held = |(lane, source)| (lane, Held { source, token: Mutex::new(None) });
        Self(Arc::new(All { held: sources.into_iter().map(held).collect(), renewals: AtomicU64::new(0) }))
    }

    pub(super) fn of(&self, lane: &str) -> Option<Token> {
        let held = self.0.held.get(lane)?;
        let mut token = held.token.lock().unwrap_or_else(PoisonError::into_inner);
        if token.is_none() {
            *token = read(&held.source);
        }
        token.clone()
    }

    /// Files are read again when they are next needed.
    pub fn forget(&self) {
        for held in self.0.held.values() {
            *held.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.0.renewals.fetch_add(1, Ordering::Release);
    }

    /// Another number than before: halted lanes may try at once.
    pub(super) fn renewals(&self) -> u64 {
        self.0.renewals.load(Ordering::Acquire)
    }

    fn refused(&self, lane: &str) {
        if let Some(held) = self.0.held.get(lane) {
            *held.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn read(source: &TokenSource) -> Option<Token> {
    match source {
        TokenSource::Inline(token) => Some(token.clone()),
        TokenSource::File(path) => read_file(path),
    }
}

fn read_file(path: &Path) -> Option<Token> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "the token file can't be read");
            return None;
        }
    };
    let token = (text.len() <= TOKEN_FILE_BYTES_MAX).then(|| Token::parse(&text)).flatten();
    if token.is_none() {
        tracing::error!(path = %path.display(), "the token file holds no token");
    }
    token
}

/// What became of a delivery, and when that was known.
pub struct Answered {
    pub lane: Box<str>,
    pub at: Timestamp,
    pub id: DeliveryId,
    pub answer: Answer,
}

impl Answered {
    /// It was not sent, and that was settled when its time was over.
    pub fn too_late(lane: &str, delivery: &Delivery) -> Self {
        let answer = Answer::NotSent(NotSent::TooLate);
        Self { lane: lane.into(), at: delivery.send_before, id: delivery.id, answer }
    }
}

/// Where answers go, and who waits for them.
#[derive(Clone)]
pub struct Answers {
    pub lane: Box<str>,
    pub queue: SyncSender<Answered>,
    pub owner: Thread,
}

/// Posts one delivery; its answer arrives at the owner, whatever it is.
pub async fn send(client: Arc<Client>, tokens: Tokens, delivery: Delivery, timeout: Duration, answers: Answers) {
    let id = delivery.id;
    let began = clock::monotonic();
    let answer = match tokens.of(&answers.lane) {
        Some(token) => {
            let deadlines = Deadlines { send_before: delivery.send_before, timeout };
            match delivery.request {
                Request::Message { body, .. } => client.post(MESSAGES_PATH, &token, Bytes::from(body), deadlines).await,
                Request::LookUp { conversation } => client.get(&messages_of(&conversation), &token, deadlines).await,
            }
        }
        None => Answer::NotSent(NotSent::NoToken),
    };
    if matches!(&answer, Answer::Status(Status { code: 401 | 403, .. })) {
        tokens.refused(&answers.lane);
    }
    requested(&answers.lane, clock::monotonic().saturating_duration_since(began));
    tracing::debug!(
        lane = &*answers.lane,
        sequence = id.sequence,
        attempt = id.attempt,
        answer = answer.label(),
        "answered"
    );
    // The queue holds one answer for every permit of every lane, so it is never full; if the owner is gone, its successor
    // knows what to think of a delivery without an answer.
    let answered = Answered { lane: answers.lane, at: clock::now(), id, answer };
    if answers.queue.try_send(answered).is_ok() {
        answers.owner.unpark();
    }
}
