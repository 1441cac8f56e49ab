//! Grafana's webhook body: Alertmanager's, with what Grafana knows beside it.
//!
//! Source: the webhook contact point page of Grafana's alerting documentation. Required is what Alertmanager's body requires.
//! Where an alert has no summary, the values that were measured say what it is about; its link leads to the panel, the
//! dashboard or the rule, whichever comes first. `state`, `orgId`, `silenceURL`, `imageURL` and all other
//! members are fields that conditions can name.

use std::borrow::Cow;

use simd_json::prelude::ValueIntoObject;
use simd_json::tape::Value;

use super::alertmanager::{address, each, facts_in_group};
use super::decode::Refusal;
use super::identity::HashKey;
use super::json::{member, scalar, text};
use super::{Event, Facts, TEXT_BYTES_MAX, Telling, cut};

/// Where an alert can be looked at, best first.
const LINKS: [&str; 3] = ["panelURL", "dashboardURL", "generatorURL"];

/// The measured values on one line.
const VALUES_BYTES_MAX: usize = 256;

pub(super) fn decode(key: &HashKey, root: Value<'_, '_>, emit: &mut dyn FnMut(&Event<'_>)) -> Result<usize, Refusal> {
    each(key, root, |mut event, alert| {
        event.telling = Telling::Untold { root, element: alert, tell: facts };
        let [labels, annotations, _] = event.fields.scopes;
        // An alert's own members before the body's: both have a status.
        event.fields.scopes = [labels, annotations, Some(alert)];
        event.fields.element = Some(alert);
        emit(&event);
    })
}

fn facts<'a>(root: Value<'a, 'a>, alert: Value<'a, 'a>, names: &'a mut String) -> Facts<'a> {
    let facts = facts_in_group(root, alert, names);
    let text = if facts.text.is_empty() { measured(alert) } else { facts.text };
    Facts { link: Cow::Borrowed(link(alert)), text, ..facts }
}

fn link<'a>(alert: Value<'a, 'a>) -> &'a str {
    LINKS.into_iter().map(|name| address(text(alert, name))).find(|link| !link.is_empty()).unwrap_or("")
}

/// `B=22.5, C=1`; the older `valueString` as it stands.
fn measured<'a>(alert: Value<'a, 'a>) -> Cow<'a, str> {
    let mut line = String::new();
    for (name, value) in member(alert, "values").and_then(ValueIntoObject::into_object).iter().flatten() {
        let Some(value) = scalar(value) else { continue };
        if line.len() + name.len() + value.len() + 3 > VALUES_BYTES_MAX {
            break;
        }
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.push_str(name);
        line.push('=');
        line.push_str(&value);
    }
    if line.is_empty() { Cow::Borrowed(cut(text(alert, "valueString"), TEXT_BYTES_MAX)) } else { Cow::Owned(line) }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Field, Format, Found, Record, State};
    use super::*;

    const BODY: &str = r#"{"receiver":"missive","status":"firing","orgId":1,"alerts":[{"status":"firing",
        "labels":{"alertname":"HighCPU","grafana_folder":"Infra","instance":"web-1"},"annotations":{},
        "startsAt":"2026-11-22T03:12:00Z","endsAt":"0001-01-01T00:00:00Z","values":{"B":22.5,"C":1},
        "valueString":"[ var='B' value=22.5 ]","generatorURL":"https://grafana.example/alerting/1/edit",
        "fingerprint":"c6eadffa33fcdf37","silenceURL":"https://grafana.example/alerting/silence/new",
        "dashboardURL":"","panelURL":"","imageURL":"https://grafana.example/i.png"}],
        "groupLabels":{"alertname":"HighCPU"},"commonLabels":{"alertname":"HighCPU"},"commonAnnotations":{},
        "externalURL":"https://grafana.example/","version":"1","groupKey":"{}:{alertname=\"HighCPU\"}",
        "truncatedAlerts":0,"title":"[FIRING:1] HighCPU","state":"alerting","message":"**Firing**"}"#;

    fn told(payload: &str) -> Result<Vec<(State, String, String, String)>, Refusal> {
        let mut seen = Vec::new();
        let record = Record { payload: Some(payload.as_bytes()), headers: &[] };
        Decoder::new(HashKey::new([1; 16])).decode(&Format::Grafana, record, &mut |event| {
            let mut names = String::new();
            let facts = event.facts(&mut names);
            seen.push((event.state, facts.title.to_string(), facts.text.to_string(), facts.link.to_string()));
        })?;
        Ok(seen)
    }

    #[test]
    fn what_was_measured_speaks_where_no_summary_does() {
        let rows = [
            (BODY.to_owned(), "B=22.5, C=1"),
            (BODY.replace(r#""annotations":{}"#, r#""annotations":{"summary":"CPU is high"}"#), "CPU is high"),
            (BODY.replace(r#"{"B":22.5,"C":1}"#, "null"), "[ var='B' value=22.5 ]"),
        ];
        for (payload, text) in rows {
            let seen = told(&payload).expect("a body");
            assert_eq!((seen[0].0, &*seen[0].1, &*seen[0].2), (State::Firing, "HighCPU instance=web-1", text));
        }
    }

    #[test]
    fn the_link_leads_to_the_panel_first() {
        let panel = BODY.replace(r#""panelURL":"""#, r#""panelURL":"https://grafana.example/d/1?viewPanel=2""#);
        assert_eq!(told(&panel).expect("a body")[0].3, "https://grafana.example/d/1?viewPanel=2");
        assert_eq!(told(BODY).expect("a body")[0].3, "https://grafana.example/alerting/1/edit");
    }

    #[test]
    fn conditions_can_name_all_that_grafana_adds() {
        let rows = [
            ("/state", Found::Text("alerting")),
            ("/orgId", Found::Signed(1)),
            ("imageURL", Found::Text("https://grafana.example/i.png")),
            ("/values/B", Found::Float(22.5)),
            ("grafana_folder", Found::Text("Infra")),
        ];
        let record = Record { payload: Some(BODY.as_bytes()), headers: &[] };
        let look = &mut |event: &Event<'_>| {
            for (name, wanted) in rows {
                let field = Field::parse(name).expect("a field");
                assert_eq!(event.fields.find(&field), Some(wanted), "{name}");
            }
        };
        assert_eq!(Decoder::new(HashKey::new([1; 16])).decode(&Format::Grafana, record, look), Ok(1));
    }

    #[test]
    fn what_alertmanager_requires_is_required() {
        assert_eq!(
            told(&BODY.replace("groupKey", "x")).expect_err("it").to_string(),
            "groupKey is missing or not a string"
        );
    }
}
