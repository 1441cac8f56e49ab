//! The demo as somebody sees it who has just downloaded it.

use std::path::PathBuf;
use std::time::Duration;

use crate::browser::{Look, Page};
use crate::step;
use crate::support::daemon::Process;
use crate::support::wait::timed;

const DESKTOP: Look = Look { width: 1280, height: 760, scheme: "light" };
const PHONE: Look = Look { width: 390, height: 780, scheme: "light" };

const CONTROL: u32 = 2;

/// Nobody else in the demo says this.
const ANSWER: &str = "Restarted by hand, please keep an eye on it.";

/// Conversations that are opened until there is one that somebody else has written in.
const LOOKED_AT_MAX: usize = 6;

/// What the ops channel may open in five minutes: 12 and 8 critical, and a roll-up beside them (the demo's config).
const OPS_CONVERSATIONS_MAX: u64 = 12 + 8 + 1;
const OPS: &str = "11111111-2222-4333-8444-555555555551";

/// A picture weighs no more than this, as the browser writes it.
const PICTURE_BYTES_MAX: usize = 300_000;

/// A number of the books, as the page shows it.
fn figure(page: &Page, name: &str) -> u64 {
    let text = page.eval(&format!("document.querySelector('[data-figure=\"{name}\"] dd')?.textContent ?? '0'"));
    text.as_str().expect("a text").replace(',', "").parse().expect("a number")
}

fn picture(page: &Page, name: &str) {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os("MISSIVED_PICTURES").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let bytes = page.shoot(&folder.join(format!("{name}.png")));
    assert!((5_000..PICTURE_BYTES_MAX).contains(&bytes), "{name}.png has {bytes} bytes");
    step(&format!("picture {name}.png, {} KB", bytes / 1000));
}

#[test]
fn the_demo_shows_an_inbox_takes_an_answer_and_rides_out_a_storm() {
    let Some(page) = Page::open() else { return };
    let (_, took) = timed(|| play(&page));
    step(&format!("all of it in {:.1} s", took.as_secs_f64()));
}

fn play(page: &Page) {
    let demo = Process::spawn(&["demo", "--seed", "7"], &[]);
    let line = demo.wait_for_line("the inbox is at http://", Duration::from_secs(40));
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL in the line").to_owned();
    step(&format!("the demo starts: {url}"));

    page.look(DESKTOP);
    page.go(&url);
    page.until("live page", "document.getElementById('link')?.dataset.state === 'live'");
    page.until("conversations", "document.querySelectorAll('.row').length >= 3");
    step("conversations appear");

    storm(page);
    answer(page);
    pictures(page);
    ridden_out(page);
    killed(page);
    page.assert_quiet();
    step("nothing was thrown on the page");
}

fn storm(page: &Page) {
    page.until("storm to press", "document.querySelector('#knob-storm') !== null");
    page.eval(
        "document.querySelector('#controls select').value = '1000'; document.querySelector('#knob-storm').click()",
    );
    step("a storm of 1,000 events is asked for");
}

/// With the keyboard alone.
fn answer(page: &Page) {
    page.eval("document.querySelector('#rows').focus()");
    for _ in 0..LOOKED_AT_MAX {
        page.press("ArrowDown", 0);
        page.press("Enter", 0);
        page.until("open conversation", "document.querySelector('.message .text')?.textContent.length > 0");
        if page.eval("document.querySelector('.phone') !== null") == true {
            break;
        }
    }
    let line = page.until("lock screen", "document.querySelector('.phone span:last-child')?.textContent");
    step(&format!("a conversation is opened by keyboard; its lock-screen line is {line}"));

    page.eval("document.querySelector('.write textarea').focus()");
    page.type_text(ANSWER);
    page.press("Enter", CONTROL);
    let own = format!("[...document.querySelectorAll('.own')].find((one) => one.textContent.includes('{ANSWER}'))");
    let answered = page
        .until("acknowledged answer", &format!("{own}?.querySelector('[data-state=acknowledged] code')?.textContent"));
    let place = page.until("record", &format!("{own}?.querySelector('.record summary code')?.textContent"));
    let value = page.eval(&format!("{own}.querySelector('.record pre').textContent"));
    assert!(value.as_str().is_some_and(|value| value.contains(ANSWER)), "{value}");
    step(&format!("an answer goes out signed, the endpoint says {answered}, and its record is {place}"));
}

fn pictures(page: &Page) {
    page.until("storm on the page", "[...document.querySelectorAll('.row')].length >= 8");
    page.eval("document.activeElement.blur()");
    picture(page, "inbox-light");
    page.look(Look { scheme: "dark", ..DESKTOP });
    picture(page, "inbox-dark");
    page.look(PHONE);
    picture(page, "inbox-phone-conversation");
    page.eval("document.querySelector('.back').click()");
    page.until("list on a phone", "document.querySelector('#rows').clientHeight > 100");
    let wide = page.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth");
    assert_eq!(wide, false, "a phone scrolls up and down, not sideways");
    page.look(Look { scheme: "dark", ..PHONE });
    picture(page, "inbox-phone-list");
    page.look(DESKTOP);
}

fn ridden_out(page: &Page) {
    page.until(
        "roll-up",
        "Number(document.querySelector('[data-figure=\"rolled up\"] dd').textContent.replace(/,/g, '')) > 0",
    );
    let listed = "fetch('/control/conversations?limit=1000').then((answer) => answer.json())";
    let count = format!(
        "{listed}.then(({{ conversations }}) => conversations.filter((one) => one.account === '{OPS}').length)"
    );
    let ops = page.eval(&count).as_u64().expect("a number");
    let [events, notifications] = ["events in", "notifications"].map(|name| figure(page, name));
    assert!(ops <= OPS_CONVERSATIONS_MAX, "{ops} conversations");
    assert!(notifications < events / 3, "{notifications} notifications for {events} events");
    step(&format!(
        "the storm stays within the budget: {ops} conversations of alerts, {notifications} notifications for {events} events"
    ));
}

/// In the middle of whatever it does.
fn killed(page: &Page) {
    let mood = |mood: &str| format!("document.querySelector('[data-daemon={mood}]') !== null");
    page.until("running daemon", &mood("running"));
    let before = figure(page, "events in");
    page.eval("document.querySelector('#knob-kill').click()");
    page.until("daemon that starts again", &format!("!({})", mood("running")));
    page.until("daemon that runs again", &mood("running"));
    let told = |name: &str| format!("told('{name}')");
    let settled = ["told", "rolled up", "duplicates", "suppressed", "dead letters", "pending"].map(told).join(" + ");
    let told = "const told = (name) => \
                Number(document.querySelector(`[data-figure=\"${name}\"] dd`).textContent.replace(/,/g, ''))";
    let balanced =
        format!("(() => {{ {told}; return told('events in') > {before} && told('events in') === {settled}; }})()");
    page.until("books that add up after the kill", &balanced);
    step(&format!(
        "the daemon is killed and goes on; {before} events before, {} now, and the books add up",
        figure(page, "events in")
    ));
}
