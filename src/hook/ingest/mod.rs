//! What a request to `POST /ingest/<source>` must prove, and which records of the source's topic it becomes.
//!
//! For those who speak HTTP and can't write to Kafka. Whoever carries the listener's bearer token is believed; a gate with
//! secrets asks for its sender's own signature instead, for senders that can't carry a token. A gate that doesn't exist is
//! told from one that does only to those who have the token. A body is interpreted only as far as its key needs; whether it
//! makes sense is for the source's format to say, where it is read.

mod record;
mod signature;

use std::collections::HashMap;

use super::admission::{length, one_host, post};
use super::head::Head;
use super::proof::{Bearer, GateProving, Locks};
use super::refusal::{Refusal, Unauthentic};
use super::{Secret, head};
use crate::event::Timestamp;

pub use record::{Record, records};

const PREFIX: &str = "/ingest/";

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// One group a body, keyed by `groupKey`; carries the token.
    Alertmanager,
    /// The same shape; signs with `X-Grafana-Alerting-Signature` where it has a secret.
    Grafana,
    /// A batch a body, one record an object; signs with `X-HubSpot-Signature-v3`.
    HubSpot,
}

/// One source's way in.
#[derive(Clone, Debug)]
pub struct Gate {
    pub source: Box<str>,
    pub topic: Box<str>,
    pub sender: Sender,
    /// Any active one proves a request; empty: the token does.
    pub secrets: Vec<Secret>,
    /// The whole address as the sender knows it, where its signature covers that.
    pub url: Box<str>,
}

/// All ways in.
#[derive(Debug)]
pub struct Gates {
    by_source: HashMap<Box<str>, (Gate, Locks)>,
    /// None: no gate asks for it.
    bearer: Option<Bearer>,
    body_bytes_max: usize,
}

/// A request whose head was admitted.
#[derive(Debug)]
pub struct Admitted<'g> {
    pub gate: &'g Gate,
    pub proving: GateProving<'g>,
}

impl Gates {
    /// Bodies over `body_bytes_max` bytes are refused at every gate.
    pub fn new(gates: impl IntoIterator<Item = Gate>, token: Option<&Secret>, body_bytes_max: usize) -> Self {
        let locked = |gate: Gate| (gate.source.clone(), (Locks::of(&gate.secrets), gate));
        let by_source = gates.into_iter().map(locked).map(|(source, (locks, gate))| (source, (gate, locks)));
        Self { by_source: by_source.collect(), bearer: token.map(Bearer::new), body_bytes_max }
    }

    /// Judges the head of a request; the body is to be shown to what comes back.
    pub fn admit(&self, now: Timestamp, head: &Head<'_>) -> Result<Admitted<'_>, Refusal> {
        one_host(head)?;
        let source = source(head.path).ok_or(Refusal::Path)?;
        post(head)?;
        length(&head.headers, self.body_bytes_max)?;
        match self.by_source.get(source) {
            Some((gate, locks)) if !gate.secrets.is_empty() => self.signed(now, gate, locks, &head.headers),
            Some((gate, _)) => Ok(Admitted { gate, proving: self.by_token(&head.headers)? }),
            None => self.by_token(&head.headers).and(Err(Refusal::Path)),
        }
    }

    /// The source that a path names, if there is such a one: a label that strangers can't invent values for.
    pub fn known(&self, path: &str) -> Option<&Gate> {
        self.by_source.get(source(path)?).map(|(gate, _)| gate)
    }

    fn by_token(&self, headers: &head::Headers<'_>) -> Result<GateProving<'_>, Refusal> {
        let bearer = self.bearer.as_ref().ok_or(Unauthentic::Missing)?;
        Ok(GateProving::by_token(bearer.seen(headers)?, self.body_bytes_max))
    }

    fn signed<'g>(
        &self,
        now: Timestamp,
        gate: &'g Gate,
        locks: &Locks,
        headers: &head::Headers<'_>,
    ) -> Result<Admitted<'g>, Refusal> {
        let signed = signature::claimed(now, gate, headers)?;
        Ok(Admitted { gate, proving: GateProving::signed(locks, &gate.secrets, signed, self.body_bytes_max) })
    }
}

fn source(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|source| !source.is_empty() && !source.contains('/'))
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::super::Protocol;
    use super::*;

    pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_317_120_000);
    const URL: &str = "https://in.example.com/ingest/deals";

    type Headers<'h> = Vec<(&'h str, &'h str)>;
    type Row<'r> = (Headers<'r>, Result<&'r str, Refusal>);

    fn gates() -> Gates {
        let secret = |text| Secret::parse(text).expect("a secret");
        let gate = |source: &str, sender, secrets| Gate {
            source: source.into(),
            topic: source.into(),
            sender,
            secrets,
            url: URL.into(),
        };
        let gates = [
            gate("alerts", Sender::Alertmanager, vec![]),
            gate("panels", Sender::Grafana, vec![secret("former").until(NOW), secret("grafana")]),
            gate("deals", Sender::HubSpot, vec![secret("hubspot")]),
        ];
        Gates::new(gates, Some(&secret("t0ken\n")), 100)
    }

    fn outcome(source: &str, headers: &[(&str, &str)], body: &str) -> Result<String, Refusal> {
        let gates = gates();
        let headers = [("host", "h")].iter().chain(headers).map(|(name, value)| (*name, value.as_bytes())).collect();
        let path = format!("/ingest/{source}");
        let head = Head { protocol: Protocol::Http11, method: "POST", path: &path, headers };
        let Admitted { gate, mut proving } = gates.admit(NOW, &head)?;
        body.as_bytes().chunks(3).try_for_each(|chunk| proving.push(chunk))?;
        proving.finish(NOW).map(|_| gate.source.to_string())
    }

    fn mac(secret: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        mac.finalize().into_bytes().into()
    }

    fn hex(mac: [u8; 32]) -> String {
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_token_opens_every_gate_that_has_no_signature_and_tells_which_there_are() {
        let bearer = |value: &'static str| vec![("authorization", value)];
        let rows: [(&str, Row<'_>); 10] = [
            ("alerts", (bearer("Bearer t0ken"), Ok("alerts"))),
            ("alerts", (bearer("bearer t0ken"), Ok("alerts"))),
            ("alerts", (bearer("Bearer t0keN"), Err(Unauthentic::Wrong.into()))),
            ("alerts", (bearer("Bearer"), Err(Unauthentic::Malformed.into()))),
            ("alerts", (bearer("Basic t0ken"), Err(Unauthentic::Malformed.into()))),
            ("alerts", ([bearer("Bearer t0ken"), bearer("Bearer t0ken")].concat(), Err(Unauthentic::Several.into()))),
            ("alerts", (vec![], Err(Unauthentic::Missing.into()))),
            ("nobody", (vec![], Err(Unauthentic::Missing.into()))),
            ("nobody", (bearer("Bearer t0ken"), Err(Refusal::Path))),
            ("panels", (bearer("Bearer t0ken"), Err(Unauthentic::Missing.into()))),
        ];
        for (source, (headers, wanted)) in rows {
            assert_eq!(outcome(source, &headers, "{}"), wanted.map(str::to_owned), "{source} {headers:?}");
        }
    }

    #[test]
    fn grafana_signs_the_body_and_perhaps_the_time() {
        let name = "x-grafana-alerting-signature";
        let (plain, former) = (hex(mac("grafana", &["{}"])), hex(mac("former", &["{}"])));
        let (now, old) = ("1795317120", "1795316000");
        let (timed, late) = (hex(mac("grafana", &[now, ":", "{}"])), hex(mac("grafana", &[old, ":", "{}"])));
        let stamp = "x-grafana-alerting-timestamp";
        let rows: [Row<'_>; 7] = [
            (vec![(name, &plain)], Ok("panels")),
            (vec![(name, &former)], Err(Unauthentic::Expired.into())),
            (vec![(name, &timed), (stamp, now)], Ok("panels")),
            (vec![(name, &timed)], Err(Unauthentic::Wrong.into())),
            (vec![(name, &plain), (stamp, now)], Err(Unauthentic::Wrong.into())),
            (vec![(name, &late), (stamp, old)], Err(Unauthentic::Expired.into())),
            (vec![(name, &plain), (name, &plain)], Err(Unauthentic::Several.into())),
        ];
        for (headers, wanted) in rows {
            assert_eq!(outcome("panels", &headers, "{}"), wanted.map(str::to_owned), "{headers:?}");
        }
    }

    #[test]
    fn hubspot_signs_method_address_body_and_time() {
        let (name, stamp) = ("x-hubspot-signature-v3", "x-hubspot-request-timestamp");
        let signed = |time: &str, body: &str| signature::base64(&mac("hubspot", &["POST", URL, body, time]));
        let (now, early, old) = ("1795317120000", "1795317419999", "1795316819999");
        let (good, ahead, late) = (signed(now, "[]"), signed(early, "[]"), signed(old, "[]"));
        let rows: [Row<'_>; 7] = [
            (vec![(name, &good), (stamp, now)], Ok("deals")),
            (vec![(name, &ahead), (stamp, early)], Ok("deals")),
            (vec![(name, &late), (stamp, old)], Err(Unauthentic::Expired.into())),
            (vec![(name, &good), (stamp, early)], Err(Unauthentic::Wrong.into())),
            (vec![(name, &good)], Err(Unauthentic::Missing.into())),
            (vec![(name, &good[1..]), (stamp, now)], Err(Unauthentic::Malformed.into())),
            (vec![(stamp, now)], Err(Unauthentic::Missing.into())),
        ];
        for (headers, wanted) in rows {
            assert_eq!(outcome("deals", &headers, "[]"), wanted.map(str::to_owned), "{headers:?}");
        }
    }
}
