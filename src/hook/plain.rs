//! The words of a piece of HTML, for readers who want no markup.
//!
//! Not a browser: tags are dropped, the ends of blocks become line ends, the few named entities that mail is made of and
//! numeric ones are resolved, and what is none of these stays as it is. Nothing here is safe to be shown as HTML again.

/// Elements whose end, or whose occurrence, is the end of a line.
const BREAKS: [&str; 10] = ["br", "/p", "/div", "/li", "/tr", "/h1", "/h2", "/h3", "/blockquote", "hr"];

/// Elements whose content nobody reads.
const UNREAD: [&str; 2] = ["style", "script"];

const ENTITIES: [(&str, char); 6] =
    [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("nbsp", ' ')];

/// The longest entity that is looked for.
const ENTITY_BYTES_MAX: usize = 10;

/// `html` without its markup.
pub(super) fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = match rest.as_bytes()[at] {
            b'<' => tag(&rest[at + 1..], &mut text),
            _ => entity(&rest[at + 1..], &mut text),
        };
    }
    text.push_str(rest);
    text.trim().to_owned()
}

/// Takes what follows a `<`; what comes back follows the tag, or, for an element that nobody reads, its content.
fn tag<'h>(rest: &'h str, text: &mut String) -> &'h str {
    let Some(end) = rest.find('>') else { return "" };
    let (inside, behind) = (&rest[..end], &rest[end + 1..]);
    let name = inside.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
    let name = name.strip_suffix('/').unwrap_or(name).to_ascii_lowercase();
    if BREAKS.contains(&name.as_str()) {
        text.push('\n');
    }
    match UNREAD.contains(&name.as_str()) {
        true => behind.find(&format!("</{name}")).map_or("", |end| &behind[end..]),
        false => behind,
    }
}

/// Takes what follows an `&`.
fn entity<'h>(rest: &'h str, text: &mut String) -> &'h str {
    let end = rest.bytes().take(ENTITY_BYTES_MAX).position(|byte| byte == b';');
    match end.and_then(|end| resolved(&rest[..end]).map(|meant| (meant, end))) {
        Some((meant, end)) => {
            text.push(meant);
            &rest[end + 1..]
        }
        None => {
            text.push('&');
            rest
        }
    }
}

fn resolved(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, meant)| *meant);
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(number.ok()?).filter(|meant| !meant.is_control() || *meant == '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_stay_and_the_markup_goes() {
        let rows = [
            ("ack", "ack"),
            ("<div>on <b>it</b></div><div>soon</div>", "on it\nsoon"),
            ("a<br>b<br/>c<BR />d", "a\nb\nc\nd"),
            ("1 &lt; 2 &amp;&amp; &#50; &gt; &#x31;&nbsp;!", "1 < 2 && 2 > 1 !"),
            ("AT&T &unknown; &#0; &", "AT&T &unknown; &#0; &"),
            ("<style>p{color:red}</style>x<script>alert('<p>')</script>y", "xy"),
            ("cut <off", "cut"),
            ("é&é<é>é", "é&éé"),
        ];
        for (html, text) in rows {
            assert_eq!(plain(html), text, "{html}");
        }
    }
}
