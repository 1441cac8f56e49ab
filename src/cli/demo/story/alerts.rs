//! Alert groups as Alertmanager sends them: the whole group whenever one of its members changes, so most of it is repeated.
//!
//! Members fire, resolve (told once, then gone) and flap. When it is calm a few groups are unwell; in a storm all of them
//! are, with new members in most bodies.

use serde_json::{Value, json};

use super::{Weather, Written, chance, pick, place, rfc3339};
use crate::cli::demo::settings;
use crate::event::Timestamp;
use crate::sandbox::random::Random;

const ALERT_NAMES: [(&str, &str, &str); 10] = [
    ("High5xx", "critical", "more than 5 % of requests fail"),
    ("ConsumerLag", "warning", "consumers fall behind"),
    ("DiskAlmostFull", "warning", "less than 10 % left"),
    ("PodCrashLooping", "critical", "restarted again and again"),
    ("CertificateExpires", "info", "less than 14 days left"),
    ("SlowQueries", "warning", "p99 above two seconds"),
    ("NodeNotReady", "critical", "the node does not answer"),
    ("BackupMissing", "info", "no backup since yesterday"),
    ("QueueGrows", "warning", "more comes in than goes out"),
    ("TargetDown", "warning", "nothing to scrape"),
];
const SERVICES: [(&str, &str); 12] = [
    ("checkout", "payments"),
    ("ledger", "payments"),
    ("invoices", "payments"),
    ("fraud", "payments"),
    ("gateway", "platform"),
    ("auth", "platform"),
    ("search", "platform"),
    ("mailer", "platform"),
    ("orders-db", "storage"),
    ("users-db", "storage"),
    ("archive", "storage"),
    ("cache", "storage"),
];

/// Groups that are unwell when it is calm.
const UNWELL: usize = 10;

#[derive(Debug)]
pub struct Alerts {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: &'static str,
    severity: &'static str,
    summary: &'static str,
    service: &'static str,
    team: &'static str,
    members: Vec<Member>,
    next_member: u64,
}

#[derive(Clone, Debug)]
struct Member {
    number: u64,
    since: Timestamp,
    resolved_at: Option<Timestamp>,
}

impl Alerts {
    /// Every alert of every service, in an order of its own.
    pub fn new(random: &mut Random) -> Self {
        let mut groups: Vec<Group> =
            SERVICES.iter().flat_map(|service| ALERT_NAMES.map(|name| group(name, *service))).collect();
        for last in (1..groups.len()).rev() {
            groups.swap(last, place(random, last + 1));
        }
        Self { groups }
    }

    pub fn record(&mut self, random: &mut Random, now: Timestamp, weather: Weather, events_max: u64) -> Written {
        let unwell = match weather {
            Weather::Calm => UNWELL,
            Weather::Storm => self.groups.len(),
        };
        let group = &mut self.groups[place(random, unwell)];
        if chance(random, 2) {
            return stranger(random, now, group);
        }
        group.change(random, now, weather);
        let written = group.body(usize::try_from(events_max).unwrap_or(usize::MAX));
        group.members.retain(|member| member.resolved_at.is_none());
        written
    }
}

const fn group(
    (name, severity, summary): (&'static str, &'static str, &'static str),
    (service, team): (&'static str, &'static str),
) -> Group {
    Group { name, severity, summary, service, team, members: Vec::new(), next_member: 1 }
}

/// The resolve of something that nobody has heard of.
fn stranger(random: &mut Random, now: Timestamp, like: &Group) -> Written {
    let number = 1_000_000 + random.up_to(99_999);
    let member = Member { number, since: now, resolved_at: Some(now) };
    let named = Group { service: "decommissioned", members: vec![member], ..like.without_members() };
    named.body(1)
}

impl Group {
    const fn without_members(&self) -> Self {
        Self { members: Vec::new(), ..*self }
    }

    fn change(&mut self, random: &mut Random, now: Timestamp, weather: Weather) {
        let (fires, resolves) = match weather {
            Weather::Calm => (25, 15),
            Weather::Storm => (60, 8),
        };
        if self.members.is_empty() || (self.members.len() < 14 && chance(random, fires)) {
            let number = self.fresh_number(random);
            self.members.push(Member { number, since: now, resolved_at: None });
        } else if chance(random, resolves) {
            let which = place(random, self.members.len());
            self.members[which].resolved_at = Some(now);
        }
    }

    /// A pod that has never failed, or one that has recovered and fails again.
    fn fresh_number(&mut self, random: &mut Random) -> u64 {
        let again = (1..self.next_member).find(|number| self.members.iter().all(|member| member.number != *number));
        match again.filter(|_| chance(random, 60)) {
            Some(number) => number,
            None => {
                self.next_member += 1;
                self.next_member - 1
            }
        }
    }

    fn body(&self, alerts_max: usize) -> Written {
        let key = format!("{{}}:{{alertname=\"{}\", service=\"{}\"}}", self.name, self.service);
        let alerts: Vec<Value> = self.members.iter().take(alerts_max.max(1)).map(|member| self.alert(member)).collect();
        let firing = self.members.iter().any(|member| member.resolved_at.is_none());
        let events = alerts.len() as u64;
        let body = json!({
            "version": "4",
            "groupKey": key,
            "truncatedAlerts": self.members.len() - alerts.len(),
            "status": if firing { "firing" } else { "resolved" },
            "receiver": "missive",
            "groupLabels": { "alertname": self.name, "service": self.service },
            "commonLabels": { "alertname": self.name, "service": self.service, "severity": self.severity, "team": self.team },
            "commonAnnotations": { "summary": self.summary },
            "externalURL": "https://alertmanager.example.com",
            "alerts": alerts,
        });
        Written::new(settings::ALERTS, key, super::json(&body), events)
    }

    fn alert(&self, member: &Member) -> Value {
        let status = if member.resolved_at.is_some() { "resolved" } else { "firing" };
        let pod = format!("{}-{}", self.service, member.number);
        json!({
            "status": status,
            "labels": {
                "alertname": self.name, "service": self.service, "severity": self.severity, "team": self.team, "pod": pod,
            },
            "annotations": { "summary": self.summary },
            "startsAt": rfc3339(member.since),
            "endsAt": member.resolved_at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
            "generatorURL": format!("https://prometheus.example.com/graph?g0.expr={}", self.name),
            "fingerprint": format!("{}/{pod}", self.name),
        })
    }
}

/// A body with a team that no route knows, so that nobody takes its alerts.
pub fn of_nobody(random: &mut Random, now: Timestamp, events_max: u64) -> Written {
    let members = random.up_to(2).min(events_max.saturating_sub(1));
    let members = (0..=members).map(|number| Member { number, since: now, resolved_at: None }).collect();
    let name = *pick(random, &ALERT_NAMES);
    Group { members, ..group(name, ("greenhouse", "garden")) }.body(usize::MAX)
}

/// A body of no alerts at all.
pub fn empty(random: &mut Random) -> Written {
    let name = *pick(random, &ALERT_NAMES);
    let nothing = group(name, ("checkout", "payments")).body(1);
    Written { events: 1, ..nothing }
}
