//! People in Missive: one of them begins a conversation, all answer in those that are there.
//!
//! What they write is seeded, whom they write to depends on what has happened by then. Bounded: they write
//! [`REPLIES_MAX`] times and then fall silent.

use std::sync::Arc;
use std::time::Duration;

use super::settings::CHANNELS;
use super::story::pick;
use crate::sandbox::random::Random;
use crate::sandbox::rules::Person;
use crate::sandbox::{Reply, ReplyTo, Sandbox};

/// Replies in the life of one demo.
const REPLIES_MAX: u32 = 10_000;

/// Conversations that people look at: those written to last.
const LOOKED_AT: usize = 50;

const WORDS: [&str; 8] = [
    "ack",
    "Looking into it.",
    "This is me, I'm restarting the pods.",
    "Who is on call for this?",
    "Fixed, keep an eye on it please.",
    "Can we silence this until tomorrow?",
    "Calling them back now.",
    "Danke, schaue ich mir an 👍",
];

/// Ann begins a conversation with somebody who has never been heard of. Returns how many conversations that makes.
pub fn begin(sandbox: &Sandbox) -> u64 {
    let (_, account) = CHANNELS[2];
    let recipient = Person { id: Some("v-2001".into()), ..Person::default() };
    let reply = Reply::new(ReplyTo::Recipient { account: account.into(), recipient }, "Are you still there?");
    u64::from(send(sandbox, reply) == Sent::Yes)
}

/// People write, one at every `pause`, until they are dropped or tired.
pub async fn write(sandbox: Arc<Sandbox>, seed: u64, pause: Duration) {
    // Another sequence than the story's, which has the same seed.
    let mut random = Random::new(seed ^ 0x70_65_6f_70_6c_65);
    for _ in 1..REPLIES_MAX {
        tokio::time::sleep(pause).await;
        answer(&sandbox, &mut random);
    }
}

fn answer(sandbox: &Sandbox, random: &mut Random) {
    let conversations = sandbox.conversations(LOOKED_AT);
    let words = pick(random, &WORDS);
    if conversations.is_empty() {
        return;
    }
    let conversation = pick(random, &conversations);
    send(sandbox, Reply::new(ReplyTo::Conversation(conversation.id.clone()), *words));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    No,
}

fn send(sandbox: &Sandbox, reply: Reply) -> Sent {
    match sandbox.reply(reply) {
        Ok(_) => Sent::Yes,
        Err(error) => {
            tracing::warn!(%error, "somebody could not write");
            Sent::No
        }
    }
}
