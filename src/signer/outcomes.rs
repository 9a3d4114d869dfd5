//! Outcomes of all signing requests: the one place where all that is known of each comes together.
//!
//! Counts and the log hang here, and so does whatever is to record signatures and refusals.

use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::time::SystemTime;

use super::counts::SigningCounts;
use super::error::{SignError, SignFault, SignRefusal};
use super::newer_forks::NewerForks;
use super::outcome::Outcome;
use crate::bls::PublicKey;
use crate::caller::{Caller, Source};
use crate::clients::ClientName;
use crate::duty::Kind;
use crate::ledger;
use crate::network::{GenesisClock, Network};
use crate::repetitions::{MoreLikeThis, Occurrence, Repetitions};
use crate::signing_policy;
use crate::text::{OneLine, chain};

/// What is remembered of outcomes, for metrics, the log, health and the status line.
pub(crate) struct Outcomes {
    counts: SigningCounts,
    newer_forks: NewerForks,
    /// By key, and by the rule of slashing protection that refused.
    refusals: Repetitions<(PublicKey, Discriminant<ledger::Refusal>)>,
    faults: Repetitions<FaultKind>,
    /// By client, and by what it was refused for.
    forbidden: Repetitions<(ClientName, Discriminant<signing_policy::Refusal>)>,
    strangers: Repetitions<Source>,
}

impl Outcomes {
    /// `protects`: slashing protection is on.
    pub(crate) fn new(network: &Network, protects: bool) -> Self {
        Self {
            counts: SigningCounts::new(GenesisClock::of(network), protects),
            newer_forks: NewerForks::default(),
            refusals: Repetitions::default(),
            faults: Repetitions::default(),
            forbidden: Repetitions::default(),
            strangers: Repetitions::default(),
        }
    }

    /// What was counted since the start.
    pub(crate) fn counts(&self) -> &SigningCounts {
        &self.counts
    }

    /// Notes an outcome, and logs it.
    pub(super) fn note(&self, outcome: &Outcome<'_>, network: &Network) {
        self.counts.note(outcome, SystemTime::now());
        match outcome.error {
            None => self.note_signature(outcome, network),
            Some(SignError::Refused(refusal)) => self.note_refusal(outcome, refusal),
            Some(SignError::Failed(fault)) => self.note_fault(outcome, fault),
        }
    }

    /// Seconds since the last signature; `None` if there was none.
    pub(crate) fn seconds_since_signature(&self) -> Option<u64> {
        let last = self.counts.last_signature()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(now.as_secs().saturating_sub(last))
    }

    /// Fork versions that were signed for and are newer than the network's schedule.
    pub(crate) fn newer_forks(&self) -> Vec<String> {
        self.newer_forks.seen()
    }

    /// Keys of which refusals were only counted for a minute, and how many. Each count is returned once.
    pub(crate) fn take_counted_refusals(&self) -> Vec<(PublicKey, u64)> {
        self.refusals.settle().into_iter().map(|((public_key, _), counted)| (public_key, counted)).collect()
    }

    /// Clients of which refusals were only counted for a minute, and how many. Each count is returned once.
    pub(crate) fn take_counted_by_client(&self) -> Vec<(ClientName, u64)> {
        self.forbidden.settle().into_iter().map(|((client, _), counted)| (client, counted)).collect()
    }

    /// How many requests of callers that are no clients were only counted for a minute. Each count is returned once.
    pub(crate) fn take_counted_strangers(&self) -> u64 {
        self.strangers.settle().into_iter().fold(0, |sum, (_, counted)| sum.saturating_add(counted))
    }

    /// How many faults were only counted for a minute. Each count is returned once.
    pub(crate) fn take_counted_faults(&self) -> u64 {
        self.faults.settle().into_iter().map(|(_, counted)| counted).sum()
    }

    fn note_signature(&self, outcome: &Outcome<'_>, network: &Network) {
        let Some(duty) = outcome.duty else { return };
        self.newer_forks.note(duty, network);
        let latencies = outcome.latencies;
        let (caller, client) = (outcome.caller(), outcome.client());
        let public_key = Name(outcome.public_key);
        let signing_root = duty.signing_root();
        match duty.kind() {
            // What was signed cannot be said for a raw root, so that it was is on record.
            Kind::RawRoot => tracing::info!(%caller, client, %public_key, %signing_root, "signed a raw root"),
            kind => tracing::debug!(%caller, client, %public_key, %kind, %signing_root, %latencies, "signed"),
        }
    }

    fn note_refusal(&self, outcome: &Outcome<'_>, refusal: &SignRefusal) {
        let occurrence = match (refusal, outcome.public_key) {
            (SignRefusal::SlashingProtection(rule), Some(public_key)) => {
                self.refusals.note((public_key, discriminant(rule)))
            }
            (SignRefusal::Policy(refusal), _) => self.note_policy_refusal(outcome, refusal),
            (SignRefusal::SlashingProtection(_) | SignRefusal::Duty(_) | SignRefusal::NoPublicKey, _) => {
                Occurrence::Counted
            }
        };
        let (caller, client) = (outcome.caller(), outcome.client());
        let public_key = Name(outcome.public_key);
        let kind = outcome.duty.map(|duty| tracing::field::display(duty.kind()));
        let outcome = outcome.kind();
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                tracing::warn!(%caller, client, %public_key, kind, %outcome, "refused: {}{more}", OneLine(refusal));
            }
            Occurrence::Counted => {
                tracing::debug!(%caller, client, %public_key, kind, %outcome, "refused: {}", OneLine(refusal));
            }
        }
    }

    /// What a named client may not have is told; that there is no such key, or that raw roots are refused to everybody,
    /// is ordinary.
    fn note_policy_refusal(&self, outcome: &Outcome<'_>, refusal: &signing_policy::Refusal) -> Occurrence {
        match (refusal, outcome.grant.client_name()) {
            (
                signing_policy::Refusal::ForeignKey { .. } | signing_policy::Refusal::Duty { .. },
                Some(client),
            ) => self.forbidden.note((client.clone(), discriminant(refusal))),
            (
                signing_policy::Refusal::ForeignKey { .. }
                | signing_policy::Refusal::Duty { .. }
                | signing_policy::Refusal::Stranger
                | signing_policy::Refusal::UnknownKey { .. }
                | signing_policy::Refusal::RawRoot,
                _,
            ) => Occurrence::Counted,
        }
    }

    /// Notes a caller that is no client.
    pub(super) fn note_stranger(&self, caller: &Caller) {
        match self.strangers.note(Source::of(caller.peer)) {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                tracing::warn!(%caller, "refused: the caller is none of the clients that are configured{more}");
            }
            Occurrence::Counted => {
                tracing::debug!(%caller, "refused: the caller is none of the clients that are configured");
            }
        }
    }

    /// The log has the causes; the answer to the caller does not.
    fn note_fault(&self, outcome: &Outcome<'_>, fault: &SignFault) {
        let occurrence = self.faults.note(fault_kind(fault));
        let (caller, client) = (outcome.caller(), outcome.client());
        let public_key = Name(outcome.public_key);
        let kind = outcome.duty.map(|duty| tracing::field::display(duty.kind()));
        let outcome = outcome.kind();
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                tracing::error!(%caller, client, %public_key, kind, %outcome, "not signed: {}{more}", chain(fault));
            }
            Occurrence::Counted => {
                tracing::debug!(%caller, client, %public_key, kind, %outcome, "not signed: {}", chain(fault));
            }
        }
    }
}

/// What makes two faults alike, whichever keys they meet.
type FaultKind = (Discriminant<SignFault>, Option<Discriminant<ledger::Fault>>);

fn fault_kind(fault: &SignFault) -> FaultKind {
    let of_ledger = match fault {
        SignFault::Ledger(fault) => Some(discriminant(fault)),
        SignFault::Pool(_) | SignFault::PoolBusy(_) | SignFault::TooLate(_) => None,
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
