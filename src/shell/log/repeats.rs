//! Which lines are written and which are only counted. Reads no clock and writes nothing itself.
//!
//! Lines are of one *kind* when they come from one place in the code and say the same words. Numbers make no difference: "lost after
//! 31 ms" and "lost after 29 ms" are one kind, "connection refused" and "no route to host" at the same place are two, so that a
//! flood of one can't hide the other. A kind is written so often in its window, which begins with its first line; then it is counted
//! until the window is over. Limits: [`KINDS_PER_PLACE_MAX`] kinds at a place and [`KINDS_MAX`] in all have a window of their own; what
//! else a place says, in words that are always new, is one kind more.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::config::Allowance;

const KINDS_PER_PLACE_MAX: usize = 16;
const KINDS_MAX: usize = 1_024;

/// The words of a kind for all that has no window of its own.
const OTHERS: u64 = 0;

/// The longest text by which a kind is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 400;

/// Lines that are the same but for numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The place in the code.
    place: usize,
    /// What is said there, hashed.
    words: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Write,
    Count,
    /// The same, and nobody has said yet what it is like ([`Repeats::name`]).
    CountFirst,
}

/// By what a kind is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    pub level: Level,
    pub place: String,
    pub text: String,
}

/// Lines that were counted and not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub count: u64,
    /// Since the first line of their window.
    pub span: Duration,
    pub like: Like,
}

/// All kinds that were seen lately.
#[derive(Debug)]
pub struct Repeats {
    allowance: Allowance,
    windows: HashMap<Kind, Window>,
    at_place: HashMap<usize, usize>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    counted: u64,
    like: Option<Like>,
}

impl Repeats {
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, windows: HashMap::new(), at_place: HashMap::new() }
    }

    pub const fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    pub fn judge(&mut self, now: Instant, kind: Kind) -> Verdict {
        let kind = self.known(kind);
        let at_place = &mut self.at_place;
        let window = self.windows.entry(kind).or_insert_with(|| {
            *at_place.entry(kind.place).or_default() += 1;
            Window { since: now, written: 0, counted: 0, like: None }
        });
        // one with something to tell stays until it is told
        if window.counted == 0 && now.saturating_duration_since(window.since) >= self.allowance.window {
            (window.since, window.written) = (now, 0);
        }
        if window.written < self.allowance.lines {
            window.written += 1;
            return Verdict::Write;
        }
        window.counted += 1;
        if window.like.is_none() { Verdict::CountFirst } else { Verdict::Count }
    }

    /// Says what the first line was like that was only counted.
    pub fn name(&mut self, kind: Kind, mut like: Like) {
        like.text.truncate(like.text.floor_char_boundary(SHOWN_BYTES_MAX));
        let kind = self.known(kind);
        if let Some(window) = self.windows.get_mut(&kind) {
            window.like.get_or_insert(like);
        }
    }

    /// Forgets windows that are over, and gives what was counted in them.
    pub fn due(&mut self, now: Instant) -> Vec<Held> {
        let length = self.allowance.window;
        self.close(now, |window| now.saturating_duration_since(window.since) >= length)
    }

    /// The same for all of them.
    pub fn rest(&mut self, now: Instant) -> Vec<Held> {
        self.close(now, |_| true)
    }

    fn close(&mut self, now: Instant, is_over: impl Fn(&Window) -> bool) -> Vec<Held> {
        let mut all = Vec::new();
        for (kind, window) in self.windows.extract_if(|_, window| is_over(window)) {
            if let Some(count) = self.at_place.get_mut(&kind.place) {
                *count -= 1;
            }
            let span = now.saturating_duration_since(window.since);
            all.extend(window.like.map(|like| Held { count: window.counted, span, like }));
        }
        self.at_place.retain(|_, count| *count > 0);
        all.sort_by(|a, b| a.like.place.cmp(&b.like.place).then_with(|| a.like.text.cmp(&b.like.text)));
        all
    }

    /// The kind itself if it has a window or there is room for one, otherwise the one for all others of its place.
    fn known(&self, kind: Kind) -> Kind {
        let at_place = self.at_place.get(&kind.place).copied().unwrap_or(0);
        let room = at_place < KINDS_PER_PLACE_MAX && self.windows.len() < KINDS_MAX;
        if room || self.windows.contains_key(&kind) { kind } else { Kind { words: OTHERS, ..kind } }
    }
}

impl Kind {
    pub fn of(event: &Event<'_>) -> Self {
        let mut words = Words(DefaultHasher::new());
        event.record(&mut words);
        Self { place: std::ptr::from_ref(event.metadata()).addr(), words: words.0.finish().max(OTHERS + 1) }
    }
}

/// Hashes what is said, but for numbers.
struct Words(DefaultHasher);

impl fmt::Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split(|c: char| c.is_ascii_digit()) {
            self.0.write(part.as_bytes());
        }
        Ok(())
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.write(field.name().as_bytes());
        let written = write!(self, "{value:?}");
        debug_assert!(written.is_ok(), "hashing can't fail");
    }

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_f64(&mut self, _: &Field, _: f64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn repeats() -> (Repeats, Instant) {
        (Repeats::new(Allowance { lines: 2, window: SECOND * 30 }), crate::shell::clock::monotonic())
    }

    const fn kind(place: usize, words: u64) -> Kind {
        Kind { place, words }
    }

    fn like(text: &str) -> Like {
        Like { level: Level::WARN, place: "here".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_window_writes_so_many_then_counts_and_the_next_begins_anew() {
        let (mut repeats, begin) = repeats();
        let one = kind(1, 1);
        let mut judge = |after| repeats.judge(begin + SECOND * after, one);
        assert_eq!([judge(0), judge(1), judge(2)], [Verdict::Write, Verdict::Write, Verdict::CountFirst]);
        repeats.name(one, like("the third"));
        assert_eq!(repeats.judge(begin + SECOND * 3, one), Verdict::Count);
        assert_eq!(repeats.due(begin + SECOND * 29), [], "the window is open");
        let held = Held { count: 2, span: SECOND * 31, like: like("the third") };
        assert_eq!(repeats.due(begin + SECOND * 31), [held]);
        assert_eq!(repeats.judge(begin + SECOND * 31, one), Verdict::Write);
        assert_eq!(repeats.due(begin + SECOND * 90), [], "nothing was held, nothing is told");
        assert!(repeats.windows.is_empty() && repeats.at_place.is_empty(), "and nothing is kept");
    }

    #[test]
    fn what_waits_to_be_told_is_counted_on_even_if_nobody_asks() {
        let (mut repeats, begin) = repeats();
        for _ in 0..3 {
            repeats.judge(begin, kind(1, 1));
        }
        repeats.name(kind(1, 1), like("x"));
        assert_eq!(repeats.judge(begin + SECOND * 100, kind(1, 1)), Verdict::Count);
        assert_eq!(repeats.rest(begin + SECOND * 100)[0].count, 2);
    }

    #[test]
    fn words_that_are_always_new_fill_neither_the_log_nor_the_memory() {
        let (mut repeats, begin) = repeats();
        let written = |repeats: &mut Repeats, place| {
            (1..100_000).filter(|words| repeats.judge(begin, kind(place, *words)) == Verdict::Write).count()
        };
        assert_eq!(written(&mut repeats, 1), KINDS_PER_PLACE_MAX + 2, "one each, and two others");
        assert_eq!(repeats.judge(begin, kind(2, 7)), Verdict::Write, "another place is not concerned");
        for place in 2..1_000 {
            for words in 1..40 {
                repeats.judge(begin, kind(place, words));
            }
        }
        let most = KINDS_MAX + 1_000;
        assert!(repeats.windows.len() <= most, "a kind more for each place of the code: {}", repeats.windows.len());
    }
}
