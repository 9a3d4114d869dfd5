//! Priority of a duty's signature among others.

use super::Kind;

/// Whose work goes first. What is first here is always done before the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// A block and what it cannot be made without: one validator, one slot, the most to lose.
    Block,
    /// A vote: late by a slot, it earns less.
    Vote,
    /// Everything else.
    Other,
}

impl Priority {
    /// How urgent a duty of this kind is.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Block
            | Kind::BlockV2
            | Kind::RandaoReveal
            | Kind::ExecutionPayloadBid
            | Kind::ExecutionPayloadEnvelope => Self::Block,
            Kind::Attestation | Kind::PayloadAttestationMessage => Self::Vote,
            Kind::AggregationSlot
            | Kind::AggregateAndProof
            | Kind::AggregateAndProofV2
            | Kind::Deposit
            | Kind::VoluntaryExit
            | Kind::SyncCommitteeMessage
            | Kind::SyncCommitteeSelectionProof
            | Kind::SyncCommitteeContributionAndProof
            | Kind::ValidatorRegistration
            | Kind::ProposerPreferences
            | Kind::BuilderRequestAuth
            | Kind::RawRoot => Self::Other,
        }
    }
}
