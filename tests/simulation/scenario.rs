//! What the dials make: the named workload, the policy, Missive's weather.
//!
//! Times are milliseconds.

use std::sync::Arc;

use missived::event::Urgency;
use missived::lane::Policy;

use super::dials::Dials;
use super::policy::policy;

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// When every simulation begins.
pub const START: u64 = 1_795_000_000_000;

/// What a simulation is mainly about. Each seed has one; the summary counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    #[default]
    Steady,
    /// Hundreds of groups within seconds.
    Storm,
    Flapping,
    ManyConversations,
    HugeConversation,
    ThreadsInAStorm,
    /// Alerts that vanish from their group snapshots without a resolve.
    SilencedAlerts,
    /// The wall clock is set, forward and back.
    ClockJumps,
    /// Some of everything.
    Mixed,
}

/// Everything that is decided before a simulation starts.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub dials: Dials,
    pub policy: Arc<Policy>,
    /// How long sources speak.
    pub span: u64,
    pub strict: bool,
    /// Nothing ever fails.
    pub calm: bool,
    /// All news is of this urgency.
    pub urgency: Option<Urgency>,
    pub weather: Weather,
    /// Groups are known to be whole. What a clock that is set makes of the time of snapshots, the naive model doesn't know.
    pub tells_whole: bool,
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
    /// Answers that tell what others have left of the budget.
    pub others: u64,
    pub spells: Vec<Spell>,
}

/// A while in which every request ends alike.
#[derive(Clone, Copy, Debug)]
pub struct Spell {
    pub from: u64,
    pub to: u64,
    pub kind: SpellKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpellKind {
    TokenRefused,
    Down,
    Errors,
    Timeouts,
    RateLimited,
    RefusesAll,
    /// One channel refuses, the others don't.
    ChannelRefuses,
}

impl Workload {
    pub const ALL: [Self; 9] = [
        Self::Steady,
        Self::Storm,
        Self::Flapping,
        Self::ManyConversations,
        Self::HugeConversation,
        Self::ThreadsInAStorm,
        Self::SilencedAlerts,
        Self::ClockJumps,
        Self::Mixed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Storm => "storm",
            Self::Flapping => "flapping",
            Self::ManyConversations => "many conversations",
            Self::HugeConversation => "one huge conversation",
            Self::ThreadsInAStorm => "threads in a storm",
            Self::SilencedAlerts => "silenced alerts",
            Self::ClockJumps => "clock jumps",
            Self::Mixed => "mixed",
        }
    }
}

impl Scenario {
    pub fn of(dials: Dials) -> Self {
        let calm = dials.is_calm();
        Self {
            policy: Arc::new(policy(&dials)),
            span: dials.span_s.max(1) * SECOND,
            strict: dials.loose == 0,
            tells_whole: dials.loose > 0 || dials.jumps == 0,
            calm,
            urgency: [Urgency::Normal, Urgency::Critical, Urgency::Low]
                .get(usize::try_from(dials.urgency).expect("small"))
                .copied(),
            weather: if calm { Weather::calm() } else { Weather::of(&dials) },
            dials,
        }
    }
}

impl Scenario {
    /// May there be news that no observation stands behind?
    pub const fn has_unsaid(&self) -> bool {
        self.tells_whole && self.dials.snapshots > 0 || self.dials.flap_changes > 0
    }
}

impl Weather {
    pub fn calm() -> Self {
        Self { latency_max: 400, ..Self::default() }
    }

    fn of(dials: &Dials) -> Self {
        let spells = [
            (dials.spell_s, dials.spell_begins_s, dials.spell_kind),
            (dials.other_spell_s, dials.other_spell_begins_s, dials.other_spell_kind),
        ];
        Self {
            latency_max: dials.latency_ms.max(20),
            rate_limited: dials.rate_limited_pm,
            server_error: dials.server_error_pm,
            timeout: dials.timeout_pm,
            broken: dials.broken_pm,
            no_connection: dials.no_connection_pm,
            refused: dials.refused_pm,
            not_found: dials.not_found_pm,
            others: dials.others_pm,
            spells: spells.into_iter().filter(|(length, ..)| *length > 0).map(Spell::of).collect(),
        }
    }
}

impl Spell {
    fn of((length_s, begins_s, kind): (u64, u64, u64)) -> Self {
        use SpellKind::{ChannelRefuses, Down, Errors, RateLimited, RefusesAll, Timeouts, TokenRefused};
        let kinds = [TokenRefused, Down, Errors, Timeouts, RateLimited, RefusesAll, ChannelRefuses];
        let from = START + begins_s * SECOND;
        Self { from, to: from + length_s * SECOND, kind: kinds[usize::try_from(kind).expect("small") % kinds.len()] }
    }
}
