//! News that nobody has said: silence, what still fires, what is gone from its group, what has calmed down.
//!
//! None of it stands for an observation. Silence and repeats are *owed*: whatever is heard first replaces them. What is gone
//! or calm is news like any other, told in the next message.

use super::conversation::{Conversation, Owed, Subject};
use super::digest::{Line, News};
use super::member::{Change, Standing};
use super::policy::Flap;
use super::{Effects, Lane, StateKey};
use crate::event::{Fingerprint, Kind, Snapshot, Timestamp};
use crate::missive::Answer;
use crate::missive::answer::Lost;

impl Lane {
    /// A conversation's instant has come.
    pub(super) fn due(&mut self, id: Fingerprint, effects: &mut Effects) {
        if let Some(lost) = self.lost_delivery(id) {
            return self.answered(lost, &Answer::Lost(Lost::SenderGone), effects);
        }
        self.miss(id, effects);
        self.tell_calm(id, effects);
        self.owe_silence(id, effects);
        self.place(id, effects);
    }

    /// Events still say that it fires: it is told again when its interval has passed.
    pub(super) fn owe_repeat(&mut self, id: Fingerprint) {
        let Some(conversation) = self.conversations.get(&id).filter(|conversation| conversation.fires_quietly()) else {
            return;
        };
        let interval = self.timing(conversation).map(|timing| timing.repeat_interval);
        let due = conversation.last_sent.zip(interval).map(|(sent, interval)| sent + interval);
        if due.is_some_and(|due| due <= self.now) {
            self.owe(id, Owed::Repeat);
        }
        // Its silence counts from now, also if it had been told before.
        self.touch(id);
    }

    /// It fires, and nothing has been heard of it for too long: silence is no resolve, and is told as what it is.
    fn owe_silence(&mut self, id: Fingerprint, effects: &mut Effects) {
        let Some(conversation) = self.conversations.get(&id).filter(|conversation| conversation.fires_quietly()) else {
            return;
        };
        let stale_at = self.timing(conversation).map(|timing| conversation.last_heard + timing.stale_after);
        if !conversation.stale_told && stale_at.is_some_and(|at| at <= self.now) {
            self.owe(id, Owed::Stale);
            effects.dirty.insert(StateKey::Conversation(id));
        }
    }

    fn owe(&mut self, id: Fingerprint, owed: Owed) {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.owed = Some(owed);
        }
    }

    /// A record named all of its conversation: what fires here and isn't named there is gone, and what was gone and is named
    /// again fires. A snapshot that is older than what is known of an alert says nothing about it.
    pub(super) fn fold_snapshot(&mut self, snapshot: &Snapshot<'_>) {
        let id = self.conversation_id(&snapshot.route, &snapshot.conversation);
        let at = snapshot.at.min(self.now);
        let Some(conversation) = self.conversations.get(&id).filter(|known| known.kind() == Kind::Alert) else {
            return;
        };
        let mut listed = snapshot.entities.to_vec();
        listed.sort_unstable();
        let not_newer = conversation.members.iter().filter(|(_, member)| member.at <= at);
        let turned =
            not_newer.filter_map(|(entity, member)| match (member.standing, listed.binary_search(&entity).is_ok()) {
                (Standing::Firing, false) => Some((entity, Standing::Gone)),
                (Standing::Gone, true) => Some((entity, Standing::Firing)),
                (Standing::Firing, true) | (Standing::Gone, false) | (Standing::Resolved, _) => None,
            });
        let turned: Vec<_> = turned.collect();
        for (entity, standing) in &turned {
            let text = if *standing == Standing::Firing { "reported again" } else { "" };
            self.turn(id, *entity, at, *standing, text);
        }
        if !turned.is_empty() {
            self.touch(id);
        }
    }

    /// An alert changes without an observation of its own; `text` is what is said of that.
    pub(super) fn turn(&mut self, id: Fingerprint, entity: Fingerprint, at: Timestamp, standing: Standing, text: &str) {
        let (now, lines_max) = (self.now, self.policy.bounds.digest_lines_max);
        let flap = self.conversations.get(&id).and_then(|conversation| self.flap(conversation));
        let (Some(conversation), Some(flap)) = (self.conversations.get_mut(&id), flap) else { return };
        let Some(change) = conversation.members.turn(entity, at, standing, flap) else { return };
        conversation.note_over(now);
        let Some(mut line) = line(conversation, entity, at).filter(|_| !conversation.muted) else { return };
        match change {
            Change::News => line.text = text.into(),
            Change::BeginsToFlap { changes } => line.flaps(changes, flap),
            Change::Flaps => {
                conversation.digest.flaps = conversation.digest.flaps.saturating_add(1);
                return;
            }
        }
        conversation.digest.add(now, line, at, lines_max);
    }

    /// What has flapped and has been calm for long enough is told as what it has become.
    fn tell_calm(&mut self, id: Fingerprint, effects: &mut Effects) {
        let (now, lines_max) = (self.now, self.policy.bounds.digest_lines_max);
        let flap = self.conversations.get(&id).and_then(|conversation| self.flap(conversation));
        let (Some(conversation), Some(flap)) = (self.conversations.get_mut(&id), flap) else { return };
        let calm = conversation.members.calm_down(now, flap);
        if calm.is_empty() {
            return;
        }
        conversation.note_over(now);
        effects.dirty.insert(StateKey::Conversation(id));
        for entity in calm {
            if let Some(mut line) = line(conversation, entity, now).filter(|_| !conversation.muted) {
                line.text = "no longer flapping".into();
                conversation.digest.add(now, line, now, lines_max);
            }
        }
    }

    /// When something of it will have calmed down.
    pub(super) fn next_calm(&self, conversation: &Conversation) -> Option<Timestamp> {
        conversation.members.next_calm(self.flap(conversation)?)
    }

    fn flap(&self, conversation: &Conversation) -> Option<Flap> {
        let Subject::Route { route, .. } = &conversation.subject else { return None };
        self.policy.routes.get(route).map(|route| route.flap)
    }
}

/// What an alert has become, as a line without words of its own.
fn line(conversation: &Conversation, entity: Fingerprint, at: Timestamp) -> Option<Line> {
    let member = conversation.members.get(entity)?;
    Some(Line {
        entity,
        news: match member.standing {
            Standing::Firing => News::Firing,
            Standing::Resolved => News::Resolved,
            Standing::Gone => News::Gone,
        },
        urgency: member.urgency,
        severity: "".into(),
        title: member.title.clone(),
        text: "".into(),
        link: "".into(),
        since: at,
        runbook: "".into(),
        silence: "".into(),
        named: Vec::new(),
    })
}
