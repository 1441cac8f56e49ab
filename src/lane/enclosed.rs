//! Files that go along with a conversation's next message, within bounds; what doesn't fit is named.
//!
//! All that waits and all that is in flight is part of the conversation's state record, so it is far less than the 10 MB that
//! Missive takes. Limits: what the policy says in bytes as they are kept, [`FILES_MAX`] files and as many names of others.

use serde::{Deserialize, Serialize};

use crate::event::{Enclosed, Enclosure};
use crate::missive::{Attachment, Content};

/// The most files of one message.
const FILES_MAX: usize = 20;

/// What waits to go along.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    pub whole: Vec<Attachment>,
    /// Names of those that don't go along, and why.
    left_out: Vec<Box<str>>,
    /// Those that aren't even named.
    more: u32,
}

impl Files {
    /// Takes in what an event brings, while all of it is at most `bytes_max`.
    pub fn take(&mut self, files: &[Enclosed<'_>], bytes_max: usize) {
        for file in files {
            let held: usize = self.whole.iter().map(|file| file.content.bytes()).sum();
            let fits = held + file.content.bytes() <= bytes_max && self.whole.len() < FILES_MAX;
            match &file.content {
                Enclosure::Base64(data) if fits => {
                    self.enclose(&file.name, Content::Base64((&**data).into()));
                }
                Enclosure::Text(text) if fits => {
                    self.enclose(&file.name, Content::Text((&**text).into()));
                }
                content @ (Enclosure::Base64(_)
                | Enclosure::Text(_)
                | Enclosure::TooLarge { .. }
                | Enclosure::Unreadable) => self.leave(&file.name, &why(content)),
            }
        }
    }

    /// Only names what an event brings.
    pub fn leave_all(&mut self, files: &[Enclosed<'_>]) {
        files.iter().for_each(|file| self.leave(&file.name, &why(&file.content)));
    }

    /// Only names what others would have brought.
    pub fn leave_out(&mut self, other: Self) {
        for file in other.whole {
            self.leave(&file.name, &size(file.content.bytes() as u64));
        }
        for named in other.left_out {
            self.name(named);
        }
        self.more = self.more.saturating_add(other.more);
    }

    /// What to say of those that don't go along; nothing if all do.
    pub fn left_out(&self) -> Option<String> {
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        (!self.left_out.is_empty()).then(|| format!("Not attached: {}{more}", self.left_out.join(", ")))
    }

    /// Adds a file whatever its size, under a name that no other has.
    pub fn enclose(&mut self, name: &str, content: Content) -> Box<str> {
        let taken = |name: &str| self.whole.iter().any(|file| &*file.name == name);
        let mut free = name.to_owned();
        let mut number = 2;
        while taken(&free) {
            free = match name.rsplit_once('.') {
                Some((stem, kind)) => format!("{stem}-{number}.{kind}"),
                None => format!("{name}-{number}"),
            };
            number += 1;
        }
        let name: Box<str> = free.into();
        self.whole.push(Attachment { name: name.clone(), content });
        name
    }

    fn leave(&mut self, name: &str, why: &str) {
        self.name(format!("{name} ({why})").into());
    }

    fn name(&mut self, named: Box<str>) {
        if self.left_out.len() < FILES_MAX {
            self.left_out.push(named);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// Its size, or what else keeps it from going along.
fn why(content: &Enclosure<'_>) -> String {
    match content {
        Enclosure::Base64(data) => size(data.len() as u64 / 4 * 3),
        Enclosure::Text(text) => size(text.len() as u64),
        Enclosure::TooLarge { bytes } => size(*bytes),
        Enclosure::Unreadable => "not base64".to_owned(),
    }
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &'static str, bytes: usize) -> Enclosed<'static> {
        Enclosed { name: name.into(), content: Enclosure::Text("x".repeat(bytes).into()) }
    }

    #[test]
    fn what_fits_goes_along_under_names_of_its_own_and_the_rest_is_named() {
        let mut files = Files::default();
        let large = Enclosed { name: "dump".into(), content: Enclosure::TooLarge { bytes: 3_140_000 } };
        files.take(&[text("a.json", 40), text("a.json", 40), text("b.json", 1_999), large], 100);
        let names: Vec<_> = files.whole.iter().map(|file| &*file.name).collect();
        assert_eq!(names, ["a.json", "a-2.json"]);
        assert_eq!(files.left_out().as_deref(), Some("Not attached: b.json (1 kB), dump (3.1 MB)"));
    }

    #[test]
    fn names_are_bounded_and_the_rest_is_a_number() {
        let mut files = Files::default();
        for _ in 0..100 {
            files.take(&[text("a", 10)], 1_000_000);
        }
        assert_eq!(files.whole.len(), FILES_MAX);
        assert!(files.left_out().expect("names").ends_with(" and 60 more"), "{files:?}");
        let mut rolled_up = Files::default();
        rolled_up.leave_out(files);
        assert!(rolled_up.whole.is_empty() && rolled_up.left_out().is_some());
        let mut named = Files::default();
        named.leave_all(&[text("empty", 0), text("a", 10)]);
        assert_eq!((named.whole.len(), named.left_out().as_deref()), (0, Some("Not attached: empty (0 B), a (10 B)")));
    }
}
