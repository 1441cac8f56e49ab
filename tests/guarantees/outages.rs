//! Missive is away, slow, out of patience, out of order, silent; its token is refused; the daemon is told to end.

use std::time::Duration;

use serde_json::json;

use crate::cable::Cable;
use crate::scene::Daemon;
use crate::stage::{Budget, LANES, NEW_TOKEN, PATIENCE, Stage, lanes_left, number, run, say, span};
use crate::support::daemon::SOON;
use crate::support::wait::{eventually, moment, timed};

/// How long Missive can't be reached; with `MISSIVED_AWAY` it is another span.
const AWAY: Duration = Duration::from_secs(10);
/// Where a shorter patience of Kafka's with members that don't poll is said, too: less than Missive is away or asks for.
const SESSION: &str = "session_timeout = \"6s\"";
/// The default of `run.drain_deadline`.
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);

#[test]
fn missive_is_away_slow_refuses_at_random_and_accepts_without_answering() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let mut stage = stage.with(SESSION, &format!("{SESSION}\nlibrdkafka = {{ \"max.poll.interval.ms\" = \"6000\" }}"));
    let seed = number("MISSIVED_SEED", 1);
    let mut cable = Cable::to(stage.missive.address);
    stage.missive_url = cable.url();
    let daemon = run(&stage.config("one"));
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);

    cable.cut();
    let before = daemon.metrics().consumed();
    let away = span("MISSIVED_AWAY", AWAY);
    moment(away);
    let consumed = daemon.metrics().consumed() - before;
    let at_least = 10 * away.as_secs();
    assert!(consumed > at_least, "sources are read on while Missive is away: {consumed} in {away:?}");
    let rss = daemon.process.rss_kib().unwrap_or(0);
    say(&format!("missive away for {away:?}: {consumed} events read meanwhile, RSS {rss} KiB"));
    cable.mend();
    stage.missive.wait_for_more(20, PATIENCE);

    let troubles = [
        json!([{"fault": "latency", "ms": 600, "jitter_ms": 300}]),
        json!([
            {"fault": "status", "status": 429, "retry_after": 1, "probability": 0.1},
            {"fault": "status", "status": 503, "probability": 0.2},
            {"fault": "status", "status": 503, "after_processing": true, "probability": 0.2},
        ]),
        json!([
            {"fault": "reset", "after_processing": true, "probability": 0.2},
            {"fault": "reset", "probability": 0.1},
            {"fault": "accept_without_answering", "probability": 0.2},
        ]),
        json!([{"fault": "status", "status": 429, "retry_after": 8, "next": 2}]),
    ];
    for trouble in &troubles {
        trouble.as_array().expect("a list").iter().for_each(|fault| stage.missive.fault(fault));
        stage.missive.wait_for_more(40, PATIENCE);
        stage.missive.clear_faults();
    }
    let books = workload.stop();
    stage.conclude(&format!("missive away, slow, refusing, silent (seed {seed})"), &books, LANES);
    // a lane that waits polls on: it would have been put out of its group by now
    assert_eq!(lanes_left(&daemon), 0, "nobody had to go");
    daemon.stop();
}

#[test]
fn a_revoked_token_halts_the_lanes_and_a_new_one_is_enough() {
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let seed = number("MISSIVED_SEED", 1);
    let daemon = run(&stage.config("one"));
    let workload = stage.workload(seed, 40);
    stage.missive.wait_for_more(20, PATIENCE);

    stage.missive.fault(&json!({"fault": "status", "status": 401}));
    eventually(PATIENCE, "halt", || (daemon.readiness().0 == 503).then_some(()));
    let halted = || daemon.metrics().sum("missived_lane_halted", "");
    eventually(PATIENCE, "halt of both lanes", || (halted() == 2).then_some(()));
    let before = daemon.metrics().consumed();
    eventually(SOON, "events that are read all the same", || {
        (daemon.metrics().consumed() > before + 100).then_some(())
    });

    stage.set_token(NEW_TOKEN);
    stage.missive.clear_faults();
    daemon.until_ready(PATIENCE);
    eventually(PATIENCE, "end of the halt", || (halted() == 0).then_some(()));
    let books = workload.stop();
    stage.conclude(&format!("token revoked (seed {seed})"), &books, 0);
    let tokens: std::collections::BTreeSet<String> =
        stage.missive.ledger().into_iter().map(|request| request.token).collect();
    assert_eq!(tokens.len(), 3, "two lanes, one of them with a new token");
    daemon.stop();
}

#[test]
fn told_to_end_it_ends_in_time_and_leaves_nothing_for_the_audit() {
    const ENDS: usize = 4;
    let Some(stage) = Stage::new(Budget::Tenfold) else { return };
    let seed = number("MISSIVED_SEED", 1);
    let config = stage.config("one");
    let workload = stage.workload(seed, 200);
    let mut longest = Duration::ZERO;
    for _ in 0..ENDS {
        let daemon = run(&config);
        stage.missive.wait_for_more(20, PATIENCE);
        let ((), took) = timed(|| daemon.stop());
        longest = longest.max(took);
    }
    let daemon = run(&config);
    let books = workload.stop();
    stage.conclude(&format!("SIGTERM {ENDS} times under load (seed {seed})"), &books, 0);
    say(&format!("SIGTERM to exit under load: {} ms at most, of {DRAIN_DEADLINE:?}", longest.as_millis()));
    assert!(longest < DRAIN_DEADLINE, "{longest:?}");
    Daemon::stop(daemon);
}
