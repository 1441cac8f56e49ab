//! `missived status` names the conversations that wait longest, and what each waits for.

use std::fs;

use serde_json::json;

use crate::scene::{LATER, Scene, alert};
use crate::support::config::TOKEN;
use crate::support::daemon::{SOON, finish};
use crate::support::http;
use crate::support::wait::eventually;

#[test]
fn who_waits_and_why_is_told_to_people_and_to_programs() {
    let Some(scene) = Scene::new(&["alerts"], |draft| draft) else { return };
    let daemon = scene.run();
    let waiting = || http::get(daemon.admin, "/status").expect("an answer").json()["lanes"][0]["waiting"].clone();
    let first = |reason: &str| {
        eventually(SOON, &format!("conversation that waits for {reason}"), || {
            Some(waiting()[0].clone()).filter(|first| first["waits_for"] == reason)
        })
    };
    assert!(waiting().as_array().is_none_or(Vec::is_empty), "nobody waits");
    scene.sandbox.tell("/control/faults", &json!({"fault": "latency", "ms": 4_000, "next": 1}));
    scene.record("alerts").payload(alert("SlowToAnswer", "firing")).send(&scene.kafka);
    assert!(first("answer")["conversation"].as_str().expect("a key").contains("SlowToAnswer"));
    scene.sandbox.wait_for_messages(1);
    let nobody_waits = || waiting().as_array().is_some_and(Vec::is_empty).then_some(());
    eventually(SOON, "answer", nobody_waits);

    fs::write(scene.config.token_file(), "missive_pat-of-somebody-else").expect("written");
    crate::service::hang_up(daemon.process.pid());
    daemon.process.wait_for_line("config and secrets reloaded", SOON);
    scene.record("alerts").payload(alert("Halted", "firing")).send(&scene.kafka);
    let halted = first("halt");
    assert!(halted["until_ms"].as_u64() > halted["since_ms"].as_u64(), "{halted}");
    assert_eq!((&halted["urgency"], &halted["pending"]), (&"normal".into(), &1.into()), "{halted}");
    let told = finish(&["status", "--admin", &daemon.admin.to_string()]);
    assert_eq!(told.status.code(), Some(1), "a halted lane is not ready");
    let line = told.stdout.lines().find(|line| line.contains("Halted")).unwrap_or_else(|| panic!("{}", told.stdout));
    assert!(line.contains("normal") && line.contains("Missive refuses the lane's token, for "), "{line}");

    fs::write(scene.config.token_file(), TOKEN).expect("written");
    scene.sandbox.wait_for_messages(2);
    eventually(LATER, "end of the wait", nobody_waits);
    daemon.stop();
}
