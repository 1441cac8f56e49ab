//! What a webhook request must prove before a byte of its body is interpreted.

use crate::missive::ChannelType;

/// One channel's way in: `POST /hooks/<channel>`.
#[derive(Clone, Debug)]
pub struct Door {
    /// The channel's name; the last segment of the path.
    pub channel: Box<str>,
    pub kind: ChannelType,
    /// Lane that learns from it.
    pub lane: Box<str>,
    /// Any active one proves a request; empty only where the config says `insecure_unsigned`.
    pub secrets: Vec<Secret>,
}

/// A webhook secret: the UTF-8 bytes of the HMAC key. Redacted in `Debug`, wiped on drop.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// One trailing line end is not part of a secret; an empty one is none.
    pub fn parse(text: &str) -> Option<Self> {
        let secret = text.strip_suffix('\n').unwrap_or(text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        (!secret.is_empty()).then(|| Self(secret.as_bytes().to_vec()))
    }

    /// The key bytes, for the MAC and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
