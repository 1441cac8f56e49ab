//! Where critical news goes while Missive refuses a lane's token: a topic, an address, or both.
//!
//! To the topic it goes in the transaction that its lane commits anyway; to the address after that, with a few attempts. Both
//! may hear the same twice. Nothing is settled by it: Missive is told all of it as soon as it takes it. Shape, in both places:
//! one JSON object a message, keys only get added. Limits: three attempts a message, one message at a time.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Tokens;
use super::client::{Client, ClientError, Clock, Deadlines};
use crate::config::{self, HaltFallback, Pager};
use crate::lane::fallback::Fallback;
use crate::missive::Answer;
use crate::shell::clock;
use crate::telemetry::process::{Handed, handed_over};

/// How often an address is tried with one message.
const ATTEMPTS: u32 = 3;

/// Messages that wait for the address; more are counted as failed.
const WAITING_MAX: usize = 1_000;

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before the second attempt; twice that before the third.
const PAUSE: Duration = Duration::from_secs(1);

/// The name of the address' token among [`Tokens`].
const TOKEN: &str = "halt_fallback";

/// What stands in a message.
#[derive(Serialize)]
struct Written<'a> {
    lane: &'a str,
    urgency: &'static str,
    at_ms: u64,
    halted_since_ms: u64,
    channel: &'a str,
    conversation: &'a str,
    subject: &'a str,
    body: &'a str,
    covers: u32,
}

/// Where it goes.
#[derive(Debug)]
pub struct Ways {
    pub topic: Option<Box<str>>,
    pager: Option<mpsc::Sender<Bytes>>,
}

impl Ways {
    /// Begins to serve the address, until this is dropped.
    pub fn open(fallback: Option<&HaltFallback>, runtime: &tokio::runtime::Handle) -> Result<Self, ClientError> {
        let topic = fallback.and_then(|fallback| fallback.topic.clone());
        let pager = fallback.and_then(|fallback| fallback.pager.as_ref());
        let pager = pager.map(|pager| serve(pager, runtime)).transpose()?;
        Ok(Self { topic, pager })
    }

    /// It is in the topic, if there is one, and goes to the address, if there is one.
    pub fn hand_over(&self, lane: &str, fallback: &Fallback) {
        tracing::warn!(lane, conversation = &*fallback.routing_key, "critical news goes to halt_fallback");
        if self.topic.is_some() {
            handed_over(Handed::Taken);
        }
        let Some(pager) = &self.pager else { return };
        if pager.try_send(written(lane, fallback).into()).is_err() {
            handed_over(Handed::Failed);
            tracing::error!(lane, "critical news finds no way: too much waits for halt_fallback.url");
        }
    }
}

/// The message, as it goes to either place.
pub fn written(lane: &str, fallback: &Fallback) -> Vec<u8> {
    let Fallback { at, halted_since, channel, routing_key, subject, body, covers } = fallback;
    let written = Written {
        lane,
        urgency: "critical",
        at_ms: at.as_millis(),
        halted_since_ms: halted_since.as_millis(),
        channel,
        conversation: routing_key,
        subject,
        body,
        covers: *covers,
    };
    serde_json::to_vec(&written).expect("texts and numbers can always be written as JSON")
}

fn serve(pager: &Pager, runtime: &tokio::runtime::Handle) -> Result<mpsc::Sender<Bytes>, ClientError> {
    let (to_send, mut waiting) = mpsc::channel::<Bytes>(WAITING_MAX);
    let now: Clock = Arc::new(clock::now);
    let base = config::Missive { url: pager.url.clone(), ca_file: pager.ca_file.clone() };
    let client = Client::new(&base, now)?;
    let tokens = Tokens::new(pager.token.clone().map(|source| (TOKEN.into(), source)));
    let needs_token = pager.token.is_some();
    let path = pager.url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    runtime.spawn(async move {
        while let Some(message) = waiting.recv().await {
            let token = tokens.of(TOKEN);
            if needs_token && token.is_none() {
                handed_over(Handed::Failed);
                continue;
            }
            let handed = attempt(&client, &path, token.as_ref(), message).await;
            handed_over(handed);
        }
    });
    Ok(to_send)
}

async fn attempt(client: &Client, path: &str, token: Option<&crate::missive::Token>, message: Bytes) -> Handed {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * attempt).await;
        }
        let deadlines = Deadlines { send_before: clock::now() + TIMEOUT, timeout: TIMEOUT };
        match client.tell(path, token, message.clone(), deadlines).await {
            Answer::Status(status) if (200..300).contains(&status.code) => return Handed::Taken,
            answer => tracing::warn!(answer = answer.label(), "halt_fallback.url did not take critical news"),
        }
    }
    Handed::Failed
}
