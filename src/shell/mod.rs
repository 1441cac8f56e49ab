//! Everything that touches the world: clocks, Kafka, HTTP, signals. It decides nothing.
//!
//! `intake` reads source topics and writes frames; `courier` owns ledger partitions and posts to Missive; `hook` takes
//! webhooks; `admin` answers probes and scrapes. They share `kafka` and `clock` and know nothing of one another: `daemon`
//! joins them.

pub mod admin;
pub mod clock;
pub mod courier;
pub mod daemon;
pub mod hook;
pub mod intake;
pub mod kafka;
pub mod letters;
pub mod readiness;
