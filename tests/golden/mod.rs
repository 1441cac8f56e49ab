//! The golden records, and what a source says to have them: read by the tests of formats, and played by those of the whole way.
//!
//! `NAME/CASE.json` is a record's value (empty: a tombstone), `CASE.headers` its headers, `CASE.told` what it is understood as,
//! `CASE.sent` what `missived preview` says would be sent to a channel of each type.

use std::fs;
use std::path::{Path, PathBuf};

/// Formats and presets, and what a source `{name}` says to have them.
pub const SOURCES: &[(&str, &str)] = &[
    ("alertmanager", "format = \"alertmanager\""),
    ("grafana", "format = \"grafana\""),
    ("cloudevents", "format = \"cloudevents\""),
    ("hubspot", "format = \"hubspot\""),
    ("debezium", "format = \"debezium\"\ndebezium = { title = \"/name\" }"),
    ("json", JSON),
    ("chat", "preset = \"chat\""),
    ("intercom", "preset = \"intercom\""),
    ("nagios", "preset = \"nagios\""),
    ("pagerduty", "preset = \"pagerduty\""),
    ("pipedrive", "preset = \"pipedrive\""),
    ("salesforce", "preset = \"salesforce\""),
    ("stripe", "preset = \"stripe\""),
    ("tickets", "preset = \"tickets\""),
    ("zabbix", "preset = \"zabbix\""),
    ("zendesk", "preset = \"zendesk\""),
];

const JSON: &str = r#"format = "json"
kind = "record"
[sources.{name}.json]
entity = "/deal/id"
id = "/event_id"
title = ["/deal/name", "deal {/deal/id}"]
text = "/summary"
severity = { at = "/priority", words = { "*" = "low" } }
time = "/changed_at"
link = "/deal/url"
author = "/changed_by/name""#;

/// Channel types, and what a channel says to be of one.
pub const TYPES: [(&str, &str); 3] = [
    ("text", "type = \"text\""),
    ("html", "type = \"html\""),
    (
        "email",
        "type = \"email\"\nfrom = \"missived@example.com\"\nrecipient = { address = \"ops@example.com\", name = \"Ops\" }",
    ),
];

/// One golden record.
pub struct Golden {
    /// Of its source.
    pub name: String,
    pub file: PathBuf,
    pub payload: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Golden {
    fn read(file: PathBuf) -> Self {
        let headers = fs::read_to_string(file.with_extension("headers")).unwrap_or_default();
        let header = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let name = file.parent().and_then(Path::file_name).expect("its folder").to_string_lossy().into_owned();
        let payload = fs::read(&file).expect("a golden record");
        Self { name, file, payload, headers: headers.lines().filter_map(header).collect() }
    }

    /// What it is understood as.
    pub fn told(&self) -> String {
        fs::read_to_string(self.file.with_extension("told")).unwrap_or_default()
    }
}

/// All of them, in the order of their names.
pub fn goldens() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = SOURCES.iter().flat_map(|(name, _)| entries(&root.join(name))).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.into_iter().map(Golden::read).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}
