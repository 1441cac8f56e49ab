//! How an owner has to behave towards Missive, from the answers that it has heard itself.
//!
//! Asked to wait, it sends nothing until then. A message that is refused is a dead letter, but a channel that refuses most of
//! what it gets is not drained into dead letters. A successor hasn't heard what its predecessor has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use missived::event::Timestamp;
use missived::missive::{Addressed, Answer, Verdict};

/// Answers that tell whether a channel is at fault.
const ANSWERS: usize = 20;

/// How long to wait when Missive doesn't say.
const WAIT_UNTOLD: Duration = Duration::from_secs(60);

/// What came back of an attempt that the lane was waiting for.
#[derive(Debug)]
pub struct Heard<'a> {
    pub channel: &'static str,
    pub addressed: Addressed,
    pub answer: &'a Answer,
    pub dead_letters: usize,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Manners {
    retry_after_max: Duration,
    /// People teach conversation ids meanwhile, so that it isn't known how a message was addressed in the end.
    ids_are_taught: bool,
    not_before: Timestamp,
    /// By channel: which of the last answers were refusals; nothing where that isn't known any more.
    refusals: BTreeMap<&'static str, Option<VecDeque<bool>>>,
}

impl Manners {
    pub const fn new(retry_after_max: Duration, ids_are_taught: bool) -> Self {
        Self { retry_after_max, ids_are_taught, not_before: Timestamp::EPOCH, refusals: BTreeMap::new() }
    }

    /// May it send now?
    pub fn may_send(&self, now: Timestamp) -> Result<(), String> {
        if now >= self.not_before {
            return Ok(());
        }
        Err(format!("it sends at {now:?}, but was asked to wait until {:?}", self.not_before))
    }

    /// An attempt was answered, and led to so many dead letters.
    pub fn hear(&mut self, now: Timestamp, heard: &Heard<'_>) -> Result<(), String> {
        let is_not_found = matches!(heard.answer, Answer::Status(status) if status.code == 404);
        if is_not_found && self.ids_are_taught {
            self.refusals.insert(heard.channel, None);
            return Ok(());
        }
        let refused = match heard.answer.verdict(heard.addressed) {
            Verdict::Wait(span) => {
                let span = span.unwrap_or(WAIT_UNTOLD).min(self.retry_after_max);
                self.not_before = self.not_before.max(now + span);
                false
            }
            Verdict::Accepted { .. } => {
                self.note(heard.channel, false);
                false
            }
            Verdict::Refused => {
                self.note(heard.channel, true);
                true
            }
            Verdict::Retry | Verdict::Doubt | Verdict::LostConversation | Verdict::Halt => false,
        };
        let Some(answers) = self.refusals.entry(heard.channel).or_insert_with(|| Some(VecDeque::new())) else {
            return Ok(());
        };
        let most = answers.iter().filter(|refused| **refused).count() > ANSWERS / 2;
        let wanted = usize::from(refused && !most);
        if heard.dead_letters == wanted {
            Ok(())
        } else {
            Err(format!("{} dead letters, {wanted} expected of {heard:?} after {answers:?}", heard.dead_letters))
        }
    }

    fn note(&mut self, channel: &'static str, refused: bool) {
        if let Some(answers) = self.refusals.entry(channel).or_insert_with(|| Some(VecDeque::new())) {
            answers.push_back(refused);
            if answers.len() > ANSWERS {
                answers.pop_front();
            }
        }
    }
}
