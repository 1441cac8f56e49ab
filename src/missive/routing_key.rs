//! The key that finds its way back: sent as the sender's id (`from_field.id`), echoed by Missive as the recipient of a reply.
//!
//! Written `<route>/<conversation key>`. Missive cuts overlong strings silently, so a key longer than [`KEY_CHARS_MAX`] keeps
//! its beginning and ends in `#` and a hash that the conversation is also known by.

use std::fmt;

/// The longest routing key, in bytes.
pub const KEY_CHARS_MAX: usize = 200;

/// Where a reply belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingKey(Box<str>);

impl RoutingKey {
    /// The key of a conversation of `route`; `hash` stands for a conversation key that is too long.
    pub fn new(route: &str, conversation: &str, hash: &str) -> Self {
        let whole = format!("{route}/{conversation}");
        if whole.len() <= KEY_CHARS_MAX && !whole.contains(char::is_control) {
            return Self(whole.into());
        }
        let room = KEY_CHARS_MAX.saturating_sub(hash.len() + 1);
        let start: String = whole[..whole.floor_char_boundary(room)].chars().filter(|c| !c.is_control()).collect();
        Self(format!("{start}#{hash}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash that a key ends in because its conversation key was too long.
    pub fn hash(key: &str) -> Option<u128> {
        let (_, hash) = key.rsplit_once('#').filter(|(_, hash)| hash.len() == 32)?;
        u128::from_str_radix(hash, 16).ok()
    }

    /// Its route, if it is one of ours.
    pub fn route(key: &str) -> Option<&str> {
        key.split_once('/').map(|(route, _)| route)
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_readable_while_it_is_short() {
        let key = RoutingKey::new("alerts", "{}:{alertname=\"x\"}", "cafe");
        assert_eq!(key.as_str(), "alerts/{}:{alertname=\"x\"}");
        assert_eq!(RoutingKey::route(key.as_str()), Some("alerts"));
    }

    #[test]
    fn a_long_key_is_bounded_and_ends_in_its_hash() {
        let key = RoutingKey::new("alerts", &"é".repeat(500), "cafe");
        assert!(key.as_str().len() <= KEY_CHARS_MAX);
        assert!(key.as_str().ends_with("#cafe"));
        let hash = format!("{:032x}", 0xcafe);
        assert_eq!(RoutingKey::hash(RoutingKey::new("alerts", &"é".repeat(500), &hash).as_str()), Some(0xcafe));
        assert_eq!(RoutingKey::hash("alerts/short#1"), None);
        assert_eq!(RoutingKey::route(key.as_str()), Some("alerts"));
    }
}
