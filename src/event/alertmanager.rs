//! Alertmanager's webhook body, version 4: one group, all its alerts; or one alert of it by itself.
//!
//! Source: the webhook section of Prometheus' alerting configuration documentation. Required are `groupKey`, `alerts`, and of
//! each alert `status` and `labels`; unknown members are ignored. An alert is known by its `fingerprint`, or by its labels
//! where an older sender leaves that out. An alert by itself (a record with `labels` and no `alerts`) says its `status`, too,
//! and belongs with those of its name unless it brings a `groupKey`. A body is a snapshot of its
//! group unless `truncatedAlerts` says that it lacks some.

use std::borrow::Cow;

use simd_json::prelude::{ValueAsScalar, ValueIntoArray, ValueIntoObject};
use simd_json::tape::{Array, Object, Value};

use super::decode::{EVENTS_PER_RECORD_MAX, Refusal};
use super::identity::{Fingerprint, HashKey};
use super::json::{Fields, member, string, text};
use super::links::{LINK_BYTES_MAX, is_unbroken};
use super::screen::Needs;
use super::{Coverage, Event, Facts, KEY_BYTES_MAX, State, TEXT_BYTES_MAX, Tell, Telling, Timestamp, Urgency, cut};

/// Labels that say nothing a line needs: they stand elsewhere in the message.
const UNNAMED_LABELS: [&str; 4] = ["alertname", "severity", "alertgroup", "grafana_folder"];

/// Bytes of a group's or an alert's name with its labels.
const LABELS_BYTES_MAX: usize = 256;

/// Annotations that say what an alert is about, best first.
const TEXT_ANNOTATIONS: [&str; 3] = ["summary", "message", "description"];

/// Labels become marks rather than nothing: they tell alerts apart where there is no fingerprint.
pub(super) fn needs() -> Needs {
    const KEPT: [&str; 13] = [
        "/status",
        "/startsAt",
        "/endsAt",
        "/fingerprint",
        "/labels/severity",
        "/labels/alertname",
        "/truncatedAlerts",
        "/alerts/*/status",
        "/alerts/*/startsAt",
        "/alerts/*/endsAt",
        "/alerts/*/fingerprint",
        "/alerts/*/labels/severity",
        "/alerts/*/labels/alertname",
    ];
    Needs::of(&KEPT, &["/groupKey", "/labels", "/groupLabels", "/commonLabels", "/alerts/*/labels"])
}

pub(super) fn decode(key: &HashKey, root: Value<'_, '_>, emit: &mut dyn FnMut(&Event<'_>)) -> Result<usize, Refusal> {
    each(key, root, |event, _| emit(&event))
}

/// Shows every alert of a body as an event, beside the alert itself.
pub(super) fn each<'a>(
    key: &HashKey,
    root: Value<'a, 'a>,
    mut show: impl FnMut(Event<'a>, Value<'a, 'a>),
) -> Result<usize, Refusal> {
    let Some(body) = root.into_object() else { return Err(Refusal::field("groupKey", "a string")) };
    let group = Group::read(root, &body)?;
    let Some(alerts) = group.alerts else {
        show(group.event(key, 0, root, &Alert::read(0, root)?, facts_of_one), root);
        return Ok(1);
    };
    if alerts.len() > EVENTS_PER_RECORD_MAX {
        return Err(Refusal::TooManyEvents);
    }
    for (index, alert) in alerts.iter().enumerate().skip(1) {
        Alert::read(index, alert)?;
    }
    for (index, value) in alerts.iter().enumerate() {
        let alert = Alert::read(index, value)?;
        show(group.event(key, index, value, &alert, facts_in_group), value);
    }
    Ok(alerts.len())
}

/// What all alerts of one body share.
struct Group<'a> {
    root: Value<'a, 'a>,
    key: &'a str,
    coverage: Coverage,
    /// None: the record is one alert.
    alerts: Option<Array<'a, 'a>>,
}

impl<'a> Group<'a> {
    fn read(root: Value<'a, 'a>, body: &Object<'a, 'a>) -> Result<Self, Refusal> {
        let (mut key, mut alerts, mut cut_off, mut labels) = (None, None, None, None);
        for (name, value) in body {
            match name {
                "groupKey" => key = key.or(Some(value)),
                "alerts" => alerts = alerts.or(Some(value)),
                "truncatedAlerts" => cut_off = cut_off.or(Some(value)),
                "labels" => labels = labels.or(Some(value)),
                _ => {}
            }
        }
        if let (None, Some(labels)) = (alerts, labels) {
            let key = key_of_one(key, labels)?;
            return Ok(Self { root, key, coverage: Coverage::Part, alerts: None });
        }
        let key = key.and_then(string).filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Refusal::field("groupKey", "a string"))?;
        let alerts = alerts.and_then(ValueIntoArray::into_array);
        let alerts = alerts.ok_or_else(|| Refusal::field("alerts", "an array"))?;
        Ok(Self { root, key, coverage: coverage(cut_off), alerts: Some(alerts) })
    }

    fn event(&self, key: &HashKey, index: usize, value: Value<'a, 'a>, alert: &Alert<'a>, tell: Tell) -> Event<'a> {
        let entity = alert.entity(key);
        let over = alert.state == State::Resolved && !alert.ends_at.is_empty();
        Event {
            index: u32::try_from(index).expect("bounded by EVENTS_PER_RECORD_MAX"),
            entity,
            identity: key.fingerprint(&[
                &entity.as_u128().to_le_bytes(),
                &[alert.state as u8],
                alert.starts_at.as_bytes(),
            ]),
            state: alert.state,
            urgency: Urgency::of_severity(alert.labels.get("severity").and_then(string).unwrap_or("")),
            since: Timestamp::parse_rfc3339(if over { alert.ends_at } else { alert.starts_at }),
            conversation: conversation_key(key, self.key),
            coverage: self.coverage,
            telling: Telling::Untold { root: self.root, element: value, tell },
            fields: Fields {
                root: Some(self.root),
                element: Some(value),
                scopes: [member(value, "labels"), alert.annotations, Some(self.root)],
                attributes: &[],
            },
        }
    }
}

/// What a record that is one alert belongs with.
fn key_of_one<'a>(key: Option<Value<'a, 'a>>, labels: Value<'a, 'a>) -> Result<&'a str, Refusal> {
    let group = [key.and_then(string).unwrap_or(""), text(labels, "alertname")];
    let key = group.into_iter().find(|key| !key.is_empty());
    key.ok_or_else(|| Refusal::field("labels.alertname", "a string, without a groupKey"))
}

/// One alert, looked through once: of members that stand twice the first counts.
struct Alert<'a> {
    state: State,
    labels: Object<'a, 'a>,
    annotations: Option<Value<'a, 'a>>,
    starts_at: &'a str,
    ends_at: &'a str,
    fingerprint: &'a str,
}

impl<'a> Alert<'a> {
    fn read(index: usize, alert: Value<'a, 'a>) -> Result<Self, Refusal> {
        let (mut status, mut starts_at, mut ends_at, mut fingerprint) = (None, None, None, None);
        let (mut labels, mut annotations) = (None, None);
        for (name, value) in alert.into_object().iter().flatten() {
            let slot = match name {
                "status" => &mut status,
                "labels" => &mut labels,
                "annotations" => &mut annotations,
                "startsAt" => &mut starts_at,
                "endsAt" => &mut ends_at,
                "fingerprint" => &mut fingerprint,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        let labels = labels.and_then(ValueIntoObject::into_object);
        let labels = labels.ok_or_else(|| Refusal::field(format!("alerts[{index}].labels"), "an object"))?;
        let text = |value: Option<Value<'a, 'a>>| value.and_then(string).unwrap_or("");
        let state = match text(status) {
            "firing" => State::Firing,
            "resolved" => State::Resolved,
            _ => return Err(Refusal::field(format!("alerts[{index}].status"), "\"firing\" or \"resolved\"")),
        };
        let (starts_at, ends_at, fingerprint) = (text(starts_at), text(ends_at), text(fingerprint));
        Ok(Self { state, labels, annotations, starts_at, ends_at, fingerprint })
    }

    fn entity(&self, key: &HashKey) -> Fingerprint {
        if !self.fingerprint.is_empty() {
            return key.fingerprint(&[self.fingerprint.as_bytes()]);
        }
        let mut hasher = key.hasher();
        for (name, value) in &self.labels {
            hasher.part(name.as_bytes());
            hasher.part(string(value).unwrap_or("").as_bytes());
        }
        hasher.finish()
    }
}

pub(super) fn facts_in_group<'a>(root: Value<'a, 'a>, alert: Value<'a, 'a>, names: &'a mut String) -> Facts<'a> {
    names.clear();
    subject(root, names);
    let end = names.len();
    title(root, alert, names);
    let (subject, title) = names.split_at(end);
    facts(root, alert, subject, title)
}

fn facts_of_one<'a>(root: Value<'a, 'a>, alert: Value<'a, 'a>, names: &'a mut String) -> Facts<'a> {
    let labels = member(alert, "labels");
    let key = labels.and_then(|labels| key_of_one(member(root, "groupKey"), labels).ok()).unwrap_or("");
    names.clear();
    title(root, alert, names);
    facts(root, alert, cut(key, LABELS_BYTES_MAX), names)
}

fn facts<'a>(root: Value<'a, 'a>, alert: Value<'a, 'a>, subject: &'a str, title: &'a str) -> Facts<'a> {
    let severity = member(alert, "labels").map_or("", |labels| text(labels, "severity"));
    Facts {
        subject: Cow::Borrowed(subject),
        title: Cow::Borrowed(title),
        text: Cow::Borrowed(cut(summary(alert, root), TEXT_BYTES_MAX)),
        severity: Cow::Borrowed(cut(severity, 64)),
        link: Cow::Borrowed(address(text(alert, "generatorURL"))),
        author: Cow::Borrowed(""),
        ..Facts::default()
    }
}

/// A body names its whole group unless it says that some alerts were cut off.
fn coverage(cut_off: Option<Value<'_, '_>>) -> Coverage {
    match cut_off.map(|cut_off| cut_off.as_u64()) {
        None | Some(Some(0)) => Coverage::Whole,
        Some(_) => Coverage::Part,
    }
}

/// Long keys keep their beginning, for people, and end in their hash, for difference.
pub(super) fn conversation_key<'a>(key: &HashKey, text: &'a str) -> Cow<'a, str> {
    if text.len() <= KEY_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let hash = key.fingerprint(&[text.as_bytes()]);
    Cow::Owned(format!("{}#{hash}", cut(text, KEY_BYTES_MAX - 33)))
}

/// The group's labels on one line, its alert name first.
fn subject(root: Value<'_, '_>, line: &mut String) {
    let labels = member(root, "groupLabels");
    let name = labels.map_or("", |labels| text(labels, "alertname"));
    let name = if name.is_empty() {
        member(root, "commonLabels").map_or("", |labels| text(labels, "alertname"))
    } else {
        name
    };
    let head = if name.is_empty() { "Alerts" } else { name };
    with_labels(head, labels, |_| true, line);
}

/// The alert's name and the labels that tell it from its siblings.
fn title(root: Value<'_, '_>, alert: Value<'_, '_>, line: &mut String) {
    let labels = member(alert, "labels");
    let name = labels.map_or("", |labels| text(labels, "alertname"));
    let common = member(root, "commonLabels");
    with_labels(name, labels, |label| common.is_none_or(|common| member(common, label).is_none()), line);
}

/// Adds a line that begins with `head`.
fn with_labels(head: &str, labels: Option<Value<'_, '_>>, named: impl Fn(&str) -> bool, into: &mut String) {
    let begin = into.len();
    into.push_str(cut(head, LABELS_BYTES_MAX));
    for (name, value) in labels.and_then(ValueIntoObject::into_object).iter().flatten() {
        let (value, length) = (string(value).unwrap_or(""), into.len() - begin);
        if UNNAMED_LABELS.contains(&name) || !named(name) || length + name.len() + value.len() + 2 > LABELS_BYTES_MAX {
            continue;
        }
        into.push_str(if length == 0 { "" } else { " " });
        into.push_str(name);
        into.push('=');
        into.push_str(value);
    }
}

fn summary<'a>(alert: Value<'a, 'a>, root: Value<'a, 'a>) -> &'a str {
    let sources = [member(alert, "annotations"), member(root, "commonAnnotations")];
    let annotation = |from| TEXT_ANNOTATIONS.into_iter().map(move |name| text(from, name));
    sources.into_iter().flatten().flat_map(annotation).find(|found| !found.is_empty()).unwrap_or("")
}

/// Addresses of a sane length; which of them are shown to people is for the route to say.
pub(super) fn address(link: &str) -> &str {
    let web = link.starts_with("https://") || link.starts_with("http://");
    if web && link.len() <= LINK_BYTES_MAX && is_unbroken(link) { link } else { "" }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Format, Record};
    use super::*;

    const GROUP: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"High5xx\"}","truncatedAlerts":0,"status":"firing",
      "receiver":"missive","groupLabels":{"alertname":"High5xx"},"commonLabels":{"alertname":"High5xx","severity":"critical"},
      "commonAnnotations":{},"externalURL":"http://am:9093","alerts":[
       {"status":"firing","labels":{"alertname":"High5xx","pod":"pay-1","severity":"critical"},
        "annotations":{"summary":"5xx 12%"},"startsAt":"2026-11-22T03:12:00Z","endsAt":"0001-01-01T00:00:00Z",
        "generatorURL":"https://prom/graph","fingerprint":"aa"},
       {"status":"resolved","labels":{"alertname":"High5xx","pod":"pay-2","severity":"critical"},
        "annotations":{"description":"gone"},"startsAt":"2026-11-22T03:10:00Z","endsAt":"2026-11-22T03:14:00Z",
        "generatorURL":"javascript:alert(1)","fingerprint":"bb"}]}"#;

    type Seen = (State, Urgency, String, String, String, String, Option<u64>);

    fn decode(payload: &str) -> Result<Vec<Seen>, Refusal> {
        let mut seen = Vec::new();
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        Decoder::new(HashKey::new([1; 16])).decode(&Format::Alertmanager, record, &mut |event| {
            let mut names = String::new();
            let facts = event.facts(&mut names);
            seen.push((
                event.state,
                event.urgency,
                event.conversation.to_string(),
                facts.title.to_string(),
                facts.text.to_string(),
                facts.link.to_string(),
                event.since.map(Timestamp::as_secs),
            ));
        })?;
        Ok(seen)
    }

    #[test]
    fn a_group_yields_its_alerts_with_what_tells_them_apart() {
        let key = "{}:{alertname=\"High5xx\"}".to_owned();
        let seen = decode(GROUP).expect("a valid body");
        assert_eq!(
            seen,
            [
                (
                    State::Firing,
                    Urgency::Critical,
                    key.clone(),
                    "High5xx pod=pay-1".to_owned(),
                    "5xx 12%".to_owned(),
                    "https://prom/graph".to_owned(),
                    Some(1_795_317_120),
                ),
                (
                    State::Resolved,
                    Urgency::Critical,
                    key,
                    "High5xx pod=pay-2".to_owned(),
                    "gone".to_owned(),
                    String::new(),
                    Some(1_795_317_240),
                ),
            ]
        );
    }

    #[test]
    fn state_and_start_make_news_and_nothing_else_does() {
        let identities = |payload: &str| {
            let mut found = Vec::new();
            let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
            let mut decoder = Decoder::new(HashKey::new([1; 16]));
            decoder
                .decode(&Format::Alertmanager, record, &mut |event| found.push(event.identity))
                .expect("a valid body");
            found
        };
        let first = identities(GROUP);
        assert_ne!(first[0], first[1]);
        assert_eq!(first, identities(&GROUP.replace("5xx 12%", "5xx 13%")), "a changed annotation is no news");
        assert_ne!(first[0], identities(&GROUP.replace("03:12:00Z", "03:13:00Z"))[0], "a new start is");
        assert_ne!(first[0], identities(&GROUP.replace("\"aa\"", "\"ab\""))[0], "another alert is");
    }

    #[test]
    fn a_body_that_lacks_something_is_refused_whole_and_says_what() {
        let rows = [
            (GROUP.replace("groupKey", "group"), "groupKey is missing or not a string"),
            (GROUP.replace("\"alerts\"", "\"alarms\""), "alerts is missing or not an array"),
            (
                GROUP.replace("\"status\":\"resolved\"", "\"status\":\"gone\""),
                "alerts[1].status is missing or not \"firing\" or \"resolved\"",
            ),
            ("[]".to_owned(), "groupKey is missing or not a string"),
        ];
        for (payload, wanted) in rows {
            let refusal = decode(&payload).expect_err(wanted);
            assert_eq!(refusal.to_string(), wanted);
        }
    }

    #[test]
    fn an_alert_by_itself_is_read_like_one_of_a_group() {
        let alone = r#"{"status":"resolved","labels":{"alertname":"High5xx","pod":"pay-2","severity":"critical"},
          "annotations":{"description":"gone"},"startsAt":"2026-11-22T03:10:00Z","endsAt":"2026-11-22T03:14:00Z",
          "generatorURL":"","fingerprint":"bb"}"#;
        let seen = decode(alone).expect("an alert");
        let (state, urgency, key, title, text, ..) = &seen[0];
        assert_eq!((*state, *urgency, &**key), (State::Resolved, Urgency::Critical, "High5xx"));
        assert_eq!((&**title, &**text), ("High5xx pod=pay-2", "gone"));
        let grouped = decode(&alone.replacen('{', r#"{"groupKey":"g","#, 1)).expect("an alert that knows its group");
        assert_eq!(grouped[0].2, "g");
        let rows = [
            (alone.replace("\"resolved\"", "{}"), "alerts[0].status is missing or not \"firing\" or \"resolved\""),
            (alone.replace("alertname", "name"), "labels.alertname is missing or not a string, without a groupKey"),
        ];
        for (payload, wanted) in rows {
            assert_eq!(decode(&payload).expect_err(wanted).to_string(), wanted);
        }
    }

    #[test]
    fn a_body_covers_its_whole_group_unless_it_was_truncated() {
        let coverage = |payload: &str| {
            let mut found = Vec::new();
            let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
            let mut decoder = Decoder::new(HashKey::new([1; 16]));
            decoder
                .decode(&Format::Alertmanager, record, &mut |event| found.push(event.coverage))
                .expect("a valid body");
            found
        };
        let rows = [
            ("nothing was cut off", GROUP.to_owned(), Coverage::Whole),
            ("an older sender doesn't say", GROUP.replace("\"truncatedAlerts\":0,", ""), Coverage::Whole),
            ("some were", GROUP.replace("\"truncatedAlerts\":0", "\"truncatedAlerts\":3"), Coverage::Part),
            ("nobody knows", GROUP.replace("\"truncatedAlerts\":0", "\"truncatedAlerts\":\"0\""), Coverage::Part),
        ];
        for (sentence, payload, wanted) in rows {
            assert_eq!(coverage(&payload), [wanted; 2], "{sentence}");
        }
    }

    #[test]
    fn a_group_without_alerts_yields_none_and_is_no_error() {
        assert_eq!(decode(r#"{"groupKey":"k","alerts":[]}"#), Ok(Vec::new()));
    }

    #[test]
    fn an_overlong_group_key_is_bounded_and_still_unlike_its_neighbour() {
        let key = HashKey::new([1; 16]);
        let long = "x".repeat(4 * KEY_BYTES_MAX);
        let a = conversation_key(&key, &long).into_owned();
        let b = conversation_key(&key, &format!("{long}y")).into_owned();
        assert!(a.len() <= KEY_BYTES_MAX && b.len() <= KEY_BYTES_MAX);
        assert_ne!(a, b);
    }
}
