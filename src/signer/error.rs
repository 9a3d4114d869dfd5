//! Refusals and faults of signing, apart from each other.

use super::outcome::OutcomeKind;
use super::pool::{PoolBusy, PoolClosed};
use crate::deadline::TooLate;
use crate::{duty, ledger, signing_policy};

/// Why a duty was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    /// The caller's matter.
    #[error(transparent)]
    Refused(SignRefusal),
    /// Ours.
    #[error(transparent)]
    Failed(SignFault),
}

/// Why a duty is not signed: the caller's matter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignRefusal {
    #[error(transparent)]
    Duty(duty::Refusal),
    #[error("the signer has no such key: an identifier is a BLS public key of 96 hexadecimal digits")]
    NoPublicKey,
    #[error(transparent)]
    Policy(signing_policy::Refusal),
    #[error(transparent)]
    SlashingProtection(ledger::Refusal),
}

/// What failed here while a duty was to be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignFault {
    #[error(transparent)]
    Ledger(ledger::Fault),
    #[error(transparent)]
    Pool(PoolClosed),
    /// It was not begun, and nothing is on record of it.
    #[error(transparent)]
    PoolBusy(PoolBusy),
    /// It waited for a core until then. What was judged may be on record; the same message can be signed later.
    #[error("there was no core for the signature in time")]
    TooLate(#[from] TooLate),
}

impl SignError {
    /// What a counter or a log calls it.
    pub(crate) fn kind(&self) -> OutcomeKind {
        match self {
            Self::Refused(refusal) => match refusal {
                SignRefusal::Duty(_) => OutcomeKind::NoDuty,
                SignRefusal::NoPublicKey
                | SignRefusal::Policy(signing_policy::Refusal::UnknownKey { .. }) => OutcomeKind::UnknownKey,
                SignRefusal::Policy(signing_policy::Refusal::ForeignKey { .. }) => OutcomeKind::ForeignKey,
                SignRefusal::Policy(
                    signing_policy::Refusal::Stranger
                    | signing_policy::Refusal::Duty { .. }
                    | signing_policy::Refusal::RawRoot
                    | signing_policy::Refusal::ProofOfValidation,
                ) => OutcomeKind::Forbidden,
                SignRefusal::SlashingProtection(_) => OutcomeKind::Slashable,
            },
            Self::Failed(
                SignFault::Ledger(_) | SignFault::Pool(_) | SignFault::PoolBusy(_) | SignFault::TooLate(_),
            ) => OutcomeKind::Fault,
        }
    }
}

impl SignRefusal {
    /// The rule that refused, as counters and the audit call it.
    pub(super) fn rule_name(&self) -> &'static str {
        match self {
            Self::Duty(_) => "malformed",
            Self::NoPublicKey | Self::Policy(signing_policy::Refusal::UnknownKey { .. }) => "unknown-key",
            Self::Policy(signing_policy::Refusal::ForeignKey { .. }) => "foreign-key",
            Self::Policy(
                signing_policy::Refusal::Stranger
                | signing_policy::Refusal::Duty { .. }
                | signing_policy::Refusal::RawRoot
                | signing_policy::Refusal::ProofOfValidation,
            ) => "policy",
            Self::SlashingProtection(refusal) => refusal.rule().name(),
        }
    }
}

impl From<SignRefusal> for SignError {
    fn from(refusal: SignRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<duty::Refusal> for SignError {
    fn from(refusal: duty::Refusal) -> Self {
        Self::Refused(SignRefusal::Duty(refusal))
    }
}

impl From<signing_policy::Refusal> for SignError {
    fn from(refusal: signing_policy::Refusal) -> Self {
        Self::Refused(SignRefusal::Policy(refusal))
    }
}

impl From<ledger::Refusal> for SignError {
    fn from(refusal: ledger::Refusal) -> Self {
        Self::Refused(SignRefusal::SlashingProtection(refusal))
    }
}

impl From<ledger::Fault> for SignError {
    fn from(fault: ledger::Fault) -> Self {
        Self::Failed(SignFault::Ledger(fault))
    }
}

impl From<ledger::Withheld> for SignError {
    fn from(withheld: ledger::Withheld) -> Self {
        match withheld {
            ledger::Withheld::Refused(refusal) => refusal.into(),
            ledger::Withheld::Fault(fault) => fault.into(),
        }
    }
}

impl From<PoolClosed> for SignError {
    fn from(closed: PoolClosed) -> Self {
        Self::Failed(SignFault::Pool(closed))
    }
}

impl From<PoolBusy> for SignError {
    fn from(busy: PoolBusy) -> Self {
        Self::Failed(SignFault::PoolBusy(busy))
    }
}

impl From<TooLate> for SignError {
    fn from(late: TooLate) -> Self {
        Self::Failed(SignFault::TooLate(late))
    }
}
