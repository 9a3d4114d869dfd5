//! Counts of signing requests, by what they were for and how they ended. Nothing is counted by key or by client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::error::{SignError, SignRefusal};
use super::outcome::{Latencies, Outcome, OutcomeKind};
use crate::clients::group_of;
use crate::duty::Claim;
use crate::duty_group::DutyGroup;
use crate::ledger::Rule;
use crate::metrics::{Counter, Family, Histogram, RecentDurations, named_variants};
use crate::network::GenesisClock;

/// What is counted of signing requests since the start.
pub(crate) struct SigningCounts {
    clock: Option<GenesisClock>,
    /// Whether slashing protection judges what can be slashed.
    protects: bool,
    pub(crate) by_duty: Family<DutyGroup, OfDuty>,
    /// Requests without a duty: their body is none.
    pub(crate) malformed: Counter,
    pub(crate) refusals: Family<Rule, Counter>,
    /// Every request from its first byte to its answer, of whatever sort.
    pub(crate) durations: RecentDurations,
    /// Blocks and attestations that slashing protection allowed.
    pub(crate) permitted: Counter,
    /// Time that slashing protection took, records on disk included.
    pub(crate) protection: Family<Protected, RecentDurations>,
    /// Time that signatures took on the signing threads, with the wait for one.
    pub(crate) multiplications: RecentDurations,
}

/// What is counted of the duties of one group.
pub(crate) struct OfDuty {
    pub(crate) outcomes: Family<OutcomeKind, Counter>,
    /// From the request to its answer.
    pub(crate) whole: Histogram,
    pub(crate) stages: Family<Stage, Histogram>,
    /// The time since the slot began, when the answer left.
    pub(crate) into_slot: Histogram,
    /// In seconds since 1970; 0 for none.
    last_signature: AtomicU64,
}

named_variants! {
    /// What slashing protection judges by its content.
    pub(crate) enum Protected {
        Block = "block",
        Attestation = "attestation",
    }
}

named_variants! {
    /// The steps of a request, as [`Latencies`] has them.
    pub(crate) enum Stage {
        Parse = "parse",
        Judge = "judge",
        Multiply = "multiply",
        Wait = "wait",
    }
}

impl SigningCounts {
    /// `clock` is the network's, where it is known.
    pub(crate) fn new(clock: Option<GenesisClock>, protects: bool) -> Self {
        Self {
            clock,
            protects,
            by_duty: Family::default(),
            malformed: Counter::default(),
            refusals: Family::default(),
            durations: RecentDurations::default(),
            permitted: Counter::default(),
            protection: Family::default(),
            multiplications: RecentDurations::default(),
        }
    }

    /// Counts an outcome whose answer leaves `now`.
    pub(super) fn note(&self, outcome: &Outcome<'_>, now: SystemTime) {
        let latencies = outcome.latencies;
        self.durations.record(latencies.whole());
        if let Some(SignError::Refused(SignRefusal::SlashingProtection(refusal))) = outcome.error {
            self.refusals.of(refusal.rule()).into_iter().for_each(Counter::increment);
        }
        let Some(duty) = outcome.duty else {
            self.malformed.increment();
            return;
        };
        self.note_judgement(duty.claim(), outcome.kind(), latencies);
        let Some(of_duty) = self.by_duty.of(group_of(duty.kind())) else { return };
        of_duty.outcomes.of(outcome.kind()).into_iter().for_each(Counter::increment);
        of_duty.whole.record_duration(latencies.whole());
        if outcome.error.is_some() {
            return;
        }
        self.multiplications.record(latencies.multiply);
        for (stage, histogram) in of_duty.stages.iter() {
            histogram.record_duration(latencies.of(stage));
        }
        if let Some(into_slot) = self.clock.and_then(|clock| clock.into_slot(now)) {
            of_duty.into_slot.record_duration(into_slot);
        }
        of_duty.last_signature.store(unix_seconds(now), Ordering::Relaxed);
    }

    fn note_judgement(&self, claim: Claim, outcome: OutcomeKind, latencies: Latencies) {
        let protected = match claim {
            Claim::Block { .. } => Protected::Block,
            Claim::Attestation { .. } => Protected::Attestation,
            Claim::RawRoot | Claim::Unslashable => return,
        };
        let took_time = match outcome {
            OutcomeKind::Signed => {
                if self.protects {
                    self.permitted.increment();
                }
                self.protects
            }
            OutcomeKind::Slashable => true,
            OutcomeKind::NoDuty
            | OutcomeKind::UnknownKey
            | OutcomeKind::ForeignKey
            | OutcomeKind::Forbidden
            | OutcomeKind::Fault => false,
        };
        if let (true, Some(durations)) = (took_time, self.protection.of(protected)) {
            durations.record(latencies.judge.saturating_add(latencies.wait));
        }
    }

    /// How many requests ended so, whatever they were for.
    pub(crate) fn ended(&self, outcome: OutcomeKind) -> u64 {
        let counts = self.by_duty.iter().filter_map(|(_, of_duty)| of_duty.outcomes.of(outcome));
        counts.map(Counter::value).fold(0, u64::saturating_add)
    }

    /// When something was signed last, in seconds since 1970.
    pub(super) fn last_signature(&self) -> Option<u64> {
        self.by_duty.iter().filter_map(|(_, of_duty)| of_duty.last_signature()).max()
    }

    /// Whether the network's clock is known.
    pub(crate) fn knows_slots(&self) -> bool {
        self.clock.is_some()
    }
}

impl OfDuty {
    /// When the last duty of the group was signed, in seconds since 1970.
    pub(crate) fn last_signature(&self) -> Option<u64> {
        Some(self.last_signature.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }
}

impl Default for OfDuty {
    fn default() -> Self {
        Self {
            outcomes: Family::default(),
            whole: Histogram::new(REQUEST_NANOSECONDS),
            stages: Family::new(|| Histogram::new(STAGE_NANOSECONDS)),
            into_slot: Histogram::new(SLOT_NANOSECONDS),
            last_signature: AtomicU64::new(0),
        }
    }
}

impl Latencies {
    /// The time from the body to the answer.
    pub(super) fn whole(self) -> Duration {
        Stage::ALL.iter().map(|stage| self.of(*stage)).fold(Duration::ZERO, Duration::saturating_add)
    }

    fn of(self, stage: Stage) -> Duration {
        match stage {
            Stage::Parse => self.parse,
            Stage::Judge => self.judge,
            Stage::Multiply => self.multiply,
            Stage::Wait => self.wait,
        }
    }
}

fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// From 1 ms to the 4 s after which validator clients give up.
const REQUEST_NANOSECONDS: &[u64] = &[
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    4_000_000_000,
];

/// Few, as there is a histogram for each step of each duty: all must be scraped within 64 KiB.
const STAGE_NANOSECONDS: &[u64] =
    &[250_000, 500_000, 1_000_000, 5_000_000, 25_000_000, 100_000_000, 500_000_000];

/// Thirds of 12 s and of 5 s, quarters of both, and what lies between.
const SLOT_NANOSECONDS: &[u64] = &[
    500_000_000,
    1_000_000_000,
    1_250_000_000,
    1_666_666_667,
    2_000_000_000,
    3_000_000_000,
    4_000_000_000,
    5_000_000_000,
    6_000_000_000,
    8_000_000_000,
    9_000_000_000,
    10_000_000_000,
    12_000_000_000,
];
