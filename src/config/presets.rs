//! Presets: what a source says about well-known senders, shipped in the program.
//!
//! A preset is a file of `config/presets/`, with the keys of a `[sources.NAME]` table. `preset = "zabbix"` lays a source's own
//! keys over it, key by key; of what belongs to one place in an event (such as `title`), the source's own replaces the
//! preset's whole. Presets hold no topics, channels or secrets, and work as they are: tests see to that.

use std::sync::LazyLock;

use toml::de::DeTable;

use super::raw::Section;

/// Name and text of every preset.
const FILES: [(&str, &str); 10] = [
    ("chat", include_str!("../../config/presets/chat.toml")),
    ("intercom", include_str!("../../config/presets/intercom.toml")),
    ("nagios", include_str!("../../config/presets/nagios.toml")),
    ("pagerduty", include_str!("../../config/presets/pagerduty.toml")),
    ("pipedrive", include_str!("../../config/presets/pipedrive.toml")),
    ("salesforce", include_str!("../../config/presets/salesforce.toml")),
    ("stripe", include_str!("../../config/presets/stripe.toml")),
    ("tickets", include_str!("../../config/presets/tickets.toml")),
    ("zabbix", include_str!("../../config/presets/zabbix.toml")),
    ("zendesk", include_str!("../../config/presets/zendesk.toml")),
];

static TABLES: LazyLock<Vec<(&str, DeTable<'static>)>> = LazyLock::new(|| {
    let parsed = |(name, text): (&'static str, &'static str)| {
        let table = DeTable::parse(text).expect("presets are TOML, as a test shows");
        (name, table.into_inner())
    };
    FILES.into_iter().map(parsed).collect()
});

/// The section over the preset that it names.
pub(super) fn with_preset<'a>(section: Section<'a>) -> Section<'a> {
    let Some(name) = section.optional::<Box<str>>("preset") else { return section };
    let found = TABLES.iter().find(|(known, _)| **known == *name);
    if found.is_none() {
        let known: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        section.unknown_name("preset", &name, "a preset", &known);
    }
    let table: Option<&'a DeTable<'a>> = found.map(|(_, table)| table);
    section.over(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_is_embedded_and_parses() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets");
        let mut shipped: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".toml").to_owned())
            .collect();
        shipped.sort();
        assert_eq!(shipped, TABLES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    }
}
