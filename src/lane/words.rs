//! How messages read: the first line stands alone (it is the notification on a locked phone); short, scannable, truthful.
//!
//! What is said is a [`Page`], which becomes text or markup as its channel shows it. Control characters of events become
//! spaces; people's own words keep their line breaks.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::apart::{Apart, Number};
use super::conversation::{Conversation, Owed, Said};
use super::digest::{Digest, Line, News};
use super::page::{Link, Page, Row};
use super::scene::Scene;
use crate::event::{Kind, Timestamp, Urgency};
use crate::missive::Colour;

/// A shorter wait is none.
const WORTH_SAYING: Duration = Duration::from_secs(30);

/// The words of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub subject: String,
    pub sender: String,
    pub page: Page,
    pub colour: Option<Colour>,
    /// All is over.
    pub close: bool,
}

/// Says the news of a scene.
pub fn say(scene: &Scene<'_>) -> Words {
    let Scene { now, conversation, digest, said, .. } = *scene;
    let zone = &scene.channel.time_zone;
    if !said.is_empty() {
        return thread(conversation, said);
    }
    if conversation.is_rollup() {
        return roll_up(digest, scene.apart, zone);
    }
    match conversation.kind() {
        Kind::Alert => alert(now, conversation, digest, zone),
        Kind::Record => record(now, conversation, digest, zone),
        Kind::Thread => thread(conversation, said),
    }
}

/// Says again what is known of a conversation that fires, or that nothing has been heard of it.
pub fn say_again(conversation: &Conversation, owed: Owed, repeats: u32, zone: &TimeZone) -> Words {
    let title = clean(&conversation.title);
    let firing = count(conversation.firing());
    let worst = conversation.members.worst_firing().unwrap_or(Urgency::Normal);
    let mut page = match owed {
        Owed::Repeat => Page::of(format!("{} Still firing: {title} ({firing})", mark(News::Firing, worst))),
        Owed::Stale => {
            let heard = local(conversation.last_heard, zone);
            Page::of(format!("⚪ Nothing heard since {heard}: {title}, {firing} firing then"))
        }
    };
    if owed == Owed::Stale {
        page.line("Not resolved, as far as is known.");
    }
    if repeats > 0 {
        page.line(format!("{} since the last message", of(repeats, "repeat")));
    }
    Words { sender: title.clone(), subject: title, page, colour: Some(Colour::Warning), close: false }
}

fn alert(now: Timestamp, conversation: &Conversation, digest: &Digest, zone: &TimeZone) -> Words {
    let counts = &digest.counts;
    let firing = conversation.firing().max(u32::from(counts.firing > counts.resolved.saturating_add(counts.gone)));
    let worst = conversation.members.worst_firing().or(digest.worst_urgency).unwrap_or(Urgency::Normal);
    let only = digest.lines().next().filter(|_| counts.total() == 1);
    let mut page = Page::of(match only {
        Some(line) => row(line).alone(),
        None => headline(conversation, digest, firing, worst),
    });
    // of those that fired before, people know since when
    if firing > 0
        && (only.is_some() || conversation.firing_told == 0)
        && let Some(first) = digest.first
    {
        let since = only.map_or(first, |line| line.since);
        page.line(format!("{} firing since {}", count(firing), local(since, zone)));
    }
    match only {
        Some(line) => page.links(links(line)),
        None => {
            page.line(match severities(digest) {
                none if none.is_empty() => span(digest, zone),
                severities => format!("{severities} · {}", span(digest, zone)),
            });
            listed(&mut page, digest);
        }
    }
    trailer(&mut page, now, digest);
    let gone = conversation.members.gone();
    let colour = match (firing, worst) {
        (0, _) if gone == 0 => Colour::Good,
        (1.., Urgency::Critical) => Colour::Danger,
        (_, Urgency::Critical | Urgency::Normal | Urgency::Low) => Colour::Warning,
    };
    let title = clean(&conversation.title);
    Words { sender: title.clone(), subject: title, page, colour: Some(colour), close: firing == 0 && gone == 0 }
}

fn headline(conversation: &Conversation, digest: &Digest, firing: u32, worst: Urgency) -> String {
    let title = clean(&conversation.title);
    let counts = &digest.counts;
    let changes = [
        (counts.firing, "+", " new"),
        (counts.resolved, "", " resolved"),
        (counts.gone, "", " no longer reported"),
        (counts.flapping, "", " flapping"),
        (counts.critical(), "", " critical"),
    ];
    let told = changes.into_iter().filter(|(number, ..)| *number > 0);
    let told = told.map(|(number, before, after)| format!("{before}{}{after}", count(number)));
    let told = told.collect::<Vec<_>>().join(", ");
    match (firing, conversation.members.gone()) {
        (0, 0) => format!("🟢 All resolved: {title} ({told})"),
        (0, _) => format!("⚪ Nothing fires any more: {title} ({told})"),
        (firing, _) if conversation.firing_told > 0 && conversation.firing_told != firing => {
            let was = count(conversation.firing_told);
            format!("{} {} firing (was {was}): {title}, {told}", mark(News::Firing, worst), count(firing))
        }
        (firing, _) => format!("{} {} firing: {title}, {told}", mark(News::Firing, worst), count(firing)),
    }
}

fn record(now: Timestamp, conversation: &Conversation, digest: &Digest, zone: &TimeZone) -> Words {
    let title = clean(&conversation.title);
    let only = digest.lines().next().filter(|_| digest.counts.total() == 1);
    let mut page = Page::of(match only {
        Some(line) => Row { state: String::new(), ..row(line) }.alone(),
        None => format!("{} to {title}, {}", of(digest.counts.total(), "change"), span(digest, zone)),
    });
    match only {
        Some(line) => page.links([Link { name: "", to: clean(&line.link) }]),
        None => listed(&mut page, digest),
    }
    trailer(&mut page, now, digest);
    Words { sender: title.clone(), subject: title, page, colour: None, close: false }
}

fn thread(conversation: &Conversation, words: &[Said]) -> Words {
    let title = clean(&conversation.title);
    let first = words.first().map_or("", |said| &*said.author);
    let one_author = words.iter().all(|said| &*said.author == first);
    let mut page = Page::default();
    for said in words {
        page.said((!one_author).then(|| clean(&said.author)), verbatim(&said.text));
    }
    let sender = if one_author && !first.is_empty() { clean(first) } else { title.clone() };
    Words { sender, subject: title, page, colour: None, close: false }
}

fn roll_up(digest: &Digest, apart: &Apart, zone: &TimeZone) -> Words {
    let counts = &digest.counts;
    let mut page = Page::of(format!(
        "⚠️ Storm: {} in {}, {}",
        of(counts.total(), "change"),
        of(digest.conversations, "conversation"),
        span(digest, zone)
    ));
    let kinds = [
        (counts.firing, "firing"),
        (counts.resolved, "resolved"),
        (counts.changed, "changed"),
        (counts.gone, "no longer reported"),
        (counts.flapping, "flapping"),
    ];
    let told = kinds.into_iter().filter(|(number, _)| *number > 0);
    let told = told.map(|(number, what)| format!("{} {what}", count(number))).collect::<Vec<_>>().join(", ");
    page.line(match severities(digest) {
        none if none.is_empty() => told,
        severities => format!("{told}; {severities}"),
    });
    if apart.own.all + apart.only_here.all > 0 {
        page.line(who_is_where(apart));
    }
    if !apart.largest.is_empty() {
        let named = apart.largest.iter().map(|(title, firing)| format!("{} ({} firing)", clean(title), count(*firing)));
        page.line(format!("Largest: {}", named.collect::<Vec<_>>().join(", ")));
    }
    listed(&mut page, digest);
    page.notes(uncounted(digest));
    page.line("Replies reach nobody.");
    let colour = if counts.critical() > 0 { Colour::Danger } else { Colour::Warning };
    Words { subject: "Storm".to_owned(), sender: "missived".to_owned(), page, colour: Some(colour), close: false }
}

/// Who has a conversation of its own, and who is told only here; how many of them are critical, as far as that is known.
fn who_is_where(apart: &Apart) -> String {
    let Apart { own, only_here, .. } = apart;
    let critical = |number: &Number| match number.critical {
        Some(critical @ 1..) => format!(" ({} critical)", count(critical)),
        Some(0) | None => String::new(),
    };
    let here = format!("{} only here{}", count(only_here.all), critical(only_here));
    let own_critical = match (own.critical, only_here.critical) {
        (Some(all @ 2..), Some(0)) => format!(" (all {} critical)", count(all)),
        _ => critical(own),
    };
    match own.all {
        0 => format!("All {here}"),
        1 => format!("1 has its own conversation{own_critical}; {here}"),
        all => format!("{} have own conversations{own_critical}; {here}", count(all)),
    }
}

/// The worst and the newest, and how many more there are.
fn listed(page: &mut Page, digest: &Digest) {
    if digest.worst.is_empty() || digest.newest.is_empty() {
        page.rows(digest.lines().map(row));
    } else {
        page.line("Worst:");
        page.rows(digest.worst.iter().map(row));
        page.line("Newest:");
        page.rows(digest.newest.iter().map(row));
    }
    let critical = match digest.unnamed_critical() {
        0 => String::new(),
        critical => format!(", {} of them critical", count(critical)),
    };
    if digest.unnamed() > 0 {
        page.line(format!("and {} more{critical}", count(digest.unnamed())));
    }
}

fn trailer(page: &mut Page, now: Timestamp, digest: &Digest) {
    let waited = digest.waiting_since.map_or(Duration::ZERO, |since| now.since(since));
    let waited = (waited >= WORTH_SAYING)
        .then(|| format!("oldest line waited {} s", count(u32::try_from(waited.as_secs()).unwrap_or(u32::MAX))));
    page.notes(uncounted(digest).into_iter().chain(waited));
}

/// How many of what is not over are how urgent, the worst first.
fn severities(digest: &Digest) -> String {
    let of_each = Urgency::ALL.into_iter().zip(digest.counts.by_urgency).filter(|(_, number)| *number > 0);
    let said = of_each.map(|(urgency, number)| format!("{} {}", count(number), urgency.as_str()));
    said.collect::<Vec<_>>().join(", ")
}

/// What is no news, as numbers.
fn uncounted(digest: &Digest) -> Vec<String> {
    let repeats = (digest.repeats > 0).then(|| format!("{} not shown", of(digest.repeats, "repeat")));
    let flaps = (digest.flaps > 0).then(|| format!("{} while flapping not shown", of(digest.flaps, "change")));
    repeats.into_iter().chain(flaps).collect()
}

fn links(line: &Line) -> [Link; 3] {
    [("Graph", &line.link), ("Runbook", &line.runbook), ("Silence", &line.silence)]
        .map(|(name, to)| Link { name, to: clean(to) })
}

/// A line as it is told.
fn row(line: &Line) -> Row {
    let state = match line.news {
        News::Firing if line.severity.is_empty() => mark(line.news, line.urgency).to_owned(),
        News::Firing => format!("{} {}", mark(line.news, line.urgency), clean(&line.severity).to_uppercase()),
        News::Resolved => "🟢 resolved:".to_owned(),
        News::Gone => "⚪ no longer reported, not resolved as far as is known:".to_owned(),
        News::Flapping => "🔁 flapping:".to_owned(),
        News::Changed | News::Said => "•".to_owned(),
    };
    Row { state, title: clean(&line.title), text: clean(&line.text), link: clean(&line.link) }
}

pub(super) const fn mark(news: News, urgency: Urgency) -> &'static str {
    match (news, urgency) {
        (News::Resolved, _) => "🟢",
        (News::Gone, _) => "⚪",
        (_, Urgency::Critical) => "🔴",
        (_, Urgency::Normal) => "🟠",
        (_, Urgency::Low) => "🔵",
    }
}

/// One line of text: control characters, line ends and the marks that turn text around become spaces.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi(c) { ' ' } else { c }).collect()
}

/// People's words: line ends stay.
pub(super) fn verbatim(text: &str) -> String {
    text.chars().map(|c| if (c.is_control() && c != '\n' && c != '\t') || is_bidi(c) { ' ' } else { c }).collect()
}

const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    format_in(at, zone, "%a %d %b %H:%M %Z (%:z)")
}

fn span(digest: &Digest, zone: &TimeZone) -> String {
    let first = digest.first.unwrap_or(Timestamp::EPOCH);
    let last = digest.last.unwrap_or(first);
    format!("{}–{}", format_in(first, zone, "%H:%M"), format_in(last, zone, "%H:%M %Z"))
}

pub(super) fn format_in(at: Timestamp, zone: &TimeZone, format: &str) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let Ok(instant) = jiff::Timestamp::from_millisecond(millis) else { return "an impossible time".to_owned() };
    instant.to_zoned(zone.clone()).strftime(format).to_string()
}

/// So many of what is called `one` when there is one.
fn of(number: u32, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// Digits in groups of three.
fn count(number: u32) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Facts, Fingerprint, Observation, Position, State};
    use crate::lane::conversation::Subject;
    use crate::lane::member::Standing;
    use crate::lane::policy::Flap;
    use crate::lane::release::tests_support::channel;

    const AT: Timestamp = Timestamp::from_millis(1_795_317_120_000);

    fn conversation(kind: Kind) -> Conversation {
        let subject = Subject::Route { route: "r".into(), key: "k".into(), kind };
        Conversation::new(AT, subject, "payments")
    }

    fn line(entity: u128, news: News, urgency: Urgency) -> Line {
        Line {
            entity: Fingerprint::from_u128(entity),
            news,
            urgency,
            severity: urgency.as_str().into(),
            title: format!("High5xx pod=pay-{entity}").into(),
            text: "5xx 12%\nlimit 1%".into(),
            link: "https://prom/graph".into(),
            since: AT,
            runbook: "".into(),
            silence: "https://am/silence".into(),
            named: Vec::new(),
        }
    }

    fn digest(lines: impl IntoIterator<Item = Line>) -> Digest {
        let mut digest = Digest::default();
        for line in lines {
            digest.absorb(AT, line, AT, 4);
        }
        digest
    }

    const FLAP: Flap = Flap { changes: 5, window: Duration::from_secs(600) };

    fn observation(entity: u128) -> Observation<'static> {
        Observation {
            position: Position::default(),
            route: "r",
            at: AT,
            old: false,
            entity: Fingerprint::from_u128(entity),
            identity: Fingerprint::from_u128(0),
            state: State::Firing,
            urgency: Urgency::Critical,
            since: None,
            conversation: "k".into(),
            facts: Facts::default(),
        }
    }

    fn firing(conversation: &mut Conversation, entities: std::ops::Range<u128>) {
        for entity in entities {
            conversation.members.remember(AT, &observation(entity), FLAP, usize::MAX);
        }
    }

    fn said(conversation: &Conversation, digest: &Digest) -> Words {
        said_of(conversation, digest, &Apart::default())
    }

    fn said_of(conversation: &Conversation, digest: &Digest, apart: &Apart) -> Words {
        let mut channel = channel(1, 1, Duration::ZERO).channel;
        channel.time_zone = TimeZone::get("Europe/Berlin").expect("bundled zones");
        say(&Scene { now: AT, conversation, digest, said: &[], owed: None, channel: &channel, apart })
    }

    #[test]
    fn a_first_alert_says_all_in_its_first_line() {
        let mut conversation = conversation(Kind::Alert);
        firing(&mut conversation, 1..2);
        let words = said(&conversation, &digest([line(1, News::Firing, Urgency::Critical)]));
        assert_eq!(
            words.page.text(),
            "🔴 CRITICAL High5xx pod=pay-1: 5xx 12% limit 1%\n1 firing since Sun 22 Nov 04:12 CET (+01:00)\nGraph https://prom/graph\nSilence https://am/silence"
        );
        assert_eq!((words.colour, words.close), (Some(Colour::Danger), false));
    }

    #[test]
    fn a_digest_says_how_much_it_stands_for() {
        let mut conversation = conversation(Kind::Alert);
        firing(&mut conversation, 1..1_301);
        conversation.firing_told = 56;
        let mut digest = digest((1..=1_300).map(|entity| line(entity, News::Firing, Urgency::Critical)));
        digest.repeats = 1_204;
        let body = said(&conversation, &digest).page.text();
        assert!(body.starts_with("🔴 1,300 firing (was 56): payments, +1,300 new, 1,300 critical\n"), "{body}");
        assert!(body.contains("\nand 1,296 more, 1,296 of them critical\n1,204 repeats not shown"), "{body}");
        assert!(body.contains("\n1,300 critical · 04:12–04:12 CET\n"), "how urgent, and from when to when: {body}");
    }

    #[test]
    fn all_resolved_is_green_and_says_so_first() {
        let words = said(
            &conversation(Kind::Alert),
            &digest((1..=2).map(|entity| line(entity, News::Resolved, Urgency::Normal))),
        );
        assert!(words.page.text().starts_with("🟢 All resolved: payments (2 resolved)\n"), "{}", words.page.text());
        assert_eq!((words.colour, words.close), (Some(Colour::Good), true));
    }

    #[test]
    fn what_is_gone_is_not_called_resolved_and_closes_nothing() {
        let mut conversation = conversation(Kind::Alert);
        firing(&mut conversation, 1..3);
        for entity in 1..3 {
            conversation.members.turn(Fingerprint::from_u128(entity), AT, Standing::Gone, FLAP);
        }
        let words = said(&conversation, &digest((1..3).map(|entity| line(entity, News::Gone, Urgency::Normal))));
        assert!(
            words.page.text().starts_with("⚪ Nothing fires any more: payments (2 no longer reported)\n"),
            "{}",
            words.page.text()
        );
        assert_eq!((words.colour, words.close), (Some(Colour::Warning), false));
    }

    #[test]
    fn numbers_of_one_are_singular() {
        let mut digest = digest([line(1, News::Firing, Urgency::Critical)]);
        (digest.repeats, digest.flaps) = (1, 2);
        let body = said(&conversation(Kind::Alert), &digest).page.text();
        assert!(body.ends_with("\n1 repeat not shown · 2 changes while flapping not shown"), "{body}");
    }

    #[test]
    fn peoples_words_are_verbatim_and_in_order() {
        let said = [("Ann", "hello\nthere"), ("Bob", "hi")]
            .map(|(author, text)| Said { author: author.into(), text: text.into() });
        let both = thread(&conversation(Kind::Thread), &said);
        assert_eq!(both.page.text(), "Ann: hello\nthere\n\nBob: hi");
        let one = thread(&conversation(Kind::Thread), &said[..1]);
        assert_eq!((&*one.page.text(), one.sender.as_str()), ("hello\nthere", "Ann"));
    }

    #[test]
    fn a_roll_up_names_the_worst_and_counts_the_rest() {
        let rollup = Conversation::new(AT, Subject::RollUp { channel: "ops".into() }, "Storm");
        let mut digest = digest((1..=3_412).map(|entity| line(entity, News::Firing, Urgency::Normal)));
        digest.conversations = 700;
        let number = |all, critical| Number { all, critical };
        let largest = vec![("disk <b>".into(), 1_200), ("net".into(), 2)];
        let apart = Apart { own: number(9, Some(6)), only_here: number(697, Some(0)), largest };
        let body = said_of(&rollup, &digest, &apart).page.text();
        assert!(body.starts_with("⚠️ Storm: 3,412 changes in 700 conversations, 04:12–04:12 CET\n"), "{body}");
        let company = "\n9 have own conversations (all 6 critical); 697 only here\nLargest: disk <b> (1,200 firing), net (2 firing)\n";
        assert!(body.contains(company), "{body}");
        let listed: Vec<&str> = body.lines().filter(|line| line.ends_with(':')).collect();
        assert_eq!(listed, ["Worst:", "Newest:"], "{body}");
        assert!(body.ends_with("\nand 3,408 more\nReplies reach nobody."), "{body}");
    }

    #[test]
    fn who_has_a_conversation_and_who_has_not_is_said_as_far_as_it_is_known() {
        let rows = [
            ((0, Some(0)), (700, Some(0)), "All 700 only here"),
            ((0, Some(0)), (700, Some(2)), "All 700 only here (2 critical)"),
            ((1, Some(1)), (700, Some(0)), "1 has its own conversation (1 critical); 700 only here"),
            ((9, Some(6)), (1_000, Some(0)), "9 have own conversations (all 6 critical); 1,000 only here"),
            ((9, Some(6)), (700, Some(1)), "9 have own conversations (6 critical); 700 only here (1 critical)"),
            ((9, Some(6)), (700, None), "9 have own conversations (6 critical); 700 only here"),
            ((9, Some(0)), (0, Some(0)), "9 have own conversations; 0 only here"),
        ];
        for ((own, own_critical), (only, only_critical), said) in rows {
            let (own, only_here) =
                (Number { all: own, critical: own_critical }, Number { all: only, critical: only_critical });
            assert_eq!(who_is_where(&Apart { own, only_here, largest: Vec::new() }), said);
        }
    }

    /// What a page of the documentation shows in its blocks of text.
    fn shown() -> Vec<&'static str> {
        let page = include_str!("../../docs/words.md");
        page.split("```text\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or_default()).collect()
    }

    fn pod(number: u128, news: News, urgency: Urgency) -> Line {
        let title = format!("5xx ratio pod={number}").into();
        Line { title, text: "12% of requests, limit 1%".into(), ..line(number, news, urgency) }
    }

    #[test]
    fn the_documentation_shows_messages_as_they_come() {
        let mut payments = conversation(Kind::Alert);
        firing(&mut payments, 1..2);
        let first = Line {
            title: "5xx ratio".into(),
            link: "https://prom.example.com/graph".into(),
            runbook: "https://wiki.example.com/5xx".into(),
            silence: "https://alerts.example.com/#/silences/new".into(),
            ..pod(1, News::Firing, Urgency::Critical)
        };
        let first = said(&payments, &digest([first])).page.text();

        firing(&mut payments, 2..213);
        payments.firing_told = 56;
        let urgency = |number| if number <= 4 { Urgency::Critical } else { Urgency::Normal };
        let resolved = (1_000..1_031).map(|number| pod(number, News::Resolved, Urgency::Normal));
        let news = resolved.chain((1..=187).map(|number| pod(number, News::Firing, urgency(number))));
        let mut many = digest(news);
        (many.repeats, many.waiting_since) = (1_204, Some(Timestamp::from_millis(AT.as_millis() - 41_000)));
        let many = said(&payments, &many).page.text();

        let rollup = Conversation::new(AT, Subject::RollUp { channel: "ops".into() }, "Storm");
        let mut storm = digest((1..=3_412).map(|number| pod(number, News::Firing, Urgency::Normal)));
        storm.conversations = 3_407;
        let number = |all, critical| Number { all, critical: Some(critical) };
        let largest = vec![("disk space".into(), 5), ("certificates".into(), 2)];
        let apart = Apart { own: number(9, 6), only_here: number(3_403, 0), largest };
        let storm = said_of(&rollup, &storm, &apart).page.text();
        assert_eq!(shown(), [first, many, storm]);
    }

    #[test]
    fn hostile_characters_never_break_a_line() {
        assert_eq!(clean("a\u{0}b\nc\u{202e}d"), "a b c d");
        assert_eq!(verbatim("a\u{0}b\nc\u{202e}d"), "a b\nc d");
    }
}
