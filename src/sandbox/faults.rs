//! Faults that are played on request: what, on which requests, how often.
//!
//! A fault hits requests that passed the token and the limits. Latencies add up; of the others, the first that fires is
//! played. At most [`FAULTS_MAX`] at one time; those for a number of requests disappear when it is reached.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::random::Random;

/// How many faults can be set at one time.
pub const FAULTS_MAX: usize = 64;

/// The longest latency: ten minutes.
pub const LATENCY_MS_MAX: u64 = 600_000;

/// A fault as it is asked for.
///
/// `next` (a number of requests) or `probability` (0 to 1) say how often; with neither it is every request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub fault: FaultKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Only requests whose path begins with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `latency`: how long the answer is held back.
    #[serde(default)]
    pub ms: u64,
    /// `latency`: up to this much longer.
    #[serde(default)]
    pub jitter_ms: u64,
    /// `status`: the status answered, 400 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `status`: the `Retry-After` header, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// `status` and `reset`: whether the request is processed all the same.
    #[serde(default)]
    pub after_processing: bool,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request is processed, and its answer held back.
    Latency,
    /// A status is answered.
    Status,
    /// The connection is reset.
    Reset,
    /// The request is processed and never answered.
    AcceptWithoutAnswering,
    /// The connection is closed, and the request forgotten.
    DropBeforeProcessing,
}

/// Why a fault can't be set.
#[derive(Debug, Error, PartialEq)]
pub enum FaultError {
    #[error("probability must be between 0 and 1")]
    Probability,
    #[error("next and probability exclude each other")]
    TwoRates,
    #[error("a fault of status needs a status between 400 and 599")]
    Status,
    #[error("latency is at most {LATENCY_MS_MAX} ms, jitter included")]
    Latency,
    #[error("there are {FAULTS_MAX} faults already")]
    TooMany,
}

/// What is played on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Played {
    pub delay_ms: u64,
    pub trouble: Trouble,
}

/// Besides latency, what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    #[default]
    None,
    Status {
        status: u16,
        retry_after: Option<u64>,
        processing: Processing,
    },
    Reset {
        processing: Processing,
    },
    Silence,
    Drop,
}

/// Whether a request that goes wrong leaves something behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processing {
    Done,
    Skipped,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Sets one more.
    pub fn add(&mut self, fault: Fault) -> Result<(), FaultError> {
        fault.check()?;
        if self.0.len() >= FAULTS_MAX {
            return Err(FaultError::TooMany);
        }
        self.0.push(fault);
        Ok(())
    }

    /// Ends all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are set, with what is left of them.
    pub fn list(&self) -> &[Fault] {
        &self.0
    }

    /// Decides what is played on a request to `path`.
    pub fn play(&mut self, path: &str, random: &mut Random) -> Played {
        let mut played = Played::default();
        for fault in self.0.iter_mut().filter(|fault| fault.covers(path)) {
            let open = fault.fault == FaultKind::Latency || played.trouble == Trouble::None;
            if open && fault.fires(random) {
                fault.apply(&mut played, random);
            }
        }
        self.0.retain(|fault| fault.next != Some(0));
        played
    }
}

impl Fault {
    /// A fault of this kind on every request.
    pub fn every(fault: FaultKind) -> Self {
        Self {
            fault,
            next: None,
            probability: None,
            path: None,
            ms: 0,
            jitter_ms: 0,
            status: None,
            retry_after: None,
            after_processing: false,
        }
    }

    fn check(&self) -> Result<(), FaultError> {
        if self.next.is_some() && self.probability.is_some() {
            return Err(FaultError::TwoRates);
        }
        if self.probability.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return Err(FaultError::Probability);
        }
        if self.ms.saturating_add(self.jitter_ms) > LATENCY_MS_MAX {
            return Err(FaultError::Latency);
        }
        let has_status = self.status.is_some_and(|status| (400..600).contains(&status));
        if self.fault == FaultKind::Status && !has_status {
            return Err(FaultError::Status);
        }
        Ok(())
    }

    fn covers(&self, path: &str) -> bool {
        self.path.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_str()))
    }

    fn fires(&mut self, random: &mut Random) -> bool {
        if let Some(left) = &mut self.next {
            let fires = *left > 0;
            *left = left.saturating_sub(1);
            return fires;
        }
        self.probability.is_none_or(|chance| random.fraction() < chance)
    }

    fn apply(&self, played: &mut Played, random: &mut Random) {
        let processing = if self.after_processing { Processing::Done } else { Processing::Skipped };
        match self.fault {
            FaultKind::Latency => played.delay_ms += self.ms + random.up_to(self.jitter_ms),
            FaultKind::Status => {
                let status = self.status.unwrap_or(500);
                played.trouble = Trouble::Status { status, retry_after: self.retry_after, processing };
            }
            FaultKind::Reset => played.trouble = Trouble::Reset { processing },
            FaultKind::AcceptWithoutAnswering => played.trouble = Trouble::Silence,
            FaultKind::DropBeforeProcessing => played.trouble = Trouble::Drop,
        }
    }
}

impl Trouble {
    /// The name in the ledger and the summary.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Status { .. } => Some("status"),
            Self::Reset { .. } => Some("reset"),
            Self::Silence => Some("accept_without_answering"),
            Self::Drop => Some("drop_before_processing"),
        }
    }

    /// Whether the request is processed.
    pub fn processing(self) -> Processing {
        match self {
            Self::None | Self::Silence => Processing::Done,
            Self::Drop => Processing::Skipped,
            Self::Status { processing, .. } | Self::Reset { processing } => processing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(written: &str) -> Fault {
        serde_json::from_str(written).expect(written)
    }

    #[test]
    fn a_fault_for_the_next_requests_ends_by_itself() {
        let (mut faults, mut random) = (Faults::default(), Random::new(1));
        faults.add(fault(r#"{"fault":"drop_before_processing","next":2}"#)).expect("a good fault");
        let played: Vec<Trouble> = (0..3).map(|_| faults.play("/", &mut random).trouble).collect();
        assert_eq!(played, [Trouble::Drop, Trouble::Drop, Trouble::None]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_probable_fault_hits_its_share_and_the_seed_decides_which() {
        let run = |seed: u64| -> Vec<Trouble> {
            let (mut faults, mut random) = (Faults::default(), Random::new(seed));
            faults.add(fault(r#"{"fault":"reset","probability":0.25}"#)).expect("a good fault");
            (0..1000).map(|_| faults.play("/", &mut random).trouble).collect()
        };
        let hit = run(1).iter().filter(|trouble| **trouble != Trouble::None).count();
        assert!((200..300).contains(&hit), "{hit} of 1000");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn latencies_add_up_beside_one_other_fault() {
        let (mut faults, mut random) = (Faults::default(), Random::new(1));
        for written in [
            r#"{"fault":"latency","ms":10}"#,
            r#"{"fault":"status","status":503}"#,
            r#"{"fault":"reset","next":1}"#,
            r#"{"fault":"latency","ms":5,"path":"/v1/messages"}"#,
        ] {
            faults.add(fault(written)).expect(written);
        }
        let played = faults.play("/v1/messages", &mut random);
        assert_eq!(played.delay_ms, 15);
        assert_eq!(played.trouble.name(), Some("status"));
        assert_eq!(faults.list().len(), 4, "what was not played is not used up");
        assert_eq!(faults.play("/v1/posts", &mut random).delay_ms, 10);
    }

    #[test]
    fn senseless_faults_are_refused() {
        let rows = [
            (r#"{"fault":"status"}"#, FaultError::Status, "no status"),
            (r#"{"fault":"status","status":200}"#, FaultError::Status, "a success is no fault"),
            (r#"{"fault":"reset","probability":1.5}"#, FaultError::Probability, "more than always"),
            (r#"{"fault":"reset","probability":0.5,"next":1}"#, FaultError::TwoRates, "two rates"),
            (r#"{"fault":"latency","ms":600001}"#, FaultError::Latency, "longer than ten minutes"),
        ];
        for (written, expected, sentence) in rows {
            assert_eq!(Faults::default().add(fault(written)), Err(expected), "{sentence}");
        }
    }
}
