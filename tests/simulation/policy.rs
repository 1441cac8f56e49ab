//! The policy that the dials ask for. A *strict* one keeps windows and gaps longer than its simulation and its bounds out of
//! reach, so that the naive model knows every verdict; a loose one makes them short and small.

use std::time::Duration;

use missived::event::{Kind, Timing};
use missived::lane::Policy;
use missived::lane::policy::{
    Action, Bounds, ByName, ChannelPolicy, Decisions, Flap, Horizons, Limits, OnDoubt, Retry, RoutePolicy,
};
use missived::missive::{Channel, ChannelType, Contact};

use super::dials::Dials;

/// Routes: name, channel, kind.
const ROUTES: [(&str, &str, Kind); 5] = [
    ("alerts", "ops", Kind::Alert),
    ("single", "ops", Kind::Alert),
    ("groups", "ops", Kind::Alert),
    ("deals", "crm", Kind::Record),
    ("chat", "crm", Kind::Thread),
];

/// Channels and their accounts at Missive.
pub const CHANNELS: [(&str, &str); 2] =
    [("ops", "11111111-2222-4333-8444-555555555555"), ("crm", "22222222-2222-4333-8444-555555555555")];

/// In a strict policy, whatever flaps goes on until all else is told.
pub const FLAP_WINDOW_STRICT: Duration = Duration::from_secs(24 * 3600);

/// The channel that a route goes to.
pub fn channel_of(route: &str) -> &'static str {
    ROUTES.iter().find(|(name, ..)| *name == route).map(|(_, channel, _)| *channel).expect("one of ours")
}

pub fn policy(dials: &Dials) -> Policy {
    let channels = CHANNELS.map(|(name, account)| (name.into(), channel(dials, name, account)));
    let timings = [(0, 0), (5, 300), (30, 60)];
    let mut places = (0..).map(|place| usize::try_from(dials.timings / 3u64.pow(place) % 3).expect("below three"));
    let mut timing = || timings[places.next().expect("endless")];
    let routes = ROUTES.map(|(name, channel, kind)| (name.into(), route(dials, name, channel, kind, timing())));
    Policy {
        lane: "default".into(),
        namespace: "missived".into(),
        limits: limits(dials),
        retry: Retry { first: secs(1), longest: secs(pick(dials.retry, &[5, 60, 300])) },
        horizons: Horizons { critical: secs(30), normal: secs(300), low: secs(900) },
        bounds: bounds(dials),
        decisions: Decisions::Untold,
        fallback_after: None,
        on_doubt: if dials.hold > 0 { OnDoubt::Hold } else { OnDoubt::Resend },
        channels: ByName::from_iter(channels),
        routes: ByName::from_iter(routes),
    }
}

fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn pick<T: Copy>(dial: u64, from: &[T]) -> T {
    from[usize::try_from(dial).expect("small") % from.len()]
}

fn limits(dials: &Dials) -> Limits {
    let (concurrent, per_minute, per_quarter_hour) =
        pick(dials.limits, &[(5, 300, 900), (5, 300, 900), (5, 20, 60), (2, 10, 40), (1, 5, 12)]);
    Limits {
        concurrent,
        per_minute,
        per_quarter_hour,
        critical_share_percent: 20,
        skew_margin: secs(1),
        request_timeout: secs(10),
        send_within: secs(2),
        retry_after_max: secs(900),
    }
}

fn bounds(dials: &Dials) -> Bounds {
    let size = |dial: u64, roomy: usize| {
        if dials.loose == 0 || dial == 0 { roomy } else { usize::try_from(dial).expect("small") }
    };
    Bounds {
        dedupe_keys_max: size(dials.keys_max, 1_000_000),
        conversations_max: size(dials.conversations_max, 100_000),
        alerts_per_conversation_max: size(dials.alerts_max, 1_000),
        digest_lines_max: size(dials.lines_max, 10),
        line_bytes_max: 500,
        thread_bytes_max: size(dials.thread_bytes_max, 256 * 1024),
        files_bytes_max: 128 * 1024,
    }
}

fn channel(dials: &Dials, name: &str, account: &str) -> ChannelPolicy {
    ChannelPolicy {
        channel: Channel {
            name: name.into(),
            account: account.parse().expect("a UUID"),
            kind: ChannelType::Text,
            recipient: Contact { id: "ops".into(), username: "ops".into(), name: "Ops".into() },
            organization: None,
            team: None,
            body_chars_max: pick(dials.body_cap, &[8_000, 8_000, 400]),
            time_zone: jiff::tz::TimeZone::UTC,
            account_key: "account".into(),
            mail: missived::missive::Mail::default(),
        },
        new_conversations: pick(dials.openings, &[10, 2, 1_000]),
        new_conversations_critical: pick(dials.openings / 3, &[20, 20, 2]),
        new_conversations_window: secs(300),
    }
}

fn route(dials: &Dials, name: &str, channel: &str, kind: Kind, (wait, interval): (u64, u64)) -> RoutePolicy {
    let strict = dials.loose == 0;
    let day = secs(24 * 3600);
    let timing = |wait, interval| Timing {
        group_wait: secs(wait),
        group_interval: secs(interval),
        repeat_interval: secs(if strict { 4 * 3600 } else { 600 }),
        stale_after: if strict { day * 5 } else { secs(1800) },
        episode_gap: if strict { day } else { secs(600) },
    };
    RoutePolicy {
        name: name.into(),
        channel: channel.into(),
        kind,
        action: Action::Tell,
        window: if strict { day } else { secs(pick(dials.seed, &[60, 900, 3600])) },
        timing: timing(wait, interval),
        timing_critical: timing(0, interval.min(60)),
        flap: flap(dials),
        telling: std::sync::Arc::default(),
    }
}

fn flap(dials: &Dials) -> Flap {
    let window = if dials.loose == 0 { FLAP_WINDOW_STRICT } else { secs(pick(dials.seed / 3, &[30, 300, 900])) };
    let changes = if dials.flap_changes == 0 { 10_000 } else { u32::try_from(dials.flap_changes).expect("small") };
    Flap { changes, window }
}
