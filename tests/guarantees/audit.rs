//! The auditor: compares what a generator has written to Kafka with what the stand-in for Missive was asked.
//!
//! Every event carries a token that stands in no other event, `<stream>-<conversation>-<number>`, and every message says how
//! much it stands for: the lines it names, and "and N more". So each piece of news can be found in exactly one message, or
//! is counted in one. A message that was sent again has the same external id, the same words, and says that it may repeat an
//! earlier one; that is a delivery *in doubt*, listed apart.
//!
//! The auditor believes neither the daemon's metrics nor the stand-in's own summary: windows, overlaps and senders are
//! counted here from the times of each request.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

/// What a message says at its end when an earlier attempt at it may have been taken.
const MAY_REPEAT: &str = "\n(may repeat an earlier message)";

/// How many of a kind a failing audit shows.
const SHOWN: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// It fires, it changed, somebody said it.
    New,
    Resolved,
}

/// One piece of news: what must be told once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct News {
    pub stream: char,
    pub conversation: u32,
    pub number: u32,
    pub said: Said,
}

impl News {
    /// The text that finds it in a message.
    pub fn token(&self) -> String {
        format!("{}-{}-{}", self.stream, self.conversation, self.number)
    }

    /// What a line of a message tells, if it tells an event.
    fn of_line(line: &str) -> Option<Self> {
        let word = line.rsplit(' ').next()?;
        let mut parts = word.split('-');
        let (stream, conversation, number) = (parts.next()?, parts.next()?, parts.next()?);
        let mut letters = stream.chars();
        let (Some(stream), None, None) = (letters.next(), letters.next(), parts.next()) else { return None };
        let said = if line.starts_with('🟢') { Said::Resolved } else { Said::New };
        Some(Self { stream, conversation: conversation.parse().ok()?, number: number.parse().ok()?, said })
    }
}

/// What was written to Kafka.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// All events, repeats included.
    pub events: u64,
    /// What must be told, by the account it goes to.
    pub news: BTreeMap<String, BTreeSet<News>>,
}

impl Books {
    pub fn unique(&self) -> usize {
        self.news.values().map(BTreeSet::len).sum()
    }
}

/// One request as the stand-in for Missive saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    pub id: u64,
    pub received_at: u64,
    /// None while it is in progress.
    pub over_at: Option<u64>,
    pub agent: String,
    pub token: String,
    pub verdict: String,
    pub account: String,
    pub external_id: String,
    pub conversation: String,
    pub body: String,
    /// None if no answer was given.
    pub status: Option<u64>,
}

impl Request {
    pub fn of(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: entry["id"].as_u64().expect("an id"),
            received_at: entry["received_at"].as_u64().expect("a time"),
            over_at: entry["over_at"].as_u64(),
            agent: text(&entry["agent"]),
            token: text(&entry["token"]),
            verdict: text(&entry["verdict"]),
            account: text(&entry["account"]),
            external_id: text(&entry["external_id"]),
            conversation: text(&entry["conversation"]),
            body: text(&entry["body"]["text"]),
            status: entry["status"].as_u64(),
        }
    }

    /// Nothing about it changes any more.
    pub fn is_settled(&self) -> bool {
        self.verdict != "pending" && self.over_at.is_some()
    }

    /// Whoever asked can't know what became of it.
    pub fn leaves_a_doubt(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }

    fn was_accepted(&self) -> bool {
        self.verdict == "accepted"
    }

    fn may_repeat(&self) -> bool {
        self.body.ends_with(MAY_REPEAT)
    }

    fn words(&self) -> &str {
        self.body.strip_suffix(MAY_REPEAT).unwrap_or(&self.body)
    }

    fn overlaps(&self, earlier: &Self) -> bool {
        earlier.over_at.is_none_or(|over| over > self.received_at)
    }
}

/// Missive's limits as they were agreed on.
#[derive(Clone, Debug)]
pub struct Limits {
    pub at_once: usize,
    /// Requests and milliseconds.
    pub windows: Vec<(usize, u64)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_once: 5, windows: vec![(300, 60_000), (900, 900_000)] }
    }
}

/// What the audit found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub events: u64,
    pub unique: usize,
    pub messages: usize,
    /// News that is in no message and counted in none.
    pub lost: Vec<String>,
    /// News that is in two messages, or counted in one too many.
    pub repeated: Vec<String>,
    /// Deliveries that were sent again because they may not have arrived.
    pub in_doubt: BTreeSet<String>,
    /// Whatever else must not be: order, overlaps, windows, senders, repeats that don't say so.
    pub broken: Vec<String>,
}

impl Findings {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.repeated.is_empty() && self.broken.is_empty()
    }

    fn faults(&self) -> String {
        let list = |name: &str, all: &[String]| {
            let shown = all.iter().take(SHOWN).map(|one| format!("\n    {one}")).collect::<String>();
            if all.is_empty() { String::new() } else { format!("\n  {name} {}:{shown}", all.len()) }
        };
        [list("lost", &self.lost), list("repeated", &self.repeated), list("broken", &self.broken)].concat()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} unique, {} messages, lost {}, repeated {} (in doubt {}){}",
            self.events,
            self.unique,
            self.messages,
            self.lost.len(),
            self.repeated.len(),
            self.in_doubt.len(),
            self.faults()
        )
    }
}

/// Compares the generator's books with everything the stand-in was asked.
pub fn audit(books: &Books, ledger: &[Request], limits: &Limits) -> Findings {
    let mut findings = Findings { events: books.events, unique: books.unique(), ..Findings::default() };
    let messages = first_of_each(ledger, &mut findings);
    findings.messages = messages.len();
    for (account, news) in &books.news {
        let of_account: Vec<&Request> =
            messages.iter().copied().filter(|message| message.account == *account).collect();
        told_once(news, &of_account, &mut findings);
    }
    let strangers = messages.iter().filter(|message| !books.news.contains_key(&message.account));
    findings.broken.extend(strangers.map(|message| format!("a message to nobody's account: {message:?}")));
    in_order(&messages, &mut findings);
    never_two_at_once(ledger, &mut findings);
    for requests in by_token(ledger).values() {
        within_limits(requests, limits, &mut findings);
        one_sender(requests, &mut findings);
    }
    findings
}

/// The messages that were taken, without those that were taken again.
fn first_of_each<'a>(ledger: &'a [Request], findings: &mut Findings) -> Vec<&'a Request> {
    let mut first: HashMap<&str, &Request> = HashMap::new();
    let mut messages = Vec::new();
    for request in ledger.iter().filter(|request| request.was_accepted()) {
        if request.may_repeat() {
            findings.in_doubt.insert(request.external_id.clone());
        }
        match first.get(request.external_id.as_str()) {
            None => {
                first.insert(&request.external_id, request);
                messages.push(request);
            }
            Some(_) if !request.may_repeat() => {
                findings.broken.push(format!("repeated without saying so: {}", request.external_id));
            }
            Some(earlier) if earlier.words() != request.words() => {
                findings.broken.push(format!("sent again in other words: {}", request.external_id));
            }
            Some(_) => {}
        }
    }
    messages
}

/// Every piece of news is in exactly one message, or counted in one.
fn told_once(news: &BTreeSet<News>, messages: &[&Request], findings: &mut Findings) {
    let mut told: BTreeMap<News, &str> = BTreeMap::new();
    let mut unnamed = 0;
    for message in messages {
        let lines: Vec<News> = message.words().lines().filter_map(News::of_line).collect();
        let more = message.words().lines().find_map(more).unwrap_or(0);
        agrees_with_its_headline(message, lines.len() + more, findings);
        unnamed += more;
        for line in lines {
            let token = line.token();
            let known = news.contains(&line);
            match told.insert(line, &message.external_id) {
                Some(earlier) => findings.repeated.push(format!("{token} in {earlier} and {}", message.external_id)),
                None if !known => findings.broken.push(format!("{token} was never an event: {}", message.external_id)),
                None => {}
            }
        }
    }
    let missing: Vec<&News> = news.iter().filter(|news| !told.contains_key(news)).collect();
    if missing.len() > unnamed {
        findings.lost.extend(missing.iter().skip(unnamed).map(|news| format!("{} {:?}", news.token(), news.said)));
    }
    if unnamed > missing.len() {
        let over = unnamed - missing.len();
        findings.repeated.extend((0..over).map(|_| "counted in one message too many".to_owned()));
    }
}

fn more(line: &str) -> Option<usize> {
    let (number, _) = line.strip_prefix("and ")?.split_once(" more")?;
    number.replace(',', "").parse().ok()
}

/// What the first line says a message stands for, where it says it: "3 changes to …", "Storm: 3 changes in …",
/// "… +2 new, 1 resolved …".
fn agrees_with_its_headline(message: &Request, stands_for: usize, findings: &mut Findings) {
    let headline = message.body.lines().next().unwrap_or_default();
    let words: Vec<&str> = headline.split(' ').map(|word| word.trim_end_matches(',')).collect();
    let before = |word: &str| {
        let at = words.iter().position(|candidate| *candidate == word)?;
        words.get(at.checked_sub(1)?)?.trim_start_matches('+').replace(',', "").parse::<usize>().ok()
    };
    let claimed = before("changes").or_else(|| Some(before("new")? + before("resolved").unwrap_or(0)));
    if claimed.is_some_and(|claimed| claimed != stands_for) {
        findings.broken.push(format!("{headline:?} names and counts {stands_for}: {}", message.external_id));
    }
}

/// In each conversation, what happened later is told later.
fn in_order(messages: &[&Request], findings: &mut Findings) {
    let mut last: HashMap<(&str, char, u32), u32> = HashMap::new();
    for message in messages {
        let mut here: HashMap<(&str, char, u32), (u32, u32)> = HashMap::new();
        for line in message.words().lines().filter_map(News::of_line).filter(|line| line.said == Said::New) {
            let (least, most) = here
                .entry((&message.conversation, line.stream, line.conversation))
                .or_insert((line.number, line.number));
            (*least, *most) = (line.number.min(*least), line.number.max(*most));
        }
        for (conversation, (least, most)) in here {
            if last.insert(conversation, most).is_some_and(|last| last > least) {
                findings.broken.push(format!("out of order: {conversation:?} tells {least} late"));
            }
        }
    }
}

/// No conversation has two messages on their way at one time.
fn never_two_at_once(ledger: &[Request], findings: &mut Findings) {
    let mut latest: HashMap<&str, &Request> = HashMap::new();
    for request in ledger.iter().filter(|request| request.was_accepted()) {
        let earlier = latest.insert(&request.conversation, request);
        if earlier.is_some_and(|earlier| request.overlaps(earlier)) {
            findings.broken.push(format!("two at once in {}: {}", request.conversation, request.external_id));
        }
    }
}

fn by_token(ledger: &[Request]) -> BTreeMap<&str, Vec<&Request>> {
    let mut requests: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in ledger {
        requests.entry(&request.token).or_default().push(request);
    }
    requests
}

fn within_limits(requests: &[&Request], limits: &Limits, findings: &mut Findings) {
    for (allowed, ms) in &limits.windows {
        for (first, beyond) in requests.iter().zip(requests.iter().skip(*allowed)) {
            if beyond.received_at - first.received_at < *ms {
                findings.broken.push(format!("more than {allowed} requests in {ms} ms, at {}", beyond.id));
            }
        }
    }
    for (at, request) in requests.iter().enumerate() {
        let open = requests[..at].iter().rev().take(200).filter(|earlier| request.overlaps(earlier)).count();
        if open >= limits.at_once {
            findings.broken.push(format!("{} requests at once, at {}", open + 1, request.id));
        }
    }
}

/// Before one instance asks, every request of another one is over.
fn one_sender(requests: &[&Request], findings: &mut Findings) {
    for (at, request) in requests.iter().enumerate() {
        let other = requests[..at]
            .iter()
            .rev()
            .take(200)
            .find(|earlier| earlier.agent != request.agent && request.overlaps(earlier));
        if let Some(other) = other {
            findings.broken.push(format!(
                "two senders at once: {} ({}) while {} ({}) is in progress",
                request.agent, request.id, other.agent, other.id
            ));
        }
    }
}

#[cfg(test)]
#[path = "doctored.rs"]
mod doctored;
