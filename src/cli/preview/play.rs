//! Records through decoder, routes and a lane, by the same code as in the daemon; what came of each is kept to be shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, Lane as LaneConfig};
use crate::event::frame::LedgerRecord;
use crate::event::{Decoder, Event, Fingerprint, FrameBuilder, HashKey, Kind, Record, State, Timestamp, Urgency};
use crate::lane::{Effects, Input, Lane, Policy, Request};
use crate::missive::RoutingKey;
use crate::missive::answer::{Answer, Status};
use crate::route::{Scratch, Seen, Source};

/// Not the installation's: nobody can tell that one by what is shown.
const KEY: HashKey = HashKey::new([0; 16]);

/// How long a lane is given to say everything, and in how many steps.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
const STEPS_MAX: usize = 100_000;

/// What became of everything.
#[derive(Serialize)]
pub struct Preview {
    pub topic: String,
    pub source: String,
    pub format: &'static str,
    pub events: Vec<Shown>,
    pub messages: Vec<Sent>,
    pub refused: Vec<Refused>,
}

impl Preview {
    /// Whether nothing would become a dead letter.
    pub fn is_handled(&self) -> bool {
        self.refused.is_empty() && self.events.iter().all(|event| !event.routes.is_empty())
    }
}

/// One event.
#[derive(Serialize)]
pub struct Shown {
    /// The place of its record in the input, from 0.
    pub record: usize,
    /// Its place in the record.
    pub index: u32,
    pub state: &'static str,
    pub title: String,
    pub identity: String,
    pub routes: Vec<Routed>,
}

/// Where one route takes an event.
#[derive(Serialize)]
pub struct Routed {
    pub route: String,
    /// The conditions that held.
    pub why: Vec<String>,
    pub channel: String,
    pub lane: String,
    pub kind: Option<Kind>,
    pub class: Urgency,
    pub conversation: String,
    /// What finds its way back with a reply.
    pub routing_key: String,
    /// The lane's own name of the conversation.
    #[serde(skip)]
    id: Fingerprint,
    /// Places in `messages`.
    pub messages: Vec<usize>,
}

/// One request.
#[derive(Serialize)]
pub struct Sent {
    pub lane: String,
    /// How long after the records.
    pub after_seconds: u64,
    #[serde(skip)]
    conversation: Fingerprint,
    /// Empty for emails, which have no replies.
    pub routing_key: String,
    pub request: Value,
}

/// A record that would become a dead letter.
#[derive(Serialize)]
pub struct Refused {
    pub record: usize,
    pub reason: &'static str,
    pub error: String,
}

/// One source, and the lanes that it feeds.
pub struct Stage<'c> {
    config: &'c Config,
    source: &'c Source,
}

type Frames = BTreeMap<Box<str>, FrameBuilder>;

impl<'c> Stage<'c> {
    /// `None` if no source reads the topic.
    pub fn new(config: &'c Config, topic: &str) -> Option<Self> {
        let source = config.sources.iter().find(|source| &*source.topic == topic)?;
        Some(Self { config, source })
    }

    pub fn play(&self, now: Timestamp, records: &[Option<&[u8]>], headers: &[(String, String)]) -> Preview {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(key, value)| (&**key, value.as_bytes())).collect();
        let mut preview = Preview {
            topic: self.source.topic.to_string(),
            source: self.source.name.to_string(),
            format: self.source.format.as_str(),
            events: Vec::new(),
            messages: Vec::new(),
            refused: Vec::new(),
        };
        let (mut decoder, mut frames) = (Decoder::new(KEY), Frames::new());
        for (place, payload) in records.iter().enumerate() {
            let record = Record { payload: *payload, headers: &headers };
            let outcome = self.decode(&mut decoder, now, place, record, &mut frames, &mut preview.events);
            preview.refused.extend(outcome.err());
        }
        for (lane, mut frame) in frames {
            let policy = self.config.lanes.iter().find(|known| known.policy.lane == lane);
            preview.messages.extend(policy.into_iter().flat_map(|lane| said(now, lane, &mut frame)));
        }
        for routed in preview.events.iter_mut().flat_map(|event| &mut event.routes) {
            let told = preview.messages.iter().enumerate();
            let told = told.filter(|(_, sent)| sent.conversation == routed.id && sent.lane == routed.lane);
            routed.messages = told.map(|(place, _)| place).collect();
        }
        preview
    }

    fn decode(
        &self,
        decoder: &mut Decoder,
        now: Timestamp,
        place: usize,
        record: Record<'_>,
        frames: &mut Frames,
        events: &mut Vec<Shown>,
    ) -> Result<(), Refused> {
        let bytes = record.payload.map_or(0, <[u8]>::len);
        if bytes > self.source.record_bytes_max {
            let error = format!("{bytes} bytes; {} takes at most {}", self.source.name, self.source.record_bytes_max);
            return Err(Refused { record: place, reason: "too_large", error });
        }
        let emit = &mut |event: &Event<'_>| events.push(self.show(now, place, event, frames));
        let outcome = decoder.decode_handled(&self.source.format, &self.source.handling, record, emit);
        let refused = |reason, error| Refused { record: place, reason, error };
        outcome.map(|_| ()).map_err(|refusal| refused(refusal.reason(), refusal.to_string()))
    }

    fn show(&self, now: Timestamp, place: usize, event: &Event<'_>, frames: &mut Frames) -> Shown {
        let mut routes = Vec::new();
        for (copy, rule) in (0..).zip(self.source.route(event)) {
            let rule = &self.source.rules[rule];
            let offset = i64::try_from(place).unwrap_or(i64::MAX);
            let seen = Seen { offset, at: now, old: false, copy };
            let mut observation = rule.sight(rule.hash(&KEY), event, seen);
            let mut scratch = Scratch::default();
            rule.furnish(event, &mut scratch, &mut observation);
            frames.entry(rule.lane.clone()).or_default().push(&observation);
            let lane = self.config.lanes.iter().find(|lane| lane.policy.lane == rule.lane);
            let policy = lane.and_then(|lane| lane.policy.routes.get(&rule.name));
            let id = KEY.fingerprint(&[rule.name.as_bytes(), event.conversation.as_bytes()]);
            routes.push(Routed {
                route: rule.name.to_string(),
                why: rule.conditions.iter().map(ToString::to_string).collect(),
                channel: policy.map_or("?", |policy| &policy.channel).to_owned(),
                lane: rule.lane.to_string(),
                kind: policy.map(|policy| policy.kind),
                class: observation.urgency,
                conversation: event.conversation.to_string(),
                routing_key: RoutingKey::new(&rule.name, &event.conversation, &id.to_string()).to_string(),
                id,
                messages: Vec::new(),
            });
        }
        Shown {
            record: place,
            index: event.index,
            state: word(event.state),
            title: event.facts(&mut String::new()).title.to_string(),
            identity: event.identity.to_string(),
            routes,
        }
    }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Firing => "firing",
        State::Resolved => "resolved",
        State::Changed => "changed",
        State::Said => "said",
    }
}

/// What a lane that knows nothing else says of a frame.
fn said(now: Timestamp, config: &LaneConfig, frame: &mut FrameBuilder) -> Vec<Sent> {
    let mut lane = Lane::new(Arc::new(without_storms(config.policy.clone())), KEY, 0);
    let mut effects = Effects::default();
    let mut bytes = Vec::new();
    frame.seal(&config.policy.lane, "preview", 0, &mut bytes);
    let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else {
        unreachable!("a frame that was just sealed")
    };
    lane.step(now, Input::Observed(&frame), &mut effects);
    let (mut sent, mut at) = (Vec::new(), now);
    for _ in 0..STEPS_MAX {
        lane.committed();
        effects.dirty.clear();
        for delivery in std::mem::take(&mut effects.sends) {
            match &delivery.request {
                Request::Message { body, .. } => {
                    sent.push(shown(&config.policy.lane, at.since(now), delivery.id.conversation, body));
                }
                // Nothing is in doubt here.
                Request::LookUp { .. } => {}
            }
            let answer = Answer::Status(Status { code: 201, ..Status::default() });
            lane.step(at, Input::Answered { id: delivery.id, answer }, &mut effects);
        }
        if !effects.sends.is_empty() {
            continue;
        }
        let next = lane.next_wakeup().filter(|next| lane.books().pending() > 0 && next.since(now) < PATIENCE);
        let Some(next) = next else { break };
        at = next.max(at + Duration::from_millis(1));
        lane.step(at, Input::Tick, &mut effects);
    }
    sent
}

/// A preview shows every conversation, however many there are.
fn without_storms(mut policy: Policy) -> Policy {
    for channel in policy.channels.values_mut() {
        channel.new_conversations = usize::MAX / 2;
        channel.new_conversations_critical = usize::MAX / 2;
    }
    policy
}

fn shown(lane: &str, after: Duration, conversation: Fingerprint, body: &[u8]) -> Sent {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let routing_key = request.pointer("/messages/from_field/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Sent { lane: lane.to_owned(), after_seconds: after.as_secs(), conversation, routing_key, request }
}
