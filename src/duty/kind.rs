//! The kinds of message by the names of the signing API.

use std::fmt;
use std::str::FromStr;

/// The kinds of message, named by the signing API's `type`.
///
/// Display is that name in upper case; parsing ignores case and knows the older names of two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `AGGREGATION_SLOT`.
    AggregationSlot,
    /// `AGGREGATE_AND_PROOF`.
    AggregateAndProof,
    /// `AGGREGATE_AND_PROOF_V2`.
    AggregateAndProofV2,
    /// `ATTESTATION`.
    Attestation,
    /// `BLOCK`.
    Block,
    /// `BLOCK_V2`.
    BlockV2,
    /// `DEPOSIT`.
    Deposit,
    /// `RANDAO_REVEAL`.
    RandaoReveal,
    /// `VOLUNTARY_EXIT`.
    VoluntaryExit,
    /// `SYNC_COMMITTEE_MESSAGE`.
    SyncCommitteeMessage,
    /// `SYNC_COMMITTEE_SELECTION_PROOF`.
    SyncCommitteeSelectionProof,
    /// `SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF`.
    SyncCommitteeContributionAndProof,
    /// `VALIDATOR_REGISTRATION`.
    ValidatorRegistration,
    /// `EXECUTION_PAYLOAD_BID`.
    ExecutionPayloadBid,
    /// `EXECUTION_PAYLOAD_ENVELOPE`.
    ExecutionPayloadEnvelope,
    /// `PAYLOAD_ATTESTATION_MESSAGE`, earlier `PAYLOAD_ATTESTATION`.
    PayloadAttestationMessage,
    /// `PROPOSER_PREFERENCES`.
    ProposerPreferences,
    /// `BUILDER_REQUEST_AUTH`, earlier `REQUEST_AUTH`.
    BuilderRequestAuth,
    /// A bare 32-byte root, which the API has no `type` for; shown as `RAW_ROOT`.
    RawRoot,
}

impl Kind {
    /// Every kind, raw roots last.
    pub const ALL: [Self; 19] = [
        Self::AggregationSlot,
        Self::AggregateAndProof,
        Self::AggregateAndProofV2,
        Self::Attestation,
        Self::Block,
        Self::BlockV2,
        Self::Deposit,
        Self::RandaoReveal,
        Self::VoluntaryExit,
        Self::SyncCommitteeMessage,
        Self::SyncCommitteeSelectionProof,
        Self::SyncCommitteeContributionAndProof,
        Self::ValidatorRegistration,
        Self::ExecutionPayloadBid,
        Self::ExecutionPayloadEnvelope,
        Self::PayloadAttestationMessage,
        Self::ProposerPreferences,
        Self::BuilderRequestAuth,
        Self::RawRoot,
    ];

    /// The name in the API's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AggregationSlot => "AGGREGATION_SLOT",
            Self::AggregateAndProof => "AGGREGATE_AND_PROOF",
            Self::AggregateAndProofV2 => "AGGREGATE_AND_PROOF_V2",
            Self::Attestation => "ATTESTATION",
            Self::Block => "BLOCK",
            Self::BlockV2 => "BLOCK_V2",
            Self::Deposit => "DEPOSIT",
            Self::RandaoReveal => "RANDAO_REVEAL",
            Self::VoluntaryExit => "VOLUNTARY_EXIT",
            Self::SyncCommitteeMessage => "SYNC_COMMITTEE_MESSAGE",
            Self::SyncCommitteeSelectionProof => "SYNC_COMMITTEE_SELECTION_PROOF",
            Self::SyncCommitteeContributionAndProof => "SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF",
            Self::ValidatorRegistration => "VALIDATOR_REGISTRATION",
            Self::ExecutionPayloadBid => "EXECUTION_PAYLOAD_BID",
            Self::ExecutionPayloadEnvelope => "EXECUTION_PAYLOAD_ENVELOPE",
            Self::PayloadAttestationMessage => "PAYLOAD_ATTESTATION_MESSAGE",
            Self::ProposerPreferences => "PROPOSER_PREFERENCES",
            Self::BuilderRequestAuth => "BUILDER_REQUEST_AUTH",
            Self::RawRoot => "RAW_ROOT",
        }
    }

    /// The kind of a request's `type`. `RAW_ROOT` is none: a raw root is known by having no `type`.
    pub(super) fn by_type(name: &str) -> Option<Self> {
        name.parse().ok().filter(|kind| *kind != Self::RawRoot)
    }

    /// The names that [`Kind::by_type`] knows, for messages.
    pub(super) fn type_names() -> String {
        let types = Self::ALL.into_iter().filter(|kind| *kind != Self::RawRoot);
        types.map(Self::name).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let by_name = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
        let by_older_name = || OLDER_NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        by_name.or_else(|| by_older_name().map(|(_, kind)| *kind)).ok_or(UnknownKind)
    }
}

/// The text is no kind's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of message: known are {}", Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind;

/// Names that clients used before version 1.4.0 of the API was settled.
const OLDER_NAMES: [(&str, Kind); 2] =
    [("PAYLOAD_ATTESTATION", Kind::PayloadAttestationMessage), ("REQUEST_AUTH", Kind::BuilderRequestAuth)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_kind_in_any_case() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.name().to_lowercase().parse(), Ok(kind));
        }
        assert_eq!("payload_attestation".parse(), Ok(Kind::PayloadAttestationMessage));
        assert_eq!("BLOB_SIDECAR".parse::<Kind>(), Err(UnknownKind));
    }

    #[test]
    fn a_raw_root_has_no_type() {
        assert_eq!(Kind::by_type("RAW_ROOT"), None);
        assert_eq!(Kind::by_type("Attestation"), Some(Kind::Attestation));
    }
}
