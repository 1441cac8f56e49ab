//! `[links]`: what people call addresses that systems call otherwise; and addresses made of an event's fields.

use std::sync::Arc;

use super::fault::quoted;
use super::raw::{Section, found};
use super::value::field;
use crate::route::{Address, AddressPart, Rewrite};

/// Prefixes that are rewritten.
const REWRITES_MAX: usize = 100;

/// The longest address in the file.
const ADDRESS_BYTES_MAX: usize = 1024;

/// `rewrite = { "http://alertmanager:9093" = "https://alerts.example.com" }`, the longest prefix first.
pub(super) fn rewrites(root: &Section<'_>) -> Arc<[Rewrite]> {
    let mut section = root.section("links").section("rewrite");
    let reading = section.reading();
    let mut rewrites: Vec<Rewrite> = section
        .entries(REWRITES_MAX)
        .filter_map(|(from, key, value)| {
            let to = value.as_str().filter(|to| is_https(to));
            if !is_web(from) {
                reading.unfit(key, quoted(from), "the beginning of an address: http:// or https:// and a host");
                return None;
            }
            if to.is_none() {
                reading.unfit(key, found(value), "the beginning of an https:// address that people can open");
            }
            Some(Rewrite { from: from.into(), to: to?.into() })
        })
        .collect();
    rewrites.sort_by_key(|rewrite| std::cmp::Reverse(rewrite.from.len()));
    rewrites.into()
}

/// `link = "https://crm.example.com/deals/{/deal/id}"`; None if it isn't there, or with a fault noted.
pub(super) fn address(section: &Section<'_>, key: &'static str) -> Option<Address> {
    let text = section.optional::<Box<str>>(key)?;
    let parts = parts(&text).filter(|_| is_web(&text) && text.len() <= ADDRESS_BYTES_MAX);
    if parts.is_none() {
        let wanted = "an address with fields in braces such as \"https://crm.example.com/deals/{/deal/id}\"";
        section.unfit(key, quoted(&text), wanted);
    }
    parts.map(Address)
}

fn parts(text: &str) -> Option<Box<[AddressPart]>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}')?;
        parts.push(AddressPart::Text(before.into()));
        parts.push(AddressPart::At(field(inside)?));
        rest = behind;
    }
    parts.push(AddressPart::Text(rest.into()));
    Some(parts.into())
}

fn is_https(text: &str) -> bool {
    text.len() > "https://".len() && text.starts_with("https://") && !text.contains(char::is_whitespace)
}

fn is_web(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', '{'])) && !text.contains(char::is_whitespace)
}
