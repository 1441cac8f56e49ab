//! What Missive can be asked: whether a token is good, and what it lists of labels, teams, people and organizations.
//!
//! Only GET requests, one after the other, over the daemon's own client. Limits: [`PAGES_MAX`] pages of a list; a channel can't be
//! asked for, only a message proves it (`missived test-message`).

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::names::{Directory, List, Listed};
use super::{Fault, PATIENCE, Proof};
use crate::config::{Config, TokenSource};
use crate::missive::Token;
use crate::missive::answer::Answer;
use crate::shell::clock;
use crate::shell::courier::client::{Client, Clock, Deadlines};

/// Where a token is asked about; nothing changes by it.
const TOKEN_PATH: &str = "/v1/organizations";

/// Items on a page: as many as Missive gives.
const PAGE_ITEMS: usize = 200;

/// Pages of one list.
const PAGES_MAX: usize = 50;

/// One proof a lane.
pub(super) fn proofs(config: &Config) -> Vec<Proof> {
    let proof = |lane: &crate::config::Lane| {
        let outcome = token(&lane.token).and_then(|token| accepted(config, &token));
        Proof { what: format!("missive: token of lane {}", lane.policy.lane), outcome }
    };
    config.lanes.iter().map(proof).collect()
}

/// What all lanes' tokens may see of these lists, and the proof that failed where one can't be asked.
pub(super) fn directory(config: &Config, lists: &[List]) -> (Directory, Vec<Proof>) {
    let mut directory = Directory::default();
    let mut failed = Vec::new();
    for list in lists {
        // The others are asked all the same: each has a proof of its own.
        for lane in &config.lanes {
            match token(&lane.token).and_then(|token| listed(config, &token, *list)) {
                Ok(items) => directory.add(*list, items),
                Err(fault) => {
                    let what = format!("missive: {} for lane {}", list.name(), lane.policy.lane);
                    failed.push((*list, Proof { what, outcome: Err(fault) }));
                }
            }
        }
    }
    failed.iter().for_each(|(list, _)| directory.forget(*list));
    (directory, failed.into_iter().map(|(_, proof)| proof).collect())
}

/// The token itself, for a request of ours.
pub(in crate::cli) fn token(source: &TokenSource) -> Result<Token, Fault> {
    match source {
        TokenSource::Inline(token) => Ok(token.clone()),
        TokenSource::File(path) => read(path),
    }
}

fn read(path: &Path) -> Result<Token, Fault> {
    let absent = || Fault::NoToken(path.display().to_string());
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|_| absent())?);
    Token::parse(&text).ok_or_else(absent)
}

fn accepted(config: &Config, token: &Token) -> Result<String, Fault> {
    get(config, token, TOKEN_PATH.to_owned())?;
    Ok("accepted".to_owned())
}

fn get(config: &Config, token: &Token, path: String) -> Result<String, Fault> {
    ask(config, async |client, deadlines| client.get(&path, token, deadlines).await)
}

/// One of Missive's lists, whole.
fn listed(config: &Config, token: &Token, list: List) -> Result<Vec<Listed>, Fault> {
    let mut all = Vec::new();
    for page in 0..PAGES_MAX {
        let path = format!("/v1/{}?limit={PAGE_ITEMS}&offset={}", list.name(), page * PAGE_ITEMS);
        let items = read_page(&get(config, token, path)?, list).ok_or(Fault::NoList(list.name()))?;
        let last = items.len() < PAGE_ITEMS;
        all.extend(items);
        if last {
            return Ok(all);
        }
    }
    Err(Fault::TooMany(list.name(), PAGES_MAX * PAGE_ITEMS))
}

/// None if it isn't the list that was asked for.
fn read_page(body: &str, list: List) -> Option<Vec<Listed>> {
    let page: Value = serde_json::from_str(body).ok()?;
    let items = page.get(list.name())?.as_array()?;
    Some(items.iter().filter_map(read_item).collect())
}

fn read_item(item: &Value) -> Option<Listed> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).map(Into::into);
    let organization = item.get("organization").and_then(|found| found.as_str().or_else(|| found.get("id")?.as_str()));
    Some(Listed {
        id: Uuid::try_parse(item.get("id")?.as_str()?).ok()?,
        name: text("name").or_else(|| text("email"))?,
        other: text("name_with_parent_names").or_else(|| text("email")),
        organization: organization.and_then(|id| Uuid::try_parse(id).ok()),
    })
}

/// Asks Missive one thing and says what it answered.
pub(in crate::cli) fn ask(
    config: &Config,
    request: impl AsyncFnOnce(Arc<Client>, Deadlines) -> Answer,
) -> Result<String, Fault> {
    let now: Clock = Arc::new(clock::now);
    let client = Arc::new(Client::new(&config.missive, now)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::Runtime)?;
    let now_ms = clock::now().as_millis();
    let millis = now_ms + u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let deadlines = Deadlines { send_before: crate::event::Timestamp::from_millis(millis), timeout: PATIENCE };
    match runtime.block_on(request(client, deadlines)) {
        Answer::Status(status) => match status.code {
            200..=299 => Ok(status.body.to_string()),
            401 | 403 => Err(Fault::Refused(status.code)),
            code => Err(Fault::Answer(code, status.body)),
        },
        other @ (Answer::NotSent(_) | Answer::Lost(_)) => Err(Fault::NoAnswer(other.label())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_whatever_else_stands_in_it_and_nothing_else_is_a_page() {
        let id = "66666666-7777-4888-8999-000000000001";
        let organization = Some(Uuid::from_u128(5));
        let label =
            Listed { id: id.parse().expect("a UUID"), name: "VIP".into(), other: Some("A/VIP".into()), organization };
        let of = |organization: &str| {
            format!(
                r#"{{"shared_labels":[{{"id":"{id}","name":"VIP","name_with_parent_names":"A/VIP","organization":{organization},
                "color":null}},{{"id":"no id"}}],"more":1}}"#
            )
        };
        let uuid = Uuid::from_u128(5);
        for organization in [format!("\"{uuid}\""), format!("{{\"id\":\"{uuid}\"}}")] {
            assert_eq!(read_page(&of(&organization), List::Labels), Some(vec![label.clone()]), "{organization}");
        }
        for (body, sentence) in
            [("", "nothing"), ("{\"teams\":[]}", "another list"), ("{\"shared_labels\":{}}", "no list")]
        {
            assert_eq!(read_page(body, List::Labels), None, "{sentence}");
        }
    }
}
