//! What nobody outside Missive knows for certain, each as a switch that can be set at start and while the sandbox runs.
//!
//! The defaults are the documented or the stricter reading. Setting changes only the switches it names, and an unknown name
//! or value changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::channels::ChannelType;

/// Every switch. In JSON and on the command line the names are these fields'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// What an accepted message is answered with.
    pub answer_body: AnswerBody,
    /// The status of an accepted message: 200 or 201.
    pub answer_status: SuccessStatus,
    /// The status of a request that breaks the field rules: 400 or 422.
    pub refusal_status: RefusalStatus,
    /// Whether a token has its own budget or all share one.
    pub limit_scope: LimitScope,
    /// `false` answers as if there were no limits, and still records every violation.
    pub enforce_limits: bool,
    /// Whether requests answered 429 occupy the windows too.
    pub count_rejected: bool,
    /// How `Retry-After` is written.
    pub retry_after: RetryAfterForm,
    /// The type that every undeclared account has; `null` refuses them with 404.
    pub accept_any_account: Option<ChannelType>,
    /// Whether `subject` on an HTML channel is refused, as it is on a Text channel.
    pub refuse_html_subject: bool,
    /// Whether a message without `from_field` or `to_fields` is refused.
    pub require_people: bool,
    /// Whether a second message with a known `external_id` is swallowed (there is no evidence that it is).
    pub deduplicate_external_id: bool,
    /// Whether `conversation` wins over `references` when a message has both.
    pub conversation_wins: bool,
    /// Whether two first messages of one reference, in progress at one time, make two conversations.
    pub split_racing_first_messages: bool,
    /// Whether listed messages carry their `external_id`.
    pub list_external_id: bool,
    /// Whether outgoing webhooks echo the references of the newest incoming message.
    pub echo_references: bool,
    /// Whether an outgoing webhook that got no 2xx is sent again.
    pub webhook_retry: bool,
    /// The header that carries the signature.
    pub signature_header: SignatureHeader,
    /// Whether the signature is preceded by `sha256=`.
    pub signature_prefix: bool,
}

/// See [`Switches::answer_body`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerBody {
    /// Nothing at all.
    Empty,
    /// `{"messages":{"id":"…","conversation":"…"}}`
    ConversationId,
    /// `{"messages":{"id":"…","conversation":{"id":"…"}}}`
    ConversationObject,
}

/// See [`Switches::answer_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum SuccessStatus {
    Ok,
    Created,
}

/// See [`Switches::refusal_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RefusalStatus {
    BadRequest,
    Unprocessable,
}

/// See [`Switches::limit_scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    PerToken,
    Global,
}

/// See [`Switches::retry_after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfterForm {
    Seconds,
    Date,
}

/// See [`Switches::signature_header`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureHeader {
    #[serde(rename = "X-Hook-Signature")]
    Hook,
    #[serde(rename = "X-Missive-Signature")]
    Missive,
    #[serde(rename = "both")]
    Both,
}

/// Why switches were not set. None of the request's switches was.
#[derive(Debug, Error)]
pub enum SwitchError {
    #[error("{0:?} is not written name=value")]
    Form(String),
    #[error("switches come as one object of names and values")]
    NotAnObject,
    #[error(transparent)]
    Unknown(#[from] serde_json::Error),
}

/// A status that the switch does not have.
#[derive(Debug, Error)]
#[error("{0} is not one of the statuses that this switch knows")]
pub struct UnknownStatus(u16);

impl Default for Switches {
    fn default() -> Self {
        Self {
            answer_body: AnswerBody::Empty,
            answer_status: SuccessStatus::Created,
            refusal_status: RefusalStatus::BadRequest,
            limit_scope: LimitScope::PerToken,
            enforce_limits: true,
            count_rejected: false,
            retry_after: RetryAfterForm::Seconds,
            accept_any_account: None,
            refuse_html_subject: true,
            require_people: true,
            deduplicate_external_id: false,
            conversation_wins: true,
            split_racing_first_messages: false,
            list_external_id: true,
            echo_references: false,
            webhook_retry: true,
            signature_header: SignatureHeader::Hook,
            signature_prefix: true,
        }
    }
}

impl Switches {
    /// Sets the switches that `changes` names, or none if one of them doesn't exist.
    pub fn set(&mut self, changes: &Value) -> Result<(), SwitchError> {
        let changes = changes.as_object().ok_or(SwitchError::NotAnObject)?;
        let mut merged = self.as_object()?;
        merged.extend(changes.clone());
        *self = serde_json::from_value(Value::Object(merged))?;
        Ok(())
    }

    /// Sets one switch from `name=value`; a value that isn't JSON is taken as a string.
    pub fn set_written(&mut self, written: &str) -> Result<(), SwitchError> {
        let (name, value) = written.split_once('=').ok_or_else(|| SwitchError::Form(written.to_owned()))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        self.set(&Value::Object(Map::from_iter([(name.to_owned(), value)])))
    }

    fn as_object(&self) -> Result<Map<String, Value>, SwitchError> {
        match serde_json::to_value(self)? {
            Value::Object(object) => Ok(object),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(SwitchError::NotAnObject)
            }
        }
    }
}

impl TryFrom<u16> for SuccessStatus {
    type Error = UnknownStatus;

    fn try_from(status: u16) -> Result<Self, UnknownStatus> {
        match status {
            200 => Ok(Self::Ok),
            201 => Ok(Self::Created),
            other => Err(UnknownStatus(other)),
        }
    }
}

impl From<SuccessStatus> for u16 {
    fn from(status: SuccessStatus) -> u16 {
        match status {
            SuccessStatus::Ok => 200,
            SuccessStatus::Created => 201,
        }
    }
}

impl TryFrom<u16> for RefusalStatus {
    type Error = UnknownStatus;

    fn try_from(status: u16) -> Result<Self, UnknownStatus> {
        match status {
            400 => Ok(Self::BadRequest),
            422 => Ok(Self::Unprocessable),
            other => Err(UnknownStatus(other)),
        }
    }
}

impl From<RefusalStatus> for u16 {
    fn from(status: RefusalStatus) -> u16 {
        match status {
            RefusalStatus::BadRequest => 400,
            RefusalStatus::Unprocessable => 422,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_set_by_its_written_name() {
        type Row = (&'static str, fn(&Switches) -> bool, &'static str);
        let rows: &[Row] = &[
            ("enforce_limits=false", |s| !s.enforce_limits, "a flag"),
            ("answer_body=conversation_id", |s| s.answer_body == AnswerBody::ConversationId, "a word"),
            ("answer_status=200", |s| s.answer_status == SuccessStatus::Ok, "a number"),
            ("accept_any_account=html", |s| s.accept_any_account == Some(ChannelType::Html), "a type"),
            ("accept_any_account=null", |s| s.accept_any_account.is_none(), "nothing"),
            ("signature_header=X-Missive-Signature", |s| s.signature_header == SignatureHeader::Missive, "a header"),
        ];
        for (written, holds, sentence) in rows {
            let mut switches = Switches::default();
            switches.set_written(written).expect(sentence);
            assert!(holds(&switches), "{sentence}");
        }
    }

    #[test]
    fn an_unknown_name_or_value_changes_nothing() {
        for changes in [r#"{"enforce_limits":false,"enforce":1}"#, r#"{"answer_status":204}"#, "[]"] {
            let mut switches = Switches::default();
            assert!(switches.set(&serde_json::from_str(changes).expect("JSON")).is_err(), "{changes}");
            assert_eq!(switches, Switches::default(), "{changes}");
        }
    }
}
