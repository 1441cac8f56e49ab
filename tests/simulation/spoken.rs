//! What a message says, read as a person reads it: from its words alone.

use missived::event::Fingerprint;
use serde::Deserialize;

/// What a cut body says at its end.
const CUT: &str = " characters in all, cut here";

/// What a message says at its end that may be one that people have already.
pub const MAY_REPEAT: &str = "\n(may repeat an earlier message)";

/// A request body, as Missive reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Letter {
    messages: Fields,
}

#[derive(Clone, Debug, Deserialize)]
struct Fields {
    account: Box<str>,
    body: Box<str>,
    external_id: Box<str>,
    references: Vec<Box<str>>,
    #[serde(default)]
    close: bool,
}

impl Letter {
    pub fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    /// Which channel it goes to.
    pub fn account(&self) -> &str {
        &self.messages.account
    }

    pub fn body(&self) -> &str {
        &self.messages.body
    }

    /// The same letter in other words, if there are any.
    #[must_use]
    pub fn saying(mut self, words: Option<String>) -> Self {
        if let Some(words) = words {
            self.messages.body = words.into();
        }
        self
    }

    /// Does it say that people may have it already?
    pub fn may_repeat(&self) -> bool {
        self.messages.body.ends_with(MAY_REPEAT)
    }

    pub fn external_id(&self) -> &str {
        &self.messages.external_id
    }

    pub const fn closes(&self) -> bool {
        self.messages.close
    }

    /// What threads it, if there is exactly one such thing.
    pub fn reference(&self) -> Option<&str> {
        match self.messages.references.as_slice() {
            [reference] => Some(reference),
            _ => None,
        }
    }

    /// Which message it is, and of which conversation.
    pub fn message(&self) -> Option<(Fingerprint, u64)> {
        let conversation = self.reference()?.split(':').nth(1)?;
        let conversation = u128::from_str_radix(conversation, 16).ok().map(Fingerprint::from_u128)?;
        Some((conversation, self.sequence()?))
    }

    /// Which message of its conversation it is: the last part of its external id.
    pub fn sequence(&self) -> Option<u64> {
        self.messages.external_id.rsplit(':').next()?.parse().ok()
    }
}

/// Was the text too long for its channel?
pub fn is_cut(body: &str) -> bool {
    body.ends_with(CUT)
}

/// The first line: what a locked phone shows.
pub fn first_line(body: &str) -> &str {
    body.lines().next().unwrap_or_default()
}

/// The first thing that is named: `7` of `… <7> …`.
pub fn named(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once('<')?;
    rest.split_once('>')?.0.parse().ok()
}

/// The things that are named line by line, below the first line.
pub fn listed(body: &str) -> Vec<u64> {
    body.lines().skip(1).filter(|line| !line.starts_with("Largest: ")).filter_map(named).collect()
}

/// The number in front of some words, if they stand there: `3` of `3 firing`.
pub fn number_before(text: &str, words: &str) -> Option<u64> {
    let end = text.find(words)?;
    let begin = text[..end]
        .rfind(|c: char| !c.is_ascii_digit() && c != ',')
        .map_or(0, |last| last + text[last..].chars().next().map_or(1, char::len_utf8));
    text[begin..end].replace(',', "").parse().ok()
}

/// How many repeats it counts.
pub fn repeats(body: &str) -> u64 {
    let endings = [
        " repeat not shown",
        " repeats not shown",
        " repeat since the last message",
        " repeats since the last message",
    ];
    remarks(body).flat_map(|remark| endings.map(|ending| number_before_the_end(remark, ending))).flatten().sum()
}

/// How many changes it leaves out because people know that their alerts flap.
pub fn flaps(body: &str) -> u64 {
    let endings = [" change while flapping not shown", " changes while flapping not shown"];
    remarks(body).flat_map(|remark| endings.map(|ending| number_before_the_end(remark, ending))).flatten().sum()
}

/// How many there are beyond the ones that are named.
pub fn more(body: &str) -> u64 {
    let line = body.lines().skip(1).find_map(|line| line.strip_prefix("and "));
    line.and_then(|line| number_before(line, " more")).unwrap_or(0)
}

/// Of a roll-up: for how many conversations it speaks, how many have one of their own, how many are told nowhere else.
pub fn company(body: &str) -> Option<(u64, u64, u64)> {
    let behind = first_line(body);
    let behind = number_before(behind, " conversations,").or_else(|| number_before(behind, " conversation,"))?;
    let line = body.lines().find(|line| line.contains(" only here"))?;
    let own =
        number_before(line, " have own conversations").or_else(|| number_before(line, " has its own conversation"));
    Some((behind, own.unwrap_or(0), number_before(line, " only here")?))
}

/// What is said in passing, several things in one line.
fn remarks(body: &str) -> impl Iterator<Item = &str> {
    body.lines().flat_map(|line| line.split(" · "))
}

/// The number of observations that a message says it stands for, where it does.
pub fn number_said(body: &str) -> Option<u64> {
    let line = first_line(body);
    number_before(line, " changes ").or_else(|| number_before(line, " change ").filter(|number| *number == 1))
}

/// What a headline says about its conversation, behind the name of it: `+1 new, 2 resolved` of `… <7> (+1 new, 2 resolved)`.
pub fn changes(headline: &str) -> &str {
    headline.split_once('>').map_or("", |(_, rest)| rest)
}

/// A line that consists of a number and some words, if it does; singular where it is one.
fn number_before_the_end(line: &str, words: &str) -> Option<u64> {
    let number: u64 = line.strip_suffix(words)?.replace(',', "").parse().ok()?;
    let (noun, _) = words.trim_start().split_once(' ')?;
    ((number == 1) != noun.ends_with('s')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_read_as_people_read_them() {
        let body = "🔴 1,204 firing (was 3): <12>, +7 new, 2 resolved, 1 critical\n2 firing since Mon\n🔴 <9>: <9>\n🟢 resolved: <4>: <4>\nand 1,007 more, 3 of them critical\n31 repeats not shown · oldest line waited 41 s";
        let line = first_line(body);
        let numbers =
            [" firing", " new", " resolved", " critical", " changes "].map(|words| number_before(line, words));
        assert_eq!(numbers, [Some(1_204), Some(7), Some(2), Some(1), None]);
        assert_eq!((listed(body), more(body), repeats(body)), (vec![9, 4], 1_007, 31));
        assert_eq!([repeats("x\n1 repeat not shown"), repeats("1 repeat since the last message")], [1, 1]);
        assert_eq!(repeats("1 repeats not shown\n2 repeat not shown"), 0, "that is no English");
        assert_eq!(changes("🟢 All resolved: <3> (+1 new, 2 resolved)"), " (+1 new, 2 resolved)");
        assert_eq!(number_said("⚠️ Storm: 3,412 changes in 700 conversations"), Some(3_412));
        assert!(is_cut("lorem\n… 9001 characters in all, cut here") && !is_cut(body));
    }
}
