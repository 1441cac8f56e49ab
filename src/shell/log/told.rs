//! A log event put into words: its message, its fields, and all of it on one line.
//!
//! Control characters and marks that turn text around are shown, never written: a text that strangers chose can't begin a line of its own or speak to a terminal.
//! Limits: a value has [`VALUE_BYTES_MAX`] bytes, a line [`LINE_BYTES_MAX`]; what is longer is cut.

use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};

const VALUE_BYTES_MAX: usize = 8 * 1024;
const LINE_BYTES_MAX: usize = 16 * 1024;

/// What an event says.
#[derive(Debug, Default)]
pub struct Told {
    pub message: String,
    pub fields: Vec<(&'static str, String)>,
}

impl Told {
    pub fn of(event: &Event<'_>) -> Self {
        let mut told = Self::default();
        event.record(&mut told);
        told
    }

    /// The message, then `name=value` for each field.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            line += &format!(" {name}={value}");
        }
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        line
    }

    fn take(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Plain(value).to_string();
        text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &format_args!("{value}"));
    }
}

/// A value without control characters.
pub struct Plain<T>(pub T);

impl<T: fmt::Debug> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Shown(f), "{:?}", self.0)
    }
}

struct Shown<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Shown<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_unseen) {
            let Some(control) = part.chars().next_back().filter(|last| is_unseen(*last)) else {
                return self.0.write_str(part);
            };
            self.0.write_str(&part[..part.len() - control.len_utf8()])?;
            write!(self.0, "{}", control.escape_default())?;
        }
        Ok(())
    }
}

fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
