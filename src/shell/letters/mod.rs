//! Dead letters: what can't be handled, kept whole on `<ns>.dead-letters` with its reason, listed, shown and replayed.
//!
//! A letter's value is what could not be handled: a record's own value, the request body that Missive refused, or the words
//! that found no room. What is too large for the topic is kept by reference (`missived-content: reference`): JSON with its
//! place, length, SHA-256 and first bytes. Everything else is in headers ([`headers`]); the record's own headers follow, but
//! for those that begin with `missived-`, which are ours alone. A *marker* on the same partition says that a letter was
//! replayed; it is written in the same transaction as the replay itself, so one is there exactly when the other is.
//!
//! Layout: `headers` (names), `events` (which events of a record), `replaying` (what a replayed record says of itself),
//! `reference` (of what is too large), `letter` (reading one), `scan` (reading the topic), `returning` (from a letter to what is
//! written back), `replayer` (writing it), `words` (what a refused delivery said).

pub mod events;
pub mod headers;
pub mod letter;
pub mod reference;
pub mod replayer;
pub mod replaying;
pub mod returning;
pub mod scan;
mod words;

pub use events::Events;
pub use letter::{About, Content, Entry, Letter, LetterId};
pub use reference::Reference;
pub use replayer::{ReplayError, Replayer};
pub use replaying::Replaying;
pub use returning::{Plan, Returning, Unreplayable};
pub use scan::scan;
