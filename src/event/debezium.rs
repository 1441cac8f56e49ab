//! Debezium's change events: rows of a table as they were inserted, updated and deleted.
//!
//! Source: the "change events" sections of Debezium's connector documentation. Read with and without the schema wrapper
//! (`schema`, `payload`). Required are `op` and the row that it speaks of, with its key columns. Tombstones, heartbeats and
//! transaction markers are housekeeping and make no event; neither do rows that a snapshot reads (`r`), unless the source
//! wants them. The news is (table, key, op, the place in the database's log), so what a restarted connector sends again is
//! a duplicate. Rows that a transformation has flattened are no envelopes: the `json` format reads those.

use std::borrow::Cow;

use simd_json::prelude::ValueIntoObject;
use simd_json::tape::Value;

use super::alertmanager::conversation_key;
use super::cloudevents::bounded;
use super::decode::Refusal;
use super::identity::HashKey;
use super::json::{Fields, member, scalar, text};
use super::path::{Found, Path};
use super::screen::Needs;
use super::{Coverage, Event, Facts, State, Telling, Timestamp, Urgency};

/// How a source reads rows; pointers are followed from the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The columns that tell rows apart.
    pub key: Box<[Path]>,
    /// What people call the row.
    pub title: Option<Path>,
    pub snapshot: SnapshotRows,
}

/// What becomes of the rows that a snapshot reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotRows {
    /// They were there before: no news.
    Skip,
    Tell,
}

/// Where a change stands in the database's log, whichever database it is.
const LOG_PLACE: [&str; 15] = [
    "ts_ms",
    "lsn",
    "sequence",
    "txId",
    "gtid",
    "file",
    "pos",
    "row",
    "scn",
    "commit_scn",
    "change_lsn",
    "commit_lsn",
    "event_serial_no",
    "ord",
    "h",
];

/// Wider rows are compared column by column only if their columns stand in one order.
const COLUMNS_MAX: usize = 1000;

/// The line that a change is told in.
const LINE_BYTES_MAX: usize = 512;

pub(super) fn needs(table: &Table) -> Needs {
    const KEPT: [&str; 8] = [
        "/op",
        "/ts_ms",
        "/source/*",
        "/status",
        "/payload/op",
        "/payload/ts_ms",
        "/payload/source/*",
        "/payload/status",
    ];
    let mut needs = Needs::of(&KEPT, &[]);
    let rows = ["/before", "/after", "/payload/before", "/payload/after"];
    let columns = rows.iter().flat_map(|row| table.key.iter().map(move |key| format!("{row}{}", key.as_str())));
    needs.marked = columns.filter_map(|column| Path::parse(&column)).collect();
    needs
}

pub(super) fn decode(
    key: &HashKey,
    table: &Table,
    root: Value<'_, '_>,
    emit: &mut dyn FnMut(&Event<'_>),
) -> Result<usize, Refusal> {
    let wrapped = member(root, "schema").is_some();
    let Some(envelope) = (if wrapped { member(root, "payload") } else { Some(root) }) else {
        return Err(Refusal::field("payload", "an object"));
    };
    if Found::of(envelope).is_none() {
        // A tombstone that kept its schema.
        return Ok(0);
    }
    if envelope.into_object().is_none() {
        return Err(Refusal::field("the envelope", "an object"));
    }
    let Some(op) = Op::read(envelope, table)? else { return Ok(0) };
    let change = Change::read(envelope, op, table)?;
    emit(&change.event(key, root, table));
    Ok(1)
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Create,
    Update,
    Delete,
    Truncate,
    Read,
}

impl Op {
    /// `None` for what is no news.
    fn read(envelope: Value<'_, '_>, table: &Table) -> Result<Option<Self>, Refusal> {
        match text(envelope, "op") {
            "c" => Ok(Some(Self::Create)),
            "u" => Ok(Some(Self::Update)),
            "d" => Ok(Some(Self::Delete)),
            "t" => Ok(Some(Self::Truncate)),
            "r" => Ok((table.snapshot == SnapshotRows::Tell).then_some(Self::Read)),
            "m" => Err(Refusal::Unsupported("messages in the database's log are not read, only rows")),
            "" if is_housekeeping(envelope) => Ok(None),
            _ => Err(Refusal::field("op", "one of \"c\", \"u\", \"d\", \"r\", \"t\"")),
        }
    }
}

/// A heartbeat has a time and nothing else; a transaction's marker says that it begins or ends.
fn is_housekeeping(envelope: Value<'_, '_>) -> bool {
    let heartbeat = envelope.into_object().is_some_and(|object| object.len() == 1 && object.get("ts_ms").is_some());
    heartbeat || matches!(text(envelope, "status"), "BEGIN" | "END") && member(envelope, "id").is_some()
}

struct Change<'a> {
    envelope: Value<'a, 'a>,
    op: Op,
    before: Option<Value<'a, 'a>>,
    after: Option<Value<'a, 'a>>,
    /// Database, schema and table, as far as they are named.
    table: String,
    /// Values of the key columns.
    key: Vec<Cow<'a, str>>,
}

impl<'a> Change<'a> {
    fn read(envelope: Value<'a, 'a>, op: Op, table: &Table) -> Result<Self, Refusal> {
        let row = |name| member(envelope, name).filter(|row| row.into_object().is_some());
        let mut change =
            Self { envelope, op, before: row("before"), after: row("after"), table: String::new(), key: Vec::new() };
        let source = member(envelope, "source");
        let names = ["db", "schema", "collection", "table"].map(|name| source.map_or("", |source| text(source, name)));
        change.table = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(".");
        if op == Op::Truncate {
            return Ok(change);
        }
        let row = change.row().ok_or_else(|| Refusal::field(change.row_name(), "a row"))?;
        for column in &table.key {
            let value = column.find(row).and_then(scalar).filter(|value| !value.is_empty());
            let value =
                value.ok_or_else(|| Refusal::field(format!("{}{}", change.row_name(), column.as_str()), "a key"))?;
            change.key.push(value);
        }
        Ok(change)
    }

    /// The row as it is now, or as it was last.
    const fn row(&self) -> Option<Value<'a, 'a>> {
        match self.op {
            Op::Delete => self.before,
            Op::Create | Op::Update | Op::Read | Op::Truncate => self.after,
        }
    }

    const fn row_name(&self) -> &'static str {
        match self.op {
            Op::Delete => "before",
            Op::Create | Op::Update | Op::Read | Op::Truncate => "after",
        }
    }

    fn event(&self, key: &HashKey, root: Value<'a, 'a>, table: &Table) -> Event<'a> {
        let source = member(self.envelope, "source");
        let entity = self.entity(key);
        let mut news = key.hasher();
        news.part(&entity.as_u128().to_le_bytes());
        news.part(&[self.op as u8]);
        for name in LOG_PLACE {
            let place = source.and_then(|source| member(source, name)).and_then(scalar);
            news.part(place.unwrap_or_default().as_bytes());
        }
        let named = match self.key.join(" ") {
            keys if keys.is_empty() => self.table.clone(),
            keys => format!("{} {keys}", self.table).trim().to_owned(),
        };
        let title = table.title.as_ref().and_then(|title| title.find(self.row()?)).and_then(scalar);
        let title = title.filter(|title| !title.is_empty()).unwrap_or_else(|| Cow::Owned(named.clone()));
        let at = source.and_then(|source| member(source, "ts_ms")).or_else(|| member(self.envelope, "ts_ms"));
        Event {
            index: 0,
            entity,
            identity: news.finish(),
            state: State::Changed,
            urgency: Urgency::Normal,
            since: at.and_then(scalar).and_then(|at| Timestamp::parse_loose(&at)),
            conversation: Cow::Owned(conversation_key(key, &named).into_owned()),
            coverage: Coverage::Part,
            telling: Telling::Told(Facts {
                subject: bounded(title.clone(), 256),
                title: bounded(title, 256),
                text: Cow::Owned(self.told()),
                severity: Cow::Borrowed(""),
                link: Cow::Borrowed(""),
                author: Cow::Borrowed(""),
                ..Facts::default()
            }),
            fields: Fields {
                root: Some(root),
                element: Some(self.envelope),
                scopes: [self.row(), Some(self.envelope), source],
                attributes: &[],
            },
        }
    }

    fn entity(&self, key: &HashKey) -> super::Fingerprint {
        let mut entity = key.hasher();
        entity.part(self.table.as_bytes());
        self.key.iter().for_each(|part| entity.part(part.as_bytes()));
        entity.finish()
    }

    /// What happened, in words: for an update, the columns that differ where the old row is known.
    fn told(&self) -> String {
        match (self.op, self.before, self.after) {
            (Op::Truncate, ..) => "all rows deleted".to_owned(),
            (Op::Delete, ..) => "deleted".to_owned(),
            (Op::Update, Some(before), Some(after)) => listed("", differences(before, after)),
            (Op::Update, _, Some(after)) => listed("", columns(after)),
            (Op::Create, _, Some(after)) => listed("created: ", columns(after)),
            (Op::Read, _, Some(after)) => listed("is there: ", columns(after)),
            (Op::Update | Op::Create | Op::Read, _, None) => String::new(),
        }
    }
}

fn columns<'a>(row: Value<'a, 'a>) -> impl Iterator<Item = String> {
    let members: Vec<_> = row.into_object().into_iter().flat_map(|row| row.iter().collect::<Vec<_>>()).collect();
    members.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", scalar(value)?)))
}

fn differences<'a>(before: Value<'a, 'a>, after: Value<'a, 'a>) -> impl Iterator<Item = String> {
    let pairs: Vec<_> = after.into_object().into_iter().flat_map(|row| row.iter().collect::<Vec<_>>()).collect();
    // Rows have the same columns in the same order; by name only where they don't.
    let old: Vec<_> = before.into_object().into_iter().flat_map(|row| row.iter().collect::<Vec<_>>()).collect();
    pairs.into_iter().enumerate().filter_map(move |(place, (name, value))| {
        let was = old.get(place).filter(|(known, _)| *known == name).map(|(_, was)| *was);
        let by_name = || (old.len() <= COLUMNS_MAX).then(|| member(before, name)).flatten();
        let (was, is) = (was.or_else(by_name).and_then(scalar), scalar(value));
        let shown = |value: Option<Cow<'_, str>>| value.map_or("none".to_owned(), Cow::into_owned);
        (was != is).then(|| format!("{name}: {} → {}", shown(was), shown(is)))
    })
}

fn listed(head: &str, parts: impl Iterator<Item = String>) -> String {
    let mut line = head.to_owned();
    for (place, part) in parts.enumerate() {
        if line.len() + part.len() + 2 > LINE_BYTES_MAX {
            line.push_str(if place == 0 { "…" } else { ", …" });
            break;
        }
        line.push_str(if place == 0 { "" } else { ", " });
        line.push_str(&part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Fingerprint, Format, Record};
    use super::*;

    const UPDATE: &str = r#"{"before":{"id":1004,"name":"Acme","stage":"new","note":null},
      "after":{"id":1004,"name":"Acme","stage":"won","note":"call"},
      "source":{"version":"2.7.0","connector":"postgresql","name":"crm","ts_ms":1795317120000,"snapshot":"false",
        "db":"crm","schema":"public","table":"deals","txId":571,"lsn":24023128},
      "op":"u","ts_ms":1795317120456,"transaction":null}"#;

    fn table(snapshot: SnapshotRows) -> Table {
        let path = |text| Path::parse(text).expect("a pointer");
        Table { key: [path("/id")].into(), title: Some(path("/name")), snapshot }
    }

    fn decode(
        payload: Option<&str>,
        snapshot: SnapshotRows,
    ) -> Result<Vec<(Fingerprint, String, String, String)>, Refusal> {
        let mut seen = Vec::new();
        let record = Record { payload: payload.map(str::as_bytes), headers: &[] };
        let format = Format::Debezium(Box::new(table(snapshot)));
        Decoder::new(HashKey::new([1; 16])).decode(&format, record, &mut |event| {
            let mut names = String::new();
            let Facts { title, text, .. } = event.facts(&mut names);
            seen.push((event.identity, event.conversation.to_string(), title.into_owned(), text.into_owned()));
        })?;
        Ok(seen)
    }

    fn told(payload: &str, snapshot: SnapshotRows) -> Option<String> {
        decode(Some(payload), snapshot).expect("an envelope").first().map(|(.., text)| text.clone())
    }

    #[test]
    fn an_update_says_what_differs_with_and_without_the_schema() {
        let bare = decode(Some(UPDATE), SnapshotRows::Skip).expect("an update");
        let wrapped = format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{UPDATE}}}"#);
        assert_eq!(bare, decode(Some(&wrapped), SnapshotRows::Skip).expect("the same update"));
        let (_, key, title, text) = &bare[0];
        assert_eq!((&**key, &**title), ("crm.public.deals 1004", "Acme"));
        assert_eq!(text, "stage: new → won, note: none → call");
    }

    #[test]
    fn each_operation_is_told_in_its_words() {
        let no_before = UPDATE.replace(r#"{"id":1004,"name":"Acme","stage":"new","note":null}"#, "null");
        let no_after = UPDATE.replace(r#"{"id":1004,"name":"Acme","stage":"won","note":"call"}"#, "null");
        let op = |text: &str, op: &str| text.replace("\"op\":\"u\"", &format!("\"op\":\"{op}\""));
        let row = "id: 1004, name: Acme, stage: won, note: call";
        let rows = [
            (op(&no_before, "c"), Some(format!("created: {row}"))),
            (no_before.clone(), Some(row.to_owned())),
            (op(&no_after, "d"), Some("deleted".to_owned())),
            (op(&no_before, "r"), None),
            (op(&no_after.replace("before", "x"), "t"), Some("all rows deleted".to_owned())),
        ];
        for (payload, wanted) in rows {
            assert_eq!(told(&payload, SnapshotRows::Skip), wanted, "{payload}");
        }
        assert_eq!(told(&op(&no_before, "r"), SnapshotRows::Tell), Some(format!("is there: {row}")));
    }

    #[test]
    fn housekeeping_makes_no_event_and_is_no_error() {
        let rows = [
            None,
            Some(r#"{"ts_ms":1795317120000}"#),
            Some(r#"{"schema":{"type":"struct"},"payload":{"ts_ms":1795317120000}}"#),
            Some(r#"{"schema":{"type":"struct"},"payload":null}"#),
            Some(r#"{"status":"BEGIN","id":"571:24023128","ts_ms":1795317120000,"event_count":null}"#),
        ];
        for payload in rows {
            assert_eq!(decode(payload, SnapshotRows::Skip), Ok(vec![]), "{payload:?}");
        }
    }

    #[test]
    fn the_place_in_the_log_makes_news_and_the_connectors_clock_does_not() {
        let identity = |payload: &str| decode(Some(payload), SnapshotRows::Skip).expect("an update")[0].0;
        assert_eq!(identity(UPDATE), identity(&UPDATE.replace("1795317120456", "1795317999999")));
        assert_ne!(identity(UPDATE), identity(&UPDATE.replace("24023128", "24023129")));
    }

    #[test]
    fn what_an_envelope_must_have_is_named() {
        let rows = [
            ("[]".to_owned(), "the envelope is missing or not an object"),
            (r#"{"schema":{}}"#.to_owned(), "payload is missing or not an object"),
            (
                UPDATE.replace("\"op\":\"u\"", "\"op\":\"z\""),
                "op is missing or not one of \"c\", \"u\", \"d\", \"r\", \"t\"",
            ),
            (
                r#"{"id":1004,"stage":"won"}"#.to_owned(),
                "op is missing or not one of \"c\", \"u\", \"d\", \"r\", \"t\"",
            ),
            (UPDATE.replace("\"after\"", "\"x\""), "after is missing or not a row"),
            (UPDATE.replace("\"id\"", "\"x\""), "after/id is missing or not a key"),
            (UPDATE.replace("\"op\":\"u\"", "\"op\":\"m\""), "messages in the database's log are not read, only rows"),
        ];
        for (payload, wanted) in rows {
            assert_eq!(decode(Some(&payload), SnapshotRows::Skip).expect_err(wanted).to_string(), wanted);
        }
    }
}
