//! Outcome of signing requests: the one place where all that is known of one comes together.
//!
//! The log hangs here, and so does whatever is to count or record signatures and refusals.

use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::error::{SignError, SignFault, SignRefusal};
use super::newer_forks::NewerForks;
use crate::bls::PublicKey;
use crate::caller::Caller;
use crate::duty::{Duty, Kind};
use crate::ledger;
use crate::network::Network;
use crate::repetitions::{MoreLikeThis, Occurrence, Repetitions};
use crate::text::{OneLine, chain};

/// The end of a signing request for one key, or for all its keys where it failed as a whole.
pub(crate) struct Outcome<'a> {
    pub(crate) caller: &'a Caller,
    /// None where no public key was named, and where the request failed for all keys.
    pub(crate) public_key: Option<PublicKey>,
    /// None where the body was no duty.
    pub(crate) duty: Option<&'a Duty>,
    /// None where it was signed.
    pub(crate) error: Option<&'a SignError>,
    pub(crate) latencies: Latencies,
}

impl Outcome<'_> {
    /// The verdict, as a counter or a log calls it.
    pub(crate) fn kind(&self) -> OutcomeKind {
        self.error.map_or(OutcomeKind::Signed, SignError::kind)
    }
}

/// The verdict on a signing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutcomeKind {
    Signed,
    /// The body is no duty, or one of another chain.
    NoDuty,
    UnknownKey,
    /// By policy.
    Forbidden,
    /// By slashing protection.
    Slashable,
    Fault,
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "signed",
            Self::NoDuty => "no-duty",
            Self::UnknownKey => "unknown-key",
            Self::Forbidden => "forbidden",
            Self::Slashable => "slashable",
            Self::Fault => "fault",
        })
    }
}

/// How long each step took; zero for those that were not reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latencies {
    /// From the body to the duty.
    pub(crate) parse: Duration,
    /// The key, the policy and slashing protection's judgement.
    pub(crate) judge: Duration,
    /// The multiplication, with the wait for a core.
    pub(crate) multiply: Duration,
    /// The rest of the wait for the record.
    pub(crate) wait: Duration,
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parse, judge, multiply, wait } = self;
        let [parse, judge, multiply, wait] = [parse, judge, multiply, wait].map(Duration::as_micros);
        write!(f, "parse={parse}us judge={judge}us multiply={multiply}us wait={wait}us")
    }
}

/// Times steps that follow each other.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the last lap.
    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(std::mem::replace(&mut self.0, now))
    }
}

/// What is remembered of outcomes, for the log, health and the status line.
#[derive(Default)]
pub(crate) struct Outcomes {
    last_signature: AtomicU64,
    newer_forks: NewerForks,
    /// By key, and by the rule of slashing protection that refused.
    refusals: Repetitions<(PublicKey, Discriminant<ledger::Refusal>)>,
    faults: Repetitions<FaultKind>,
}

impl Outcomes {
    /// Notes an outcome, and logs it.
    pub(super) fn note(&self, outcome: &Outcome<'_>, network: &Network) {
        match outcome.error {
            None => self.note_signature(outcome, network),
            Some(SignError::Refused(refusal)) => self.note_refusal(outcome, refusal),
            Some(SignError::Failed(fault)) => self.note_fault(outcome, fault),
        }
    }

    /// Seconds since the last signature; `None` if there was none.
    pub(crate) fn seconds_since_signature(&self) -> Option<u64> {
        let last = self.last_signature.load(Ordering::Relaxed);
        (last > 0).then(|| unix_seconds().saturating_sub(last))
    }

    /// Fork versions that were signed for and are newer than the network's schedule.
    pub(crate) fn newer_forks(&self) -> Vec<String> {
        self.newer_forks.seen()
    }

    /// Keys of which refusals were only counted for a minute, and how many. Each count is returned once.
    pub(crate) fn take_counted_refusals(&self) -> Vec<(PublicKey, u64)> {
        self.refusals.settle().into_iter().map(|((public_key, _), counted)| (public_key, counted)).collect()
    }

    /// How many faults were only counted for a minute. Each count is returned once.
    pub(crate) fn take_counted_faults(&self) -> u64 {
        self.faults.settle().into_iter().map(|(_, counted)| counted).sum()
    }

    fn note_signature(&self, outcome: &Outcome<'_>, network: &Network) {
        self.last_signature.store(unix_seconds(), Ordering::Relaxed);
        let Some(duty) = outcome.duty else { return };
        self.newer_forks.note(duty, network);
        let Outcome { caller, latencies, .. } = outcome;
        let public_key = Name(outcome.public_key);
        let signing_root = duty.signing_root();
        match duty.kind() {
            // What was signed cannot be said for a raw root, so that it was is on record.
            Kind::RawRoot => tracing::info!(%caller, %public_key, %signing_root, "signed a raw root"),
            kind => tracing::debug!(%caller, %public_key, %kind, %signing_root, %latencies, "signed"),
        }
    }

    fn note_refusal(&self, outcome: &Outcome<'_>, refusal: &SignRefusal) {
        let occurrence = match (refusal, outcome.public_key) {
            (SignRefusal::SlashingProtection(rule), Some(public_key)) => {
                self.refusals.note((public_key, discriminant(rule)))
            }
            (
                SignRefusal::SlashingProtection(_)
                | SignRefusal::Duty(_)
                | SignRefusal::UnknownKey { .. }
                | SignRefusal::NoPublicKey
                | SignRefusal::Policy(_),
                _,
            ) => Occurrence::Counted,
        };
        let caller = outcome.caller;
        let public_key = Name(outcome.public_key);
        let kind = outcome.duty.map(|duty| tracing::field::display(duty.kind()));
        let outcome = outcome.kind();
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                tracing::warn!(%caller, %public_key, kind, %outcome, "refused: {}{more}", OneLine(refusal));
            }
            Occurrence::Counted => {
                tracing::debug!(%caller, %public_key, kind, %outcome, "refused: {}", OneLine(refusal));
            }
        }
    }

    /// The log has the causes; the answer to the caller does not.
    fn note_fault(&self, outcome: &Outcome<'_>, fault: &SignFault) {
        let occurrence = self.faults.note(fault_kind(fault));
        let caller = outcome.caller;
        let public_key = Name(outcome.public_key);
        let kind = outcome.duty.map(|duty| tracing::field::display(duty.kind()));
        let outcome = outcome.kind();
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                tracing::error!(%caller, %public_key, kind, %outcome, "not signed: {}{more}", chain(fault));
            }
            Occurrence::Counted => {
                tracing::debug!(%caller, %public_key, kind, %outcome, "not signed: {}", chain(fault));
            }
        }
    }
}

/// What makes two faults alike, whichever keys they meet.
type FaultKind = (Discriminant<SignFault>, Option<Discriminant<ledger::Fault>>);

fn fault_kind(fault: &SignFault) -> FaultKind {
    let of_ledger = match fault {
        SignFault::Ledger(fault) => Some(discriminant(fault)),
        SignFault::Pool(_) => None,
    };
    (discriminant(fault), of_ledger)
}

/// A key's name in a line of the log.
struct Name(Option<PublicKey>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(public_key) => public_key.fmt(f),
            None => f.write_str("none"),
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
