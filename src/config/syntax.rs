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

/// Parts of the keys whose values are secrets, and of one kind of value. More than one part of each key, because what
/// isn't TOML may well be misspelt, too.
const SECRET_WORDS: [&str; 8] = ["insecure", "inline", "missive_pat", "oauth", "passphrase", "password", "sasl", "ssl"];

/// Keys that only sound like secrets.
const HARMLESS_KEYS: [&str; 2] = ["token_file", "secret_files"];

const EXCERPT_CHARS_MAX: usize = 120;

impl SyntaxFault {
    pub(super) fn of(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let start = text.as_bytes()[..offset].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let before = text.get(start..offset).unwrap_or_default();
        Self {
            line: line_of(text, offset),
            column: before.chars().count() + 1,
            message: error.message().lines().collect::<Vec<_>>().join("; "),
            excerpt: (!may_hold_secrets(text)).then(|| excerpt(line)),
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

/// Asked of the whole file: a broken quote can push any value to any line.
fn may_hold_secrets(text: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !is_whole_comment(line)).any(|line| {
        let key = line.split('=').next().unwrap_or_default().trim_end();
        let sounds = key.contains("token") || key.contains("secret");
        sounds && !HARMLESS_KEYS.contains(&key) || SECRET_WORDS.iter().any(|word| line.contains(word))
    })
}

/// A comment that leaves nothing of its key on the lines below it.
fn is_whole_comment(line: &str) -> bool {
    let count = |char: char| line.matches(char).count();
    line.starts_with('#') && count('[') == count(']') && count('"').is_multiple_of(2)
}

fn excerpt(line: &str) -> String {
    let shown = line.chars().take(EXCERPT_CHARS_MAX);
    shown.map(|char| if char.is_control() { ' ' } else { char }).collect()
}
