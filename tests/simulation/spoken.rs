//! What a message says, read as a person reads it: from its words alone.

use serde::Deserialize;

/// What a cut body says at its end.
const CUT: &str = " characters in all, cut here";

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
    body.lines().skip(1).filter_map(named).collect()
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
    let lines = body.lines().filter(|line| line.ends_with(" repeats not shown") || line.contains(" repeats since "));
    lines.filter_map(|line| number_before(line, " repeats ")).sum()
}

/// How many there are beyond the ones that are named.
pub fn more(body: &str) -> u64 {
    let line = body.lines().skip(1).find(|line| line.starts_with("and ") && line.ends_with(" more"));
    line.and_then(|line| number_before(line, " more")).unwrap_or(0)
}

/// The number of observations that a message says it stands for, where it does.
pub fn number_said(body: &str) -> Option<u64> {
    number_before(first_line(body), " changes ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_read_as_people_read_them() {
        let body = "🔴 1,204 firing (was 3): <12>, +7 new, 2 resolved, 1 critical\n2 firing since Mon\n🔴 <9>: <9>\n🟢 resolved: <4>: <4>\nand 1,007 more\n31 repeats not shown";
        let line = first_line(body);
        let numbers =
            [" firing", " new", " resolved", " critical", " changes "].map(|words| number_before(line, words));
        assert_eq!(numbers, [Some(1_204), Some(7), Some(2), Some(1), None]);
        assert_eq!((listed(body), more(body), repeats(body)), (vec![9, 4], 1_007, 31));
        assert_eq!(number_said("⚠️ Storm: 3,412 changes in 700 conversations"), Some(3_412));
        assert!(is_cut("lorem\n… 9001 characters in all, cut here") && !is_cut(body));
    }
}
