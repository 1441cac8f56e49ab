//! Texts cut to a bound on a character boundary, with the number of bytes that were left out.

use serde::Serialize;

/// How much of one text is kept: 16 KiB.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A text of at most the asked length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Clipped {
    pub text: String,
    /// Bytes that did not fit.
    pub left_out_bytes: usize,
}

impl Clipped {
    /// The first `max` bytes of `text`, or a little less where a character would be cut in two.
    pub fn new(text: &str, max: usize) -> Self {
        let end = text.floor_char_boundary(max);
        Self { text: text[..end].to_owned(), left_out_bytes: text.len() - end }
    }

    /// The same for bytes; what is not UTF-8 becomes replacement characters.
    pub fn of_bytes(bytes: &[u8], max: usize) -> Self {
        let kept = &bytes[..bytes.len().min(max)];
        Self { text: String::from_utf8_lossy(kept).into_owned(), left_out_bytes: bytes.len() - kept.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        let rows = [
            ("abc", 3, "abc", 0, "what fits stays whole"),
            ("abc", 2, "ab", 1, "the rest is counted"),
            ("aé", 2, "a", 2, "a character that fits by half goes"),
            ("", 0, "", 0, "nothing stays nothing"),
        ];
        for (text, max, kept, left_out_bytes, sentence) in rows {
            assert_eq!(Clipped::new(text, max), Clipped { text: kept.into(), left_out_bytes }, "{sentence}");
        }
    }
}
