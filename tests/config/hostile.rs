//! Whatever the file holds, the answer is a config or a list of faults.

use super::*;

/// Words that lead deep into the reader.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "kafka",
        "missive",
        "lanes",
        "channels",
        "sources",
        "lane",
        "intake",
        "hook",
        "admin",
        "run",
        "topics",
        "limits",
        "librdkafka",
        "routes",
        "match",
        "json",
        "critical",
        "recipient",
        "horizons",
        "ops",
        "account",
        "type",
        "topic",
        "format",
        "channel",
        "kind",
        "window",
        "url",
        "bootstrap",
        "token_file",
        "secret_files",
        "entity",
        "listen",
        "insecure_inline_secrets",
        "insecure_inline_token",
        "time_zone",
        "name",
        "file",
        "sasl.password",
    ];
    prop_oneof![4 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn leaf() -> impl Strategy<Value = toml::Value> {
    prop_oneof![
        word().prop_map(toml::Value::String),
        prop::sample::select(
            &["5m", "1MiB", "20%", "-1s", "99999999999y", "1e400MiB", "json", "/a~", "ops", "[::1]:1"][..]
        )
        .prop_map(|text| toml::Value::String(text.to_owned())),
        any::<i64>().prop_map(toml::Value::Integer),
        any::<f64>().prop_map(toml::Value::Float),
        any::<bool>().prop_map(toml::Value::Boolean),
    ]
}

fn value() -> impl Strategy<Value = toml::Value> {
    leaf().prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(toml::Value::Array),
            prop::collection::btree_map(word(), inner, 0..6)
                .prop_map(|entries| toml::Value::Table(entries.into_iter().collect())),
        ]
    })
}

/// A file with a secret at each place that has one. With one character changed, half of a secret is still whole.
const SECRETIVE: [&str; 4] = [
    "[missive]\ninsecure_inline_token = \"hiddenhidden\"\nurl = \"https://a:hiddenhidden@b\"\n",
    "[channels.ops.hook]\ninsecure_inline_secrets = [\n\"hiddenhidden\",\n]\n",
    "[kafka.librdkafka]\n\"sasl.password\" = \"hiddenhidden\"\n\"ssl.key.pem\" = \"hiddenhidden\"\n",
    "[lanes.a]\ntoken_file = \"missive_pat-hiddenhidden\"\n[missive]\ninsecure_inline_token = [\"hiddenhidden\"]\n",
];

fn with_one_change(text: &str, at: usize, instead: Option<&str>, removed: usize) -> String {
    let at = at % text.len();
    let after = (at + removed).min(text.len());
    [&text[..at], instead.unwrap_or_default(), &text[after..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_slip_of_the_finger_makes_a_fault_repeat_a_secret(
        file in prop::sample::select(&SECRETIVE[..]),
        at in any::<usize>(),
        instead in prop::option::of(prop::sample::select(&["\"", "'", "=", "\n", "[", "]", "{", ".", "#", "x", " ", ",", "\\"][..])),
        removed in 0..2_usize,
    ) {
        let text = with_one_change(file, at, instead, removed);
        let error = parse(&text).expect_err("not even the least file");
        prop_assert!(!error.to_string().contains("hidden"), "{text}\n{error}");
        prop_assert!(!format!("{error:?}").contains("hidden"), "{text}\n{error:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\\n){0,200}") {
        let outcome = parse(&text);
        prop_assert!(outcome.is_err_and(|error| !error.to_string().is_empty()));
    }

    #[test]
    fn no_text_of_familiar_pieces_panics(
        pieces in prop::collection::vec(prop_oneof![word(), "[\\[\\]{}=\"'\n.,# -]{1,3}".prop_map(String::from)], 0..40)
    ) {
        let outcome = parse(&pieces.concat());
        prop_assert!(outcome.is_err_and(|error| !error.to_string().is_empty()));
    }

    #[test]
    fn no_table_panics_and_each_fault_has_a_key(entries in prop::collection::btree_map(word(), value(), 0..12)) {
        let table: toml::Table = entries.into_iter().collect();
        match parse(&table.to_string()) {
            Ok(_) => {}
            Err(LoadError::Faults(faults)) => {
                prop_assert!(faults.count() > 0);
                prop_assert!(faults.iter().all(|fault| !fault.key.to_string().is_empty()));
            }
            Err(other) => prop_assert!(false, "what is written as TOML is TOML: {other}"),
        }
    }
}
