//! From all decisions to those that answer a question: what was decided at once, and what became of it later.
//!
//! Lines of one lane come in their order. An event that waits is followed until its conversation, or the one that speaks for
//! it, has told a message that was put together after the event came. Limits: [`LINES_MAX`] lines, the newest.

use std::collections::{BTreeMap, VecDeque};

use super::question::Sought;
use crate::shell::decisions::{Decided, Line};

/// The most lines that an answer has.
pub const LINES_MAX: usize = 10_000;

/// An answer as it is found.
#[derive(Debug)]
pub struct Story {
    sought: Sought,
    /// Conversations that have yet to tell what is sought, and since when it waits in them.
    waits: BTreeMap<String, u64>,
    lines: VecDeque<Line>,
    /// Lines before the first that is kept.
    pub left_out: u64,
}

impl Story {
    pub fn new(sought: Sought) -> Self {
        Self { sought, waits: BTreeMap::new(), lines: VecDeque::new(), left_out: 0 }
    }

    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// What is sought waits in these conversations still.
    pub fn waits(&self) -> impl Iterator<Item = &str> {
        self.waits.keys().map(String::as_str)
    }

    /// The next decision.
    pub fn hear(&mut self, line: Line) {
        let answers = self.sought.is_in(&line);
        let follows = self.waits.get(&line.conversation).is_some_and(|since| is_about(&line, *since));
        if answers || follows {
            self.follow(&line);
            self.keep(line);
        }
    }

    fn follow(&mut self, line: &Line) {
        match line.decided {
            Decided::Waits | Decided::WaitsInRollUp => {
                self.waits.entry(line.conversation.clone()).or_insert(line.at_ms);
            }
            Decided::RolledUp => {
                self.waits.remove(&line.conversation);
                self.waits.entry(line.into.clone().unwrap_or_default()).or_insert(line.at_ms);
            }
            Decided::Told | Decided::DeadLettered if line.from.is_none() => {
                self.waits.remove(&line.conversation);
            }
            Decided::Told | Decided::DeadLettered | Decided::Duplicate | Decided::Suppressed | Decided::NotWritten => {}
        }
    }

    fn keep(&mut self, line: Line) {
        self.lines.push_back(line);
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
            self.left_out += 1;
        }
    }
}

/// Is it about what has waited in its conversation since then? A message is numbered by when it was put together.
fn is_about(line: &Line, since: u64) -> bool {
    match line.decided {
        Decided::Told => line.message.is_none_or(|message| message >= since),
        Decided::RolledUp => line.at_ms >= since,
        Decided::DeadLettered => line.from.is_none() && line.at_ms >= since,
        Decided::Waits | Decided::WaitsInRollUp | Decided::Duplicate | Decided::Suppressed | Decided::NotWritten => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;
    use crate::shell::decisions::At;

    fn line(at_ms: u64, decided: Decided, conversation: &str) -> Line {
        Line::bare(at_ms, "default", decided, conversation)
    }

    fn event(at_ms: u64, decided: Decided, conversation: &str, offset: i64) -> Line {
        let position = Some(Position { offset, index: 0 });
        let from = Some(At { topic: "alerts".to_owned(), partition: 0, position });
        Line { from, entity: Some(format!("{conversation}!")), ..line(at_ms, decided, conversation) }
    }

    fn told(at_ms: u64, conversation: &str, message: u64) -> Line {
        Line { message: Some(message), ..line(at_ms, Decided::Told, conversation) }
    }

    fn rolled(at_ms: u64, conversation: &str) -> Line {
        Line { into: Some("rollup/ops".to_owned()), ..line(at_ms, Decided::RolledUp, conversation) }
    }

    fn story(sought: Sought) -> (Vec<u64>, usize) {
        let lines = [
            event(10, Decided::Waits, "r/a", 1),
            event(20, Decided::Waits, "r/b", 2),
            told(30, "r/a", 12),
            event(31, Decided::Waits, "r/a", 3),
            told(40, "r/a", 29),
            told(50, "r/a", 45),
            Line { upto: Some(Position { offset: 9, index: 0 }), ..event(60, Decided::Duplicate, "r/a", 5) },
            rolled(70, "r/b"),
            told(80, "rollup/ops", 75),
            told(90, "rollup/ops", 85),
        ];
        let mut story = Story::new(sought);
        lines.into_iter().for_each(|line| story.hear(line));
        (story.lines().map(|line| line.at_ms).collect(), story.waits().count())
    }

    #[test]
    fn an_event_is_followed_to_the_message_that_tells_it() {
        let at = |offset| Sought::Position { topic: "alerts".to_owned(), partition: 0, offset };
        let rows = [
            ("told in the next message", at(1), vec![10, 30], 0),
            ("not in one that was on its way when it came", at(3), vec![31, 50], 0),
            ("told by another conversation", at(2), vec![20, 70, 80], 0),
            ("one of the repeats that were left out", at(7), vec![60], 0),
            ("never seen", at(99), vec![], 0),
            ("what it is about", Sought::Entity(vec!["r/b!".to_owned()]), vec![20, 70, 80], 0),
            ("a whole conversation", Sought::Conversation("r/a".to_owned()), vec![10, 30, 31, 40, 50, 60], 0),
        ];
        for (sentence, sought, lines, waits) in rows {
            assert_eq!(story(sought), (lines, waits), "{sentence}");
        }
    }

    #[test]
    fn what_is_not_told_yet_still_waits() {
        let mut story = Story::new(Sought::Conversation("r/a".to_owned()));
        story.hear(event(10, Decided::Waits, "r/a", 1));
        assert_eq!(story.waits().collect::<Vec<_>>(), ["r/a"]);
    }

    #[test]
    fn an_endless_story_keeps_its_newest_lines() {
        let mut story = Story::new(Sought::Conversation("r/a".to_owned()));
        (0..LINES_MAX as u64 + 5).for_each(|at| story.hear(line(at, Decided::Duplicate, "r/a")));
        assert_eq!((story.lines().count(), story.left_out), (LINES_MAX, 5));
    }
}
