//! Deals of a CRM as CloudEvents, in both content modes; some are sent twice, with the same id.

use serde_json::json;

use super::{Written, chance, pick, rfc3339};
use crate::cli::demo::settings;
use crate::event::Timestamp;
use crate::sandbox::random::Random;

const COMPANIES: [&str; 16] = [
    "Arbor & Sons",
    "Bluefin Labs",
    "Cobalt Freight",
    "Dune Optics",
    "Ember Foods",
    "Fjord Energy",
    "Granite Bank",
    "Harbour Hotels",
    "Iris Medical",
    "Juniper Rail",
    "Kite Games",
    "Lumen Paper",
    "Mistral Air",
    "Northwind",
    "Opal Media",
    "Pine Robotics",
];
const STAGES: [&str; 6] = ["new", "qualified", "proposal sent", "negotiation", "won", "lost"];
const SOURCE: &str = "https://crm.example.com";

#[derive(Debug, Default)]
pub struct Deals {
    events: u64,
    last: Option<Written>,
}

impl Deals {
    pub fn record(&mut self, random: &mut Random, now: Timestamp) -> Written {
        if let Some(last) = self.last.as_ref().filter(|_| chance(random, 20)) {
            return last.clone();
        }
        self.events += 1;
        let company = *pick(random, &COMPANIES);
        let (stage, amount) = (*pick(random, &STAGES), 500 + 250 * random.up_to(400));
        let data = json!({
            "summary": format!("{stage}, {amount} €"), "stage": stage, "amount_eur": amount, "url": format!("{SOURCE}/deals"),
        });
        let id = format!("deal-event-{}", self.events);
        let written = if chance(random, 50) {
            structured(&id, company, &rfc3339(now), &data)
        } else {
            binary(&id, company, rfc3339(now), &data)
        };
        self.last = Some(written.clone());
        written
    }
}

fn structured(id: &str, subject: &str, time: &str, data: &serde_json::Value) -> Written {
    let event = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": "deal.changed", "subject": subject, "time": time,
        "datacontenttype": "application/json", "data": data,
    });
    let headers = vec![("content-type", "application/cloudevents+json".to_owned())];
    Written { headers, ..Written::new(settings::DEALS, subject, super::json(&event), 1) }
}

fn binary(id: &str, subject: &str, time: String, data: &serde_json::Value) -> Written {
    let headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id.to_owned()),
        ("ce_source", SOURCE.to_owned()),
        ("ce_type", "deal.changed".to_owned()),
        ("ce_subject", subject.to_owned()),
        ("ce_time", time),
        ("content-type", "application/json".to_owned()),
    ];
    Written { headers, ..Written::new(settings::DEALS, subject, super::json(data), 1) }
}
