//! Routes in their own words: what templates see, what becomes of those that fail, other channel types, files.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::event::{Enclosed, Enclosure};
use crate::lane::telling::{Closing, Colours, Dating, Telling};
use crate::lane::templates::{Output, Template};
use crate::missive::{ChannelType, Colour, Mail, Posting};

const LABEL: Uuid = Uuid::from_u128(0x6666_6666_7777_4888_8999_aaaa_aaaa_aaaa);

fn template(source: &str, output: Output) -> Option<Template> {
    Some(Telling::template(source, output).unwrap_or_else(|error| panic!("{source}: {error}")))
}

fn plain(source: &str) -> Option<Template> {
    template(source, Output::Plain)
}

/// What is sent for some alerts of one group, or for somebody's words.
struct Scene {
    story: Story,
    /// What is heard from now on happened long ago.
    old: bool,
}

impl Scene {
    fn new(kind: ChannelType, telling: Telling) -> Self {
        let mut policy = policy();
        let channel = &mut policy.channels.get_mut("ops").expect("a channel").channel;
        channel.kind = kind;
        channel.organization = Some(LABEL);
        channel.body_chars_max = 300;
        channel.mail = Mail { from: "m@example.com".into(), ..Mail::default() };
        let telling = Arc::new(telling);
        policy.routes.values_mut().for_each(|route| route.telling = Arc::clone(&telling));
        let story = Story { lane: Lane::new(Arc::new(policy), HashKey::new([3; 16]), 1), ..Story::new() };
        Self { story, old: false }
    }

    fn hear(&mut self, route: &str, state: State, entity: u128, facts: Facts<'_>) {
        let story = &mut self.story;
        story.offset += 1;
        let observation = Observation {
            position: Position { offset: story.offset, index: 0 },
            route,
            at: story.now,
            old: self.old,
            entity: Fingerprint::from_u128(entity),
            identity: Fingerprint::from_u128(entity * 10 + state as u128),
            state,
            urgency: Urgency::Critical,
            since: Some(story.now),
            conversation: Cow::Borrowed("k"),
            facts,
        };
        let mut builder = FrameBuilder::default();
        builder.push(&observation);
        let mut bytes = Vec::new();
        builder.seal("default", "topic", 0, &mut bytes);
        let Ok(LedgerRecord::Frame(frame)) = LedgerRecord::read(&bytes) else { panic!("a frame") };
        story.lane.step(story.now, Input::Observed(&frame), &mut story.effects);
    }

    fn alert(&mut self, entity: u128, title: &'static str) {
        let named = vec![("team".into(), "pay<b>".into())];
        let facts =
            Facts { title: title.into(), text: "5 > 1".into(), link: "https://g".into(), named, ..Facts::default() };
        self.hear("alerts", State::Firing, entity, facts);
    }

    /// The fields of what is sent next.
    fn message(&mut self) -> serde_json::Value {
        let sent = self.story.sent();
        let [Delivery { request: Request::Message { body, .. }, .. }] = &sent[..] else { panic!("{sent:?}") };
        serde_json::from_slice::<serde_json::Value>(body).expect("JSON")["messages"].take()
    }

    fn faults(&self) -> u64 {
        self.story.lane.tally().template_faults
    }
}

#[test]
fn a_route_says_it_in_its_own_words() {
    let telling = Telling {
        title: plain("{{ title }} of {{ fields.team }}"),
        sender: plain("{{ event.fields.team|upper }}"),
        body: plain("{{ event.title }} {{ firing }} {{ state }}\n{{ default.body }}"),
        colour: plain("#00ff00"),
        labels: [plain("{% if urgency == 'critical' %}hot{% endif %}"), plain("{{ fields.none }}")]
            .into_iter()
            .flatten()
            .collect(),
        known_labels: Arc::new([("hot".into(), LABEL)].into()),
        ..Telling::default()
    };
    let mut scene = Scene::new(ChannelType::Text, telling);
    scene.alert(1, "High");
    let message = scene.message();
    let rows = [
        ("conversation_subject", "High of pay<b>"),
        ("conversation_color", "#00ff00"),
        ("body", "High 1 firing\n🔴 High: 5 > 1\n1 firing since Sun 22 Nov 03:12 UTC (+00:00)\nGraph https://g"),
    ];
    for (key, value) in rows {
        assert_eq!(message[key], value, "{key}");
    }
    assert_eq!(message["from_field"]["name"], "PAY<B>");
    assert_eq!(message["add_shared_labels"], serde_json::json!([LABEL.to_string()]));
    assert_eq!(scene.faults(), 0);
}

#[test]
fn a_template_that_fails_is_counted_and_people_read_the_default_words() {
    let telling = Telling {
        title: plain("{% if firing > 900 %}many{% endif %}"),
        body: plain("{{ 1 // (firing - 1) }}"),
        colour: plain("{{ event.title }}"),
        labels: [plain("{{ event.title }}")].into_iter().flatten().collect(),
        ..Telling::default()
    };
    let mut scene = Scene::new(ChannelType::Text, telling);
    scene.alert(1, "High");
    let message = scene.message();
    assert_eq!(message["conversation_subject"], "High");
    assert!(message["body"].as_str().expect("a body").starts_with("🔴 High: 5 > 1\n"), "{message}");
    assert_eq!((&message["conversation_color"], message.get("add_shared_labels")), (&"danger".into(), None));
    assert_eq!(scene.faults(), 4);
    let keys = scene.story.effects.notices.iter().map(|notice| match notice {
        Notice::TemplateFailed { route, key, count, .. } => (&**route, *key, *count),
        Notice::Recreated { .. } | Notice::Rewound { .. } => ("", "", 0),
    });
    let keys: Vec<_> = keys.collect();
    assert_eq!(keys, [("alerts", "title", 1), ("alerts", "body", 1), ("alerts", "colour", 1), ("alerts", "labels", 1)]);
}

#[test]
fn markup_is_escaped_whoever_words_it() {
    let own =
        Telling { body: template("<i>{{ fields.team }}</i>{{ default.body }}", Output::Markup), ..Telling::default() };
    let default = "<p><strong>🔴 a&lt;b&gt;: 5 &gt; 1</strong><br>1 firing since Sun 22 Nov 03:12 UTC (+00:00)<br>\
        <a href=\"https://g\">Graph</a></p>";
    for (telling, before) in [(Telling::default(), ""), (own, "<i>pay&lt;b&gt;</i>")] {
        for kind in [ChannelType::Html, ChannelType::Email] {
            let mut scene = Scene::new(kind, telling.clone());
            scene.alert(1, "a<b>");
            let message = scene.message();
            assert_eq!(message["body"], format!("{before}{default}"));
            assert_eq!(message.get("subject").is_some(), kind == ChannelType::Email);
            assert_eq!(message.get("external_id").is_some(), kind == ChannelType::Html);
        }
    }
}

#[test]
fn words_that_dont_fit_go_along_whole() {
    for kind in [ChannelType::Text, ChannelType::Html] {
        let mut scene = Scene::new(kind, Telling::default());
        let words = "é<b>\n".repeat(200);
        scene.hear(
            "chat",
            State::Said,
            1,
            Facts { text: words.clone().into(), author: "Ann".into(), ..Facts::default() },
        );
        let message = scene.message();
        let body = message["body"].as_str().expect("a body");
        assert!(body.chars().count() <= 300 && body.contains("message.txt has all of it"), "{body}");
        assert!(!body.contains("<b>") || kind == ChannelType::Text, "{body}");
        let file = message["attachments"][0]["base64_data"].as_str().expect("a file");
        let whole = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, file).expect("base64");
        assert_eq!(String::from_utf8(whole).expect("text"), words);
    }
}

#[test]
fn files_go_along_with_the_news_and_those_that_dont_fit_are_named() {
    let mut scene = Scene::new(ChannelType::Text, Telling::default());
    let file = |name: &'static str, bytes: usize| Enclosed {
        name: name.into(),
        content: Enclosure::Text("x".repeat(bytes).into()),
    };
    let files = vec![file("event.json", 900), file("large.json", 900)];
    scene.hear("deals", State::Changed, 1, Facts { title: "Deal".into(), files, ..Facts::default() });
    scene.story.now = scene.story.now + Duration::from_secs(6);
    let message = scene.message();
    assert_eq!(message["attachments"].as_array().map(Vec::len), Some(1));
    assert_eq!(message["body"], "Deal\nNot attached: large.json (900 B)");
}

#[test]
fn files_of_what_is_only_told_in_a_roll_up_are_named_there() {
    let mut scene = Scene::new(ChannelType::Text, Telling::default());
    scene.old = true;
    let files = vec![Enclosed { name: "event.json".into(), content: Enclosure::Text("x".repeat(40).into()) }];
    scene.hear("deals", State::Changed, 1, Facts { title: "Deal".into(), files, ..Facts::default() });
    scene.story.now = scene.story.now + Duration::from_secs(60);
    let message = scene.message();
    let body = message["body"].as_str().expect("a body");
    assert!(body.contains("Deal") && body.ends_with("\nNot attached: event.json (40 B)"), "{body}");
    assert_eq!(message.get("attachments"), None);
}

#[test]
fn a_route_says_how_its_conversations_look_and_close() {
    let telling = Telling {
        colours: Colours { critical: Some(Colour::Rgb([1, 2, 3])), ..Colours::default() },
        closing: Closing::Always,
        dating: Dating::Event,
        posting: Posting { team: Some(LABEL), ..Posting::default() },
        ..Telling::default()
    };
    let mut scene = Scene::new(ChannelType::Text, telling);
    scene.alert(1, "High");
    let message = scene.message();
    assert_eq!((&message["conversation_color"], &message["close"]), (&"#010203".into(), &true.into()));
    assert_eq!((&message["delivered_at"], &message["team"]), (&(START / 1000).into(), &LABEL.to_string().into()));
}

#[test]
fn an_email_in_doubt_is_sent_again_without_being_looked_for() {
    let mut scene = Scene::new(ChannelType::Email, Telling::default());
    scene.alert(1, "High");
    let sent = scene.story.sent();
    let body = format!(r#"{{"messages":{{"conversation":"{LABEL}"}}}}"#);
    let taken = Answer::Status(Status { code: 201, body: body.into(), ..Status::default() });
    scene.story.answer(&sent[0], taken);
    scene.alert(2, "Higher");
    scene.story.now = scene.story.now + Duration::from_secs(120);
    let sent = scene.story.sent();
    scene.story.answer(&sent[0], Answer::Lost(crate::missive::answer::Lost::Timeout));
    scene.story.now = scene.story.now + Duration::from_secs(120);
    let message = scene.message();
    assert!(message["body"].as_str().expect("a body").ends_with("<p>(may repeat an earlier message)</p>"), "{message}");
}

#[test]
fn a_lane_takes_conversations_of_the_version_before_and_refuses_later_ones() {
    let mut lane = Lane::new(Arc::new(policy()), HashKey::new([3; 16]), 1);
    let key = StateKey::Conversation(Fingerprint::from_u128(1));
    assert!(lane.restore(key, &crate::lane::before::written()).is_ok());
    assert_eq!(lane.record(key).map(|record| record[0]), Some(2), "written anew");
    let later = [&[3][..], &crate::lane::before::written()[1..]].concat();
    assert!(matches!(lane.restore(key, &later), Err(StateError::Version { version: 3, .. })));
}

/// Pieces of templates, whole and broken.
const PIECES: [&str; 16] = [
    "{{ title }}",
    "{{ event.text|upper }}",
    "{% for line in lines %}",
    "{% endfor %}",
    "{% if firing %}",
    "{% endif %}",
    "{{ fields['/a'] }}",
    "{{ default.body }}",
    "{{",
    "%}",
    "{% set x = title ~ title %}",
    "{{ x * 100000 }}",
    "{{ lines|length // more }}",
    "{{ range(100000)|join }}",
    "{{ said[0].text|cut(3) }}",
    "<b>&",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_template_is_refused_or_bounded_or_replaced(pieces in prop::collection::vec(0..PIECES.len(), 0..12)) {
        let source: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
        if let Ok(body) = Telling::template(&source, Output::Markup) {
            let mut scene = Scene::new(ChannelType::Html, Telling { body: Some(body), ..Telling::default() });
            scene.alert(1, "High <b>");
            let message = scene.message();
            let said = message["body"].as_str().expect("a body");
            prop_assert!(!said.is_empty() && said.chars().count() <= 300, "{source}: {said}");
        }
    }

    #[test]
    fn whatever_strangers_write_the_markup_is_ours(text in "[<>&\"'a-zé\u{202e}\u{0} ]{0,400}", kind in 0..3_usize) {
        let kind = [ChannelType::Text, ChannelType::Html, ChannelType::Email][kind];
        let mut scene = Scene::new(kind, Telling::default());
        let named = vec![("a".into(), text.as_str().into())];
        let facts = Facts { title: text.as_str().into(), text: text.as_str().into(), link: text.as_str().into(), named, ..Facts::default() };
        scene.hear("alerts", State::Firing, 1, facts);
        let message = scene.message();
        let said = message["body"].as_str().expect("a body");
        prop_assert!(said.chars().count() <= 300 && !said.contains(['\u{202e}', '\u{0}']), "{said}");
        let tags = ["p", "strong", "br", "a", "table", "tr", "td"];
        let ours = |tag: &str| tags.iter().any(|ours| tag.trim_start_matches('/').starts_with(ours));
        prop_assert!(kind == ChannelType::Text || said.split('<').skip(1).all(ours), "{said}");
    }
}
