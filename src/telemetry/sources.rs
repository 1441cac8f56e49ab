//! What an operator should hear of source topics: counted and said with the same words.
#![expect(clippy::disallowed_macros, reason = "this is where metrics are named")]

use metrics::{Unit, counter, describe_counter};

use crate::event::TopicId;

const RECREATED: &str = "missived_source_topics_recreated_total";
const WENT_BACK: &str = "missived_source_offsets_went_back_total";
const SET_BY_OPERATOR: &str = "missived_source_offsets_set_total";

pub(super) fn describe() {
    describe_counter!(RECREATED, Unit::Count, "Source partitions whose topic was deleted and created again");
    describe_counter!(WENT_BACK, Unit::Count, "Source partitions whose offsets went back while they were read");
    describe_counter!(SET_BY_OPERATOR, Unit::Count, "Source partitions whose offset somebody else had set");
}

/// A topic was deleted and created again: the intake reads it from its beginning.
pub fn topic_recreated(topic: &str, partition: i32, id: TopicId) {
    counter!(RECREATED, "topic" => topic.to_owned()).increment(1);
    tracing::warn!(topic, partition, %id, "topic was deleted and created again: reading it from its beginning");
}

/// The same, as its lane has found it: what it folded of the former topic doesn't count for this one.
pub fn topic_folded_anew(lane: &str, topic: &str, partition: i32) {
    tracing::warn!(lane, topic, partition, "topic was deleted and created again: folding it anew");
}

/// Offsets went back, and it is still the same topic: the broker has lost its end.
pub fn offsets_went_back(topic: &str, partition: i32, expected: i64, found: i64) {
    counter!(WENT_BACK, "topic" => topic.to_owned()).increment(1);
    tracing::warn!(topic, partition, expected, found, "offsets went back: what is read below the mark will be dropped");
}

/// Somebody else has set the group's offset.
pub fn offsets_set(topic: &str, partition: i32, offset: i64) {
    counter!(SET_BY_OPERATOR, "topic" => topic.to_owned()).increment(1);
    tracing::warn!(topic, partition, offset, "offsets were set by an operator: reading on from there");
}

/// What was rewound is known already; `missived_events_total{reason="rewound"}` counts it.
pub fn offsets_rewound(lane: &str, topic: &str, partition: i32, dropped: u64) {
    tracing::warn!(lane, topic, partition, dropped, "offsets rewound: observations below the mark were dropped");
}
