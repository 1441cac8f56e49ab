//! Visitors of a chat widget: their own words, one record a line; now and then the widget sends a line twice.

use serde_json::json;

use super::{Written, chance, pick, rfc3339};
use crate::cli::demo::settings;
use crate::event::Timestamp;
use crate::sandbox::random::Random;

const VISITORS: [(&str, &str); 6] = [
    ("v-1001", "Maya"),
    ("v-1002", "Jonas"),
    ("v-1003", "Priya"),
    ("v-1004", "Tomás"),
    ("v-1005", "Wen"),
    ("v-1006", "Aïcha"),
];
const LINES: [&str; 10] = [
    "Hello, is anybody there?",
    "My invoice shows the wrong address.",
    "I can't log in since this morning.",
    "It says \"payment declined\", but my card is fine.",
    "Could you send me the PDF again?",
    "Thanks, that works!",
    "And how do I change the plan?",
    "Sorry, one more thing …",
    "Is there a status page?",
    "ありがとう 🙏",
];

#[derive(Debug, Default)]
pub struct Chat {
    lines: u64,
    last: Option<Written>,
}

impl Chat {
    pub fn record(&mut self, random: &mut Random, now: Timestamp) -> Written {
        if let Some(last) = self.last.as_ref().filter(|_| chance(random, 10)) {
            return last.clone();
        }
        self.lines += 1;
        let (id, name) = *pick(random, &VISITORS);
        let body = json!({
            "visitor": { "id": id, "name": name },
            "message": format!("line-{}", self.lines),
            "text": pick(random, &LINES),
            "at": rfc3339(now),
        });
        let written = Written::new(settings::CHAT, id, super::json(&body), 1);
        self.last = Some(written.clone());
        written
    }
}
