//! The control endpoint: what it can be asked, and how it answers. Its paths are listed in the header of [`super`].
//!
//! Everything is JSON. A POST must say so in its Content-Type, so that no web page can reach it by a form. Errors are
//! `{"error":{"message":"…"}}`: 400 for what makes no sense, 404 for what isn't there, 409 for what can't be done now.

use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::answer::Answer;
use super::channels::{Channel, ChannelError};
use super::faults::{Fault, FaultError};
use super::referee::{Change, PeopleError, Referee, Reply, RuleCall};
use super::switches::SwitchError;
use super::views::{self, VIEW_ITEMS_MAX};

/// How long a control request's body may be: 1 MiB.
pub const CONTROL_BYTES_MAX: usize = 1024 * 1024;

const LIMIT_DEFAULT: usize = 100;

/// One control request.
#[derive(Debug)]
pub struct Ask<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

#[derive(Debug, Error)]
enum ControlError {
    #[error("nothing is found at this path with this method")]
    NoSuchPath,
    #[error("Content-Type must be application/json")]
    ContentType,
    #[error("not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0} must be a whole number")]
    Number(&'static str),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    People(#[from] PeopleError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    conversation: String,
}

/// Does what is asked.
pub fn control(referee: &mut Referee, now: u64, ask: &Ask<'_>) -> Answer {
    let outcome = match *ask.method {
        Method::GET => look(referee, ask),
        Method::POST => act(referee, now, ask),
        Method::DELETE if ask.path == "/control/faults" => {
            referee.faults.clear();
            shown(referee.faults.list())
        }
        _ => Err(ControlError::NoSuchPath),
    };
    outcome.map_or_else(|error| error.answer(), |value| Answer::json(&value))
}

fn look(referee: &Referee, ask: &Ask<'_>) -> Result<Value, ControlError> {
    let after = ask.number("after")?.unwrap_or_default();
    let limit = ask.number("limit")?.map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).unwrap_or(VIEW_ITEMS_MAX));
    let limit = limit.min(VIEW_ITEMS_MAX);
    match ask.path {
        "/control/summary" => shown(&referee.summary()),
        "/control/ledger" => shown(&referee.ledger.page(after, limit)),
        "/control/conversations" => shown(&json!({"conversations": views::conversations(referee, limit)})),
        "/control/webhooks" => shown(&json!({"webhooks": referee.deliveries.page(after, limit)})),
        "/control/switches" => shown(&referee.switches),
        "/control/faults" => shown(referee.faults.list()),
        _ => Err(ControlError::NoSuchPath),
    }
}

fn act(referee: &mut Referee, now: u64, ask: &Ask<'_>) -> Result<Value, ControlError> {
    match ask.path {
        "/control/switches" => {
            referee.switches.set(&ask.read::<Value>()?)?;
            shown(&referee.switches)
        }
        "/control/faults" => {
            referee.faults.add(ask.read::<Fault>()?)?;
            shown(referee.faults.list())
        }
        "/control/channels" => {
            referee.declare(ask.read::<Channel>()?)?;
            Ok(json!({}))
        }
        "/control/reply" => shown(&referee.reply(now, ask.read::<Reply>()?)?),
        "/control/change" => shown(&referee.change(ask.read::<Change>()?)?),
        "/control/rule" => shown(&referee.fire_rule(&ask.read::<RuleCall>()?)?),
        "/control/delete" => shown(&referee.delete(&ask.read::<Delete>()?.conversation)?),
        "/control/probe" => shown(&referee.probe(&ask.read::<Probe>()?.account)?),
        _ => Err(ControlError::NoSuchPath),
    }
}

fn shown(value: &(impl Serialize + ?Sized)) -> Result<Value, ControlError> {
    Ok(serde_json::to_value(value)?)
}

impl Ask<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, ControlError> {
        if !self.content_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
            return Err(ControlError::ContentType);
        }
        Ok(serde_json::from_slice(self.body)?)
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, ControlError> {
        let written = self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        written.map(|(_, value)| value.parse().map_err(|_| ControlError::Number(name))).transpose()
    }
}

impl ControlError {
    fn answer(&self) -> Answer {
        Answer::with_json(self.status(), &json!({"error": {"message": self.to_string()}}))
    }

    fn status(&self) -> u16 {
        match self {
            Self::NoSuchPath | Self::People(PeopleError::UnknownConversation | PeopleError::UnknownChannel) => 404,
            Self::People(PeopleError::NoWebhook)
            | Self::Fault(FaultError::TooMany)
            | Self::Channel(ChannelError::TooMany) => 409,
            Self::ContentType
            | Self::Json(_)
            | Self::Number(_)
            | Self::Switch(_)
            | Self::Fault(_)
            | Self::Channel(_)
            | Self::People(PeopleError::Whom) => 400,
        }
    }
}
