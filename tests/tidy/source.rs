//! Rust sources read as text: code apart from comments and literals, words, brace groups.
//!
//! Just enough of the language for the rules: nothing is parsed that a rule doesn't ask for.

/// A file of the tree: as it is, and with comments and the insides of literals blanked, byte for byte in place.
pub struct File {
    pub path: String,
    pub text: String,
    pub code: String,
}

impl File {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: code_of(text) }
    }

    pub fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// `src/lane/digest.rs` is `lane`, `digest`; `src/lane/mod.rs` is `lane`; `src/lib.rs` is nothing.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        let parts = path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
        parts.map(str::to_owned).collect()
    }
}

/// Where the members of a brace group begin, seen from behind its opening brace.
pub fn members(inner: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let (mut depth, mut fresh) = (0_usize, true);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                starts.push(at);
                fresh = false;
            }
            _ => {}
        }
    }
    starts
}

pub fn identifier(text: &str) -> &str {
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    &text[..end]
}

/// Where `word` stands for itself and isn't part of a longer one.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bounded =
        |outer: Option<char>, inner: Option<char>| !(outer.is_some_and(is_word) && inner.is_some_and(is_word));
    let stands = move |at: usize| {
        bounded(text[..at].chars().next_back(), word.chars().next())
            && bounded(text[at + word.len()..].chars().next(), word.chars().next_back())
    };
    text.match_indices(word).map(|(at, _)| at).filter(move |at| stands(*at))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a path that begins here begins at the root, and isn't the tail of another.
pub fn is_root(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| is_word(c) || matches!(c, '.' | '}' | '-' | '~'))
}

/// The text with every byte of a comment, and of the inside of a string or character, turned into a blank.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + literal(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        if end == at {
            at += 1;
            continue;
        }
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(code).expect("whole characters were blanked")
}

/// The length of the comment or literal that begins here, or 0.
fn literal(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => until(rest, 2, b"\n"),
        [b'/', b'*', ..] => until(rest, 2, b"*/"),
        [b'r', b'"' | b'#', ..] if !in_word => raw_string(rest),
        [b'b', b'r', b'"' | b'#', ..] if !in_word => 1 + raw_string(&rest[1..]),
        [b'"', ..] => quoted(rest, b'"'),
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        [b'\'', ..] => character(rest),
        _ => 0,
    }
}

fn until(rest: &[u8], from: usize, end: &[u8]) -> usize {
    let found = rest[from..].windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| from + at + end.len())
}

fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0; // r#keyword
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    until(rest, 2 + hashes, &end)
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    rest.len().min(at + 1)
}

/// A character is closed after one character; a lifetime isn't closed at all.
fn character(rest: &[u8]) -> usize {
    let length = match rest.get(1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if rest.get(1 + length) == Some(&b'\'') { length + 2 } else { 0 }
}
