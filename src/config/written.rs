//! What a config file says, key by key, so that two of them can be compared: hashes only, because some of it may be secret.
//!
//! Order, spacing and comments make no difference. An array, such as a list of routes, is one value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest as _, Sha256};
use toml::de::{DeTable, DeValue};

/// The keys of a file and what they say, hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, [u8; 32]>);

/// A name for all that a file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigHash(u64);

impl Written {
    pub(super) fn of(table: &DeTable<'_>) -> Self {
        let mut keys = BTreeMap::new();
        flatten("", table, &mut keys);
        Self(keys)
    }

    /// The keys that say something else there, or are only in one of the two.
    pub fn changed(&self, later: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(later.0.keys()).collect();
        keys.into_iter().filter(|key| self.0.get(*key) != later.0.get(*key)).cloned().collect()
    }

    pub fn hash(&self) -> ConfigHash {
        let mut whole = Sha256::new();
        for (key, value) in &self.0 {
            whole.update(key.as_bytes());
            whole.update([0]);
            whole.update(value);
        }
        let bytes: [u8; 32] = whole.finalize().into();
        // 48 bits: as many as a metric's value can hold exactly
        ConfigHash(bytes[..6].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte)))
    }
}

impl ConfigHash {
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

fn flatten(prefix: &str, table: &DeTable<'_>, keys: &mut BTreeMap<String, [u8; 32]>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            // a table stands for itself, too: an empty one can mean something
            DeValue::Table(inner) => {
                keys.insert(key.clone(), [0; 32]);
                flatten(&key, inner, keys);
            }
            other => {
                let mut digest = Sha256::new();
                take(other, &mut digest);
                keys.insert(key, digest.finalize().into());
            }
        }
    }
}

fn take(value: &DeValue<'_>, digest: &mut Sha256) {
    let mut text = |kind: &str, text: &str| {
        digest.update(kind);
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    };
    match value {
        DeValue::String(string) => text("s", string),
        DeValue::Integer(integer) => text("i", integer.as_str()),
        DeValue::Float(float) => text("f", float.as_str()),
        DeValue::Boolean(boolean) => text("b", if *boolean { "true" } else { "false" }),
        DeValue::Datetime(datetime) => text("d", &datetime.to_string()),
        DeValue::Array(array) => {
            text("a", &array.len().to_string());
            array.iter().for_each(|value| take(value.get_ref(), digest));
        }
        DeValue::Table(table) => {
            text("t", &table.len().to_string());
            for (key, value) in table {
                digest.update(key.get_ref().as_bytes());
                digest.update([0]);
                take(value.get_ref(), digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Written {
        Written::of(DeTable::parse(text).expect("TOML").get_ref())
    }

    #[test]
    fn what_changed_is_named_by_its_key_and_nothing_else_is() {
        let old = written("a = 1\n[b]\nc = \"x\"\nd = [1, 2]\n[[b.routes]]\nname = \"n\"");
        let rows: [(&str, &[&str], &str); 5] = [
            ("# new\n[b]\nd=[1,2]\nc='x'\nroutes=[{name='n'}]\n[x]\n", &["a", "x"], "a key less, a table more"),
            ("a = 1\n[b]\nc = 'x'\nd = [1,2]\nroutes = [ { name = \"n\" } ]", &[], "written in another way"),
            ("a = 1.0\n[b]\nc = 'x'\nd = [1,2]\nroutes=[{name='n'}]", &["a"], "another type"),
            ("a = 1\n[b]\nc = 'x'\nd = [2,1]\nroutes=[{name='n'}]", &["b.d"], "another order in an array"),
            ("a = 1\n[b]\nc = 'x'\nd = [1,2]\nroutes=[{name='m'}]", &["b.routes"], "another route"),
        ];
        for (text, changed, sentence) in rows {
            let new = written(text);
            assert_eq!(old.changed(&new), changed, "{sentence}");
            assert_eq!(old.hash() == new.hash(), changed.is_empty(), "{sentence}");
        }
        assert!(old.hash().as_u64() < 1 << 48 && old.hash().to_string().len() == 12);
    }
}
