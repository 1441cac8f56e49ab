//! "Why wasn't I told?", asked of the decisions that a daemon has written.

use crate::scene::{LATER, Scene, alert};
use crate::support::config::Draft;
use crate::support::daemon::{Finished, Process, Stream, finish};
use crate::support::wait::eventually;

fn with_config(scene: &Scene, words: &[&str]) -> Vec<String> {
    let config = scene.config.path().to_str().expect("scratch paths are UTF-8");
    words.iter().chain(&["--config", config]).map(|word| (*word).to_owned()).collect()
}

fn explain(scene: &Scene, about: &str) -> Finished {
    let words = with_config(scene, &["explain", about]);
    finish(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The tail of decisions, once it follows.
fn tail(scene: &Scene) -> Process {
    let words = with_config(scene, &["tail"]);
    let tail = Process::spawn(&words.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    eventually(LATER, "a tail that follows", || {
        scene.record("alerts").payload(alert("listening", "firing")).send(&scene.kafka);
        tail.text(Stream::Stdout).contains("listening").then_some(())
    });
    tail
}

#[test]
fn every_event_can_be_explained_and_decisions_be_followed() {
    let told = |draft: Draft| draft.with("[kafka.topics]\ndecisions = true");
    let Some(scene) = Scene::new(&["alerts"], told) else { return };
    let daemon = scene.run();
    let tail = tail(&scene);
    let topic = scene.topic("alerts");
    for payload in [alert("payments", "firing"), alert("payments", "firing"), alert("unknown", "resolved")] {
        scene.record("alerts").payload(payload).send(&scene.kafka);
    }
    scene.record("alerts").payload("no JSON").send(&scene.kafka);
    // Each is written with the frame or the intent that it belongs to, so none of them proves that another is there.
    for (about, words) in [
        ("payments", "news; it waits to be told"),
        ("payments", "told event in message"),
        ("payments", "duplicate (intake: the same news a moment ago)"),
        ("unknown", "event not told (unknown_resolve:"),
    ] {
        eventually(LATER, words, || {
            let text = tail.text(Stream::Stdout);
            text.lines().any(|line| line.contains(about) && line.contains(words)).then_some(())
        });
    }

    let whole = explain(&scene, "alerts/{}:{alertname=\"payments\"}");
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    for words in
        ["news; it waits to be told", "told event in message", "duplicate (intake: the same news a moment ago)"]
    {
        assert!(whole.stdout.contains(words), "{words}: {whole:?}");
    }
    let by_fingerprint = explain(&scene, "f-payments");
    let news = by_fingerprint.stdout.lines().find(|line| line.contains("news; it waits")).expect("its news");
    let place = news.split("  ").nth(1).and_then(|place| place.split(' ').next()).expect("a place");
    let offset = place.strip_prefix(&format!("{topic}/0/")).expect("in its topic");
    let offset: i64 = offset.parse().expect("an offset");
    let at = |behind: i64| explain(&scene, &format!("{topic}/0/{}", offset + behind));

    assert!(at(0).stdout.contains("told event in message"), "{:?}", at(0));
    assert!(at(2).stdout.contains("event not told (unknown_resolve:"), "{:?}", at(2));
    let refused = eventually(LATER, "the dead letter", || Some(at(3)).filter(|refused| refused.status.success()));
    assert!(refused.stdout.contains("dead letter 0:") && refused.stdout.contains("not_json"), "{refused:?}");
    let nothing = at(1_000_000);
    assert_eq!((nothing.status.code(), nothing.stdout.as_str()), (Some(1), ""), "{nothing:?}");
    assert!(nothing.stderr.contains("nothing is known of"), "{nothing:?}");
    daemon.stop();
}

#[test]
fn without_decisions_it_says_how_to_have_them() {
    let Some(scene) = Scene::new(&[], |draft| draft) else { return };
    let words = with_config(&scene, &["topics", "create"]);
    let created = finish(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(created.status.code(), Some(0), "{created:?}");
    // A topic that was just created may have no leader yet.
    let asked = eventually(LATER, "an answer", || {
        Some(explain(&scene, "alerts/0/1")).filter(|asked| asked.stderr.contains("nothing is known of"))
    });
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert!(asked.stderr.contains("kafka.topics.decisions is false"), "{asked:?}");
}
