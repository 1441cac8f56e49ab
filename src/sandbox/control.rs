//! The control endpoint: what it can be asked, and how it answers. Its paths are listed in the header of [`super`].
//!
//! Everything is JSON, but for the frame of an HTML message. A POST must say so in its Content-Type, so that no web page can reach it by a form. Errors are
//! `{"error":{"message":"…"}}`: 400 for what makes no sense, 404 for what isn't there, 409 for what can't be done now.

use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::answer::Answer;
use super::backstage::Wish;
use super::channels::{Channel, ChannelError};
use super::directory::Directory;
use super::faults::{Fault, FaultError};
use super::gate::Stranger;
use super::page;
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
    #[error("no such message")]
    UnknownMessage,
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error(transparent)]
    Wish(#[from] WishError),
    #[error("as many pages are open as can be")]
    FullHouse,
}

/// Why a wish isn't granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WishError {
    #[error("nothing stands behind this sandbox: only the demo has these knobs")]
    NobodyBehind,
    #[error("earlier wishes are still being granted")]
    Busy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    conversation: String,
}

/// Does what is asked.
pub fn control(referee: &mut Referee, now: u64, ask: &Ask<'_>) -> Answer {
    let outcome = match *ask.method {
        Method::GET if ask.path == "/control/frame" => {
            return frame(referee, ask).unwrap_or_else(|error| error.answer());
        }
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

/// The wish that a request is, if it is one: those go past the referee.
pub fn wish(ask: &Ask<'_>) -> Option<Result<Wish, Answer>> {
    let is_one = *ask.method == Method::POST && ask.path == "/control/wish";
    is_one.then(|| ask.read::<Wish>().map_err(|error| error.answer()))
}

/// The answer to a wish.
pub fn wished(outcome: Result<Result<(), WishError>, Answer>) -> Answer {
    match outcome {
        Ok(Ok(())) => Answer::json(&json!({})),
        Ok(Err(error)) => ControlError::Wish(error).answer(),
        Err(answer) => answer,
    }
}

/// Somebody who may not ask.
pub fn turned_away(stranger: Stranger) -> Answer {
    ControlError::Stranger(stranger).answer()
}

pub fn no_such_path() -> Answer {
    ControlError::NoSuchPath.answer()
}

/// One page too many follows.
pub fn full_house() -> Answer {
    ControlError::FullHouse.answer()
}

fn look(referee: &Referee, ask: &Ask<'_>) -> Result<Value, ControlError> {
    let after = ask.number("after")?.unwrap_or_default();
    let limit = ask.number("limit")?.map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).unwrap_or(VIEW_ITEMS_MAX));
    let limit = limit.min(VIEW_ITEMS_MAX);
    match ask.path {
        "/control/summary" => shown(&referee.summary()),
        "/control/ledger" => shown(&referee.ledger.page(after, limit)),
        "/control/conversations" => shown(&json!({"conversations": views::conversations(referee, limit)})),
        "/control/conversation" => {
            let opened = views::opened(referee, ask.word("id"), limit);
            shown(&opened.ok_or(PeopleError::UnknownConversation)?)
        }
        "/control/webhooks" => shown(&json!({"webhooks": referee.deliveries.page(after, limit)})),
        "/control/switches" => shown(&referee.switches),
        "/control/directory" => shown(&referee.directory),
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
        "/control/directory" => {
            referee.directory = ask.read::<Directory>()?;
            shown(&referee.directory)
        }
        "/control/channels" => {
            referee.declare(ask.read::<Channel>()?)?;
            Ok(json!({}))
        }
        "/control/reply" => shown(&referee.reply(now, ask.read::<Reply>()?)?),
        "/control/change" => shown(&referee.change(ask.read::<Change>()?)?),
        "/control/seen" => shown(&referee.seen(&ask.read::<Named>()?.conversation)?),
        "/control/rule" => shown(&referee.fire_rule(&ask.read::<RuleCall>()?)?),
        "/control/delete" => shown(&referee.delete(&ask.read::<Named>()?.conversation)?),
        "/control/probe" => shown(&referee.probe(&ask.read::<Probe>()?.account)?),
        _ => Err(ControlError::NoSuchPath),
    }
}

/// The body of an HTML message as a document that can do nothing.
fn frame(referee: &Referee, ask: &Ask<'_>) -> Result<Answer, ControlError> {
    let (message, _) = referee.threads.message(ask.word("message")).ok_or(ControlError::UnknownMessage)?;
    Ok(page::frame(&message.body.text))
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
        self.written(name).map(|value| value.parse().map_err(|_| ControlError::Number(name))).transpose()
    }

    /// A value that needs no decoding, like an id; empty if there is none.
    fn word(&self, name: &str) -> &str {
        self.written(name).unwrap_or_default()
    }

    fn written(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl ControlError {
    fn answer(&self) -> Answer {
        Answer::with_json(self.status(), &json!({"error": {"message": self.to_string()}}))
    }

    fn status(&self) -> u16 {
        match self {
            Self::Stranger(_) => 403,
            Self::FullHouse => 503,
            Self::NoSuchPath
            | Self::Wish(WishError::NobodyBehind)
            | Self::UnknownMessage
            | Self::People(PeopleError::UnknownConversation | PeopleError::UnknownChannel) => 404,
            Self::People(PeopleError::NoWebhook | PeopleError::NotAllowed(_))
            | Self::Wish(WishError::Busy)
            | Self::Fault(FaultError::TooMany)
            | Self::Channel(ChannelError::TooMany) => 409,
            Self::ContentType
            | Self::Json(_)
            | Self::Number(_)
            | Self::Switch(_)
            | Self::Fault(_)
            | Self::Channel(_)
            | Self::People(PeopleError::Whom | PeopleError::UnknownAlias | PeopleError::Recipients) => 400,
        }
    }
}
