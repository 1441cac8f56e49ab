//! HTML as Missive shows it: what strangers wrote is escaped, and what is too long is cut where no tag or entity is.
//!
//! [`clipped`] cuts between characters, never inside a tag or an entity, and closes what is open, so that what is left is as
//! well-formed as what came in. It counts characters as Missive would: with their markup. It doesn't judge markup.

/// Elements that have no end.
const VOID: [&str; 6] = ["br", "hr", "img", "col", "wbr", "input"];

/// The longest run that is taken for an entity.
const ENTITY_CHARS_MAX: usize = 32;

/// `text` as text in HTML, also within quotes.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// `html` if it has at most `chars_max` characters, otherwise as much of it as leaves room for `note`, with `note` behind it.
pub fn clipped(html: &str, chars_max: usize, note: &str) -> String {
    if html.chars().count() <= chars_max {
        return html.to_owned();
    }
    let note_chars = note.chars().count();
    let mut open: Vec<&str> = Vec::new();
    let (mut kept, mut chars, mut closing) = (0, 0, 0);
    let mut best = (0, Vec::new());
    while let Some(piece) = Piece::next(&html[kept..]) {
        chars += piece.text.chars().count();
        match piece.tag {
            Tag::Opens(name) => {
                open.push(name);
                closing += name.chars().count() + 3;
            }
            Tag::Closes(name) => {
                if let Some(place) = open.iter().rposition(|known| *known == name) {
                    closing -= open.drain(place..).map(|name| name.chars().count() + 3).sum::<usize>();
                }
            }
            Tag::None => {}
        }
        if chars + closing + note_chars > chars_max {
            break;
        }
        kept += piece.text.len();
        best = (kept, open.clone());
    }
    let closed: String = best.1.iter().rev().map(|name| format!("</{name}>")).collect();
    let clipped = format!("{}{closed}{note}", &html[..best.0]);
    if clipped.chars().count() <= chars_max { clipped } else { String::new() }
}

/// What can't be divided: a tag, an entity, a character.
struct Piece<'h> {
    text: &'h str,
    tag: Tag<'h>,
}

enum Tag<'h> {
    None,
    Opens(&'h str),
    Closes(&'h str),
}

impl<'h> Piece<'h> {
    fn next(html: &'h str) -> Option<Self> {
        let first = html.chars().next()?;
        let whole = |end: char| html.find(end).map(|at| &html[..=at]);
        let text = match first {
            '<' => whole('>').unwrap_or(html),
            '&' => whole(';').filter(|entity| entity.len() <= ENTITY_CHARS_MAX && !entity.contains(' ')).unwrap_or("&"),
            other => &html[..other.len_utf8()],
        };
        Some(Self { text, tag: if first == '<' { Tag::of(text) } else { Tag::None } })
    }
}

impl<'h> Tag<'h> {
    fn of(text: &'h str) -> Self {
        let inside = text.trim_start_matches('<').trim_end_matches('>');
        let (inside, closes) = inside.strip_prefix('/').map_or((inside, false), |inside| (inside, true));
        let name = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let void =
            name.is_empty() || inside.ends_with('/') || VOID.iter().any(|known| known.eq_ignore_ascii_case(name));
        match (void, closes) {
            (true, _) => Self::None,
            (false, true) => Self::Closes(name),
            (false, false) => Self::Opens(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_strangers_wrote_is_text() {
        assert_eq!(escaped(r#"<b a="x" b='y'>&"#), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn a_cut_never_divides_a_tag_or_an_entity_and_closes_what_is_open() {
        let html = r#"<p>a&lt;b <a href="https://x/?a=1&amp;b=2">link</a></p>"#;
        let rows = [
            (100, html.to_owned()),
            (8, "<p>a</p>".to_owned()),
            (11, "<p>a</p>".to_owned()),
            (12, "<p>a&lt;</p>".to_owned()),
            (13, "<p>a&lt;b</p>".to_owned()),
            (3, String::new()),
        ];
        for (chars_max, clip) in rows {
            assert_eq!(clipped(html, chars_max, ""), clip, "{chars_max}");
        }
        assert_eq!(clipped(html, 14, "…"), "<p>a&lt;b</p>…");
    }

    /// Nothing open at the end, nothing closed that wasn't open.
    fn is_balanced(html: &str) -> bool {
        let mut open = Vec::new();
        let mut rest = html;
        while let Some(piece) = Piece::next(rest) {
            match piece.tag {
                Tag::Opens(name) => open.push(name),
                Tag::Closes(name) if open.pop() != Some(name) => return false,
                Tag::Closes(_) | Tag::None => {}
            }
            rest = &rest[piece.text.len()..];
        }
        open.is_empty()
    }

    proptest! {
        #[test]
        fn whatever_is_cut_is_short_and_whole(words in prop::collection::vec("[a-zé<&\"' ]{0,12}", 0..20), chars_max in 0usize..200) {
            let rows: String = words.iter().map(|word| format!("<tr><td>{}</td><td>x<br></td></tr>", escaped(word))).collect();
            let html = format!("<table>{rows}</table>");
            let clip = clipped(&html, chars_max, "<p>cut</p>");
            prop_assert!(clip.chars().count() <= chars_max);
            prop_assert!(is_balanced(&clip), "{clip}");
            prop_assert!(!clip.contains("&am…") && clip.matches('&').count() == clip.matches(';').count());
        }

        #[test]
        fn any_text_is_cut_without_a_panic(html in "[<>&;/a-z é🔴]{0,300}", chars_max in 0usize..100) {
            prop_assert!(clipped(&html, chars_max, "…").chars().count() <= chars_max);
        }
    }
}
