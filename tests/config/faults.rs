//! What every kind of fault says, word for word: the sentences are the interface.

use super::*;

/// What is wrong, what is replaced in the least file by what, and the one fault of it.
const ROWS: &[(&str, &str, &str, &str)] = &[
    (
        "a misspelt key",
        "topic = \"alerts\"",
        "topic = \"alerts\"\nwindwo = \"1h\"",
        "sources.alerts.windwo: unknown key; did you mean \"window\"?",
    ),
    (
        "a key that resembles nothing",
        "[channels.ops]",
        "[run]\nzzz = 1\n[channels.ops]",
        "run.zzz: unknown key; wanted \"drain_deadline\"",
    ),
    (
        "a misspelt word",
        "\"alertmanager\"",
        "\"alertmanger\"",
        "sources.alerts.format: found \"alertmanger\"; wanted one of \"alertmanager\", \"grafana\", \"cloudevents\", \
         \"hubspot\", \"debezium\", \"json\"; did you mean \"alertmanager\"?",
    ),
    (
        "a channel's id that is none",
        "11111111-2222-4333-8444-555555555555",
        "abc",
        "channels.ops.account: found \"abc\"; wanted a UUID such as \"11111111-2222-4333-8444-555555555555\"",
    ),
    (
        "a channel that isn't there",
        "channel = \"ops\"",
        "channel = \"opps\"",
        "sources.alerts.channel: found \"opps\"; wanted a channel from [channels]: \"ops\"; did you mean \"ops\"?",
    ),
    (
        "a source that goes nowhere",
        "channel = \"ops\"",
        "",
        "sources.alerts.channel: missing; wanted a channel from [channels], or [[routes]] with one each",
    ),
    (
        "a number where a text belongs",
        "topic = \"alerts\"",
        "topic = 7",
        "sources.alerts.topic: found 7; wanted a topic's name of 1 to 249 letters, digits, \".\", \"_\" and \"-\", or a \
         list of such",
    ),
    ("a number where a table belongs", "[kafka]", "intake = 1\n[kafka]", "intake: found 1; wanted a table"),
    (
        "a duration without a unit",
        "topic = \"alerts\"",
        "topic = \"alerts\"\nmax_age = 60",
        "sources.alerts.max_age: found 60; wanted a duration from \"1s\" to \"365d\"",
    ),
    (
        "a size without a unit",
        "[channels.ops]",
        "[hook]\nbody_bytes_max = \"5\"\n[channels.ops]",
        "hook.body_bytes_max: found \"5\"; wanted a size from \"16KiB\" to \"16MiB\"",
    ),
    (
        "a share over its range",
        "[missive]\n",
        "[missive]\nlimits = { critical_share = \"100%\" }\n",
        "missive.limits.critical_share: found \"100%\"; wanted a share from \"0%\" to \"90%\"",
    ),
    (
        "more than Missive takes",
        "[missive]\n",
        "[missive]\nlimits = { per_minute = 301 }\n",
        "missive.limits.per_minute: found 301; wanted a whole number from 1 to 300",
    ),
    (
        "an unencrypted URL",
        "[missive]\n",
        "[missive]\nurl = \"http://missive.example\"\n",
        "missive.url: found \"http://missive.example\"; wanted https:// and a host (http:// only to this machine), \
         without a path",
    ),
    (
        "a password in the URL",
        "[missive]\n",
        "[missive]\nurl = \"https://a:hidden@missive.example\"\n",
        "missive.url: found <redacted>; wanted https:// and a host (http:// only to this machine), without a path",
    ),
    (
        "no token",
        "insecure_inline_token = \"missive_pat-hidden\"",
        "",
        "missive.token_file: missing; wanted a file that holds the API token, such as \
         \"/etc/missived/secrets/missive-token\"",
    ),
    (
        "a token with a character that can't be sent",
        "missive_pat-hidden",
        "missive_pat hidden",
        "missive.insecure_inline_token: found <redacted>; wanted a Missive API token: 1 to 512 printable ASCII characters",
    ),
    (
        "a token that isn't even a text",
        "\"missive_pat-hidden\"",
        "[\"hidden\"]",
        "missive.insecure_inline_token: found <redacted>; wanted a string",
    ),
    (
        "two tokens",
        "[missive]\n",
        "[missive]\ntoken_file = \"/hid\"\n",
        "missive.insecure_inline_token: found <redacted>; wanted either this or token_file, not both",
    ),
    (
        "two lanes with one token",
        "[channels.ops]",
        "[lanes.b]\ninsecure_inline_token = \"missive_pat-hidden\"\n[channels.ops]",
        "lanes.b.insecure_inline_token: found the token that missive.insecure_inline_token gives, too; wanted a token of \
         its own: two lanes with one token would exceed its limits",
    ),
    (
        "a lane that isn't there",
        "type = \"text\"",
        "type = \"text\"\nlane = \"defualt\"",
        "channels.ops.lane: found \"defualt\"; wanted a lane from [lanes]: \"default\"; did you mean \"default\"?",
    ),
    (
        "a second default lane",
        "[channels.ops]",
        "[lanes.default]\ninsecure_inline_token = \"hidden-b\"\n[channels.ops]",
        "lanes.default: found a second lane of that name; wanted another name: the token of \"default\" is \
         missive.token_file",
    ),
    (
        "an email channel without addresses",
        "type = \"text\"",
        "type = \"email\"\nfrom = \"missived@example.com\"",
        "channels.ops.recipient.address: missing; wanted an address such as \"ops@example.com\"",
    ),
    (
        "an email channel that wants to hear replies",
        "type = \"text\"",
        "type = \"email\"\nfrom = \"m@x\"\nrecipient = { address = \"o@x\" }\nhook = { insecure_inline_secrets = [\"hidden\"] }",
        "channels.ops.hook: found a table; wanted none: Missive sends no webhooks for email channels",
    ),
    (
        "an address on a text channel",
        "type = \"text\"",
        "type = \"text\"\nrecipient = { address = \"o@x\" }",
        "channels.ops.recipient.address: found an address; wanted id, username and name: only email has addresses",
    ),
    (
        "a template that isn't finished",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { title = \"{{ title\" }",
        "sources.alerts.message.title: found \"{{ title\" (line 1: syntax error: unexpected end of input, expected end of \
         variable block); wanted a template such as \"{{ event.title }}\"",
    ),
    (
        "a filter that there isn't",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { body = \"{{ title | uper }}\" }",
        "sources.alerts.message.body: found \"{{ title | uper }}\" (line 1: unknown filter: filter uper is unknown); wanted a \
         template such as \"{{ event.title }}\"",
    ),
    (
        "a misspelt name in a template",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { sender = \"{{ titel }}\" }",
        "sources.alerts.message.sender: found \"titel\"; wanted what a template knows: one of \"author\", \"channel\", \
         \"counts\", \"default\", \"event\", \"fields\", \"firing\", \"first\", \"flaps\", \"key\", \"kind\", \"last\", \"lines\", \
         \"link\", \"more\", \"repeats\", \"route\", \"said\", \"severity\", \"state\" and 4 more; did you mean \"title\"?",
    ),
    (
        "a label that nobody knows",
        "type = \"text\"",
        "type = \"text\"\norganization = \"22222222-3333-4444-8555-666666666666\"\n[names.labels]\n\
         urgent = \"66666666-7777-4888-8999-aaaaaaaaaaaa\"\n[sources.x]\ntopic = \"x\"\nformat = \"alertmanager\"\nchannel = \"ops\"\n\
         message = { labels = [\"urgnt\", \"{{ fields.team }}\"] }",
        "sources.x.message.labels: found \"urgnt\"; wanted an id, or a label from [names.labels]: \"urgent\"; did you mean \
         \"urgent\"?",
    ),
    (
        "a team that has no id yet",
        "type = \"text\"",
        "type = \"text\"\nteam = \"Support\"",
        "channels.ops.team: found \"Support\"; wanted an id, or a team from [names.teams], which has none; \
         `missived check --online` asks Missive for its id",
    ),
    (
        "labels without an organization",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { labels = [\"66666666-7777-4888-8999-aaaaaaaaaaaa\"] }",
        "sources.alerts.message.labels: found a list; wanted channels.ops.organization beside it",
    ),
    (
        "a team's inbox without a team",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { add_to_team_inbox = true }",
        "sources.alerts.message.add_to_team_inbox: found true; wanted a team beside it",
    ),
    (
        "a colour that Missive doesn't know",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { colours = { critical = \"red\" } }",
        "sources.alerts.message.colours.critical: found \"red\"; wanted \"good\", \"warning\", \"danger\" or HEX such as \
         \"#c0ffee\"",
    ),
    (
        "an address that isn't one",
        "channel = \"ops\"",
        "channel = \"ops\"\nmessage = { link = \"crm/{/id}\" }",
        "sources.alerts.message.link: found \"crm/{/id}\"; wanted an address with fields in braces such as \
         \"https://crm.example.com/deals/{/deal/id}\"",
    ),
    (
        "an address that people can't open",
        "[channels.ops]",
        "[links]\nrewrite = { \"http://am:9093\" = \"http://alerts\" }\n[channels.ops]",
        "links.rewrite.\"http://am:9093\": found \"http://alerts\"; wanted the beginning of an https:// address that people can \
         open",
    ),
    (
        "files that no record has room for",
        "[channels.ops]",
        "[lane]\nfiles_bytes_max = \"512KiB\"\n[channels.ops]",
        "lane.files_bytes_max: found \"512KiB\"; wanted at most a quarter of kafka.topics.message_bytes_max, and room beside a \
         frame (\"256KiB\")",
    ),
    (
        "a misspelt key in a route's words",
        "channel = \"ops\"",
        "channel = \"ops\"\n[[sources.alerts.routes]]\nname = \"r\"\nchannel = \"ops\"\nmessage = { titel = \"x\" }",
        "sources.alerts.routes[0].message.titel: unknown key; did you mean \"title\"?",
    ),
    (
        "a hook that anybody could use",
        "type = \"text\"",
        "type = \"text\"\nhook = {}",
        "channels.ops.hook.secret_files: missing; wanted files with the channel's webhook secrets such as \
         [\"/etc/missived/secrets/ops-hook\"], or insecure_unsigned = true",
    ),
    (
        "an empty secret",
        "type = \"text\"",
        "type = \"text\"\nhook = { insecure_inline_secrets = [\"hidden\", \"\"] }",
        "channels.ops.hook.insecure_inline_secrets[1]: found <redacted>; wanted a secret that is not empty",
    ),
    (
        "a secret where a list belongs",
        "type = \"text\"",
        "type = \"text\"\nhook = { secret_files = \"hidden\" }",
        "channels.ops.hook.secret_files: found <redacted>; wanted an array of at most 8 strings",
    ),
    (
        "secrets that don't matter",
        "type = \"text\"",
        "type = \"text\"\nhook = { insecure_inline_secrets = [\"hidden\"], insecure_unsigned = true }",
        "channels.ops.hook.insecure_unsigned: found true; wanted false beside secrets: an unsigned request would pass by \
         them",
    ),
    (
        "a listener in the clear",
        "[channels.ops]",
        "[hook]\nlisten = \"0.0.0.0:80\"\n[channels.ops]",
        "hook.listen: found \"0.0.0.0:80\"; wanted a loopback address behind a proxy that ends TLS, or \
         tls_certificates and tls_key, or insecure_plain_http = true",
    ),
    (
        "half of what TLS needs",
        "[channels.ops]",
        "[hook]\ntls_key = \"/nowhere/key.pem\"\n[channels.ops]",
        "hook.tls_certificates: missing; wanted the other half of what TLS needs: a file of PEM",
    ),
    (
        "a proxy that is no address",
        "[channels.ops]",
        "[hook]\nproxies = [\"localhost\"]\n[channels.ops]",
        "hook.proxies: found an array; wanted an array of at most 64 addresses or networks such as \"10.0.0.0/8\"",
    ),
    (
        "a header that can't be one",
        "[channels.ops]",
        "[hook]\nsignature_headers = [\"X Hook\"]\n[channels.ops]",
        "hook.signature_headers: found an array; wanted an array of 1 to 64 names of headers such as \
         \"x-hook-signature\"",
    ),
    (
        "no room for one body",
        "[channels.ops]",
        "[hook]\nbodies_bytes_max = \"1MiB\"\nbody_bytes_max = \"2MiB\"\n[channels.ops]",
        "hook.bodies_bytes_max: found \"1MiB\"; wanted at least body_bytes_max (\"2MiB\")",
    ),
    (
        "a former secret that never ends",
        "type = \"text\"",
        "type = \"text\"\nhook = { insecure_inline_secrets = [\"hidden\"], former_secret_files = [\"/dev/null/x\"] }",
        "channels.ops.hook.former_secret_files[0]: found \"/dev/null/x\" (can't be read: not a directory); wanted a \
         readable text file that is not empty",
    ),
    (
        "a way in that nothing proves",
        "channel = \"ops\"",
        "channel = \"ops\"\ningest = {}",
        "ingest.token_file: missing; wanted a file with the bearer token, such as \"/etc/missived/secrets/ingest-token\"",
    ),
    (
        "HubSpot without its secret",
        "channel = \"ops\"",
        "channel = \"ops\"\ningest = { sender = \"hubspot\", url = \"https://in.example.com/ingest/alerts\" }",
        "sources.alerts.ingest.secret_files: missing; wanted a file with the client secret of the HubSpot app",
    ),
    (
        "metrics for everyone",
        "type = \"text\"",
        "type = \"text\"\nhook = { insecure_inline_secrets = [\"hidden\"] }\n[admin]\nlisten = \"127.0.0.1:8080\"",
        "admin.listen: found \"127.0.0.1:8080\", like hook.listen; wanted an address of its own: metrics are not for \
         everyone",
    ),
    (
        "a time zone that isn't one",
        "type = \"text\"",
        "type = \"text\"\ntime_zone = \"Berlin\"",
        "channels.ops.time_zone: found \"Berlin\"; wanted a time zone such as \"Europe/Berlin\"",
    ),
    (
        "a name that can't be in a path",
        "[channels.ops]",
        "[channels.\"a/b\"]\naccount = \"11111111-2222-4333-8444-555555555555\"\ntype = \"text\"\n[channels.ops]",
        "channels.\"a/b\": found \"a/b\"; wanted a name of 1 to 64 letters, digits, \"-\" and \"_\"",
    ),
    (
        "one topic, two sources",
        "[sources.alerts]",
        "[sources.again]\ntopic = \"alerts\"\nformat = \"cloudevents\"\nchannel = \"ops\"\n[sources.alerts]",
        "sources.alerts.topic: found \"alerts\", the topic of sources.again; wanted a topic of its own; use [[routes]] \
         to tell its events apart",
    ),
    (
        "a topic that would feed itself",
        "topic = \"alerts\"",
        "topic = \"missived.replies\"",
        "sources.alerts.topic: found \"missived.replies\"; wanted a topic that isn't missived's own, or another \
         kafka.namespace",
    ),
    (
        "a route with a source's name",
        "channel = \"ops\"",
        "channel = \"ops\"\n[[sources.alerts.routes]]\nname = \"alerts\"\nmatch = { a = \"b\" }\nchannel = \"ops\"",
        "sources.alerts.routes[0].name: found \"alerts\", the route of sources.alerts.channel; wanted a name that no \
         other route has",
    ),
    (
        "a route that goes nowhere",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { a = \"b\" }",
        "sources.alerts.routes[0].channel: missing; wanted a channel from [channels]: \"ops\"",
    ),
    (
        "a condition that is a number",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { a = 5 }\nchannel = \"ops\"",
        "sources.alerts.routes[0].match.a: found 5; wanted a string that the field must be equal to, a list of such, or a \
         table with tests: equals, glob, regex, present, above, at_least, below, at_most",
    ),
    (
        "a test that nobody knows",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { a = { like = \"b\" } }\nchannel = \"ops\"",
        "sources.alerts.routes[0].match.a.like: found the test \"like\"; wanted a string that the field must be equal to, a \
         list of such, or a table with tests: equals, glob, regex, present, above, at_least, below, at_most",
    ),
    (
        "an expression that is none",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { a = { regex = \"(\" } }\nchannel = \"ops\"",
        "sources.alerts.routes[0].match.a.regex: found \"(\"; wanted a regular expression that isn't huge",
    ),
    (
        "a bound that is a text",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { a = { above = \"5\" } }\nchannel = \"ops\"",
        "sources.alerts.routes[0].match.a.above: found \"5\"; wanted a number",
    ),
    (
        "something of ours that isn't there",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { \"$tpic\" = \"b\" }\nchannel = \"ops\"",
        "sources.alerts.routes[0].match.\"$tpic\": found \"$tpic\"; wanted the name of a field, a JSON pointer such as \
         \"/deal/stage\", \"$topic\" or \"$format\"",
    ),
    (
        "a preset that isn't there",
        "format = \"alertmanager\"",
        "format = \"alertmanager\"\npreset = \"zabix\"",
        "sources.alerts.preset: found \"zabix\"; wanted a preset: one of \"chat\", \"intercom\", \"nagios\", \"pagerduty\", \
         \"pipedrive\", \"salesforce\", \"stripe\", \"tickets\", \"zabbix\", \"zendesk\"; did you mean \"zabbix\"?",
    ),
    (
        "another format than the preset's",
        "format = \"alertmanager\"",
        "format = \"alertmanager\"\npreset = \"zabbix\"",
        "sources.alerts.json: found pointers; wanted none, or format = \"json\"",
    ),
    (
        "a redacted pointer that is none",
        "topic = \"alerts\"",
        "topic = \"alerts\"\nredact = [\"/a~\"]",
        "sources.alerts.redact: found an array; wanted a list of names of fields and JSON pointers such as [\"email\", \
         \"/customer/phone\"]",
    ),
    (
        "a compression that isn't there",
        "topic = \"alerts\"",
        "topic = \"alerts\"\ncompression = \"gzp\"",
        "sources.alerts.compression: found \"gzp\"; wanted one of \"none\", \"gzip\", \"zstd\"; did you mean \"gzip\"?",
    ),
    (
        "a row's key that is no pointer",
        "format = \"alertmanager\"",
        "format = \"debezium\"\ndebezium = { key = \"id\" }",
        "sources.alerts.debezium.key: found \"id\"; wanted a JSON pointer into the row such as \"/id\", or a list of such",
    ),
    (
        "a place with an unknown key",
        "format = \"alertmanager\"",
        "format = \"json\"\nkind = \"record\"\njson = { entity = { at = \"/id\", typ = \"text\" } }",
        "sources.alerts.json.entity.typ: unknown key; did you mean \"type\"?",
    ),
    (
        "a condition on a broken pointer",
        "channel = \"ops\"",
        "[[sources.alerts.routes]]\nname = \"a\"\nmatch = { \"/a~2\" = \"b\" }\nchannel = \"ops\"",
        "sources.alerts.routes[0].match.\"/a~2\": found \"/a~2\"; wanted the name of a field, a JSON pointer such as \
         \"/deal/stage\", \"$topic\" or \"$format\"",
    ),
    (
        "Alertmanager as something else",
        "topic = \"alerts\"",
        "topic = \"alerts\"\nkind = \"thread\"",
        "sources.alerts.kind: found \"thread\"; wanted \"alert\": Alertmanager sends nothing else",
    ),
    (
        "json without a kind",
        "format = \"alertmanager\"",
        "format = \"json\"\njson = { entity = \"/id\" }",
        "sources.alerts.kind: missing; wanted one of \"alert\", \"record\", \"thread\"",
    ),
    (
        "json without an entity",
        "format = \"alertmanager\"",
        "format = \"json\"\nkind = \"record\"",
        "sources.alerts.json.entity: missing; wanted a JSON pointer such as \"/deal/id\", a text with pointers such as \
         \"{/first} {/last}\", a list of these, or a table { at, default, type, words }",
    ),
    (
        "a pointer without its slash",
        "format = \"alertmanager\"",
        "format = \"json\"\nkind = \"record\"\njson = { entity = \"/id\", title = \"name\" }",
        "sources.alerts.json.title: found \"name\"; wanted a JSON pointer such as \"/deal/id\", a text with pointers such as \
         \"{/first} {/last}\", a list of these, or a table { at, default, type, words }",
    ),
    (
        "pointers for a format that needs none",
        "topic = \"alerts\"",
        "topic = \"alerts\"\njson = { entity = \"/id\" }",
        "sources.alerts.json: found pointers; wanted none, or format = \"json\"",
    ),
    (
        "a librdkafka key with one of ours",
        "[missive]",
        "[kafka.librdkafka]\n\"group.id\" = \"x\"\n[missive]",
        "kafka.librdkafka.\"group.id\": found a property that is missived's own; wanted kafka.namespace instead",
    ),
    (
        "a librdkafka key that would break a promise",
        "[missive]",
        "[kafka.librdkafka]\n\"enable.auto.commit\" = true\n[missive]",
        "kafka.librdkafka.\"enable.auto.commit\": found a property that is missived's own; wanted nothing here: offsets \
         are committed after the state that reflects them",
    ),
    (
        "a librdkafka key that it doesn't know",
        "[missive]",
        "[kafka.librdkafka]\n\"sasl.mechanisn\" = \"PLAIN\"\n[missive]",
        "kafka.librdkafka.\"sasl.mechanisn\": found a property that librdkafka doesn't know; wanted one from its \
         CONFIGURATION.md",
    ),
    (
        "a librdkafka value that it refuses",
        "[missive]",
        "[kafka.librdkafka]\n\"security.protocol\" = \"TLS\"\n[missive]",
        "kafka.librdkafka.\"security.protocol\": found \"TLS\"; wanted a value that librdkafka accepts, see its \
         CONFIGURATION.md",
    ),
    (
        "a librdkafka secret of the wrong type",
        "[missive]",
        "[kafka.librdkafka]\n\"sasl.password\" = [\"hidden\"]\n[missive]",
        "kafka.librdkafka.\"sasl.password\": found <redacted>; wanted a string, a whole number, true, false, or { file = \
         \"/…\" } to read it from a file",
    ),
    (
        "a server without a port that is one",
        "kafka2:9092",
        "kafka2:99999",
        "kafka.bootstrap: found \"kafka2:99999\"; wanted servers such as \"kafka1:9092,kafka2:9092\"",
    ),
    (
        "no copies at all",
        "[missive]",
        "[kafka.topics]\nreplication = 0\n[missive]",
        "kafka.topics.replication: found 0; wanted -1 (the broker's default) or a whole number from 1 to 15",
    ),
    (
        "a frame that fits no record",
        "[channels.ops]",
        "[intake]\nframe_bytes_max = \"1MiB\"\n[channels.ops]",
        "intake.frame_bytes_max: found \"1MiB\"; wanted less than kafka.topics.message_bytes_max (\"1MiB\")",
    ),
    (
        "a window shorter than the intake's memory",
        "topic = \"alerts\"",
        "topic = \"alerts\"\nwindow = \"5s\"",
        "sources.alerts.window: found \"5s\"; wanted at least intake.dedupe_horizon (\"10s\")",
    ),
    (
        "a drain that waits for no answer",
        "[channels.ops]",
        "[run]\ndrain_deadline = \"12s\"\n[channels.ops]",
        "run.drain_deadline: found \"12s\"; wanted more than missive.request_timeout and missive.send_within together \
         (\"12s\")",
    ),
    (
        "pauses that shrink",
        "[missive]\n",
        "[missive]\nretry_first = \"10m\"\n",
        "missive.retry_first: found \"10m\"; wanted at most missive.retry_longest (\"5m\")",
    ),
    (
        "critical news that waits longest",
        "[channels.ops]",
        "[lane]\nhorizons = { critical = \"6m\" }\n[channels.ops]",
        "lane.horizons.critical: found \"6m\"; wanted at most lane.horizons.normal (\"5m\")",
    ),
    (
        "low news that waits least",
        "[channels.ops]",
        "[lane]\nhorizons = { low = \"1m\" }\n[channels.ops]",
        "lane.horizons.normal: found \"5m\"; wanted at most lane.horizons.low (\"1m\")",
    ),
    (
        "a hook slower than Missive's patience",
        "[channels.ops]",
        "[hook]\nkafka_timeout = \"15s\"\n[channels.ops]",
        "hook.kafka_timeout: found \"15s\"; wanted a duration from \"1s\" to \"14s\"",
    ),
];

#[test]
fn each_kind_of_fault_is_told_once_and_in_full() {
    for (sentence, this, that, expected) in ROWS {
        assert!(LEAST.contains(this), "{sentence}");
        assert_eq!(faults(&LEAST.replacen(this, that, 1)), [*expected], "{sentence}");
    }
}

#[test]
fn too_much_of_anything_is_a_fault_and_not_dropped() {
    let conditions: String = (0..33).map(|at| format!("f{at} = \"x\"\n")).collect();
    let route = "[[sources.alerts.routes]]\nname = \"a\"\nchannel = \"ops\"\n[sources.alerts.routes.match]\n";
    let properties: String = (0..257).map(|at| format!("f{at} = 1\n")).collect();
    let lanes: String = (0..1001).map(|at| format!("l{at} = {{}}\n")).collect();
    let rows = [
        (format!("{LEAST}{route}{conditions}"), "sources.alerts.routes[0].match: found 33 of them; wanted at most 32"),
        (format!("{LEAST}[kafka.librdkafka]\n{properties}"), "kafka.librdkafka: found 257 of them; wanted at most 256"),
        (format!("{LEAST}[lanes]\n{lanes}"), "lanes: found 1001 of them; wanted at most 1000"),
    ];
    for (text, expected) in rows {
        let faults = faults(&text);
        assert!(faults.contains(&expected.to_owned()), "{expected}: {:?}", faults.first());
        assert!(faults.len() <= 200, "{}", faults.len());
    }
}

#[test]
fn an_empty_file_says_what_a_file_needs() {
    let faults = faults("");
    let keys: Vec<&str> = faults.iter().filter_map(|fault| fault.split(": missing").next()).collect();
    assert_eq!(keys, ["kafka.bootstrap", "channels", "missive.token_file", "sources"]);
}

#[test]
fn six_faults_are_six_each_with_its_line() {
    let text = LEAST
        .replace("bootstrap", "bootsrap")
        .replace("11111111-2222-4333-8444-555555555555", "abc")
        .replace("type = \"text\"", "type = \"text\"\ncolour = 1")
        .replace("format = ", "fromat = ")
        .replace("channel = \"ops\"", "channel = \"opps\"")
        .replace("topic = \"alerts\"", "topic = true");
    let error = parse(&text).expect_err("six faults");
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "missived.toml:2: kafka.bootsrap: unknown key; did you mean \"bootstrap\"?",
        "missived.toml:6: channels.ops.account: found \"abc\"; wanted a UUID",
        "missived.toml:8: channels.ops.colour: unknown key; wanted one of \"account\", \"account_key\"",
        "missived.toml:10: sources.alerts.topic: found true; wanted a topic's name",
        "missived.toml:11: sources.alerts.fromat: unknown key; did you mean \"format\"?",
        "missived.toml:12: sources.alerts.channel: found \"opps\"; wanted a channel from [channels]: \"ops\"; did you",
    ];
    assert_eq!((error.count(), lines.len()), (6, 6), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn what_isnt_toml_is_shown_with_its_place() {
    let text = "[kafka]\nbootstrap = \"kafka1\"\n# a comment\ntoken_file = \"a\" b\n";
    let message = parse(text).expect_err("broken").to_string();
    assert!(message.starts_with("/etc/missived/missived.toml:4:18: not TOML: "), "{message}");
    assert!(message.ends_with("\n    token_file = \"a\" b\n                     ^"), "{message}");
}

#[test]
fn a_line_that_may_be_a_secret_is_not_shown() {
    let rows = [
        ("a quote that doesn't end", "insecure_inline_token = \"hidden"),
        ("a list that lost its beginning to a comment", "#insecure_inline_secrets = [\n\"hidden\",\n]"),
        ("a property with a quote inside", "\"sasl.pass\"word\" = \"hidden\""),
        ("a key that is ours in another place", "my_token = \"hidden"),
    ];
    for (sentence, text) in rows {
        let message = parse(text).expect_err(sentence).to_string();
        assert!(message.ends_with("(line not shown: the file has secrets in it)"), "{sentence}: {message}");
        assert!(!message.contains("hidden"), "{sentence}: {message}");
    }
}

#[test]
fn a_secret_at_the_wrong_place_is_not_repeated() {
    let rows = [
        ("a token as an account", LEAST.replace("11111111-2222-4333-8444-555555555555", "missive_pat-hid")),
        ("a URL with a password", LEAST.replace("[missive]", "[missive]\nurl = \"https://a:hid\\u0001den@b\"")),
        ("a URL with a password that lost its @", LEAST.replace("[missive]", "[missive]\nurl = \"https://a:hiddenb\"")),
    ];
    for (sentence, text) in rows {
        let faults = faults(&text);
        assert!(faults.len() == 1 && faults[0].contains("found <redacted>;"), "{sentence}: {faults:?}");
    }
}

#[test]
fn a_file_that_cant_be_read_says_so() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let error = Config::load(&folder.path().join("missing.toml"), &Environment::default()).expect_err("no file");
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    fs::write(folder.path().join("big.toml"), vec![b'#'; (1 << 20) + 1]).expect("a scratch file");
    let error = Config::load(&folder.path().join("big.toml"), &Environment::default()).expect_err("too large");
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
}

#[test]
fn what_works_and_is_odd_is_a_warning() {
    let unreachable = "[[sources.alerts.routes]]\nname = \"all\"\nchannel = \"ops\"\n";
    let rows = [
        ("a listener for nobody", format!("{LEAST}[hook]\n"), "hook: no channel has a hook"),
        (
            "a route that leaves nothing",
            format!("{LEAST}{unreachable}"),
            "sources.alerts.channel: never takes an event: route \"all\" takes all of it before",
        ),
        (
            "a route for a topic that this source doesn't read",
            format!("{LEAST}{}", unreachable.replace("\nchannel", "\nmatch = { \"$topic\" = \"other\" }\nchannel")),
            "sources.alerts.routes[0]: never takes an event: this source has no such topic or format",
        ),
        (
            "conditions that exclude one another",
            format!(
                "{LEAST}{}",
                unreachable.replace("\nchannel", "\nmatch = { a = { above = 5, below = 5 } }\nchannel")
            ),
            "sources.alerts.routes[0]: never takes an event: a > 5 excludes a < 5",
        ),
        (
            "a route on what nobody may see",
            LEAST.replace("topic =", "redact = [\"a\"]\ntopic =")
                + &unreachable.replace("\nchannel", "\nmatch = { a = \"b\" }\nchannel"),
            "sources.alerts.routes[0]: never takes an event: a is redacted, and routes see no more of it",
        ),
        (
            "an open door",
            LEAST.replace("type = \"text\"", "type = \"text\"\nhook = { insecure_unsigned = true }"),
            "channels.ops.hook.insecure_unsigned: whoever knows the address",
        ),
        (
            "a lane that nobody uses",
            format!("{LEAST}[lanes.idle]\ninsecure_inline_token = \"hidden-b\"\n"),
            "lanes.idle: no channel belongs to this lane",
        ),
    ];
    for (sentence, text, expected) in rows {
        let warnings = warnings(&text);
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{sentence}: {warnings:?}");
    }
}
