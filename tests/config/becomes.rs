//! What a file that works becomes: defaults, inheritance, lanes, doors, and nothing secret in `Debug`.

use super::*;

#[test]
fn the_least_file_works_from_disk() {
    let secrets = Secrets::new(&[("missive-token", "missive_pat-hidden\n")]);
    let token = secrets.path("missive-token");
    let file = secrets.path("missived.toml");
    fs::write(&file, with_token_file(token.to_str().expect("a plain path"))).expect("a scratch file");
    let loaded = Config::load(&file, &Environment::default()).expect("the least file works");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let [lane] = &loaded.config.lanes[..] else { panic!("one lane") };
    assert!(matches!(&lane.token, TokenSource::File(path) if *path == token));
    assert!(loaded.config.hook.is_none());
}

#[test]
fn every_part_has_the_defaults_that_the_docs_name() {
    let config = working(LEAST);
    let policy = &config.lanes[0].policy;
    let route = &policy.routes["alerts"];
    let source = &config.sources[0];
    assert_eq!((&*policy.lane, &*policy.namespace, policy.on_doubt), ("default", "missived", OnDoubt::Resend));
    assert_eq!((route.kind, &*route.channel, route.window), (Kind::Alert, "ops", Duration::from_secs(3600)));
    assert_eq!((source.start, source.rules.len()), (Start::Latest, 1));
    assert_eq!((policy.limits.concurrent, policy.limits.per_minute, policy.limits.per_quarter_hour), (5, 300, 900));
    assert_eq!(route.timing.group_wait, Duration::ZERO);
    assert_eq!(policy.channels["ops"].channel.recipient.id.as_ref(), "ops");
}

const TWO_LANES: &str = r#"
[kafka]
bootstrap = "kafka1"
[lanes.a]
insecure_inline_token = "hidden-a"
[lanes.b]
insecure_inline_token = "hidden-b"
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
type = "text"
lane = "a"
[channels.sales]
account = "11111111-2222-4333-8444-666666666666"
type = "text"
lane = "b"
[channels.sales.hook]
insecure_inline_secrets = ["hidden-hook", "hidden-old"]
[sources.deals]
topic = "deals"
format = "json"
kind = "record"
urgency = "low"
repeat_interval = "8h"
channel = "sales"
[sources.deals.json]
entity = "/deal/id"
[[sources.deals.routes]]
name = "big"
match = { "/deal/size" = "big", region = "EMEA" }
channel = "ops"
group_interval = "30s"
episode_gap = "1h"
critical = { group_wait = "1s" }
"#;

#[test]
fn lanes_without_a_default_token_work_when_every_channel_names_one() {
    let config = working(TWO_LANES);
    let lanes: Vec<&str> = config.lanes.iter().map(|lane| &*lane.policy.lane).collect();
    assert_eq!(lanes, ["a", "b"]);
    assert!(config.lanes[0].policy.channels.contains_key("ops"));
    assert!(config.lanes[1].policy.channels.contains_key("sales"));
}

#[test]
fn a_route_lives_in_the_lane_of_its_channel() {
    let config = working(TWO_LANES);
    let keys = |lane: usize| config.lanes[lane].policy.routes.keys().map(|key| &**key).collect::<Vec<_>>();
    assert_eq!((keys(0), keys(1)), (vec!["big"], vec!["deals"]));
    let [big, rest] = &config.sources[0].rules[..] else { panic!("two rules") };
    assert_eq!((&*big.lane, big.conditions.len(), big.urgency), ("a", 2, Some(Urgency::Low)));
    assert_eq!((&*rest.name, &*rest.lane, rest.conditions.len()), ("deals", "b", 0));
}

#[test]
fn a_route_inherits_its_timing_from_the_source_and_critical_news_is_never_slower() {
    let config = working(TWO_LANES);
    let big = &config.lanes[0].policy.routes["big"];
    let seconds = |duration: Duration| duration.as_secs();
    assert_eq!(seconds(big.timing.group_wait), 5, "the format's");
    assert_eq!(seconds(big.timing.group_interval), 30, "the route's");
    assert_eq!(seconds(big.timing.repeat_interval), 8 * 3600, "the source's");
    assert_eq!(seconds(big.timing_critical.group_wait), 1, "said for critical");
    assert_eq!(seconds(big.timing_critical.group_interval), 30, "no slower than the usual");
    assert_eq!(seconds(big.timing_critical.repeat_interval), 8 * 3600, "what was said for all");
    assert_eq!(seconds(big.timing_critical.episode_gap), 3600, "what was said for all");
}

#[test]
fn a_hook_has_a_door_for_each_channel_that_has_secrets() {
    let hook = working(TWO_LANES).hook.expect("a channel has a hook");
    let [door] = &hook.doors[..] else { panic!("one door") };
    assert_eq!((&*door.channel, &*door.lane, door.secrets.len()), ("sales", "b", 2));
    assert_eq!(door.secrets[0].expose(), b"hidden-hook");
    assert!(hook.edge.listen.ip().is_loopback());
}

#[test]
fn secrets_have_their_files_names_and_former_ones_end() {
    let secrets = Secrets::new(&[("ops-hook", "hidden\n"), ("ops-hook-former", "hidden-former")]);
    let hook = format!(
        "type = \"text\"\nhook = {{ secret_files = [{:?}], former_secret_files = [{:?}], \
         former_until = \"2030-01-31T12:00:00Z\", insecure_inline_secrets = [\"hidden-inline\"] }}",
        secrets.path("ops-hook"),
        secrets.path("ops-hook-former")
    );
    let hook = working(&LEAST.replace("type = \"text\"", &hook)).hook.expect("a channel has a hook");
    let end = missived::event::Timestamp::parse_rfc3339("2030-01-31T12:00:00Z").expect("a moment");
    let before = end - Duration::from_millis(1);
    let told: Vec<_> = hook.doors[0]
        .secrets
        .iter()
        .map(|secret| (secret.label(), secret.is_active(before), secret.is_active(end)))
        .collect();
    assert_eq!(told, [("ops-hook", true, true), ("inline-1", true, true), ("ops-hook-former", true, false)]);
}

#[test]
fn a_source_has_a_gate_if_it_says_so() {
    let secrets = Secrets::new(&[("ingest-token", "hidden-token")]);
    let text = LEAST.replace("channel = \"ops\"", "channel = \"ops\"\ningest = {}");
    let text = format!("{text}[ingest]\ntoken_file = {:?}\n", secrets.path("ingest-token"));
    let ingest = working(&text).ingest.expect("a source has a gate");
    let [gate] = &ingest.gates[..] else { panic!("one gate") };
    assert_eq!((&*gate.source, &*gate.topic, gate.secrets.len()), ("alerts", "alerts", 0));
    assert_eq!(ingest.token.expect("a token").expose(), b"hidden-token");
    assert_eq!((ingest.edge.listen.port(), ingest.edge.proxies.len()), (8081, 2));
    assert!(working(LEAST).ingest.is_none());
}

#[test]
fn a_json_source_has_its_pointers() {
    let config = working(TWO_LANES);
    let Format::Json(pointers) = &config.sources[0].format else { panic!("json") };
    let entity = Place::at(Pointer::parse("/deal/id").expect("a pointer"));
    assert_eq!(**pointers, Pointers::new(Kind::Record, entity));
    assert_eq!(config.sources[0].start, Start::Earliest);
}

const PRESET: &str = r#"
[sources.incidents]
topic = ["incidents-eu", "incidents-us"]
preset = "pagerduty"
window = "2h"
compression = "gzip"
redact = ["email"]
[sources.incidents.json]
title = "/payload/custom_details/title"
[[sources.incidents.routes]]
name = "eu"
match = { "$topic" = { glob = "*-eu" }, "$format" = "json", "/payload/severity" = { present = true } }
channel = "ops"
continue = true
[[sources.incidents.routes]]
name = "rest"
channel = "ops"
"#;

#[test]
fn a_presets_keys_hold_where_the_source_says_nothing() {
    let config = working(&format!("{LEAST}{PRESET}"));
    let source = &config.sources[1];
    let Format::Json(pointers) = &source.format else { panic!("json") };
    let title = Place::at(Pointer::parse("/payload/custom_details/title").expect("a pointer"));
    assert_eq!((pointers.kind, &pointers.title), (Kind::Alert, &Some(title)), "the source's own goes first");
    assert!(pointers.severity.is_some() && pointers.state.is_some(), "the preset's");
    assert_eq!((source.handling.compression, source.handling.privacy.redact.len()), (Compression::Gzip, 1));
    assert_eq!(config.lanes[0].policy.routes["rest"].window, Duration::from_secs(7200));
}

#[test]
fn a_source_of_several_topics_is_one_for_each_with_the_routes_for_it() {
    let config = working(&format!("{LEAST}{PRESET}"));
    let rules = |topic: &str| {
        let source = config.sources.iter().find(|source| &*source.topic == topic).expect(topic);
        source.rules.iter().map(|rule| (&*rule.name, rule.conditions.len(), rule.after)).collect::<Vec<_>>()
    };
    assert_eq!(rules("incidents-eu"), [("eu", 1, After::Continue), ("rest", 0, After::Stop)]);
    assert_eq!(rules("incidents-us"), [("rest", 0, After::Stop)]);
    assert_eq!(config.sources[0].rules[0].takes, Takes::Leftovers, "a source's own channel");
}

#[test]
fn every_preset_works_with_a_topic_and_a_channel_alone() {
    let names = [
        "chat",
        "intercom",
        "nagios",
        "pagerduty",
        "pipedrive",
        "salesforce",
        "stripe",
        "tickets",
        "zabbix",
        "zendesk",
    ];
    for name in names {
        let text = LEAST.replace("format = \"alertmanager\"", &format!("preset = {name:?}"));
        assert!(warnings(&text).is_empty(), "{name}");
        assert_eq!(working(&text).sources[0].format.as_str(), "json", "{name}");
    }
}

#[test]
fn no_secret_shows_in_debug() {
    let secrets = Secrets::new(&[("kafka-password", "hidden-password\n")]);
    let text = format!(
        "{TWO_LANES}\n[kafka.librdkafka]\n\"sasl.password\" = {{ file = {:?} }}\n\"ssl.key.password\" = \"hidden\"\n\
         \"socket.keepalive.enable\" = true\n\"linger.ms\" = 5\n",
        secrets.path("kafka-password")
    );
    let config = working(&text);
    assert_eq!(config.kafka.librdkafka["sasl.password"], "hidden-password");
    assert_eq!(config.kafka.librdkafka["socket.keepalive.enable"], "true");
    let shown = format!("{config:?}");
    assert!(!shown.contains("hidden") && shown.contains("\"linger.ms\": \"5\""), "{shown}");
}

#[test]
fn an_unencrypted_url_and_higher_limits_are_for_this_machine_only() {
    let text =
        LEAST.replace("[missive]\n", "[missive]\nurl = \"http://127.0.0.1:8081\"\nlimits = { concurrent = 50 }\n");
    assert_eq!(working(&text).lanes[0].policy.limits.concurrent, 50);
}

const WORDS: &str = r#"
[names]
labels = { urgent = "66666666-7777-4888-8999-aaaaaaaaaaaa" }
teams = { ops = "88888888-9999-4aaa-8bbb-cccccccccccc" }
[links]
rewrite = { "http://am" = "https://short.example", "http://am:9093" = "https://alerts.example" }
[sources.words]
topic = "words"
format = "alertmanager"
channel = "ops"
[sources.words.message]
title = "{{ fields.site }} {{ fields['/labels/pod'] }}"
labels = ["urgent"]
fields = { site = "/labels/site" }
close = "never"
[[sources.words.routes]]
name = "own"
channel = "ops"
match = { a = "b" }
message = { title = "{{ fields.other }}", team = "ops", attach_event = true }
[[sources.words.routes]]
name = "same"
channel = "ops"
match = { a = "c" }
"#;

#[test]
fn a_route_says_in_its_own_words_what_it_says_and_the_rest_in_its_sources() {
    let organization = "type = \"text\"\norganization = \"22222222-3333-4444-8555-666666666666\"";
    let config = working(&format!("{}{WORDS}", LEAST.replace("type = \"text\"", organization)));
    let telling = |route: &str| &config.lanes[0].policy.routes[route].telling;
    let fields = |route: &str| {
        let rules = &config.sources[1].rules;
        let rule = rules.iter().find(|rule| &*rule.name == route).expect(route);
        rule.carries.fields.iter().map(|(name, at)| format!("{name}={at}")).collect::<Vec<_>>()
    };
    assert_eq!(fields("words"), ["/labels/pod=/labels/pod", "site=/labels/site"]);
    assert_eq!(fields("own"), ["other=other"]);
    assert_eq!((telling("own").closing, telling("own").labels.len()), (Closing::Never, 1));
    assert!(telling("own").posting.team.is_some() && telling("same").posting.team.is_none());
    let carries = &config.sources[1].rules[0].carries;
    assert_eq!((carries.whole, carries.silencing), (Whole::Enclosed, Silencing::Built));
    let from: Vec<_> = carries.rewrites.iter().map(|rewrite| &*rewrite.from).collect();
    assert_eq!(from, ["http://am:9093", "http://am"], "the longest first");
    assert_eq!(config.names.id(NameOf::Team, "ops"), telling("own").posting.team);
}

#[test]
fn words_of_a_source_whose_routes_all_have_their_own_are_known_keys() {
    let text = LEAST.replace("channel = \"ops\"\n", "message = { title = \"{{ title }}\" }\n");
    let route = "[[sources.alerts.routes]]\nname = \"r\"\nchannel = \"ops\"\nmessage = { sender = \"x\" }\n";
    let config = working(&format!("{text}{route}"));
    let telling = &config.lanes[0].policy.routes["r"].telling;
    assert!(telling.title.is_some() && telling.sender.is_some());
}
