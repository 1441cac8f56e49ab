//! What is scraped is what the shipped alerts and the dashboard ask for; Prometheus itself reads it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::scene::{Daemon, Scene, alert};
use crate::support::daemon::{Process, SOON};
use crate::support::http;
use crate::support::wait::eventually;

/// What an operator was promised, whether or not an alert asks for it.
const PROMISED: &[&str] = &[
    "missived_build_info",
    "missived_events_total{outcome=\"delivered\",reason=",
    "missived_events_pending{lane=",
    "missived_source_lag_records{topic=",
    "missived_source_lag_seconds{topic=",
    "missived_oldest_untold_seconds{lane=\"default\",urgency=\"critical\"}",
    "missived_oldest_untold_seconds{lane=\"default\",urgency=\"low\"}",
    "missived_budget_left{lane=\"default\",window=\"60s\"}",
    "missived_budget_left{lane=\"default\",window=\"900s\"}",
    "missived_requests_in_progress{lane=",
    "missived_decode_seconds_bucket{format=\"alertmanager\",le=",
    "missived_lane_halted{lane=",
    "missived_channels_halted{lane=",
    "missived_messages_total{lane=",
    "missived_dedupe_keys{lane=",
    "missived_dedupe_evicted_total{lane=",
    "missived_hook_requests_total{",
    "missived_hook_secret_matches_total{",
    "missived_restoring{partition=",
    "missived_restored_records{partition=",
    "missived_config_hash",
    "missived_config_last_reload_successful",
];

#[test]
fn every_metric_that_alerts_and_dashboard_name_is_in_a_scrape() {
    let heart = "[[sources.alerts.routes]]\nname = \"watchdog\"\nchannel = \"ops\"\naction = \"heartbeat\"\n\
                 match = { alertname = \"Watchdog\" }\n";
    let Some(scene) = Scene::new(&["alerts"], |draft| draft.with(heart)) else { return };
    let daemon = scene.run();
    scene.record("alerts").payload(alert("OrdersLag", "firing")).send(&scene.kafka);
    daemon.wait_for_balance(1, 0);
    let text = eventually(SOON, "lag of the source partition", || {
        Some(scrape(&daemon))
            .filter(|text| text.contains("missived_source_lag_records{") && text.contains("_request_seconds_bucket"))
    });
    let scraped: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    for file in ["config/prometheus/alerts.yml", "config/prometheus/alerts_test.yml", "config/grafana/missived.json"] {
        let wanted = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a file of ours");
        let names = names(&wanted);
        assert!(names.len() > 5, "{file} names metrics");
        let missing: Vec<&String> = names.iter().filter(|name| !scraped.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}, and the scrape has {scraped:?}");
    }
    let missing: Vec<_> =
        PROMISED.iter().filter(|metric| !text.lines().any(|line| line.starts_with(**metric))).collect();
    assert!(missing.is_empty(), "promised and not there: {missing:?} in\n{text}");
    promtool_is_content(&text);
    prometheus_reads(&daemon);
    daemon.stop();
}

fn scrape(daemon: &Daemon) -> String {
    http::get(daemon.admin, "/metrics").expect("a scrape").text()
}

/// Words that begin like our metrics do; the groups of the rules and the dashboard's own name don't have an underscore.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word)
        .filter(|word| word.starts_with("missived_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn promtool_is_content(text: &str) {
    let Some(mut promtool) = tool("promtool") else { return };
    let mut child =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("promtool");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let ended = child.wait_with_output().expect("an end");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A real Prometheus with the shipped rules, one scrape a second.
fn prometheus_reads(daemon: &Daemon) {
    let Some(mut prometheus) = tool("prometheus") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus/alerts.yml");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n- job_name: missived\n  \
         static_configs: [{{targets: ['{}']}}]\n",
        rules.display(),
        daemon.admin
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("written");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    prometheus
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={free}"));
    let running = Process::start(prometheus);
    let answer = eventually(SOON, "ready daemon in Prometheus", || {
        let query = "/api/v1/query?query=missived_ready%20%2B%20on(instance)%20up%7Bjob%3D%22missived%22%7D";
        let answer = http::get(free, query).ok().filter(|answer| answer.status == 200)?.json();
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    });
    assert_eq!(answer, "2", "it is up and ready");
    let rules = http::get(free, "/api/v1/rules").expect("an answer").json();
    let groups = rules["data"]["groups"].as_array().expect("groups");
    let healthy = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"))
        .all(|rule| rule["lastError"].is_null());
    assert!(!groups.is_empty() && healthy, "{rules}");
    drop(running);
}

/// A program of Debian's prometheus package; where it is not installed, CI says so, because it needs it.
fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("MISSIVED_REQUIRE_KAFKA").is_none(), "{name} is missing (Debian: prometheus)");
    if !found {
        eprintln!("SKIPPED in part: no {name} here");
    }
    found.then(|| Command::new(name))
}
