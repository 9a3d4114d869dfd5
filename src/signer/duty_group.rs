//! Groups of kinds of duty, by the names that operators use: what counters tell apart.

use crate::duty::Kind;
use crate::metrics::Variants;

/// What a duty is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DutyGroup {
    /// Attestations, those of the payload timeliness committee among them.
    Attest,
    /// Blocks.
    Propose,
    /// Aggregates of attestations, and the proofs of being chosen for them.
    Aggregate,
    /// All of the sync committee.
    Sync,
    /// RANDAO reveals.
    Randao,
    /// What a proposer tells builders.
    Registration,
    /// Bids and payloads.
    Builder,
    /// Voluntary exits.
    Exit,
    /// Deposits.
    Deposit,
    /// Roots that come without their message.
    Raw,
}

impl Variants for DutyGroup {
    const ALL: &'static [Self] = &[
        Self::Attest,
        Self::Propose,
        Self::Aggregate,
        Self::Sync,
        Self::Randao,
        Self::Registration,
        Self::Builder,
        Self::Exit,
        Self::Deposit,
        Self::Raw,
    ];
}

impl DutyGroup {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Attestation | Kind::PayloadAttestationMessage => Self::Attest,
            Kind::Block | Kind::BlockV2 => Self::Propose,
            Kind::AggregationSlot | Kind::AggregateAndProof | Kind::AggregateAndProofV2 => Self::Aggregate,
            Kind::SyncCommitteeMessage
            | Kind::SyncCommitteeSelectionProof
            | Kind::SyncCommitteeContributionAndProof => Self::Sync,
            Kind::RandaoReveal => Self::Randao,
            Kind::ValidatorRegistration | Kind::ProposerPreferences | Kind::BuilderRequestAuth => {
                Self::Registration
            }
            Kind::ExecutionPayloadBid | Kind::ExecutionPayloadEnvelope => Self::Builder,
            Kind::VoluntaryExit => Self::Exit,
            Kind::Deposit => Self::Deposit,
            Kind::RawRoot => Self::Raw,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Attest => "attest",
            Self::Propose => "propose",
            Self::Aggregate => "aggregate",
            Self::Sync => "sync",
            Self::Randao => "randao",
            Self::Registration => "registration",
            Self::Builder => "builder",
            Self::Exit => "exit",
            Self::Deposit => "deposit",
            Self::Raw => "raw",
        }
    }
}
