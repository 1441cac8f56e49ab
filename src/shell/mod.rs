//! Everything that touches the world: clocks, Kafka, HTTP, signals. It decides nothing.
//!
//! `intake` reads source topics and writes frames; `courier` owns ledger partitions and posts to Missive; `hook` takes
//! webhooks; `ingest` takes what can't be written to Kafka otherwise; `admin` answers probes and scrapes. They share `kafka`,
//! `edge` (what stands before listeners that strangers reach), `sockets` and `clock`, and know nothing of one another:
//! `log` writes lines; `daemon` joins them, `reload` says what can be changed while they run, `status` tells what they do, and `systemd` tells it on.

pub mod admin;
pub mod clock;
pub mod courier;
pub mod daemon;
pub mod decisions;
pub mod drain;
pub mod edge;
pub mod hook;
pub mod ingest;
pub mod intake;
pub mod kafka;
pub mod letters;
pub mod log;
pub mod readiness;
pub mod reload;
pub mod signals;
pub mod sockets;
pub mod status;
pub mod systemd;
