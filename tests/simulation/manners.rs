//! How an owner has to behave towards Missive, from the answers that it has heard itself.
//!
//! Asked to wait, it sends nothing until then. A message that is refused is a dead letter, but a channel that refuses most of
//! what it gets is not drained into dead letters, and is tried with one request at a time. What may have been taken is looked
//! up, or given up where nobody may repeat himself. A successor knows what its predecessor had committed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use missived::event::Timestamp;
use missived::lane::policy::OnDoubt;
use missived::missive::answer::{Finding, RateLimit};
use missived::missive::{Addressed, Answer, Verdict};

/// Answers that tell whether a channel is at fault.
const ANSWERS: usize = 20;

/// How long to wait when Missive doesn't say.
const WAIT_UNTOLD: Duration = Duration::from_secs(60);

/// How long a token or a channel that is refused is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// Look-ups that fail before nobody can tell.
const LOOK_UPS: u8 = 3;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// That a message be taken.
    Message(Addressed),
    /// Whether one has been: so many look-ups failed before, and this is what the page tells.
    LookUp { failed: u8, finding: Finding },
}

/// What came back of an attempt that the lane was waiting for.
#[derive(Debug)]
pub struct Heard<'a> {
    pub channel: &'static str,
    pub asked: Asked,
    pub answer: &'a Answer,
    pub dead_letters: usize,
    /// Other requests that were under way then.
    pub under_way: usize,
}

/// What the rules are.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub retry_after_max: Duration,
    /// Of the longer window.
    pub per_quarter_hour: u32,
    pub on_doubt: OnDoubt,
    /// People teach conversation ids meanwhile, so that it isn't known how a message was addressed in the end.
    pub ids_are_taught: bool,
}

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    not_before: Timestamp,
    halted_until: Timestamp,
    /// What others have left of the minute and the quarter hour, and until when.
    left: [(usize, Timestamp); 2],
    /// By channel: which of the last answers were refusals; nothing where that isn't known any more.
    refusals: BTreeMap<&'static str, Option<VecDeque<bool>>>,
    /// By channel: when it was last tried, or refused something.
    tried: BTreeMap<&'static str, Timestamp>,
}

impl Manners {
    /// Something leaves for a channel, if it is known which. May it?
    pub fn may_send(&mut self, now: Timestamp, channel: Option<&'static str>) -> Result<(), String> {
        if now < self.not_before {
            return Err(format!("it sends at {now:?}, but was asked to wait until {:?}", self.not_before));
        }
        for (left, until) in self.left.iter_mut().filter(|(_, until)| now < *until) {
            let none_left = || format!("it sends at {now:?}, but others have left nothing until {until:?}");
            *left = left.checked_sub(1).ok_or_else(none_left)?;
        }
        let Some(channel) = channel.filter(|channel| self.refuses_most(channel)) else { return Ok(()) };
        let tried = self.tried.insert(channel, now);
        match tried.filter(|tried| now < *tried + LEFT_ALONE) {
            Some(tried) => {
                Err(format!("{channel} refuses most of what it gets, and is tried at {tried:?} and {now:?}"))
            }
            None => Ok(()),
        }
    }

    /// The clock that it was measured by says that the wait is over; another clock doesn't bring it back.
    pub fn see(&mut self, now: Timestamp) {
        if self.not_before <= now {
            self.not_before = Timestamp::EPOCH;
        }
    }

    /// Until when a successor may hesitate.
    pub fn waits_until(&self) -> Timestamp {
        self.not_before.max(self.halted_until)
    }

    /// An attempt was answered, and led to so many dead letters.
    pub fn hear(&mut self, now: Timestamp, rules: &Rules, heard: &Heard<'_>) -> Result<(), String> {
        match heard.answer {
            Answer::Status(status) => status.rate_limit.iter().for_each(|said| self.heed(now, rules, heard, said)),
            Answer::NotSent(_) => self.left.iter_mut().for_each(|(left, _)| *left += 1),
            Answer::Lost(_) => {}
        }
        let wanted = match heard.asked {
            Asked::Message(addressed) => self.hear_of_message(now, rules, heard, addressed),
            Asked::LookUp { failed, finding } => self.hear_of_look_up(now, rules, heard, failed, finding),
        };
        match wanted {
            Some(wanted) if wanted != heard.dead_letters => {
                let answers = self.refusals.get(heard.channel);
                Err(format!("{} dead letters, {wanted} expected of {heard:?} after {answers:?}", heard.dead_letters))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The dead letters that must come of it, if that can be known.
    fn hear_of_message(
        &mut self,
        now: Timestamp,
        rules: &Rules,
        heard: &Heard<'_>,
        addressed: Addressed,
    ) -> Option<usize> {
        let is_not_found = matches!(heard.answer, Answer::Status(status) if status.code == 404);
        if is_not_found && rules.ids_are_taught {
            self.refusals.insert(heard.channel, None);
            return None;
        }
        match heard.answer.verdict(addressed) {
            Verdict::Wait(span) => self.wait(now, rules, span),
            Verdict::Accepted { .. } => self.note(heard.channel, false),
            Verdict::Refused => {
                self.note(heard.channel, true);
                self.refusals.get(heard.channel)?.as_ref()?;
                let most = self.refuses_most(heard.channel);
                if most {
                    self.tried.insert(heard.channel, now);
                }
                return Some(usize::from(!most));
            }
            Verdict::Halt => self.halted_until = now + LEFT_ALONE,
            Verdict::Doubt => match (rules.on_doubt, addressed) {
                (OnDoubt::Resend, _) | (OnDoubt::Hold, Addressed::ById) => {}
                (OnDoubt::Hold, Addressed::ByReference) if rules.ids_are_taught => return None,
                (OnDoubt::Hold, Addressed::ByReference) => return Some(1),
            },
            Verdict::Retry | Verdict::LostConversation => {}
        }
        Some(0)
    }

    fn hear_of_look_up(
        &mut self,
        now: Timestamp,
        rules: &Rules,
        heard: &Heard<'_>,
        failed: u8,
        finding: Finding,
    ) -> Option<usize> {
        let nobody_can_tell = match heard.answer.verdict(Addressed::ById) {
            Verdict::Accepted { .. } => finding == Finding::Unclear,
            Verdict::LostConversation => true,
            Verdict::Doubt | Verdict::Refused => failed.saturating_add(1) >= LOOK_UPS,
            Verdict::Wait(span) => {
                self.wait(now, rules, span);
                false
            }
            Verdict::Halt => {
                self.halted_until = now + LEFT_ALONE;
                false
            }
            Verdict::Retry => false,
        };
        if finding == Finding::Taken {
            self.note(heard.channel, false);
        }
        Some(usize::from(nobody_can_tell && rules.on_doubt == OnDoubt::Hold))
    }

    /// Others have left so many; those under way will take their part.
    fn heed(&mut self, now: Timestamp, rules: &Rules, heard: &Heard<'_>, said: &RateLimit) {
        let left = (said.remaining as usize).saturating_sub(heard.under_way);
        let window = usize::from(said.limit >= rules.per_quarter_hour);
        self.left[window] = (left, now + said.reset.min(rules.retry_after_max));
    }

    fn wait(&mut self, now: Timestamp, rules: &Rules, span: Option<Duration>) {
        let span = span.unwrap_or(WAIT_UNTOLD).min(rules.retry_after_max);
        self.not_before = self.not_before.max(now + span);
    }

    fn refuses_most(&self, channel: &str) -> bool {
        let known = self.refusals.get(channel).and_then(Option::as_ref);
        known.is_some_and(|answers| answers.iter().filter(|refused| **refused).count() > ANSWERS / 2)
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
