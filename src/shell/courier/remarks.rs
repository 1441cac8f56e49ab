//! What lanes have to say of their sources and templates, said now and then.
//!
//! While a rewound topic is read again, every transaction drops something, and a template that fails may fail with every
//! message: a line for each would drown the log. So counts are
//! gathered, and said at most every [`PAUSE`], and once more when the owner ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::lane::Notice;
use crate::lane::templates::RenderError;
use crate::shell::clock;
use crate::telemetry::{sources, words};

/// The least time between two lines about the same thing.
const PAUSE: Duration = Duration::from_secs(5);

/// Lane, route and key of a template.
type TemplateName = (Box<str>, Box<str>, &'static str);

/// What has not been said yet.
#[derive(Debug, Default)]
pub struct Remarks {
    rewound: BTreeMap<(Box<str>, Box<str>, i32), u64>,
    /// How each failed last, and how often.
    templates: BTreeMap<TemplateName, (RenderError, u64)>,
    said_at: Option<Instant>,
}

impl Remarks {
    /// What a lane has noticed, once it is committed.
    pub fn hear(&mut self, lane: &str, notices: Vec<Notice>) {
        for notice in notices {
            match notice {
                Notice::Recreated { topic, partition } => sources::topic_folded_anew(lane, &topic, partition),
                Notice::Rewound { topic, partition, count } => {
                    *self.rewound.entry((lane.into(), topic, partition)).or_default() += count;
                }
                Notice::TemplateFailed { route, key, error, count } => {
                    let before = self.templates.get(&(lane.into(), route.clone(), key)).map_or(0, |(_, count)| *count);
                    self.templates.insert((lane.into(), route, key), (error, before + count));
                }
            }
        }
    }

    /// Says what is due.
    pub fn say_due(&mut self) {
        let now = clock::monotonic();
        let due = self.said_at.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE);
        if due && !(self.rewound.is_empty() && self.templates.is_empty()) {
            self.said_at = Some(now);
            self.say();
        }
    }

    /// Says what is left.
    pub fn say(&mut self) {
        for ((lane, topic, partition), count) in std::mem::take(&mut self.rewound) {
            sources::offsets_rewound(&lane, &topic, partition, count);
        }
        for ((lane, route, key), (error, count)) in std::mem::take(&mut self.templates) {
            words::template_failed(&lane, &route, key, &error, count);
        }
    }
}
