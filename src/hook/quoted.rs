//! Long texts as JSON strings: what needs no escape is found many bytes at a time and copied whole.
//!
//! What is written is what serde_json writes, byte for byte.

use std::io::Write as _;

/// Bytes that are looked at together.
const TOGETHER: usize = 32;

/// Appends `text` as a JSON string.
pub(super) fn quote(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (plain, behind) = rest.split_at(plain_bytes(rest));
        into.extend_from_slice(plain);
        rest = behind;
        if let Some((special, behind)) = rest.split_first() {
            escape(into, *special);
            rest = behind;
        }
    }
    into.push(b'"');
}

/// How many bytes at the start stand for themselves.
fn plain_bytes(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<TOGETHER>();
    let all_plain = |chunk: &&[u8; TOGETHER]| chunk.iter().fold(0, |any, byte| any | u8::from(is_special(*byte))) == 0;
    let looked_at = chunks.iter().take_while(all_plain).count() * TOGETHER;
    let rest = &bytes[looked_at..];
    looked_at + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

const fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn escape(into: &mut Vec<u8>, special: u8) {
    let letter = match special {
        b'"' | b'\\' => special,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return write!(into, "\\u{special:04x}").expect("a vector takes more"),
    };
    into.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(text: &str) -> String {
        let mut bytes = Vec::new();
        quote(&mut bytes, text);
        String::from_utf8(bytes).expect("text stays text")
    }

    #[test]
    fn every_character_is_written_as_serde_json_writes_it_wherever_it_stands() {
        for code in (0..0x300).chain([0x2028, 0xfeff, 0x1f600]) {
            let character = char::from_u32(code).expect("a character");
            for before in [0, 1, 31, 32, 33, 64] {
                let text = format!("{}{character}{}", "x".repeat(before), "y".repeat(before));
                assert_eq!(quoted(&text), serde_json::to_string(&text).expect("JSON"), "{code:#x} behind {before}");
            }
        }
        assert_eq!(quoted(""), r#""""#);
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in "[\\x00-\\x7fé\u{1f600}]{0,200}") {
            prop_assert_eq!(quoted(&text), serde_json::to_string(&text).expect("JSON"));
        }
    }
}
