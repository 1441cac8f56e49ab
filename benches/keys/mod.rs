//! Records of one route whose identities come and go: what both benches of the identities are fed.
//!
//! Observations come at one rate whatever the number of live keys; the window is as long as that takes.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use missived::config::{Config, Environment};
use missived::event::{Facts, Fingerprint, Observation, Position, State, Timestamp, Urgency};
use missived::lane::policy::Policy;

/// Sunday 22 November 2026, 03:12 UTC.
pub const START: Timestamp = Timestamp::from_millis(1_795_317_120_000);

/// Observations in a second of virtual time: 10 million in an hour.
const RATE: u64 = 2_778;
/// Observations in a frame.
pub const FRAME: u64 = 100;

/// From one frame to the next.
pub const FRAME_MICROS: u64 = FRAME * 1_000_000 / RATE;

/// A slice lives for a window and an eighth at most, so that many more keys are live.
const SLICES: u64 = 8;

/// The observation with this number, the newest of its partition.
pub fn observation(number: u64, offset: i64, at: Timestamp) -> Observation<'static> {
    const KEYS: [&str; 4] = ["deal-a", "deal-b", "deal-c", "deal-d"];
    let identity = u128::from(spread(number)) << 64 | u128::from(spread(!number));
    Observation {
        position: Position { offset, index: 0 },
        route: "deals",
        at,
        old: false,
        entity: Fingerprint::from_u128(u128::from(number % 100)),
        identity: Fingerprint::from_u128(identity),
        state: State::Changed,
        urgency: Urgency::Low,
        since: None,
        conversation: Cow::Borrowed(KEYS[(number % 4) as usize]),
        facts: Facts { title: Cow::Borrowed("stage"), ..Facts::default() },
    }
}

/// SplitMix64's finisher: what a keyed hash would look like.
const fn spread(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the least file becomes, but for a window in which `keys` come at most, and room for them.
pub fn policy(keys: u64) -> Policy {
    let window = Duration::from_millis((keys * SLICES / (SLICES + 1) * 1_000 / RATE).max(1_000));
    let text = r#"[kafka]
bootstrap = "nowhere:9092"
[missive]
insecure_inline_token = "none"
[channels.ops]
account = "11111111-2222-4333-8444-555555555555"
type = "text"
[sources.deals]
topic = "deals"
channel = "ops"
format = "json"
kind = "record"
json = { entity = "/id" }
"#;
    let loaded = Config::parse(text, Path::new("bench.toml"), &Environment::default());
    let mut policy = loaded.unwrap_or_else(|error| panic!("{error}")).config.lanes[0].policy.clone();
    policy.bounds.dedupe_keys_max = usize::try_from(keys * 2).expect("fits");
    policy.routes.get_mut("deals").expect("the route of the source").window = window;
    policy
}
