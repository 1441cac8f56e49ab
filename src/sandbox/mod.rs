//! The stand-in for Missive: a strict referee over HTTP.
//!
//! It takes what Missive documents, refuses what Missive refuses, counts what Missive counts, and can be told to fail. What
//! nobody outside Missive knows is a switch ([`switches`]). [`start`] runs it in the caller's runtime; `missived sandbox`
//! runs it alone. Everything it keeps is bounded, and nothing outlives the process.
//!
//! The API, as Missive has it: `POST /v1/messages`, `POST /v1/posts`, `GET /v1/conversations/:id/messages`,
//! `GET /v1/messages/:id`, `GET /v1/organizations`. Not there: changing conversations, TLS, organizations as a scope of the
//! search for references, attachments in webhooks.
//!
//! A request is judged in this order: token → limits (by the moment its head arrived) → path → content type → size →
//! faults → field rules → conversation. A **violation** is a request that arrives when a window already holds its limit, or
//! with as many others in progress as are allowed; it is recorded whether or not the limits are enforced.
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
//! | `GET /control/webhooks?after=0&limit=100` | every webhook and each answer it got ([`deliveries::Delivery`]) |
//! | `GET`, `POST /control/switches` | the switches; `{"enforce_limits":false}` sets some |
//! | `GET`, `POST`, `DELETE /control/faults` | the faults ([`faults::Fault`]); `{"fault":"status","status":503,"next":3}` adds one, DELETE ends all |
//! | `POST /control/channels` | `{"account":"…","type":"text","webhook":{"url":"http://…","secret":"…"}}` declares a channel |
//! | `POST /control/reply` | somebody writes: `{"conversation":"…","body":"ack"}`, or `"reference"`, or `"account"` and `"recipient":{"id":"…"}`; `"author"`, and `"signing":"forged"` or `"missing"` |
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
//! [`faults`] and [`control`] are its parts and its desk, pure as well. `shell` has the clock, the sockets and the tasks.

pub mod answer;
pub mod channels;
mod clip;
pub mod control;
pub mod deliveries;
pub mod faults;
pub mod ledger;
pub mod limits;
mod options;
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

pub use channels::{Channel, ChannelType, Recipient, Secret, Webhook};
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
