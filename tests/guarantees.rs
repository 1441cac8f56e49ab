//! The promises, on a real Kafka, with processes that die: nothing lost, nothing twice, order kept, no window violated.
//!
//! Each trial plays a seeded workload with many repeats (`workload`), disturbs whatever it is about, and has the stand-in's
//! ledger compared with the generator's books (`audit`). Each prints one line. `MISSIVED_KILLS` says how often the kill test
//! kills (30), `MISSIVED_SEED` draws another workload, `MISSIVED_SOAK` lets the soak last longer (`1h`),
//! `MISSIVED_AWAY` Missive's absence (`2h`).

#[path = "guarantees/audit.rs"]
mod audit;
#[path = "guarantees/broker.rs"]
mod broker;
#[path = "guarantees/cable.rs"]
mod cable;
#[path = "guarantees/hanging.rs"]
mod hanging;
#[path = "guarantees/kill.rs"]
mod kill;
#[path = "guarantees/mixed.rs"]
mod mixed;
#[path = "guarantees/outages.rs"]
mod outages;
#[path = "guarantees/rebalance.rs"]
mod rebalance;
#[expect(dead_code, reason = "the scene serves all process tests; this one needs a part of it")]
#[path = "end_to_end/scene.rs"]
mod scene;
#[path = "guarantees/soak.rs"]
mod soak;
#[path = "guarantees/stage.rs"]
mod stage;
#[path = "guarantees/state.rs"]
mod state;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;
#[path = "guarantees/takeover.rs"]
mod takeover;
#[path = "guarantees/versions.rs"]
mod versions;
#[path = "guarantees/workload.rs"]
mod workload;
#[path = "guarantees/zombie.rs"]
mod zombie;
