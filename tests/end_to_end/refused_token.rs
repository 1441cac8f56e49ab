//! A token that Missive refuses halts its lane and nothing else, and a corrected token file is all it takes.

use std::fs;

use crate::scene::{LATER, Scene, TICKETS, said};
use crate::support::config::TOKEN;
use crate::support::daemon::SOON;
use crate::support::wait::eventually;

#[test]
fn a_refused_token_halts_the_lane_until_its_file_is_corrected() {
    let Some(scene) = Scene::new(&["alerts", "tickets"], |draft| draft.with(TICKETS)) else { return };
    fs::write(scene.config.token_file(), "missive_pat-of-somebody-else").expect("the token file is written");
    let daemon = scene.run();
    scene.record("tickets").payload(said("T-1", "first")).send(&scene.kafka);

    let (_, report) = eventually(SOON, "halt", || Some(daemon.readiness()).filter(|(status, _)| *status == 503));
    assert!(report.to_string().contains("missive refuses the token of lane default"), "{report}");
    eventually(SOON, "halt in the metrics", || {
        (daemon.metrics().sum("missived_lane_halted", "lane=\"default\"") == 1).then_some(())
    });
    scene.record("tickets").payload(said("T-2", "second")).send(&scene.kafka);
    let metrics = daemon.wait_for_balance(2, 2);
    assert_eq!(metrics.outcome("dead_lettered"), 0, "sources are read on, nothing is dropped");

    fs::write(scene.config.token_file(), TOKEN).expect("the token file is written");
    scene.sandbox.wait_for_messages(2);
    daemon.until_ready(LATER);
    assert_eq!(daemon.wait_for_balance(2, 0).outcome("delivered"), 2);
    assert_eq!(daemon.metrics().sum("missived_lane_halted", ""), 0);
    assert!(
        (1..=2).contains(&scene.sandbox.refusals("unauthorized")),
        "a halted lane tries rarely: {}",
        scene.sandbox.ask("/control/summary")
    );
    assert!(!daemon.process.has_line(TOKEN) && !daemon.process.has_line("somebody-else"), "a token in the log");
    daemon.stop();
}
