//! Where a file is not TOML: line, column, and the line itself, unless it may hold a secret.

use std::fmt;

use super::raw::line_of;

/// What the parser couldn't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxFault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// None if a secret may stand in it.
    pub excerpt: Option<String>,
}

/// Keys whose values are secrets. A broken quote can push such a value to any later line.
const SECRET_WORDS: &[&str] =
    &["insecure_inline", "password", "passphrase", "key.pem", "client.secret", "oauthbearer.config", "missive_pat-"];

const EXCERPT_CHARS_MAX: usize = 120;

impl SyntaxFault {
    pub(super) fn of(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let start = text.as_bytes()[..offset].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let before = text.get(start..offset).unwrap_or_default();
        let read = text.get(..start + line.len()).unwrap_or(text);
        Self {
            line: line_of(text, offset),
            column: before.chars().count() + 1,
            message: error.message().lines().collect::<Vec<_>>().join("; "),
            excerpt: (!may_hold_secrets(read)).then(|| excerpt(line)),
        }
    }
}

impl fmt::Display for SyntaxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, excerpt } = self;
        write!(f, "{line}:{column}: not TOML: {message}")?;
        match excerpt {
            Some(excerpt) => {
                let at = if *column <= EXCERPT_CHARS_MAX { column - 1 } else { 0 };
                write!(f, "\n    {excerpt}\n    {:at$}^", "")
            }
            None => f.write_str(" (line not shown: the file has secrets in it)"),
        }
    }
}

fn may_hold_secrets(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.into_iter().any(|line| SECRET_WORDS.iter().any(|word| line.contains(word)))
}

fn excerpt(line: &str) -> String {
    let shown = line.chars().take(EXCERPT_CHARS_MAX);
    shown.map(|char| if char.is_control() { ' ' } else { char }).collect()
}
