//! What of a record nobody may see: redacted fields, and fields that aren't on the source's list.
//!
//! It works on the tape, before a format reads it, so nothing that is screened reaches an identity, a message, a condition or
//! the ledger. A redacted value becomes a mark, `redacted-` and 16 hex digits of its keyed hash: what differs stays apart, and
//! without the installation's key nobody learns what it was. With a list, what isn't on it is gone as if it had never been
//! there, but for what the format itself lives on: words such as a status stay, names of things become marks.
//!
//! A field is a bare name, wherever it stands in the record, or a pointer from the record's root; a `*` in it is every
//! member or element. Whatever lies below a field goes with it. Texts that quote a field's value elsewhere (an Alertmanager
//! `groupKey` holds labels) are fields of their own. Dead letters keep the record whole.

use std::borrow::Cow;
use std::fmt::Write as _;

use simd_json::StaticNode;
use simd_json::tape::Node;

use super::identity::HashKey;
use super::path::{Field, Path, Step};

/// What a source keeps to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// Replaced by marks.
    pub redact: Vec<Field>,
    /// None: everything else may be seen.
    pub only: Option<Vec<Field>>,
}

impl Privacy {
    /// Whether there is nothing to hide.
    pub const fn is_open(&self) -> bool {
        self.redact.is_empty() && self.only.is_none()
    }
}

/// What a format lives on, whatever a list says: pointers from the record's root, `*` for every member or element.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Seen as they are: states, times, counters.
    pub kept: Vec<Path>,
    /// Seen as marks: what tells things apart and may be personal.
    pub marked: Vec<Path>,
}

impl Needs {
    /// Of pointers that the code names.
    pub(super) fn of(kept: &[&str], marked: &[&str]) -> Self {
        let paths = |texts: &[&str]| texts.iter().filter_map(|text| Path::parse(text)).collect();
        Self { kept: paths(kept), marked: paths(marked) }
    }
}

/// One record's screen.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    pub privacy: &'a Privacy,
    pub needs: &'a Needs,
    pub key: &'a HashKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Mark,
    Gone,
}

/// Marks of one record; kept for their allocations.
#[derive(Default)]
pub struct Marks {
    text: String,
    verdicts: Vec<Verdict>,
}

impl Screen<'_> {
    /// Replaces what may not be seen.
    pub fn apply<'i>(&self, marks: &'i mut Marks, tape: &mut [Node<'i>]) {
        self.judge(&mut marks.verdicts, tape);
        let Marks { text, verdicts } = marks;
        text.clear();
        for (node, verdict) in tape.iter().zip(&*verdicts) {
            if *verdict == Verdict::Mark {
                self.write_mark(text, node);
            }
        }
        let mut rest: &'i str = text;
        for (node, verdict) in tape.iter_mut().zip(&*verdicts) {
            match verdict {
                Verdict::Keep => {}
                Verdict::Gone => *node = Node::Static(StaticNode::Null),
                Verdict::Mark => {
                    let (mark, after) = rest.split_at(MARK_BYTES);
                    *node = Node::String(mark);
                    rest = after;
                }
            }
        }
    }

    /// The same for an attribute that stands outside the body.
    pub fn attribute<'v>(&self, name: &str, value: &'v str, need: Need) -> Cow<'v, str> {
        let listed = |fields: &[Field]| fields.iter().any(|field| field.as_str().trim_start_matches('/') == name);
        let hidden = self.privacy.only.as_ref().is_some_and(|only| !listed(only));
        match need {
            _ if listed(&self.privacy.redact) => Cow::Owned(self.mark(value.as_bytes())),
            Need::Marked if hidden => Cow::Owned(self.mark(value.as_bytes())),
            Need::None if hidden => Cow::Borrowed(""),
            Need::Kept | Need::Marked | Need::None => Cow::Borrowed(value),
        }
    }

    /// One verdict a node; keys and containers are kept.
    fn judge(&self, verdicts: &mut Vec<Verdict>, tape: &[Node<'_>]) {
        verdicts.clear();
        verdicts.resize(tape.len(), Verdict::Keep);
        let mut sheet = Sheet { tape, verdicts };
        if let Some(only) = &self.privacy.only {
            sheet.spread(0, Verdict::Gone);
            for field in only {
                sheet.set(field, Verdict::Keep);
            }
            for path in &self.needs.marked {
                sheet.follow(0, path.steps(), &mut |sheet, at| sheet.spread_where_gone(at, Verdict::Mark));
            }
            for path in &self.needs.kept {
                sheet.follow(0, path.steps(), &mut |sheet, at| sheet.spread(at, Verdict::Keep));
            }
        }
        for field in &self.privacy.redact {
            sheet.set(field, Verdict::Mark);
        }
    }

    fn write_mark(&self, text: &mut String, node: &Node<'_>) {
        match node {
            Node::String(value) => text.push_str(&self.mark(value.as_bytes())),
            Node::Static(value) => text.push_str(&self.mark(value.to_string().as_bytes())),
            Node::Object { .. } | Node::Array { .. } => unreachable!("only scalars are marked"),
        }
    }

    fn mark(&self, value: &[u8]) -> String {
        let hash = self.key.fingerprint(&[b"redacted", value]).as_u128() as u64;
        let mut mark = String::with_capacity(MARK_BYTES);
        write!(mark, "{MARK}{hash:016x}").expect("a String takes everything");
        mark
    }
}

/// How a format needs an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Kept,
    Marked,
    None,
}

const MARK: &str = "redacted-";
const MARK_BYTES: usize = MARK.len() + 16;

/// A tape and its verdicts.
struct Sheet<'s, 'i> {
    tape: &'s [Node<'i>],
    verdicts: &'s mut [Verdict],
}

impl<'i> Sheet<'_, 'i> {
    fn set(&mut self, field: &Field, verdict: Verdict) {
        match field {
            Field::Name(name) => self.set_named(0, name, verdict),
            Field::At(path) => self.follow(0, path.steps(), &mut |sheet, at| sheet.spread(at, verdict)),
        }
    }

    /// Every member of this name, however deep.
    fn set_named(&mut self, at: usize, name: &str, verdict: Verdict) {
        for (key, child) in self.children(at) {
            if key == Some(name) {
                self.spread(child, verdict);
            } else {
                self.set_named(child, name, verdict);
            }
        }
    }

    fn follow(&mut self, at: usize, steps: &[Step], reached: &mut dyn FnMut(&mut Self, usize)) {
        let Some((step, rest)) = steps.split_first() else { return reached(self, at) };
        for (place, (key, child)) in self.children(at).into_iter().enumerate() {
            let here = key.map_or(step.index == Some(place), |key| key == &*step.key);
            if here || &*step.key == "*" {
                self.follow(child, rest, reached);
            }
        }
    }

    /// All scalars at and below a node.
    fn spread(&mut self, at: usize, verdict: Verdict) {
        self.each_scalar(at, &mut |known| *known = verdict);
    }

    fn spread_where_gone(&mut self, at: usize, verdict: Verdict) {
        self.each_scalar(at, &mut |known| *known = if *known == Verdict::Gone { verdict } else { *known });
    }

    fn each_scalar(&mut self, at: usize, change: &mut dyn FnMut(&mut Verdict)) {
        match self.tape.get(at) {
            Some(Node::Object { .. } | Node::Array { .. }) => {
                for (_, child) in self.children(at) {
                    self.each_scalar(child, change);
                }
            }
            Some(Node::Static(StaticNode::Null)) | None => {}
            Some(Node::String(_) | Node::Static(_)) => change(&mut self.verdicts[at]),
        }
    }

    /// Places of a container's members, with their keys, or of its elements.
    fn children(&self, at: usize) -> Vec<(Option<&'i str>, usize)> {
        let (len, keyed) = match self.tape.get(at) {
            Some(Node::Object { len, .. }) => (*len, 1),
            Some(Node::Array { len, .. }) => (*len, 0),
            Some(Node::String(_) | Node::Static(_)) | None => return Vec::new(),
        };
        let mut children = Vec::with_capacity(len);
        let mut next = at + 1;
        for _ in 0..len {
            let key = if keyed == 1 { key_at(self.tape, next) } else { None };
            children.push((key, next + keyed));
            next += keyed + nodes(self.tape, next + keyed);
        }
        children
    }
}

fn key_at<'i>(tape: &[Node<'i>], at: usize) -> Option<&'i str> {
    match tape.get(at) {
        Some(Node::String(key)) => Some(key),
        Some(Node::Object { .. } | Node::Array { .. } | Node::Static(_)) | None => None,
    }
}

/// How many nodes a value has on the tape.
fn nodes(tape: &[Node<'_>], at: usize) -> usize {
    match tape.get(at) {
        Some(Node::Object { count, .. } | Node::Array { count, .. }) => count + 1,
        Some(Node::String(_) | Node::Static(_)) | None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Scratch;
    use super::*;

    const JSON: &str = r#"{"id":7,"status":"open","who":{"email":"a@x.example","age":41,"tags":["vip",null]},
        "list":[{"email":"a@x.example","note":"hi"},{"email":"b@x.example"}]}"#;

    fn field(text: &str) -> Field {
        Field::parse(text).expect("a field")
    }

    fn paths(texts: &[&str]) -> Vec<Path> {
        texts.iter().map(|text| Path::parse(text).expect("a pointer")).collect()
    }

    /// What is left of the record, as JSON.
    fn screened(redact: &[&str], only: Option<&[&str]>) -> serde_json::Value {
        let fields = |texts: &[&str]| texts.iter().map(|text| field(text)).collect();
        let privacy = Privacy { redact: fields(redact), only: only.map(fields) };
        let needs = Needs { kept: paths(&["/status"]), marked: paths(&["/id", "/list/*/email"]) };
        let key = HashKey::new([1; 16]);
        let screen = Screen { privacy: &privacy, needs: &needs, key: &key };
        let mut text = String::new();
        let read = |root: simd_json::tape::Value<'_, '_>| {
            use simd_json::prelude::Writable as _;
            text = root.encode();
            Ok(())
        };
        Scratch::new().with(Some(screen), JSON.as_bytes(), read).expect("JSON");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn redacted_values_become_marks_that_keep_apart_what_differs() {
        let seen = screened(&["email", "/who/age"], None);
        let mark = |at: &str| seen.pointer(at).and_then(|found| found.as_str()).unwrap_or_default().to_owned();
        assert!(mark("/who/email").starts_with("redacted-") && mark("/who/age").starts_with("redacted-"), "{seen}");
        assert_eq!(mark("/who/email"), mark("/list/0/email"));
        assert_ne!(mark("/list/0/email"), mark("/list/1/email"));
        assert_eq!((seen["id"].as_i64(), &seen["list"][0]["note"]), (Some(7), &"hi".into()));
        assert!(!seen.to_string().contains("x.example"), "{seen}");
    }

    #[test]
    fn everything_below_a_redacted_field_goes_with_it() {
        let seen = screened(&["who"], None);
        assert_eq!(seen.to_string().matches("redacted-").count(), 3, "{seen}");
        assert!(seen["who"]["tags"][1].is_null());
        assert_eq!(screened(&["/list/*/note"], None).to_string().matches("redacted-").count(), 1);
    }

    #[test]
    fn with_a_list_only_that_and_what_the_format_lives_on_is_left() {
        let seen = screened(&[], Some(&["note", "/who/tags/0"]));
        assert_eq!((&seen["status"], &seen["list"][0]["note"]), (&"open".into(), &"hi".into()));
        assert_eq!(&seen["who"]["tags"][0], "vip");
        assert!(seen["who"]["email"].is_null() && seen["who"]["age"].is_null(), "{seen}");
        assert!(seen["id"].as_str().is_some_and(|id| id.starts_with("redacted-")), "{seen}");
        assert_eq!(seen.to_string().matches("redacted-").count(), 3, "{seen}");
    }

    #[test]
    fn a_listed_field_that_is_redacted_too_is_redacted() {
        let seen = screened(&["email"], Some(&["email", "id"]));
        assert_eq!((seen["id"].as_i64(), seen.to_string().matches("redacted-").count()), (Some(7), 3), "{seen}");
    }

    #[test]
    fn attributes_outside_the_body_are_screened_alike() {
        let privacy = Privacy { redact: vec![field("subject")], only: Some(vec![field("subject"), field("tenant")]) };
        let (needs, key) = (Needs::default(), HashKey::new([1; 16]));
        let screen = Screen { privacy: &privacy, needs: &needs, key: &key };
        assert!(screen.attribute("subject", "ann", Need::Marked).starts_with("redacted-"));
        assert!(screen.attribute("source", "/crm", Need::Marked).starts_with("redacted-"));
        let rows = [("id", Need::Kept, "x"), ("tenant", Need::None, "x"), ("other", Need::None, "")];
        for (name, need, seen) in rows {
            assert_eq!(screen.attribute(name, "x", need), seen, "{name}");
        }
    }
}
