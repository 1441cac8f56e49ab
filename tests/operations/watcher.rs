//! Who watches the watcher: every alert about missived goes to a pager of its own and says what to do, and no part of the
//! shipped Alertmanager config sends one through missived.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Name and everything else of each alert.
fn alerts() -> Vec<(String, String)> {
    let text = fs::read_to_string(file("config/prometheus/alerts.yml")).expect("a file of ours");
    let alerts = text.split("- alert: ").skip(1);
    alerts
        .map(|alert| alert.split_once('\n').expect("more than a name"))
        .map(|(n, rest)| (n.into(), rest.into()))
        .collect()
}

#[test]
fn every_alert_carries_what_it_is_routed_by_and_has_its_page_in_the_runbook() {
    let runbook = fs::read_to_string(file("docs/operations.md")).expect("a page of ours");
    let alerts = alerts();
    assert!(alerts.len() > 15, "{} alerts", alerts.len());
    for (name, rule) in &alerts {
        assert!(rule.contains("service: missived"), "{name} would go to whoever gets everything else");
        let Some((_, page)) = runbook.split_once(&format!("### {name}\n")) else { panic!("no page for {name}") };
        let page = page.split("\n##").next().unwrap_or_default();
        let paragraphs: Vec<&str> = page.split("\n\n").filter(|text| !text.trim().is_empty()).collect();
        assert!(paragraphs.len() >= 2, "{name}: what it means, and what to do: {page}");
        let expression = rule.lines().find_map(|line| line.trim().strip_prefix("expr: ")).expect("an expression");
        let expression = expression.trim_matches('\'');
        assert!(paragraphs[0].contains(expression), "{name}: the runbook has another condition than {expression}");
    }
    let pages = runbook.matches("\n### Missived").count();
    assert_eq!(pages, alerts.len(), "a page for an alert that is none");
}

/// The first route that takes what is about missived, by its words: matcher, then receiver.
#[test]
fn the_first_route_is_the_one_that_goes_past_missived() {
    let text = fs::read_to_string(file("config/prometheus/alertmanager.yml")).expect("a file of ours");
    let routes: Vec<&str> = text.split("- matchers: ").skip(1).collect();
    assert!(routes[0].starts_with("['service = \"missived\"']"), "{}", routes[0]);
    assert!(routes[0].contains("receiver: pager\n") && !routes[0].contains("continue: true"), "{}", routes[0]);
    let (_, pager) = text.split_once("- name: pager\n").expect("the pager");
    let pager = pager.split("- name:").next().unwrap_or_default();
    assert!(!pager.contains("/ingest/"), "a pager that goes through missived: {pager}");
}

/// Debian's prometheus-alertmanager.
fn amtool() -> Option<Command> {
    let found = Command::new("amtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED in part: no amtool here");
    }
    found.then(|| Command::new("amtool"))
}

#[test]
fn what_is_wrong_with_missived_goes_to_a_pager_and_not_through_missived() {
    let Some(mut checking) = amtool() else { return };
    let config = file("config/prometheus/alertmanager.yml");
    let checked = checking.arg("check-config").arg(&config).output().expect("amtool");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let watchdog = ("Watchdog".to_owned(), String::new());
    for (name, rule) in alerts().into_iter().chain([watchdog]) {
        let service = if rule.contains("service: missived") { "missived" } else { "prometheus" };
        let mut routing = amtool().expect("it was there");
        routing.args(["config", "routes", "test", "--config.file"]).arg(&config);
        let routed =
            routing.args([format!("alertname={name}"), format!("service={service}")]).output().expect("amtool");
        let receivers = String::from_utf8(routed.stdout).expect("text");
        let wanted = if name == "Watchdog" { "dead-mans-switch,missived" } else { "pager" };
        assert_eq!(receivers.trim(), wanted, "{name}");
    }
}
