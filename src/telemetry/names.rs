//! Names, help and labels. Nothing else in the project names a metric.
#![expect(clippy::disallowed_macros, reason = "this is where metrics are named")]

use std::collections::BTreeMap;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::{IntakeReport, LaneReport};
use crate::event::{Timestamp, Urgency};
use crate::lane::heart::Beats;
use crate::lane::{Blocked, Outcome, Reason};

pub(super) fn describe() {
    describe_counter!("missived_records_total", Unit::Count, "Kafka records consumed and committed");
    describe_counter!(
        "missived_records_replayed_total",
        Unit::Count,
        "Of these, dead letters that an operator replayed"
    );
    describe_counter!(
        "missived_events_consumed_total",
        Unit::Count,
        "Events consumed and committed; a record without any counts as one, and so does a delivery that is replayed"
    );
    describe_counter!("missived_events_total", Unit::Count, "What became of events, by outcome and reason");
    describe_counter!("missived_route_hits_total", Unit::Count, "Events that a route took, committed");
    describe_gauge!("missived_events_pending", Unit::Count, "Events that wait to be told");
    describe_counter!("missived_frames_total", Unit::Count, "Frames written to the ledger");
    describe_counter!("missived_frame_bytes_total", Unit::Bytes, "Bytes of frames written to the ledger");
    describe_counter!("missived_messages_total", Unit::Count, "Messages that Missive accepted, by why they were sent");
    describe_counter!(
        "missived_conversations_opened_total",
        Unit::Count,
        "First messages of conversations and episodes"
    );
    describe_counter!("missived_roll_ups_total", Unit::Count, "Messages that spoke for many conversations");
    describe_counter!("missived_deliveries_in_doubt_total", Unit::Count, "Deliveries that may or may not have arrived");
    describe_counter!("missived_delivery_retries_total", Unit::Count, "Further attempts at a delivery");
    describe_counter!("missived_rate_limited_total", Unit::Count, "Answers 429");
    describe_counter!("missived_unknown_routes_total", Unit::Count, "Observations held for a route this config lacks");
    describe_counter!(
        "missived_observations_read_again_total",
        Unit::Count,
        "Observations that came once more after a crash, and were dropped"
    );
    describe_counter!(
        "missived_partitions_folded_anew_total",
        Unit::Count,
        "Source partitions whose topic was deleted and created again"
    );
    describe_counter!(
        "missived_deliveries_replayed_total",
        Unit::Count,
        "Refused deliveries that an operator sent back"
    );
    describe_counter!(
        "missived_deliveries_in_doubt_found_total",
        Unit::Count,
        "Deliveries in doubt that a look-up has found in their conversation: they were not sent again"
    );
    describe_gauge!("missived_budget_left", Unit::Count, "Requests that Missive's limits leave now, by window");
    describe_gauge!("missived_requests_in_progress", Unit::Count, "Requests to Missive under way");
    describe_counter!(
        "missived_template_faults_total",
        Unit::Count,
        "Templates that failed; the default words were sent instead"
    );
    describe_gauge!("missived_conversations", Unit::Count, "Conversations kept");
    describe_gauge!("missived_dedupe_keys", Unit::Count, "Identities remembered");
    describe_counter!(
        "missived_dedupe_evicted_total",
        Unit::Count,
        "Identities forgotten early because there were too many"
    );
    describe_gauge!("missived_heartbeat_missing", "Whether a heartbeat route has heard nothing for too long");
    describe_gauge!(
        "missived_heartbeat_age_seconds",
        Unit::Seconds,
        "How long ago a heartbeat route last heard something"
    );
    describe_gauge!("missived_oldest_untold_seconds", Unit::Seconds, "Age of the oldest untold news, by urgency");
    describe_gauge!("missived_lane_halted", Unit::Count, "1 while Missive refuses the lane's token");
    describe_gauge!("missived_channels_halted", Unit::Count, "Channels that refuse most of what they get");
}

pub(super) fn intake(report: &IntakeReport, returned: u64) {
    counter!("missived_records_total").absolute(report.records);
    counter!("missived_records_replayed_total").absolute(report.replayed);
    counter!("missived_events_consumed_total").absolute(report.consumed + returned);
    counter!("missived_frames_total").absolute(report.frames);
    counter!("missived_frame_bytes_total").absolute(report.frame_bytes);
}

/// A route that nothing hits is shown, too: that is what people look for.
pub(super) fn route(name: &str, hits: u64) {
    counter!("missived_route_hits_total", "route" => name.to_owned()).absolute(hits);
}

pub(super) fn events(outcome: Outcome, reason: &'static str, count: u64) {
    counter!("missived_events_total", "outcome" => outcome.as_str(), "reason" => reason).absolute(count);
}

pub(super) fn lane(now: Timestamp, name: &str, report: &LaneReport, messages: &BTreeMap<Reason, u64>) {
    let lane = || name.to_owned();
    gauge!("missived_events_pending", "lane" => lane()).set(report.books.pending() as f64);
    for (reason, count) in messages {
        counter!("missived_messages_total", "lane" => lane(), "reason" => reason.as_str()).absolute(*count);
    }
    counter!("missived_conversations_opened_total", "lane" => lane()).absolute(report.tally.conversations_opened);
    counter!("missived_roll_ups_total", "lane" => lane()).absolute(report.tally.roll_ups);
    counter!("missived_deliveries_in_doubt_total", "lane" => lane()).absolute(report.tally.doubts);
    counter!("missived_deliveries_in_doubt_found_total", "lane" => lane()).absolute(report.tally.doubts_settled);
    counter!("missived_delivery_retries_total", "lane" => lane()).absolute(report.tally.retries);
    counter!("missived_rate_limited_total", "lane" => lane()).absolute(report.tally.rate_limited);
    counter!("missived_unknown_routes_total", "lane" => lane()).absolute(report.tally.unknown_routes);
    counter!("missived_observations_read_again_total", "lane" => lane()).absolute(report.tally.read_again);
    counter!("missived_partitions_folded_anew_total", "lane" => lane()).absolute(report.tally.partitions_recreated);
    counter!("missived_deliveries_replayed_total", "lane" => lane()).absolute(report.tally.returned);
    counter!("missived_template_faults_total", "lane" => lane()).absolute(report.tally.template_faults);
    gauge!("missived_budget_left", "lane" => lane(), "window" => "60s").set(report.budget.minute as f64);
    gauge!("missived_budget_left", "lane" => lane(), "window" => "900s").set(report.budget.quarter_hour as f64);
    gauge!("missived_requests_in_progress", "lane" => lane()).set(report.in_progress as f64);
    gauge!("missived_conversations", "lane" => lane()).set(report.conversations as f64);
    gauge!("missived_dedupe_keys", "lane" => lane()).set(report.dedupe_keys as f64);
    counter!("missived_dedupe_evicted_total", "lane" => lane()).absolute(report.dedupe_evicted);
    gauge!("missived_channels_halted", "lane" => lane()).set(report.halted_channels as f64);
    let halted = matches!(report.blocked, Blocked::Halted { .. });
    gauge!("missived_lane_halted", "lane" => lane()).set(f64::from(u8::from(halted)));
    for heart in &report.hearts {
        let route = heart.route.to_string();
        let missing = f64::from(u8::from(heart.beats == Beats::NoMore));
        gauge!("missived_heartbeat_missing", "lane" => lane(), "route" => route.clone()).set(missing);
        let age = now.since(heart.heard_at).as_secs_f64();
        gauge!("missived_heartbeat_age_seconds", "lane" => lane(), "route" => route).set(age);
    }
    for urgency in Urgency::ALL {
        let age = report.untold.oldest.get(&urgency).map_or(0.0, |since| now.since(*since).as_secs_f64());
        gauge!("missived_oldest_untold_seconds", "lane" => lane(), "urgency" => urgency.as_str()).set(age);
    }
}
