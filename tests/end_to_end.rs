//! The whole way, as an operator sees it: `missived run` between a real Kafka and `missived sandbox`, each a process of its
//! own, with kcat as everybody else.
//!
//! Tests share one Kafka; each has its namespace. Where there is no Kafka or no kcat they are skipped, and say so.

#[path = "end_to_end/commands.rs"]
mod commands;
#[path = "end_to_end/examples.rs"]
mod examples;
#[path = "end_to_end/explained.rs"]
mod explained;
#[path = "golden/mod.rs"]
mod golden;
#[path = "end_to_end/scene.rs"]
mod scene;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;
#[path = "end_to_end/golden.rs"]
mod the_golden_records;
#[path = "end_to_end/in_and_out.rs"]
mod the_way_in_and_the_way_out;
#[path = "end_to_end/dead_letters.rs"]
mod what_cant_be_handled;
#[path = "end_to_end/refused_token.rs"]
mod when_missive_refuses_the_token;
#[path = "end_to_end/restarts.rs"]
mod when_the_daemon_ends;
#[path = "end_to_end/watched.rs"]
mod who_watches_the_watcher;
