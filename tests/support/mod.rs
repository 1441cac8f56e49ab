//! What the process tests share: a real Kafka ([`kafka`]), an independent client of it ([`kcat`]), the program itself as
//! a child process ([`daemon`]), a plain HTTP client ([`http`]), config files ([`config`]), and the one way to wait
//! ([`wait::eventually`]).
//!
//! What must hold: nothing here knows how missived works inside, so a test that passes has seen what a user would see.
//! Whatever a test starts ends with it. Every wait has a deadline and says what it waited for. Tests share one broker, so
//! each takes a namespace of its own ([`kafka::unique`]).
//!
//! A test file takes only a part, and says so where it opens this module:
//! `#[expect(dead_code, reason = "…")] mod support;`.

pub mod config;
pub mod daemon;
pub mod http;
pub mod kafka;
pub mod kcat;
pub mod wait;
