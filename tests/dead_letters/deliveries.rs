//! Deliveries: what Missive refused is told verbatim once it takes it.

use serde_json::json;

use crate::operator::{dead_letters, list, wait_for_letters};
use crate::scene::{Scene, TICKETS, alert, said};

#[test]
fn a_delivery_that_was_refused_is_told_when_it_is_replayed_and_the_fault_is_gone() {
    let Some(scene) = Scene::new(&["alerts", "tickets"], |draft| draft.with(TICKETS)) else { return };
    let daemon = scene.run();
    scene
        .sandbox
        .tell("/control/faults", &json!({"fault": "status", "status": 422, "next": 2, "path": "/v1/messages"}));
    scene.record("alerts").payload(alert("Disk", "firing")).send(&scene.kafka);
    scene.record("tickets").payload(said("T-1", "first\nwords")).send(&scene.kafka);
    wait_for_letters(&scene, &["--kind", "delivery", "--reason", "refused"], 2);
    scene.record("tickets").payload(said("T-1", "later words")).send(&scene.kafka);
    scene.sandbox.wait_for_messages(1);
    for letter in list(&scene, &[]) {
        assert_eq!((&letter["covers"], &letter["channel"], &letter["attempts"]), (&json!(1), &json!("ops"), &json!(1)));
        assert!(letter["error"].as_str().expect("an error").starts_with("422"), "{letter}");
    }

    let replayed = dead_letters(&scene, &["replay", "--kind", "delivery"]);
    assert_eq!((replayed.status.code(), replayed.stderr.as_str()), (Some(0), "replayed 2 of 2\n"), "{replayed:?}");
    let told = scene.sandbox.wait_for_messages(3);
    assert!(told.iter().any(|message| message.body == "first\nwords"), "verbatim: {told:?}");
    assert_eq!(told.iter().filter(|message| message.body.contains("Disk is too high")).count(), 1, "{told:?}");
    let of = |body: &str| told.iter().find(|message| message.body == body).map(|message| &message.conversation);
    assert_eq!(of("first\nwords"), of("later words"), "in the conversation it belongs to");

    let again = dead_letters(&scene, &["replay", "--kind", "delivery"]);
    assert!(again.stderr.contains("2 were replayed before"), "{again:?}");
    let metrics = daemon.wait_for_balance(5, 0);
    assert_eq!((metrics.outcome("delivered"), metrics.outcome("dead_lettered")), (3, 2));
    assert_eq!(metrics.sum("missived_deliveries_replayed_total", ""), 2);
    daemon.stop();
}
