//! Which endpoint a request is for.

use crate::sandbox::directory::{Asked, List};
use crate::sandbox::refusal::Refusal;

/// What the head of a request says.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a str,
    pub path_and_query: &'a str,
    /// The bearer token.
    pub token: Option<&'a str>,
    pub agent: Option<&'a str>,
    pub content_type: Option<&'a str>,
}

/// The endpoints there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    PostMessage,
    PostPost,
    /// Messages of a conversation, delivered at `until` (Unix seconds) or before.
    ListMessages {
        conversation: String,
        until: u64,
    },
    GetMessage {
        id: String,
    },
    /// Organizations, teams, shared labels or users.
    List(Asked),
}

impl<'a> Head<'a> {
    /// The path without the query.
    pub fn path(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or(self.path_and_query, |(path, _)| path)
    }

    fn query(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }

    fn sends_json(&self) -> bool {
        let essence = self.content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    }
}

/// Finds the endpoint.
pub fn endpoint(head: &Head<'_>) -> Result<Endpoint, Refusal> {
    let parts: Vec<&str> = head.path().trim_start_matches('/').split('/').collect();
    match (head.method, parts.as_slice()) {
        ("POST", ["v1", "messages"]) if head.sends_json() => Ok(Endpoint::PostMessage),
        ("POST", ["v1", "posts"]) if head.sends_json() => Ok(Endpoint::PostPost),
        ("POST", ["v1", "messages" | "posts"]) => Err(Refusal::ContentType),
        ("GET", ["v1", "conversations", id, "messages"]) => {
            Ok(Endpoint::ListMessages { conversation: id.to_ascii_lowercase(), until: until(head.query())? })
        }
        ("GET", ["v1", "messages", id]) => Ok(Endpoint::GetMessage { id: id.to_ascii_lowercase() }),
        ("GET", ["v1", name]) => {
            let list = list(name).ok_or(Refusal::NoSuchPath)?;
            Asked::read(list, head.query()).map(Endpoint::List)
        }
        _ => Err(Refusal::NoSuchPath),
    }
}

fn list(name: &str) -> Option<List> {
    match name {
        "organizations" => Some(List::Organizations),
        "teams" => Some(List::Teams),
        "shared_labels" => Some(List::SharedLabels),
        "users" => Some(List::Users),
        _ => None,
    }
}

fn until(query: &str) -> Result<u64, Refusal> {
    let written = query.split('&').find_map(|pair| pair.strip_prefix("until="));
    written.map_or(Ok(u64::MAX), |text| text.parse().map_err(|_| Refusal::WrongUntil))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_its_endpoint() {
        let json = Some("application/json; charset=utf-8");
        let list = |until: u64| Ok(Endpoint::ListMessages { conversation: "c1".into(), until });
        let part = |list, limit| Ok(Endpoint::List(Asked { list, limit, offset: 0, organization: None }));
        let rows = [
            ("POST", "/v1/messages", json, Ok(Endpoint::PostMessage), "a message"),
            ("POST", "/v1/posts", json, Ok(Endpoint::PostPost), "a post"),
            ("POST", "/v1/messages", None, Err(Refusal::ContentType), "no content type"),
            ("POST", "/v1/messages", Some("text/json"), Err(Refusal::ContentType), "another one"),
            ("GET", "/v1/conversations/C1/messages", None, list(u64::MAX), "a conversation's messages"),
            ("GET", "/v1/conversations/C1/messages?limit=5&until=7", None, list(7), "until then"),
            ("GET", "/v1/conversations/C1/messages?until=x", None, Err(Refusal::WrongUntil), "until when?"),
            ("GET", "/v1/messages/M1", None, Ok(Endpoint::GetMessage { id: "m1".into() }), "one message"),
            ("GET", "/v1/organizations", None, part(List::Organizations, 50), "the token check"),
            ("GET", "/v1/teams?limit=7", None, part(List::Teams, 7), "teams"),
            ("GET", "/v1/users?limit=x", None, Err(Refusal::WrongPage), "how many users?"),
            ("GET", "/v1/accounts", None, Err(Refusal::NoSuchPath), "channels are not listed"),
            ("DELETE", "/v1/messages/m1", None, Err(Refusal::NoSuchPath), "messages can't be deleted"),
            ("GET", "/v1/messages", None, Err(Refusal::NoSuchPath), "nor listed"),
            ("POST", "/v2/messages", json, Err(Refusal::NoSuchPath), "another version"),
        ];
        for (method, path_and_query, content_type, expected, sentence) in rows {
            let head = Head { method, path_and_query, token: None, agent: None, content_type };
            assert_eq!(endpoint(&head), expected, "{sentence}");
        }
    }
}
