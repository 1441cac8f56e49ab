//! Whether a text is standard base64 with its padding, and how many bytes it stands for. Nothing is decoded.

/// The decoded length, or `None` if `text` is not base64.
pub fn decoded_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &bytes[..bytes.len() - padding];
    let whole = padding <= 2 && digits.iter().all(|byte| is_digit(*byte));
    whole.then(|| bytes.len() / 4 * 3 - padding)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_base64_and_how_long_it_decodes_to() {
        let rows: &[(&str, Option<usize>, &str)] = &[
            ("", Some(0), "nothing is nothing"),
            ("YSxiCjEsMgo=", Some(8), "one sign of padding"),
            ("YQ==", Some(1), "two signs"),
            ("YWJj", Some(3), "none"),
            ("YQ", None, "padding left out"),
            ("Y===", None, "too much padding"),
            ("YQ=a", None, "padding in the middle"),
            ("Y-_j", None, "the alphabet of URLs"),
            ("YW\nj", None, "a line break"),
            ("data:a;base64,YWJj", None, "a data URL"),
        ];
        for (text, expected, sentence) in rows {
            assert_eq!(decoded_len(text), *expected, "{sentence}");
        }
    }
}
