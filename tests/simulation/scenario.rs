//! What one seed decides: the policy, what happens at the sources, Missive's weather, the driver's troubles.
//!
//! Times are milliseconds. A *strict* scenario keeps windows and gaps longer than itself and its bounds out of reach, so
//! that the naive model knows every verdict; a loose one makes them short and small, and only sums are compared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use missived::event::{Kind, Timing, Urgency};
use missived::lane::Policy;
use missived::lane::policy::{Bounds, ChannelPolicy, Flap, Horizons, Limits, OnDoubt, Retry, RoutePolicy};
use missived::missive::{Channel, ChannelType, Contact};

use super::random::Random;

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// When every simulation begins.
pub const START: u64 = 1_795_000_000_000;

/// Everything that a seed decides before its simulation starts.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub policy: Arc<Policy>,
    /// How long sources speak.
    pub span: u64,
    pub strict: bool,
    /// Nothing ever fails.
    pub calm: bool,
    /// All news is of this urgency.
    pub urgency: Option<Urgency>,
    pub load: Load,
    pub weather: Weather,
    pub troubles: Troubles,
}

/// How much of what happens at the sources.
#[derive(Clone, Debug)]
pub struct Load {
    pub steady: u64,
    pub storm_groups: u64,
    pub flaps: u64,
    pub records: u64,
    pub huge: u64,
    pub words: u64,
    pub lessons: u64,
    pub repeats_per_mille: u64,
    pub disorder: u64,
    pub old_per_mille: u64,
    pub intake_crashes_per_mille: u64,
    pub partitions: u64,
}

/// What Missive is like. Numbers are per mille of requests.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    pub latency_max: u64,
    pub rate_limited: u64,
    pub server_error: u64,
    pub timeout: u64,
    pub broken: u64,
    pub no_connection: u64,
    pub refused: u64,
    pub not_found: u64,
    pub spells: Vec<Spell>,
}

/// A while in which every request ends alike.
#[derive(Clone, Copy, Debug)]
pub struct Spell {
    pub from: u64,
    pub to: u64,
    pub kind: SpellKind,
}

#[derive(Clone, Copy, Debug)]
pub enum SpellKind {
    TokenRefused,
    Down,
    Errors,
    Timeouts,
    RateLimited,
    RefusesAll,
}

/// What the driver goes through. Numbers are per mille of commits, or of steps.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    pub crash_steps: u64,
    pub crash_commits: u64,
    pub aborts: u64,
    pub slow_commits: u64,
    pub hand_overs: u64,
    pub late_writes: u64,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let strict = random.chance(700);
        let calm = random.chance(250);
        let span = if strict { random.spread(MINUTE, 40 * MINUTE) } else { random.spread(5 * MINUTE, 6 * HOUR) };
        Self {
            policy: Arc::new(policy(random, strict)),
            span,
            strict,
            calm,
            urgency: random.chance(400).then(|| random.pick(&Urgency::ALL)),
            load: Load::of(random, strict),
            weather: if calm { Weather::calm() } else { Weather::of(random, span) },
            troubles: if calm { Troubles::default() } else { Troubles::of(random) },
        }
    }
}

impl Load {
    fn of(random: &mut Random, strict: bool) -> Self {
        let mut some =
            |likely: u64, from: u64, to: u64| if random.chance(likely) { random.spread(from, to) } else { 0 };
        Self {
            steady: some(700, 4, 120),
            storm_groups: some(350, 10, 300),
            flaps: some(350, 4, 100),
            records: some(500, 4, 150),
            huge: some(250, 10, 300),
            words: some(500, 4, 120),
            lessons: some(300, 1, 12),
            repeats_per_mille: some(700, 20, 500),
            disorder: some(400, 100, 30 * SECOND),
            old_per_mille: if strict { 0 } else { some(300, 10, 300) },
            intake_crashes_per_mille: some(500, 10, 300),
            partitions: random.between(1, 4),
        }
    }
}

impl Weather {
    pub fn calm() -> Self {
        Self { latency_max: 400, ..Self::default() }
    }

    fn of(random: &mut Random, span: u64) -> Self {
        let latency_max = random.spread(50, 9 * SECOND);
        let mut some = |likely: u64, to: u64| if random.chance(likely) { random.spread(1, to) } else { 0 };
        let weather = Self {
            latency_max,
            rate_limited: some(300, 100),
            server_error: some(300, 150),
            timeout: some(300, 150),
            broken: some(300, 150),
            no_connection: some(300, 150),
            refused: some(200, 30),
            not_found: some(200, 30),
            spells: Vec::new(),
        };
        let count = random.between(0, 2);
        Self { spells: (0..count).map(|_| Spell::of(random, span)).collect(), ..weather }
    }
}

impl Spell {
    fn of(random: &mut Random, span: u64) -> Self {
        use SpellKind::{Down, Errors, RateLimited, RefusesAll, Timeouts, TokenRefused};
        let from = START + random.between(0, span);
        let kind = random.pick(&[TokenRefused, Down, Errors, Timeouts, RateLimited, RefusesAll]);
        Self { from, to: from + random.spread(5 * SECOND, 20 * MINUTE), kind }
    }
}

impl Troubles {
    fn of(random: &mut Random) -> Self {
        let mut some = |likely: u64, to: u64| if random.chance(likely) { random.spread(1, to) } else { 0 };
        Self {
            crash_steps: some(400, 15),
            crash_commits: some(400, 40),
            aborts: some(300, 200),
            slow_commits: some(300, 100),
            hand_overs: some(300, 10),
            late_writes: some(300, 200),
        }
    }
}

fn policy(random: &mut Random, strict: bool) -> Policy {
    let channels = ["ops", "crm"].map(|name| (name.into(), channel(random, name)));
    let routes = [
        ("alerts", "ops", Kind::Alert),
        ("single", "ops", Kind::Alert),
        ("deals", "crm", Kind::Record),
        ("chat", "crm", Kind::Thread),
    ];
    let routes = routes.map(|(name, channel, kind)| (name.into(), route(random, strict, name, channel, kind)));
    let horizon = |millis| Duration::from_millis(millis);
    Policy {
        lane: "default".into(),
        namespace: "missived".into(),
        limits: limits(random),
        retry: Retry { first: Duration::from_secs(1), longest: Duration::from_secs(random.pick(&[5, 60, 300])) },
        horizons: Horizons { critical: horizon(30 * SECOND), normal: horizon(5 * MINUTE), low: horizon(15 * MINUTE) },
        bounds: bounds(random, strict),
        on_doubt: if random.chance(60) { OnDoubt::Hold } else { OnDoubt::Resend },
        channels: HashMap::from(channels),
        routes: HashMap::from(routes),
    }
}

fn limits(random: &mut Random) -> Limits {
    let (concurrent, per_minute, per_quarter_hour) =
        random.pick(&[(5, 300, 900), (5, 300, 900), (5, 20, 60), (2, 10, 40), (1, 5, 12)]);
    Limits {
        concurrent,
        per_minute,
        per_quarter_hour,
        critical_share_percent: 20,
        skew_margin: Duration::from_secs(1),
        request_timeout: Duration::from_secs(10),
        send_within: Duration::from_secs(2),
        retry_after_max: Duration::from_secs(900),
    }
}

fn bounds(random: &mut Random, strict: bool) -> Bounds {
    let mut size = |small: u64, large: usize| {
        if strict || random.chance(600) { large } else { usize::try_from(random.spread(1, small)).expect("small") }
    };
    Bounds {
        dedupe_keys_max: size(200, 1_000_000),
        conversations_max: size(50, 100_000),
        alerts_per_conversation_max: size(20, 1_000),
        digest_lines_max: size(8, 10),
        line_bytes_max: 500,
        thread_bytes_max: size(2_000, 256 * 1024),
    }
}

fn channel(random: &mut Random, name: &str) -> ChannelPolicy {
    ChannelPolicy {
        channel: Channel {
            name: name.into(),
            account: "11111111-2222-4333-8444-555555555555".parse().expect("a UUID"),
            kind: ChannelType::Text,
            recipient: Contact { id: "ops".into(), username: "ops".into(), name: "Ops".into() },
            organization: None,
            team: None,
            body_chars_max: random.pick(&[8_000, 8_000, 400]),
            time_zone: jiff::tz::TimeZone::UTC,
        },
        new_conversations: random.pick(&[10, 10, 2, 1_000]),
        new_conversations_critical: random.pick(&[20, 20, 2]),
        new_conversations_window: Duration::from_secs(300),
    }
}

fn route(random: &mut Random, strict: bool, name: &str, channel: &str, kind: Kind) -> RoutePolicy {
    let long = Duration::from_secs(24 * 3600);
    let (wait, interval) = random.pick(&[(0, 0), (5, 300), (30, 60)]);
    let timing = |wait, interval| Timing {
        group_wait: Duration::from_secs(wait),
        group_interval: Duration::from_secs(interval),
        repeat_interval: Duration::from_secs(if strict { 4 * 3600 } else { 600 }),
        stale_after: if strict { long * 5 } else { Duration::from_secs(1800) },
        episode_gap: if strict { long } else { Duration::from_secs(600) },
    };
    RoutePolicy {
        name: name.into(),
        channel: channel.into(),
        kind,
        window: if strict { long } else { Duration::from_secs(random.pick(&[60, 900, 3600])) },
        timing: timing(wait, interval),
        timing_critical: timing(0, interval.min(60)),
        flap: Flap { changes: 100, window: Duration::from_secs(60) },
    }
}
