//! Holds `config/missived.toml` and the code together: the same keys, the same defaults, in both directions.

use super::*;

const EXAMPLE: &str = include_str!("../../config/missived.toml");

/// The example with every key uncommented and its secrets where a test can have them. Of the keys that exclude each
/// other only the files are left, unless `inline`.
fn uncommented(folder: &Path, inline: bool) -> String {
    let lines = EXAMPLE.lines().filter_map(|line| {
        let line = line.strip_prefix('#').filter(|line| line.starts_with(['[', '"']) || is_key(line)).unwrap_or(line);
        (inline || !line.starts_with("insecure_inline")).then_some(line)
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace("/etc/missived/secrets", folder.to_str().expect("a plain path"))
}

fn is_key(line: &str) -> bool {
    let word = line.split(" = ").next().unwrap_or_default();
    line.contains(" = ") && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn secrets() -> Secrets {
    let names = [
        "missive-token",
        "missive-token-crm",
        "kafka-password",
        "ops-hook",
        "ops-hook-former",
        "hubspot-client-secret",
        "ingest-token",
        "pager-token",
        "proxy-ca.pem",
        "hook-chain.pem",
        "hook-key.pem",
        "ingest-chain.pem",
        "ingest-key.pem",
    ];
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    Secrets::new(&files)
}

/// Every key with its value, as a fault would name it.
fn flat(prefix: &str, table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        all.push((path.clone(), value.clone()));
        // A route's message has the keys of its source's.
        let told = key == "message" && path.contains("routes[");
        let authors = ["match", "words", "fields", "rewrite", "labels", "teams", "people"].contains(&&**key);
        if path == "kafka.librdkafka" || authors || told {
            continue;
        }
        if let Some(table) = value.as_table() {
            all.extend(flat(&path, table));
        }
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            all.extend(item.as_table().into_iter().flat_map(|table| flat(&format!("{path}[{at}]"), table)));
        }
    }
    all
}

/// What a fault calls a key, with `NAME` for what the author chose.
fn pattern(path: &str) -> Option<String> {
    let mut words: Vec<&str> = path.split('.').map(|word| word.split('[').next().unwrap_or(word)).collect();
    if matches!(words[0], "lanes" | "channels" | "sources") && words.len() > 1 {
        words[1] = "NAME";
    }
    (words.last() != Some(&"NAME")).then(|| words.join("."))
}

fn same(left: &toml::Value, right: &toml::Value) -> bool {
    let duration = |value: &toml::Value| value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    left == right || duration(left).is_some_and(|left| Some(left) == duration(right))
}

#[test]
fn works_as_it_stands_and_with_every_line_uncommented() {
    let secrets = secrets();
    let folder = secrets.0.path();
    let shipped = EXAMPLE.replace("/etc/missived/secrets", folder.to_str().expect("a plain path"));
    for text in [shipped, uncommented(folder, false)] {
        let loaded = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

#[test]
fn names_every_key_that_is_read_and_no_other() {
    let secrets = secrets();
    let text = uncommented(secrets.0.path(), true);
    let known = Config::known_keys(&text, Path::new("missived.toml"), &Environment::default()).expect("TOML");
    let known: BTreeSet<String> = known.iter().map(|known| known.key.pattern()).collect();
    let table: toml::Table = text.parse().expect("TOML");
    let shown: BTreeSet<String> = flat("", &table).iter().filter_map(|(path, _)| pattern(path)).collect();
    let difference: Vec<_> = known.symmetric_difference(&shown).collect();
    assert!(difference.is_empty(), "in the code or in the file, not in both: {difference:#?}");
    assert!(known.len() > 100, "{}", known.len());
}

#[test]
fn shows_every_default_where_it_shows_a_key_first() {
    let secrets = secrets();
    let text = uncommented(secrets.0.path(), true);
    let known = Config::known_keys(&text, Path::new("missived.toml"), &Environment::default()).expect("TOML");
    let shown = flat("", &text.parse().expect("TOML"));
    let mut seen = BTreeSet::new();
    for key in known.iter().filter(|known| known.default.is_some() && seen.insert(known.key.pattern())) {
        let default = key.default.as_deref().unwrap_or_default();
        let default = format!("x = {default}").parse::<toml::Table>().expect("defaults are TOML")["x"].clone();
        let path = key.key.to_string();
        let (_, value) = shown.iter().find(|(shown, _)| *shown == path).unwrap_or_else(|| panic!("{path}"));
        assert!(same(&default, value), "{path}: the file says {value}, the code {default}");
    }
    assert!(seen.len() > 70, "{}", seen.len());
}

#[test]
fn commented_out_defaults_change_nothing() {
    let secrets = secrets();
    let folder = secrets.0.path();
    let shipped = EXAMPLE.replace("/etc/missived/secrets", folder.to_str().expect("a plain path"));
    let (least, all) = (working(&shipped), working(&uncommented(folder, false)));
    let (least, all) = (&least.lanes[0].policy, &all.lanes[0].policy);
    assert_eq!((least.limits, least.retry, least.bounds), (all.limits, all.retry, all.bounds));
    assert_eq!(least.routes["alerts"].timing, all.routes["alerts"].timing);
    assert_eq!(least.routes["alerts"].timing_critical, all.routes["alerts"].timing_critical);
}

/// The reference in the docs, made from the code: every key with its first default.
#[test]
fn the_reference_in_the_docs_is_what_the_code_reads() {
    let secrets = secrets();
    let text = uncommented(secrets.0.path(), true);
    let known = Config::known_keys(&text, Path::new("missived.toml"), &Environment::default()).expect("TOML");
    let mut seen = BTreeSet::new();
    let mut table = String::from("\n\n| key | default |\n|---|---|\n");
    for key in known.iter().filter(|known| seen.insert(known.key.pattern())) {
        let default =
            key.default.as_ref().map_or("–".to_owned(), |default| format!("`{}`", default.replace('|', "\\|")));
        table += &format!("| `{}` | {default} |\n", key.key.pattern());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configure.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (begin, end) = ("cargo test --test config reference -->", "\n<!-- end -->");
    let (head, rest) = page.split_once(begin).expect("where the table begins");
    let (shown, tail) = rest.split_once(end).expect("where it ends");
    if std::env::var_os("MISSIVED_BLESS").is_some() {
        fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).expect("written");
        return;
    }
    assert_eq!(shown, table, "the code has other keys: MISSIVED_BLESS=1 cargo test --test config reference");
}
