//! Records that nobody can read, one kind for every reason that a record is refused for; each must become a dead letter.

use serde_json::json;

use super::{Written, alerts};
use crate::cli::demo::settings::{ALERTS, CHAT, DEALS, RECORD_BYTES_MAX};
use crate::event::Timestamp;
use crate::sandbox::random::Random;

pub fn record(random: &mut Random, now: Timestamp, events_max: u64) -> Written {
    match random.up_to(8) {
        0 => Written::new(ALERTS, "broken", "{\"groupKey\": \"cut off in the mid", 1),
        1 => Written::new(ALERTS, "broken", json(&json!({ "status": "firing", "alerts": [] })), 1),
        2 => Written::new(DEALS, "broken", json(&json!({ "specversion": "1.0", "type": "deal.changed" })), 1),
        3 => Written::new(CHAT, "broken", *b"{\"visitor\": {\"id\": \"v-\0\"}}", 1),
        4 => batch(),
        5 => Written { payload: None, ..Written::new(ALERTS, "broken", "", 1) },
        6 => alerts::empty(random),
        7 => too_large(random),
        _ => alerts::of_nobody(random, now, events_max),
    }
}

fn batch() -> Written {
    let headers = vec![("content-type", "application/cloudevents-batch+json".to_owned())];
    Written { headers, ..Written::new(DEALS, "broken", "[]", 1) }
}

/// Rare, because the mock keeps few bytes; otherwise the NUL again.
fn too_large(random: &mut Random) -> Written {
    let text = "a long story, ".repeat(RECORD_BYTES_MAX / 14 + 8);
    if random.up_to(3) > 0 {
        return Written::new(CHAT, "broken", *b"\0", 1);
    }
    Written::new(CHAT, "broken", json(&json!({ "visitor": { "id": "v-1" }, "message": "long", "text": text })), 1)
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    super::json(value)
}
