//! Which conversations changed since somebody last looked.
//!
//! Every change gives its conversation the next revision, so whoever knows the revision it has seen is told what came after
//! it, each conversation once, however often it changed. What is gone is remembered for [`GONE_MAX`] conversations; who is
//! further behind has to look at everything anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Conversation;

/// Conversations that are gone and still told of.
pub const GONE_MAX: usize = 1000;

/// The revisions.
#[derive(Debug, Default)]
pub struct Changes {
    latest: u64,
    by_revision: BTreeMap<u64, Arc<str>>,
    gone: VecDeque<(u64, Arc<str>)>,
    /// The newest revision of something gone that is no longer told of.
    forgotten: u64,
}

/// What came after a revision.
#[derive(Debug, PartialEq, Eq)]
pub enum Since {
    /// Ids, the change of the longest ago first.
    Known { changed: Vec<Arc<str>>, gone: Vec<Arc<str>> },
    /// Too much is gone since then: look at everything.
    TooFar,
}

impl Changes {
    /// The newest revision.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// The conversation is another one than before.
    pub fn mark(&mut self, conversation: &mut Conversation) {
        self.by_revision.remove(&conversation.revision);
        self.latest += 1;
        conversation.revision = self.latest;
        self.by_revision.insert(self.latest, conversation.id.clone());
    }

    /// The conversation is gone.
    pub fn bury(&mut self, conversation: &Conversation) {
        if self.by_revision.remove(&conversation.revision).is_none() {
            return;
        }
        self.latest += 1;
        self.gone.push_back((self.latest, conversation.id.clone()));
        if self.gone.len() > GONE_MAX
            && let Some((revision, _)) = self.gone.pop_front()
        {
            self.forgotten = revision;
        }
    }

    /// What came after `revision`.
    pub fn since(&self, revision: u64) -> Since {
        if revision < self.forgotten {
            return Since::TooFar;
        }
        let changed = self.by_revision.range(revision + 1..).map(|(_, id)| id.clone()).collect();
        let newer = self.gone.iter().rev().take_while(|(at, _)| *at > revision);
        Since::Known { changed, gone: newer.map(|(_, id)| id.clone()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(id: &str) -> Conversation {
        Conversation::new(id.into(), 0, None, None)
    }

    fn ids(since: Since) -> (Vec<String>, Vec<String>) {
        let texts = |ids: Vec<Arc<str>>| ids.iter().map(ToString::to_string).collect();
        match since {
            Since::Known { changed, gone } => (texts(changed), texts(gone)),
            Since::TooFar => panic!("it isn't far"),
        }
    }

    #[test]
    fn a_conversation_is_told_once_however_often_it_changed() {
        let (mut changes, mut a, mut b) = (Changes::default(), conversation("a"), conversation("b"));
        changes.mark(&mut a);
        changes.mark(&mut b);
        let seen = changes.latest();
        changes.mark(&mut a);
        changes.mark(&mut a);
        assert_eq!(ids(changes.since(0)), (vec!["b".into(), "a".into()], vec![]));
        assert_eq!(ids(changes.since(seen)), (vec!["a".into()], vec![]));
        assert_eq!(ids(changes.since(changes.latest())), (vec![], vec![]));
    }

    #[test]
    fn what_is_gone_is_told_once_and_no_longer_as_changed() {
        let (mut changes, mut a) = (Changes::default(), conversation("a"));
        changes.mark(&mut a);
        let seen = changes.latest();
        changes.bury(&a);
        changes.bury(&a);
        assert_eq!(ids(changes.since(seen)), (vec![], vec!["a".into()]));
    }

    #[test]
    fn who_is_too_far_behind_is_told_so() {
        let mut changes = Changes::default();
        for number in 0..=GONE_MAX {
            let mut one = conversation(&number.to_string());
            changes.mark(&mut one);
            changes.bury(&one);
        }
        assert_eq!(changes.since(0), Since::TooFar);
        assert!(changes.by_revision.is_empty() && changes.gone.len() == GONE_MAX);
    }
}
