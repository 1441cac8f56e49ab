//! missived stands between Kafka and the Missive team inbox.
//!
//! **In**: a record of a source topic is decoded by its format ([`event`]), matched to a route ([`route`]) and written as
//! part of a frame to the ledger topic (`shell::intake`). The owner of that ledger partition folds it into its lane
//! ([`lane`]), which decides what people should hear, when, and in which conversation; the courier (`shell::courier`)
//! commits every decision to Kafka before it acts on it, and posts the message to Missive ([`missive`]).
//!
//! **Out**: what people answer arrives at the hook endpoint (`shell::hook`), is proven before a byte of it is
//! interpreted ([`hook`]), and is on Kafka before Missive hears `200`.
//!
//! [`event`], [`route`], [`lane`], [`missive`] and [`hook`] are pure: no I/O, no clock, no randomness, no logging. What
//! touches the world is in [`shell`] and decides nothing. `ARCHITECTURE.md` has the map and the promises.

#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod event;
pub mod hook;
pub mod lane;
pub mod missive;
pub mod route;
pub mod sandbox;
pub mod shell;
pub mod telemetry;
