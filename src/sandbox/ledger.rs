//! What the sandbox was asked, and what became of it: one entry a request, in the order of arrival.
//!
//! A ring bounded by entries and by bytes of text; what falls out is counted, and can't be changed any more. Texts are kept
//! up to 16 KiB each. Tokens appear only as a short hash.

use std::collections::VecDeque;

use serde::Serialize;

use super::clip::Clipped;
use super::limits::BrokenLimit;

/// What the ring takes up at most, whatever the number of entries: 64 MiB.
pub const LEDGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One request. Absent values were not sent, or did not happen (yet).
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counted from 1; a page goes on after the last one seen.
    pub id: u64,
    /// Unix milliseconds, when the head of the request was there.
    pub received_at: u64,
    /// Unix milliseconds, when the answer was given to the connection.
    pub answered_at: Option<u64>,
    /// Unix milliseconds, when it was no longer in progress: answered, given up by the caller, or lost on purpose.
    pub over_at: Option<u64>,
    /// Who asked, by its `User-Agent`.
    pub agent: Option<String>,
    /// The first digits of the token's SHA-256.
    pub token: Option<String>,
    pub method: String,
    pub path: String,
    pub status: Option<u16>,
    pub verdict: Verdict,
    /// The name of the refusal.
    pub refusal: Option<&'static str>,
    /// The name of the fault that was played.
    pub fault: Option<&'static str>,
    /// The rate limit that the request broke, enforced or not.
    pub violation: Option<BrokenLimit>,
    /// Another message of the same conversation was in progress.
    pub overlapped: bool,
    pub account: Option<String>,
    pub external_id: Option<String>,
    pub references: Vec<String>,
    /// The conversation that the message went to.
    pub conversation: Option<String>,
    /// The id that the message got.
    pub message: Option<String>,
    /// The text of the message; of a refused request, its body as it came.
    pub body: Option<Clipped>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not decided yet.
    Pending,
    /// A message or post was taken; whether the caller heard of it is `status`.
    Accepted,
    /// A question was answered.
    Served,
    Refused,
    /// A fault was played instead of an answer, and nothing was taken.
    Faulted,
    /// The caller was gone before anything was decided.
    Abandoned,
}

/// A part of the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Ask for what comes after this id next; `null` when this page is the last for now.
    pub next_after: Option<u64>,
    /// Entries that fell out of the ring since the start.
    pub fallen_out: u64,
}

/// The ring.
#[derive(Debug)]
pub struct Ledger {
    entries_max: usize,
    bytes: usize,
    entries: VecDeque<Entry>,
    next_id: u64,
    fallen_out: u64,
}

impl Ledger {
    /// Nothing yet; room for `entries_max` entries (at least one).
    pub fn new(entries_max: usize) -> Self {
        Self { entries_max: entries_max.max(1), bytes: 0, entries: VecDeque::new(), next_id: 1, fallen_out: 0 }
    }

    /// Opens the entry of a request that has just arrived.
    pub fn open(&mut self, now: u64, method: &str, path: &str, token: Option<String>) -> u64 {
        const PATH_BYTES_MAX: usize = 512;
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry::new(id, now, method, Clipped::new(path, PATH_BYTES_MAX).text, token);
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.shed();
        id
    }

    /// Changes an entry, if it is still there.
    pub fn change(&mut self, id: u64, change: impl FnOnce(&mut Entry)) {
        let Some(index) = self.index(id) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        let before = entry.bytes();
        change(entry);
        self.bytes = self.bytes - before + entry.bytes();
        self.shed();
    }

    /// Up to `limit` entries after the entry `after`, oldest first.
    pub fn page(&self, after: u64, limit: usize) -> Page {
        let start = self.entries.partition_point(|entry| entry.id <= after);
        let entries: Vec<Entry> = self.entries.iter().skip(start).take(limit).cloned().collect();
        let more = start + entries.len() < self.entries.len();
        let next_after = entries.last().filter(|_| more).map(|entry| entry.id);
        Page { entries, next_after, fallen_out: self.fallen_out }
    }

    /// Entries that fell out.
    pub fn fallen_out(&self) -> u64 {
        self.fallen_out
    }

    fn index(&self, id: u64) -> Option<usize> {
        let first = self.entries.front()?.id;
        usize::try_from(id.checked_sub(first)?).ok()
    }

    fn shed(&mut self) {
        while self.entries.len() > self.entries_max || (self.bytes > LEDGER_BYTES_MAX && self.entries.len() > 1) {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.bytes();
            self.fallen_out += 1;
        }
    }
}

impl Entry {
    fn new(id: u64, received_at: u64, method: &str, path: String, token: Option<String>) -> Self {
        Self {
            id,
            received_at,
            answered_at: None,
            over_at: None,
            agent: None,
            token,
            method: method.to_owned(),
            path,
            status: None,
            verdict: Verdict::Pending,
            refusal: None,
            fault: None,
            violation: None,
            overlapped: false,
            account: None,
            external_id: None,
            references: Vec::new(),
            conversation: None,
            message: None,
            body: None,
        }
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 640;
        let references: usize = self.references.iter().map(|text| text.len() + 24).sum();
        let ids = [&self.agent, &self.account, &self.external_id, &self.conversation, &self.message];
        let ids: usize = ids.into_iter().flatten().map(String::len).sum();
        OVERHEAD + self.path.len() + references + ids + self.body.as_ref().map_or(0, |body| body.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(page: &Page) -> Vec<u64> {
        page.entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn pages_go_on_after_the_last_entry_seen() {
        let mut ledger = Ledger::new(100);
        (0..5).for_each(|now| {
            ledger.open(now, "GET", "/", None);
        });
        let first = ledger.page(0, 3);
        assert_eq!((ids(&first), first.next_after), (vec![1, 2, 3], Some(3)));
        let second = ledger.page(3, 3);
        assert_eq!((ids(&second), second.next_after), (vec![4, 5], None));
        assert_eq!(ids(&ledger.page(5, 3)), [0u64; 0]);
    }

    #[test]
    fn what_falls_out_is_counted_and_no_longer_changed() {
        let mut ledger = Ledger::new(2);
        (0..5).for_each(|now| {
            ledger.open(now, "GET", "/", None);
        });
        ledger.change(1, |entry| entry.status = Some(500));
        ledger.change(4, |entry| entry.status = Some(201));
        let page = ledger.page(0, 10);
        assert_eq!((ids(&page), page.fallen_out), (vec![4, 5], 3));
        assert_eq!(page.entries[0].status, Some(201));
        assert_eq!(page.entries[1].status, None);
    }
}
