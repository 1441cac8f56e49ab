//! The command, as an operator types it.

use serde_json::Value;

use crate::scene::{LATER, Scene};
use crate::support::daemon::{Finished, finish};
use crate::support::wait::eventually;

/// Runs `missived dead-letters` with these words.
pub fn dead_letters(scene: &Scene, words: &[&str]) -> Finished {
    let config = scene.config.path().to_str().expect("scratch paths are UTF-8");
    finish(&[&["dead-letters"], words, &["--config", config]].concat())
}

/// What `list --json` says with these conditions.
pub fn list(scene: &Scene, conditions: &[&str]) -> Vec<Value> {
    let listed = dead_letters(scene, &[&["list", "--json"], conditions].concat());
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let line = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
    listed.stdout.lines().map(line).collect()
}

/// The ids of letters, once there are as many.
pub fn wait_for_letters(scene: &Scene, conditions: &[&str], count: usize) -> Vec<String> {
    let id = |letter: &Value| letter["id"].as_str().expect("an id").to_owned();
    eventually(LATER, &format!("{count} letters with {conditions:?}"), || {
        Some(list(scene, conditions))
            .filter(|letters| letters.len() >= count)
            .map(|letters| letters.iter().map(id).collect())
    })
}
