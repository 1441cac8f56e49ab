//! What becomes of a request: decided when it is written, from Missive's weather and chance.

use std::time::Duration;

use missived::event::Fingerprint;
use missived::lane::policy::Limits;
use missived::missive::Answer;
use missived::missive::answer::{Lost, NotSent, RateLimit, Status};

use super::inbox::conversation_id;
use super::policy::CHANNELS;
use super::random::Random;
use super::scenario::{SECOND, Spell, SpellKind, Weather};

/// How one request will end.
#[derive(Clone, Debug)]
pub struct Fate {
    /// How long after it was written it arrives, if it does.
    pub arrives: Option<u64>,
    pub takes_effect: bool,
    pub ends: u64,
    pub answer: Answer,
}

/// What is known of a request when it is written.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub now: u64,
    pub conversation: Fingerprint,
    /// The channel, as Missive knows it.
    pub account: &'a str,
}

impl Fate {
    pub fn of(request: Request<'_>, random: &mut Random, weather: &Weather, limits: &Limits) -> Self {
        let spell = weather.spells.iter().find(|spell| spell.from <= request.now && request.now < spell.to);
        let is_meant = |spell: &&Spell| spell.kind != SpellKind::ChannelRefuses || request.account == CHANNELS[0].1;
        if let Some(spell) = spell.filter(is_meant) {
            // Whoever asks too often hears that first.
            let too_often = random.chance(weather.rate_limited);
            let kind = if too_often { SpellKind::RateLimited } else { spell.kind };
            return Self::in_spell(random, weather, limits, kind);
        }
        let mut dice = random.between(0, 999);
        let mut falls = |share: u64| {
            let hit = dice < share;
            dice = dice.saturating_sub(share);
            hit
        };
        let kinds = [
            (weather.rate_limited, SpellKind::RateLimited),
            (weather.server_error, SpellKind::Errors),
            (weather.timeout, SpellKind::Timeouts),
            (weather.no_connection, SpellKind::Down),
            (weather.refused, SpellKind::RefusesAll),
        ];
        if let Some((_, kind)) = kinds.into_iter().find(|(share, _)| falls(*share)) {
            return Self::in_spell(random, weather, limits, kind);
        }
        if falls(weather.broken) {
            return Self::broken(random, limits);
        }
        if falls(weather.not_found) {
            return Self::answered(random, weather, status(404, None, ""), false);
        }
        Self::accepted(request.conversation, random, weather)
    }

    /// The worst that a sender nobody listens to can do: it arrives at the very end of its time.
    pub fn at_the_last_moment(random: &mut Random, limits: &Limits) -> Self {
        let ends = millis(limits.request_timeout);
        Self { arrives: Some(ends), takes_effect: random.chance(800), ends, answer: Answer::Lost(Lost::Timeout) }
    }

    /// Says what is left of one of the windows, of which others use a part.
    pub fn tell_what_is_left(&mut self, random: &mut Random, limits: &Limits, (minute, quarter_hour): (usize, usize)) {
        let Answer::Status(status) = &mut self.answer else { return };
        let (limit, counted, reset_max) = if random.chance(700) {
            (limits.per_minute, minute, 60)
        } else {
            (limits.per_quarter_hour, quarter_hour, 900)
        };
        let left = u64::try_from(limit.saturating_sub(counted)).expect("small");
        let remaining = if random.chance(100) { 0 } else { random.between(0, left) };
        status.rate_limit = Some(RateLimit {
            limit: u32::try_from(limit).expect("small"),
            remaining: u32::try_from(remaining).expect("small"),
            reset: Duration::from_secs(random.spread(1, reset_max)),
        });
    }

    fn accepted(conversation: Fingerprint, random: &mut Random, weather: &Weather) -> Self {
        let told = format!(r#"{{"messages":{{"conversation":"{}"}}}}"#, conversation_id(conversation));
        let body = if random.chance(300) { told.as_str() } else { "" };
        let code = random.pick(&[200, 201]);
        Self::answered(random, weather, status(code, None, body), true)
    }

    fn in_spell(random: &mut Random, weather: &Weather, limits: &Limits, kind: SpellKind) -> Self {
        match kind {
            SpellKind::TokenRefused => {
                let code = random.pick(&[401, 403]);
                Self::answered(random, weather, status(code, None, ""), false)
            }
            SpellKind::RefusesAll | SpellKind::ChannelRefuses => {
                let code = random.pick(&[400, 413, 422]);
                Self::answered(random, weather, status(code, None, "{}"), false)
            }
            SpellKind::RateLimited => {
                let after = random.chance(700).then(|| Duration::from_secs(random.spread(1, 2_000)));
                Self::answered(random, weather, status(429, after, ""), false)
            }
            SpellKind::Errors => {
                let (code, effect) = (random.pick(&[408, 500, 502, 503, 504]), random.chance(400));
                Self::answered(random, weather, status(code, None, ""), effect && code != 408)
            }
            SpellKind::Down => {
                let ends = random.between(0, 3 * SECOND);
                let answer = Answer::NotSent(NotSent::NoConnection);
                Self { arrives: None, takes_effect: false, ends, answer }
            }
            SpellKind::Timeouts => {
                let ends = millis(limits.request_timeout);
                let arrives = random.chance(800).then(|| random.between(0, ends));
                let takes_effect = arrives.is_some() && random.chance(600);
                Self { arrives, takes_effect, ends, answer: Answer::Lost(Lost::Timeout) }
            }
        }
    }

    fn broken(random: &mut Random, limits: &Limits) -> Self {
        let ends = random.between(0, millis(limits.request_timeout));
        let arrives = random.chance(600).then(|| random.between(0, ends));
        let takes_effect = arrives.is_some() && random.chance(500);
        Self { arrives, takes_effect, ends, answer: Answer::Lost(Lost::Broken) }
    }

    fn answered(random: &mut Random, weather: &Weather, answer: Status, takes_effect: bool) -> Self {
        let ends = random.spread(20, weather.latency_max.max(20));
        // Missive may count it at any moment between the request and its answer.
        let arrives = random.pick(&[0, ends, random.clone().between(0, ends)]);
        Self { arrives: Some(arrives), takes_effect, ends, answer: Answer::Status(answer) }
    }
}

fn status(code: u16, retry_after: Option<Duration>, body: &str) -> Status {
    Status { code, retry_after, rate_limit: None, body: body.into() }
}

pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("spans of a simulation are short")
}
