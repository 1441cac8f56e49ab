//! The words of an HTML text, for formats whose people's words come as HTML.
//!
//! Not a browser: tags go, those that end a line become one, a few entities are read, everything else stays. What comes out is
//! plain text and never longer than what went in; nothing in it is trusted to be safe HTML.

use std::borrow::Cow;

/// Tags after which a new line begins.
const BREAKS: [&str; 11] = ["br", "/p", "/div", "/li", "/tr", "/h1", "/h2", "/h3", "/h4", "/blockquote", "/ul"];

/// Elements whose content is no text.
const SILENT: [&str; 2] = ["script", "style"];

const ENTITIES: [(&str, &str); 7] =
    [("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("#39", "'"), ("nbsp", " ")];

/// The text of `html`; borrowed if there is no markup in it.
pub fn text_of(html: &str) -> Cow<'_, str> {
    if !html.contains(['<', '&']) {
        return Cow::Borrowed(html.trim());
    }
    let mut text = String::with_capacity(html.len());
    // Behind the last `>` nothing is a tag: looking for its end from every `<` again would be quadratic.
    let (mut rest, last) = html.split_at(html.rfind('>').map_or(0, |at| at + 1));
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = if rest.as_bytes()[at] == b'<' { tag(&rest[at..], &mut text) } else { entity(&rest[at..], &mut text) };
    }
    text.push_str(rest);
    rest = last;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = entity(&rest[at..], &mut text);
    }
    text.push_str(rest);
    let len = text.trim_end().len();
    text.truncate(len);
    Cow::Owned(text.trim_start().to_owned())
}

/// `rest` begins with `<`; what follows the tag. A `<` that begins no tag is a character like others.
fn tag<'h>(rest: &'h str, text: &mut String) -> &'h str {
    let inner = &rest[1..];
    let begins = inner.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?'));
    let Some(end) = begins.then(|| inner.find('>')).flatten() else {
        text.push('<');
        return inner;
    };
    let name = inner[..end].split([' ', '\t', '\n', '\r']).next().unwrap_or_default().trim_end_matches('/');
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    if BREAKS.iter().any(&is) && !text.ends_with('\n') {
        text.push('\n');
    }
    let after = &inner[end + 1..];
    match SILENT.iter().find(|known| is(known)) {
        Some(_) => after.find("</").map_or("", |close| &after[close..]),
        None => after,
    }
}

/// `rest` begins with `&`; what follows the entity.
fn entity<'h>(rest: &'h str, text: &mut String) -> &'h str {
    let known = ENTITIES.iter().find_map(|(name, meaning)| {
        let after = rest[1..].strip_prefix(name)?.strip_prefix(';')?;
        Some((meaning, after))
    });
    match known {
        Some((meaning, after)) => {
            text.push_str(meaning);
            after
        }
        None => {
            text.push('&');
            &rest[1..]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_wrote_is_left_and_how_it_was_laid_out_is_not() {
        let rows = [
            ("it burns", "it burns", "no markup"),
            ("<p>Hi,</p><p>it <b>burns</b>.<br/>Help!</p>", "Hi,\nit burns.\nHelp!", "paragraphs and breaks"),
            ("a &lt;b&gt; &amp; c&nbsp;d &#39;e&#39;", "a <b> & c d 'e'", "entities"),
            ("1 < 2 & 3 > 2 &copy;", "1 < 2 & 3 > 2 &copy;", "what is no markup stays"),
            ("<style>p{}</style>x<script>alert(1)</script>y", "xy", "what is no text goes"),
            ("<a href=\"https://x.example\">there", "there", "an element that is never closed"),
            ("a <img", "a <img", "a tag that never ends"),
        ];
        for (html, text, sentence) in rows {
            assert_eq!(text_of(html), text, "{sentence}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_its_html_and_none_panics(html in "[<>&;/a-zé#39 \n]{0,200}") {
            prop_assert!(text_of(&html).len() <= html.len());
        }
    }
}
