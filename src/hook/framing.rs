//! Where heads end on a connection, seen byte by byte beside the HTTP library, to find the shapes that smuggling is made of.
//!
//! An HTTP library resolves what is ambiguous: one length out of two equal ones, chunks before a length, a bare line feed for
//! a line end. Whoever stands before us may resolve it otherwise, and then a body of one request is the head of another. So
//! [`Framing`] reads the same bytes strictly and says which request is the first ambiguous one; that one is refused, and with
//! it the connection ends. It takes part in nothing else: what it can't follow any more (chunks, after which a connection
//! ends anyway; a head over its limit, which the library refuses) it doesn't look at.
//!
//! Ambiguous: a bare CR or LF, a NUL, a folded line, white space before a colon, `Content-Length` twice, or beside
//! `Transfer-Encoding`, or not made of digits, `Transfer-Encoding` twice, and an empty line before the first.

use memchr::{memchr, memchr3};

/// Follows one connection.
#[derive(Debug)]
pub struct Framing {
    at: At,
    head: Vec<u8>,
    head_bytes_max: usize,
    heads: u64,
    ambiguous: Option<u64>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The first byte of a head.
    Start,
    Head,
    Body {
        left: u64,
    },
    /// Not followed any more.
    Beyond,
}

/// What may be said of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    Clearly,
    Ambiguously,
}

/// How the body of a head is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Length(u64),
    Chunks,
    Ambiguously,
}

impl Framing {
    /// Heads over `head_bytes_max` bytes are not followed.
    pub const fn new(head_bytes_max: usize) -> Self {
        Self { at: At::Start, head: Vec::new(), head_bytes_max, heads: 0, ambiguous: None }
    }

    pub const fn at(&self) -> At {
        self.at
    }

    /// The number (from 0) of the first request whose head is ambiguous.
    pub const fn first_ambiguous(&self) -> Option<u64> {
        self.ambiguous
    }

    /// What the head of the request with this number (from 0) is like.
    pub fn of(&self, request: u64) -> Framed {
        match self.ambiguous {
            Some(first) if request >= first => Framed::Ambiguously,
            Some(_) | None => Framed::Clearly,
        }
    }

    /// Takes the next bytes of the connection.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Start | At::Head => self.see_head(bytes),
                At::Body { left } => self.see_body(left, bytes),
                At::Beyond => return,
            };
        }
    }

    fn see_body<'b>(&mut self, left: u64, bytes: &'b [u8]) -> &'b [u8] {
        let seen = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - seen as u64;
        self.at = if left == 0 { At::Start } else { At::Body { left } };
        &bytes[seen..]
    }

    fn see_head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        // The end may lie across two reads.
        let overlap = self.head.len().saturating_sub(3);
        let room = (self.head_bytes_max + 1).saturating_sub(self.head.len());
        let before = self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.at = At::Head;
        let end = end_of_head(&self.head, overlap);
        match end {
            Some(end) => {
                self.head.truncate(end);
                self.judge();
                &bytes[end - before..]
            }
            None if self.head.len() > self.head_bytes_max || suspicious(&self.head, overlap) => {
                self.give_up();
                &[]
            }
            None => &[],
        }
    }

    fn judge(&mut self) {
        match told(&self.head) {
            Told::Length(0) => self.at = At::Start,
            Told::Length(left) => self.at = At::Body { left },
            Told::Chunks => self.at = At::Beyond,
            Told::Ambiguously => return self.give_up(),
        }
        self.heads += 1;
        self.head.clear();
    }

    fn give_up(&mut self) {
        self.ambiguous = Some(self.heads);
        self.at = At::Beyond;
        self.head = Vec::new();
    }
}

fn end_of_head(head: &[u8], mut from: usize) -> Option<usize> {
    loop {
        from += memchr(b'\n', &head[from..])? + 1;
        if head[..from].ends_with(b"\r\n\r\n") {
            return Some(from);
        }
    }
}

/// A line feed or NUL where none may be, in a head that need not be complete: the library may end it where we don't.
fn suspicious(head: &[u8], from: usize) -> bool {
    let mut before = from.checked_sub(1).and_then(|at| head.get(at)).copied().unwrap_or(0);
    for byte in &head[from..] {
        if *byte == 0 || *byte == b'\n' && before != b'\r' {
            return true;
        }
        before = *byte;
    }
    head.starts_with(b"\r\n")
}

fn told(head: &[u8]) -> Told {
    let (mut length, mut chunks) = (None, Told::Length(0));
    let (first, mut rest) = line(head);
    if first.is_empty() {
        return Told::Ambiguously;
    }
    loop {
        let (line, behind) = line(rest);
        if line.is_empty() {
            break;
        }
        let name = &line[..memchr(b':', line).unwrap_or(line.len())];
        if name.last().is_none_or(u8::is_ascii_whitespace) || name[0].is_ascii_whitespace() {
            return Told::Ambiguously;
        }
        let value = line.get(name.len() + 1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let Some(told) = digits(value).filter(|_| length.is_none()) else { return Told::Ambiguously };
            length = Some(told);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunks == Told::Chunks {
                return Told::Ambiguously;
            }
            chunks = Told::Chunks;
        }
        rest = behind;
    }
    if rest != b"\r\n" {
        // A line that doesn't end as lines do, not the end of the head.
        return Told::Ambiguously;
    }
    match (length, chunks) {
        (Some(length), Told::Length(_)) => Told::Length(length),
        (Some(_), Told::Chunks) => Told::Ambiguously,
        (None, told) | (Some(_), told @ Told::Ambiguously) => told,
    }
}

/// The first line, and what is behind it; an empty one where a line doesn't end as lines do.
fn line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr3(0, b'\n', b'\r', head).unwrap_or(head.len());
    match head[end..].strip_prefix(b"\r\n") {
        Some(behind) => (&head[..end], behind),
        None => (&[], head),
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(pieces: &[&[u8]]) -> Framing {
        let mut framing = Framing::new(200);
        pieces.iter().for_each(|piece| framing.see(piece));
        framing
    }

    #[test]
    fn what_is_clear_is_followed_from_head_to_head() {
        let rows: [(&str, At, u64); 7] = [
            ("", At::Start, 0),
            ("POST / HTTP/1.1\r\nHost: h\r", At::Head, 0),
            ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", At::Start, 1),
            ("POST / HTTP/1.1\r\ncontent-LENGTH:\t3 \r\n\r\nab", At::Body { left: 1 }, 1),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\r\n\r", At::Start, 1),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\n\r\nG", At::Head, 2),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\0", At::Beyond, 1),
        ];
        for (text, at, heads) in rows {
            let framing = after(&[text.as_bytes()]);
            assert_eq!((framing.at(), framing.heads, framing.ambiguous), (at, heads, None), "{text:?}");
        }
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_ambiguous() {
        let rows = [
            "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Content-Length: +3",
            "Content-Length: 3, 3",
            "Content-Length:",
            "Content-Length : 3",
            "Content-Length\t: 3",
            "X: y\r\n folded",
            "X: y\r\n\tContent-Length: 3",
            "X: y\nContent-Length: 3",
            "X: y\rContent-Length: 3",
            "X: y\0",
            ": nameless",
            "X: y\n\nGET /hooks/open HTTP/1.1",
        ];
        for row in rows {
            let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{row}\r\n\r\n");
            let framing = after(&[text.as_bytes()]);
            assert_eq!((framing.of(0), framing.at()), (Framed::Ambiguously, At::Beyond), "{row:?}");
        }
        let second = after(&[b"POST / HTTP/1.1\r\n\r\n\r\nPOST / HTTP/1.1\r\n\r\n"]);
        assert_eq!(
            [0, 1, 2].map(|request| second.of(request)),
            [Framed::Clearly, Framed::Ambiguously, Framed::Ambiguously]
        );
    }

    #[test]
    fn a_head_that_never_ends_is_followed_up_to_its_limit() {
        let framing = after(&[b"POST / HTTP/1.1\r\n", &[b'x'; 150], &[b'x'; 150]]);
        assert_eq!((framing.at(), framing.head.capacity()), (At::Beyond, 0));
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_into_reads_changes_nothing(cuts in proptest::collection::vec(1_usize..40, 0..30), which in 0_usize..3) {
            let texts: [&[u8]; 3] = [
                b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\nPOST",
                b"POST / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                b"POST / HTTP/1.1\r\nA: b\r\n\r\nPOST / HTTP/1.1\nHost: h\r\n\r\n",
            ];
            let whole = after(&[texts[which]]);
            let (mut framing, mut rest) = (Framing::new(200), texts[which]);
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                framing.see(piece);
                rest = behind;
            }
            framing.see(rest);
            prop_assert_eq!((framing.at(), framing.heads, framing.ambiguous), (whole.at(), whole.heads, whole.ambiguous));
        }

        #[test]
        fn no_bytes_make_it_panic_or_hold_more_than_a_head(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let framing = after(&[&bytes]);
            prop_assert!(framing.head.len() <= 201);
        }
    }
}
