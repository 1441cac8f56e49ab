//! Conversations as the version before wrote them to the state topic: version 1 knew no files, no labels, no fields that
//! templates name, and of addresses only one.
//!
//! Twins of what is stored now, read and turned into it; never written but in tests. They go when version 1 does.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::books::Reason;
use super::conversation::{Conversation, Doubt, InFlight, Owed, Phase, Said, Subject, Told};
use super::digest::{Counts, Digest, Line, News};
use super::enclosed::Files;
use super::member::Members;
use crate::event::{Fingerprint, Timestamp, Urgency};
use crate::missive::{Colour, Message};

#[derive(Serialize, Deserialize)]
pub(super) struct ConversationBefore {
    subject: Subject,
    title: Box<str>,
    episode: Timestamp,
    told: Told,
    sequence: u64,
    last_sent: Option<Timestamp>,
    last_heard: Timestamp,
    over_since: Option<Timestamp>,
    members: Members,
    firing_told: u32,
    owed: Option<Owed>,
    stale_told: bool,
    digest: DigestBefore,
    words: VecDeque<Said>,
    in_flight: Option<InFlightBefore>,
    missive_id: Option<Box<str>>,
    muted: bool,
    closed: bool,
    rolled_into: u64,
}

#[derive(Serialize, Deserialize)]
struct DigestBefore {
    counts: Counts,
    covers: u32,
    repeats: u32,
    flaps: u32,
    conversations: u32,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    waiting_since: Option<Timestamp>,
    worst_urgency: Option<Urgency>,
    worst: Vec<LineBefore>,
    newest: VecDeque<LineBefore>,
}

#[derive(Serialize, Deserialize)]
struct LineBefore {
    entity: Fingerprint,
    news: News,
    urgency: Urgency,
    severity: Box<str>,
    title: Box<str>,
    text: Box<str>,
    link: Box<str>,
    since: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct InFlightBefore {
    sequence: u64,
    attempt: u32,
    message: MessageBefore,
    covers: u32,
    reason: Reason,
    urgency: Urgency,
    since: Timestamp,
    doubt: Doubt,
    phase: Phase,
}

#[derive(Serialize, Deserialize)]
struct MessageBefore {
    external_id: Box<str>,
    reference: Box<str>,
    routing_key: Box<str>,
    sender: Box<str>,
    subject: Box<str>,
    body: Box<str>,
    colour: Option<Colour>,
    close: bool,
}

impl From<ConversationBefore> for Conversation {
    fn from(before: ConversationBefore) -> Self {
        Self {
            subject: before.subject,
            title: before.title,
            episode: before.episode,
            told: before.told,
            sequence: before.sequence,
            last_sent: before.last_sent,
            last_heard: before.last_heard,
            ready_at: None,
            touched: false,
            over_since: before.over_since,
            members: before.members,
            firing_told: before.firing_told,
            owed: before.owed,
            stale_told: before.stale_told,
            digest: before.digest.into(),
            words: before.words,
            in_flight: before.in_flight.map(Into::into),
            missive_id: before.missive_id,
            muted: before.muted,
            closed: before.closed,
            rolled_into: before.rolled_into,
        }
    }
}

impl From<DigestBefore> for Digest {
    fn from(before: DigestBefore) -> Self {
        Self {
            counts: before.counts,
            covers: before.covers,
            repeats: before.repeats,
            flaps: before.flaps,
            conversations: before.conversations,
            first: before.first,
            last: before.last,
            waiting_since: before.waiting_since,
            worst_urgency: before.worst_urgency,
            worst: before.worst.into_iter().map(Into::into).collect(),
            newest: before.newest.into_iter().map(Into::into).collect(),
            files: Files::default(),
        }
    }
}

impl From<LineBefore> for Line {
    fn from(LineBefore { entity, news, urgency, severity, title, text, link, since }: LineBefore) -> Self {
        let (runbook, silence, named) = ("".into(), "".into(), Vec::new());
        Self { entity, news, urgency, severity, title, text, link, since, runbook, silence, named }
    }
}

impl From<InFlightBefore> for InFlight {
    fn from(before: InFlightBefore) -> Self {
        let InFlightBefore { sequence, attempt, message, covers, reason, urgency, since, doubt, phase } = before;
        Self { sequence, attempt, message: message.into(), covers, reason, urgency, since, doubt, phase }
    }
}

impl From<MessageBefore> for Message {
    fn from(before: MessageBefore) -> Self {
        let MessageBefore { external_id, reference, routing_key, sender, subject, body, colour, close } = before;
        Self {
            external_id,
            reference,
            routing_key,
            sender,
            subject,
            body,
            colour,
            close,
            labels: Vec::new(),
            attachments: Vec::new(),
            delivered_at: None,
        }
    }
}

/// A conversation as version 1 wrote it.
#[cfg(test)]
pub(super) fn written() -> Vec<u8> {
    postcard::to_extend(&tests::before(), vec![1]).expect("written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    const AT: Timestamp = Timestamp::from_millis(1_795_317_120_000);

    fn line() -> LineBefore {
        let (severity, title, text, link) = ("critical".into(), "High".into(), "5xx".into(), "https://g".into());
        let entity = Fingerprint::from_u128(1);
        LineBefore { entity, news: News::Firing, urgency: Urgency::Critical, severity, title, text, link, since: AT }
    }

    fn in_flight() -> InFlightBefore {
        let message = MessageBefore {
            external_id: "x:1".into(),
            reference: "x".into(),
            routing_key: "alerts/k".into(),
            sender: "alerts".into(),
            subject: "High".into(),
            body: "told".into(),
            colour: Some(Colour::Danger),
            close: false,
        };
        let (reason, phase) = (Reason::First, Phase::Waiting { until: AT });
        InFlightBefore {
            sequence: 7,
            attempt: 1,
            message,
            covers: 1,
            reason,
            urgency: Urgency::Critical,
            since: AT,
            doubt: Doubt::None,
            phase,
        }
    }

    pub fn before() -> ConversationBefore {
        let digest = DigestBefore {
            counts: Counts { firing: 1, ..Counts::default() },
            covers: 1,
            repeats: 3,
            flaps: 0,
            conversations: 0,
            first: Some(AT),
            last: Some(AT),
            waiting_since: Some(AT),
            worst_urgency: Some(Urgency::Critical),
            worst: vec![line()],
            newest: VecDeque::new(),
        };
        ConversationBefore {
            subject: Subject::Route { route: "alerts".into(), key: "k".into(), kind: Kind::Alert },
            title: "High".into(),
            episode: AT,
            told: Told::Opened,
            sequence: 7,
            last_sent: Some(AT),
            last_heard: AT,
            over_since: None,
            members: Members::default(),
            firing_told: 1,
            owed: None,
            stale_told: false,
            digest,
            words: [Said { author: "Ann".into(), text: "hm".into() }].into(),
            in_flight: Some(in_flight()),
            missive_id: Some("c".into()),
            muted: false,
            closed: true,
            rolled_into: 9,
        }
    }

    #[test]
    fn a_conversation_of_the_version_before_is_read_with_all_that_it_knew() {
        let bytes = postcard::to_stdvec(&before()).expect("written");
        let read: Conversation = postcard::from_bytes::<ConversationBefore>(&bytes).expect("read").into();
        let titles: Vec<_> = read.digest.lines().map(|line| (&*line.title, &*line.link, &*line.runbook)).collect();
        assert_eq!(titles, [("High", "https://g", "")]);
        assert_eq!((read.pending(), read.digest.repeats, read.words.len()), (2, 3, 1));
        let message = read.in_flight.expect("on its way").message;
        assert_eq!((&*message.body, message.colour, message.labels.len()), ("told", Some(Colour::Danger), 0));
        assert_eq!((read.closed, read.rolled_into, read.missive_id.as_deref()), (true, 9, Some("c")));
    }
}
