//! The words of an HTML message, for a line of preview. Not for showing as HTML: what comes out is text and stays text.
//!
//! It reads the first [`READ_BYTES_MAX`] bytes, drops tags, comments and what `<style>` and `<script>` hold, breaks lines where
//! blocks end, and knows the entities that writers of mail use. What it doesn't know stays as it is.

/// How much is read.
const READ_BYTES_MAX: usize = 4096;

/// The longest entity that is looked for, its semicolon included.
const ENTITY_BYTES_MAX: usize = 10;

/// Elements whose content nobody reads.
const SILENT: [&str; 4] = ["script", "style", "title", "head"];

/// Elements that words don't run across.
const BREAKS: [&str; 11] = ["br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "table", "blockquote"];

/// The words.
pub fn words(html: &str) -> String {
    let mut rest = &html[..html.floor_char_boundary(READ_BYTES_MAX)];
    let mut text = String::new();
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = if rest[at..].starts_with('<') { tag(&rest[at..], &mut text) } else { entity(&rest[at..], &mut text) };
    }
    text.push_str(rest);
    text
}

/// Reads past a tag, or a comment, or an element that says nothing; a `<` that opens none is a character.
fn tag<'a>(rest: &'a str, text: &mut String) -> &'a str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    let inner = rest[1..].trim_start_matches('/');
    let name_end = inner.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(inner.len());
    let name = inner[..name_end].to_ascii_lowercase();
    if name.is_empty() && !inner.starts_with('!') {
        text.push('<');
        return &rest[1..];
    }
    if BREAKS.contains(&name.as_str()) {
        text.push('\n');
    }
    let after = rest.split_once('>').map_or("", |(_, after)| after);
    if rest.starts_with("</") || !SILENT.contains(&name.as_str()) { after } else { past_end(after, &name) }
}

fn past_end<'a>(rest: &'a str, name: &str) -> &'a str {
    let end = rest.to_ascii_lowercase().find(&format!("</{name}"));
    end.and_then(|at| rest[at..].split_once('>')).map_or("", |(_, after)| after)
}

fn entity<'a>(rest: &'a str, text: &mut String) -> &'a str {
    let window = &rest[..rest.floor_char_boundary(ENTITY_BYTES_MAX)];
    let Some((name, _)) = window[1..].split_once(';') else {
        text.push('&');
        return &rest[1..];
    };
    match character(name) {
        Some(letter) => text.push(letter),
        None => text.push_str(&rest[..name.len() + 2]),
    }
    &rest[name.len() + 2..]
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => numbered(name.strip_prefix('#')?),
    }
}

fn numbered(digits: &str) -> Option<char> {
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code).filter(|letter| !letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_words() {
        let rows = [
            ("<p>Hello <b>world</b></p>", "\nHello world\n", "tags go, blocks break"),
            ("a<br>b", "a\nb", "a break"),
            ("<style>p{color:red}</style>x", "x", "style says nothing"),
            ("<script>alert(1)</script>x", "x", "neither does a script"),
            ("<SCRIPT>alert(1)</sCrIpT >x", "x", "in any case"),
            ("<script>alert(1)", "", "nor one without an end"),
            ("<!-- <b>hidden</b> -->x", "x", "comments go"),
            ("1 < 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2", "a sign that is no tag, and entities"),
            ("&#72;&#x69; &unknown; &", "Hi &unknown; &", "numbers, and what isn't known"),
            ("&#0;&#x1b;", "&#0;&#x1b;", "control characters stay written"),
            ("<b", "", "half a tag"),
            ("", "", "nothing"),
        ];
        for (html, text, sentence) in rows {
            assert_eq!(words(html), text, "{sentence}");
        }
    }

    #[test]
    fn it_reads_only_so_far() {
        assert!(words(&"ä".repeat(10_000)).len() <= READ_BYTES_MAX);
    }
}
