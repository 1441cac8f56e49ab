//! What a roll-up says of the conversations that it speaks for, and of those beside it.

use super::*;

/// So many groups of each kind; normal ones have up to four alerts.
fn storm(criticals: usize, normals: usize) -> Story {
    let mut story = Story::new();
    for group in 0..criticals {
        story.alert(&format!("critical {group}"), "1", State::Firing, Urgency::Critical);
    }
    for group in 0..normals {
        for alert in 0..=group % 4 {
            story.alert(&format!("normal {group}"), &format!("{alert}"), State::Firing, Urgency::Normal);
        }
    }
    story
}

fn who_is_where(body: &str) -> &str {
    body.lines().find(|line| line.contains(" only here")).unwrap_or_default()
}

fn largest(body: &str) -> &str {
    body.lines().find(|line| line.starts_with("Largest: ")).unwrap_or_default()
}

#[test]
fn a_roll_up_says_how_many_have_their_own_conversation_and_which_are_largest() {
    let mut story = storm(6, 40);
    story.pass(secs(120));
    let storms: Vec<_> = story.told.iter().filter(|body| body.starts_with("⚠️ Storm")).collect();
    assert!(storms[0].contains(" in 30 conversations, "), "{}", storms[0]);
    assert_eq!(who_is_where(storms[0]), "16 have own conversations (all 6 critical); 30 only here");
    assert_eq!(largest(storms[0]), "Largest: alert (4 firing), alert (4 firing), alert (4 firing)");
}

#[test]
fn a_critical_one_that_is_told_only_in_the_roll_up_is_counted_there() {
    let mut story = storm(25, 0);
    story.pass(secs(30));
    let first = story.told.iter().find(|body| body.starts_with("⚠️ Storm")).expect("a roll-up");
    assert!(who_is_where(first).ends_with("; 5 only here (5 critical)"), "{first}");
}

#[test]
fn the_next_roll_up_speaks_of_others_and_a_conversation_that_is_told_in_both_is_counted_once() {
    let mut story = storm(0, 12);
    story.pass(secs(100));
    assert_eq!(who_is_where(story.last()), "10 have own conversations; 2 only here");
    // all slots are taken for some minutes more
    story.alert("late", "1", State::Firing, Urgency::Normal);
    story.pass(secs(100));
    assert_eq!(who_is_where(story.last()), "10 have own conversations; 1 only here");
}

#[test]
fn a_successor_says_the_same() {
    let mut story = storm(0, 12);
    story.pass(secs(20));
    let told = story.told.len();
    assert!(story.told.iter().all(|body| !body.starts_with("⚠️ Storm")), "it waits for more");
    let ids: Vec<_> = story.lane.conversations.keys().copied().collect();
    story.effects.dirty.extend(ids.into_iter().map(StateKey::Conversation));
    story.effects.dirty.insert(StateKey::Channels);
    story.restart();
    story.pass(secs(100));
    assert!(story.told.len() > told, "the roll-up is told");
    assert_eq!(who_is_where(story.last()), "10 have own conversations; 2 only here");
}
