//! What a delivery had to say, as its lane tells it again: words, a title, and who said it.
//!
//! Only words travel on the ledger. So of markup come back the words, with the addresses of its links behind theirs, and files
//! are named and not sent again. Limit: what is read is markup that missived wrote; it is not a browser.

use serde::Deserialize;

use super::Letter;
use super::returning::Unreplayable;
use crate::event::text_of;

/// What a delivery had to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub subject: String,
    pub author: String,
    pub words: String,
}

/// The request body that Missive refused, as far as it is needed.
#[derive(Deserialize)]
struct Envelope {
    messages: Fields,
}

#[derive(Deserialize)]
struct Fields {
    body: String,
    #[serde(default)]
    conversation_subject: String,
    #[serde(default)]
    from_field: Party,
    #[serde(default)]
    attachments: Vec<File>,
}

#[derive(Default, Deserialize)]
struct Party {
    #[serde(default)]
    username: String,
    /// Emails have no other.
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct File {
    filename: String,
}

/// How a refused body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Plain,
    Markup,
}

impl Words {
    pub fn of(letter: &Letter, author: &str, body: Body) -> Result<Self, Unreplayable> {
        let value = letter.value.as_deref().unwrap_or_default();
        if letter.reason == "refused" {
            return Self::refused(value, body);
        }
        let words = str::from_utf8(value).map_err(|_| Unreplayable::NoMessage)?;
        Ok(Self { subject: String::new(), author: author.to_owned(), words: words.to_owned() })
    }

    /// Of a request body that Missive refused.
    fn refused(value: &[u8], body: Body) -> Result<Self, Unreplayable> {
        let envelope: Envelope = serde_json::from_slice(value).map_err(|_| Unreplayable::NoMessage)?;
        let Fields { body: told, conversation_subject: subject, from_field, attachments } = envelope.messages;
        let author = if from_field.username.is_empty() { from_field.name } else { from_field.username };
        let mut words = match body {
            Body::Plain => told,
            Body::Markup => readable(&told),
        };
        if !attachments.is_empty() {
            let names: Vec<String> = attachments.into_iter().map(|file| file.filename).collect();
            words = format!("{words}\nNot attached again: {}", names.join(", "));
        }
        Ok(Self { subject, author, words })
    }
}

/// The words of one of our bodies: cells stay apart, and a link's address stands behind its words.
fn readable(html: &str) -> String {
    let mut linked = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, address, words, after)) = link(rest) {
        linked.extend([before, words, " ", address]);
        rest = after;
    }
    linked.push_str(rest);
    text_of(&linked.replace("</td>", " </td>")).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// What stands before the first link, its address, its words, and what follows.
fn link(html: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = html.split_once("<a href=\"")?;
    let (address, rest) = rest.split_once("\">")?;
    let (words, after) = rest.split_once("</a>")?;
    Some((before, address, words, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_markup_the_words_come_back() {
        let rows = [
            ("<p><strong>5xx &gt; 1%</strong><br>1 firing</p>", "5xx > 1%\n1 firing", "paragraphs, breaks, entities"),
            ("<p><a href=\"https://g?a=1&amp;b=2\">Graph</a></p>", "Graph https://g?a=1&b=2", "links"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc", "tables"),
            ("<a href=\"https://g", "<a href=\"https://g", "what was cut off"),
            ("plain", "plain", "nothing of the kind"),
        ];
        for (html, words, sentence) in rows {
            assert_eq!(readable(html), words, "{sentence}");
        }
    }

    #[test]
    fn a_body_is_read_for_its_channel_and_files_are_named() {
        let body = r#"{"messages":{"body":"<p>x &amp; y</p>","conversation_subject":"s","from_field":{"address":"m@x","name":"N"},
            "attachments":[{"filename":"event.json","base64_data":"e30="}]}}"#;
        let rows = [
            (Body::Markup, "x & y\nNot attached again: event.json"),
            (Body::Plain, "<p>x &amp; y</p>\nNot attached again: event.json"),
        ];
        for (kind, words) in rows {
            let read = Words::refused(body.as_bytes(), kind).expect("a message");
            assert_eq!((&*read.subject, &*read.author, &*read.words), ("s", "N", words), "{kind:?}");
        }
        assert_eq!(Words::refused(b"{}", Body::Plain), Err(Unreplayable::NoMessage));
    }
}
