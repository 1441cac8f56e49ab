//! The stand-in for Missive: a strict referee over HTTP.
//!
//! It takes what Missive documents, refuses what Missive refuses, counts what Missive counts, and can be told to fail. What
//! nobody outside Missive knows is a switch ([`switches`]). [`start`] runs it in the caller's runtime; `missived sandbox`
//! runs it alone. Everything it keeps is bounded, and nothing outlives the process.
//!
//! The API, as Missive has it: `POST /v1/messages`, `POST /v1/posts`, `GET /v1/conversations/:id/messages`,
//! `GET /v1/messages/:id`, `GET /v1/organizations`, `GET /v1/teams`, `GET /v1/shared_labels`, `GET /v1/users`. Not there: changing conversations, TLS, organizations as a scope of the
//! search for references, attachments in webhooks.
//!
//! A request is judged in this order: token → limits (by the moment its head arrived) → path → content type → size →
//! faults → field rules → conversation. A **violation** is a request that arrives when a window already holds its limit, or
//! with as many others in progress as are allowed; it is recorded whether or not the limits are enforced.
//!
//! # The inbox page
//!
//! At `/`: what a team would find in Missive, live, with a place to answer and knobs (`page`). Nothing of it is fetched
//! from another host. It shows the thousand newest conversations and says how many more there are; what a reader hasn't
//! taken yet is folded into one change a conversation (`live`). Other pages can neither read nor press anything (`gate`).
//!
//! # The control endpoint
//!
//! On the same listener, without a token: listen on loopback only. JSON in and out.
//!
//! | request | does |
//! |---|---|
//! | `GET /control/summary` | the numbers ([`Summary`]) |
//! | `GET /control/ledger?after=0&limit=100` | every request and its verdict ([`ledger::Entry`]), oldest first; go on with `next_after` |
//! | `GET /control/conversations?limit=100` | the conversations written to last ([`ConversationView`]) |
//! | `GET /control/conversation?id=…&limit=100` | one with its newest messages, and what became of its webhooks |
//! | `GET /control/events` | server-sent events: a `snapshot`, then `changes`, and a `pulse` of numbers a second |
//! | `GET /control/frame?message=…` | the HTML of a message, as a document that can do nothing |
//! | `GET /control/webhooks?after=0&limit=100` | every webhook and each answer it got ([`deliveries::Delivery`]) |
//! | `GET`, `POST /control/switches` | the switches; `{"enforce_limits":false}` sets some |
//! | `GET`, `POST`, `DELETE /control/faults` | the faults ([`faults::Fault`]); `{"fault":"status","status":503,"next":3}` adds one, DELETE ends all |
//! | `GET`, `POST /control/directory` | what the lists of organizations, teams, shared labels and users hold ([`directory::Directory`]) |
//! | `POST /control/channels` | `{"account":"…","type":"text","webhook":{"url":"http://…","secret":"…"}}` declares a channel |
//! | `POST /control/reply` | somebody writes: `{"conversation":"…","body":"ack"}`, or `"reference"`, or `"account"` and `"recipient":{"id":"…"}`; `"author"`, `"alias"`, `"recipients"`, and `"signing":"forged"` or `"missing"` |
//! | `POST /control/seen` | somebody opens: `{"conversation":"…"}`; nothing in it is unread any more |
//! | `POST /control/wish` | in the demo: `{"wish":"storm","events":5000}`, or `stop`, `start`, `kill` for the daemon |
//! | `POST /control/change` | somebody closes or labels: `{"conversation":"…","closed":true,"add_labels":["mute"]}`; rule webhooks follow |
//! | `POST /control/rule` | a rule fires: `{"conversation":"…","type":"new_comment"}` |
//! | `POST /control/delete` | somebody deletes: `{"conversation":"…"}`; its id becomes unknown, and its references free |
//! | `POST /control/probe` | somebody saves a rule: `{"account":"…"}` |
//!
//! Faults: `latency` (`ms`, `jitter_ms`), `status` (`status`, `retry_after`), `reset`, `accept_without_answering`,
//! `drop_before_processing`; with `next` (a number of requests) or `probability`, `path` (a prefix), and for the second and
//! third `after_processing`.
//!
//! # Inside
//!
//! [`referee`] is a pure state machine over (now, request); [`limits`], [`rules`], [`threads`], [`webhook`], [`ledger`],
//! [`faults`], `live`, `gate` and [`control`] are its parts and its desk, pure as well. `shell` has the clock, the sockets and the tasks.

pub mod answer;
pub mod backstage;
pub mod channels;
mod clip;
pub mod control;
pub mod deliveries;
pub mod directory;
pub mod faults;
mod gate;
pub mod ledger;
pub mod limits;
mod live;
mod markup;
mod options;
mod page;
pub mod random;
pub mod referee;
pub mod refusal;
pub mod rules;
mod shell;
pub mod summary;
pub mod switches;
pub mod threads;
pub mod views;
pub mod webhook;

pub use backstage::{Arrived, Books, Wish};
pub use channels::{Allowed, Channel, ChannelType, Recipient, Secret, Webhook};
pub use clip::Clipped;
pub use deliveries::RetryPolicy;
pub use faults::{Fault, FaultKind};
pub use limits::{Limits, WindowLimit};
pub use options::{BODY_BYTES_MAX, Options, TOKEN};
pub use referee::{Change, PeopleError, Receipt, Reply, ReplyTo, RuleCall};
pub use shell::{Sandbox, StartError, start};
pub use summary::Summary;
pub use switches::Switches;
pub use views::ConversationView;
