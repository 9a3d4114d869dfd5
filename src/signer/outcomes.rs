//! Outcomes of all signing requests: the one place where all that is known of each comes together.
//!
//! Counts and the log hang here, and so does whatever is to record signatures and refusals.

use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;
use std::time::SystemTime;

use tracing::Level;

use super::counts::SigningCounts;
use super::error::{SignError, SignFault, SignRefusal};
use super::newer_forks::NewerForks;
use super::outcome::{Outcome, OutcomeKind};
use super::recent_refusals::{RecentRefusal, RecentRefusals};
use crate::bls::PublicKey;
use crate::caller::{Caller, Peer, Source};
use crate::clients::ClientName;
use crate::config::Audit;
use crate::duty::{Claim, Duty, Kind};
use crate::ledger;
use crate::logging::audit;
use crate::network::{GenesisClock, Network};
use crate::repetitions::{MoreLikeThis, Occurrence, Repetitions};
use crate::signing_policy;
use crate::text::{OneLine, chain};

/// Logs an outcome as an event of the audit; fields that it does not have are left out.
macro_rules! event {
    ($level:expr, $outcome:expr, $rule:expr, $($message:tt)+) => {{
        let outcome: &Outcome<'_> = $outcome;
        let rule: Option<&str> = $rule;
        let duty = outcome.duty;
        let Claimed { slot, source, target } = Claimed::of(duty.map(Duty::claim));
        let Identity { address, uid, gid, pid } = Identity::of(outcome.caller());
        tracing::event!(
            target: audit::TARGET,
            $level,
            pubkey = outcome.public_key.map(display),
            duty = duty.map(|duty| display(duty.kind())),
            slot,
            source,
            target,
            root = duty.map(|duty| display(duty.signing_root())),
            verdict = outcome.kind().name(),
            rule,
            client = outcome.client(),
            address = address.map(display),
            uid,
            gid,
            pid,
            latency_us = u64::try_from(outcome.latencies.whole().as_micros()).unwrap_or(u64::MAX),
            $($message)+
        )
    }};
}

/// What is remembered of outcomes, for metrics, the log, health and the status line.
pub(crate) struct Outcomes {
    counts: SigningCounts,
    audit: Audit,
    newer_forks: NewerForks,
    /// By key, and by the rule of slashing protection that refused.
    refusals: Repetitions<(PublicKey, Discriminant<ledger::Refusal>)>,
    faults: Repetitions<FaultKind>,
    /// By client, and by what it was refused for.
    forbidden: Repetitions<(ClientName, Discriminant<signing_policy::Refusal>)>,
    strangers: Repetitions<Source>,
    recent: RecentRefusals,
}

impl Outcomes {
    /// `protects`: slashing protection is on.
    pub(crate) fn new(network: &Network, protects: bool, audit: Audit) -> Self {
        Self {
            counts: SigningCounts::new(GenesisClock::of(network), protects),
            audit,
            newer_forks: NewerForks::default(),
            refusals: Repetitions::default(),
            faults: Repetitions::default(),
            forbidden: Repetitions::default(),
            strangers: Repetitions::default(),
            recent: RecentRefusals::default(),
        }
    }

    /// What was counted since the start.
    pub(crate) fn counts(&self) -> &SigningCounts {
        &self.counts
    }

    /// The latest refusals and faults, the last one first.
    pub(crate) fn recent_refusals(&self) -> Vec<RecentRefusal> {
        self.recent.latest()
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

    /// Whether something that is like others gets a line of its own: `note` says so where not everything does.
    fn occurrence(&self, note: impl FnOnce() -> Occurrence) -> Occurrence {
        match self.audit {
            Audit::All => Occurrence::Line { counted: 0 },
            Audit::Refusals => note(),
        }
    }

    fn note_signature(&self, outcome: &Outcome<'_>, network: &Network) {
        let Some(duty) = outcome.duty else { return };
        self.newer_forks.note(duty, network);
        match (duty.kind(), self.audit) {
            // What was signed cannot be said for a raw root, so that it was is on record.
            (Kind::RawRoot, _) => event!(Level::INFO, outcome, None, "signed a raw root"),
            (_, Audit::All) => event!(Level::INFO, outcome, None, "signed"),
            (_, Audit::Refusals) => event!(Level::DEBUG, outcome, None, "signed"),
        }
    }

    fn note_refusal(&self, outcome: &Outcome<'_>, refusal: &SignRefusal) {
        let occurrence = self.occurrence(|| match (refusal, outcome.public_key) {
            (SignRefusal::SlashingProtection(rule), Some(public_key)) => {
                self.refusals.note((public_key, discriminant(rule)))
            }
            (SignRefusal::Policy(refusal), _) => self.note_policy_refusal(outcome, refusal),
            (SignRefusal::SlashingProtection(_) | SignRefusal::Duty(_) | SignRefusal::NoPublicKey, _) => {
                Occurrence::Counted
            }
        });
        let (rule, reason) = (refusal.rule_name(), OneLine(refusal).to_string());
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                event!(Level::WARN, outcome, Some(rule), "refused: {reason}{more}");
            }
            Occurrence::Counted => event!(Level::DEBUG, outcome, Some(rule), "refused: {reason}"),
        }
        self.recent.note(outcome, rule, reason);
    }

    /// What a named client may not have is told; that there is no such key, or that raw roots or proofs of validation
    /// are refused to everybody, is ordinary.
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
                | signing_policy::Refusal::RawRoot
                | signing_policy::Refusal::ProofOfValidation,
                _,
            ) => Occurrence::Counted,
        }
    }

    /// Notes a caller that is no client.
    pub(super) fn note_stranger(&self, caller: &Caller) {
        let occurrence = self.occurrence(|| self.strangers.note(Source::of(caller.peer)));
        let (verdict, rule) = (OutcomeKind::Forbidden.name(), "policy");
        let Identity { address, uid, gid, pid } = Identity::of(caller);
        let address = address.map(tracing::field::display);
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                tracing::warn!(
                    target: audit::TARGET, verdict, rule, address, uid, gid, pid,
                    "refused: the caller is none of the clients that are configured{more}"
                );
            }
            Occurrence::Counted => {
                tracing::debug!(
                    target: audit::TARGET, verdict, rule, address, uid, gid, pid,
                    "refused: the caller is none of the clients that are configured"
                );
            }
        }
    }

    /// The log has the causes; the answer to the caller does not.
    fn note_fault(&self, outcome: &Outcome<'_>, fault: &SignFault) {
        let occurrence = self.occurrence(|| self.faults.note(fault_kind(fault)));
        let reason = chain(fault);
        match occurrence {
            Occurrence::Line { counted } => {
                let more = MoreLikeThis(counted);
                event!(Level::ERROR, outcome, None, "not signed: {reason}{more}");
            }
            Occurrence::Counted => event!(Level::DEBUG, outcome, None, "not signed: {reason}"),
        }
        self.recent.note(outcome, "fault", reason);
    }
}

/// What a duty says that slashing protection judges.
#[derive(Default)]
struct Claimed {
    slot: Option<u64>,
    source: Option<u64>,
    target: Option<u64>,
}

impl Claimed {
    fn of(claim: Option<Claim>) -> Self {
        match claim {
            Some(Claim::Block { slot }) => Self { slot: Some(slot.0), ..Self::default() },
            Some(Claim::Attestation { source, target }) => {
                Self { source: Some(source.0), target: Some(target.0), ..Self::default() }
            }
            Some(Claim::RawRoot | Claim::Unslashable) | None => Self::default(),
        }
    }
}

/// Who asked, as the kernel knows it.
struct Identity {
    address: Option<SocketAddr>,
    uid: Option<u32>,
    gid: Option<u32>,
    pid: Option<i32>,
}

impl Identity {
    fn of(caller: &Caller) -> Self {
        match caller.peer {
            Peer::Unix { uid, gid, pid } => Self { address: None, uid: Some(uid), gid: Some(gid), pid },
            Peer::Tcp(address) => Self { address: Some(address), uid: None, gid: None, pid: None },
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
