//! Texts of strangers, made harmless for a terminal: nothing in them moves the cursor, colours, turns text around or hides.

/// One line: whatever controls a terminal is shown as an escape.
pub fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// As it is, with its line ends and tabs.
pub fn text(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// Bytes as text, as far as they are; what isn't UTF-8 is replaced.
pub fn bytes(bytes: &[u8]) -> String {
    text(&String::from_utf8_lossy(bytes))
}

/// At most `chars_max` characters of one line.
pub fn start(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", line(&text[..end])),
        None => line(text),
    }
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() || is_invisible(c)) && !stays(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks that turn text around, join or hide it.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_gets_through() {
        let rows = [
            ("words stay", "é 🔴 ok", "é 🔴 ok"),
            ("escape sequences", "a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("their eight-bit form", "a\u{9b}2Jb", "a\\u{9b}2Jb"),
            ("line ends", "a\r\nb", "a\\r\\nb"),
            ("text that is turned around", "a\u{202e}b", "a\\u{202e}b"),
            ("bells and deletes", "\u{7}\u{7f}", "\\u{7}\\u{7f}"),
        ];
        for (sentence, raw, shown) in rows {
            assert_eq!(line(raw), shown, "{sentence}");
        }
        assert_eq!(text("a\r\n\tb\u{1b}"), "a\\r\n\tb\\u{1b}", "a payload keeps its lines");
        assert_eq!(bytes(b"a\xffb"), "a\u{fffd}b");
        assert_eq!((start("abc", 3), start("abcd", 3)), ("abc".to_owned(), "abc…".to_owned()));
    }
}
