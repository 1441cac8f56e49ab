//! What could not be handled, listed, shown and replayed; topics that were created anew; offsets that were rewound.
//!
//! As an operator sees it: `missived run` and `missived dead-letters` between a real Kafka and `missived sandbox`. Where there
//! is no Kafka or no kcat, tests are skipped, and say so.

#[path = "dead_letters/deliveries.rs"]
mod deliveries_that_missive_refused;
#[path = "dead_letters/sources.rs"]
mod offsets_and_topics_that_changed;
#[path = "dead_letters/operator.rs"]
mod operator;
#[path = "dead_letters/records.rs"]
mod records_that_could_not_be_handled;
#[expect(dead_code, reason = "the scene serves two test files; this one needs some of it")]
#[path = "end_to_end/scene.rs"]
mod scene;
#[expect(dead_code, reason = "the helpers serve all test files; this one needs some of them")]
mod support;
