//! Kinds of message by the names of the signing API: one row a kind.

use std::fmt;
use std::str::FromStr;

use super::Priority;

/// Defines [`Kind`] from rows of: variant, name, older names, priority, domain. What a row lacks does not compile, and
/// [`Kind::ALL`] and parsing follow from the rows.
macro_rules! kinds {
    ($($variant:ident, $name:literal, [$($older:literal),*], $priority:ident, $domain:expr;)*) => {
        /// The kinds of message, named by the signing API's `type`.
        ///
        /// Display is that name in upper case; parsing ignores case and knows the older names of two kinds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
        }

        impl Kind {
            /// Every kind, raw roots last.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => &Row {
                        name: $name,
                        older_names: &[$($older),*],
                        priority: Priority::$priority,
                        domain: $domain,
                    },)*
                }
            }
        }
    };
}

#[rustfmt::skip]
kinds! {
    AggregationSlot, "AGGREGATION_SLOT", [], Other, Some(DomainType::SELECTION_PROOF);
    AggregateAndProof, "AGGREGATE_AND_PROOF", [], Other, Some(DomainType::AGGREGATE_AND_PROOF);
    AggregateAndProofV2, "AGGREGATE_AND_PROOF_V2", [], Other, Some(DomainType::AGGREGATE_AND_PROOF);
    Attestation, "ATTESTATION", [], Vote, Some(DomainType::BEACON_ATTESTER);
    Block, "BLOCK", [], Block, Some(DomainType::BEACON_PROPOSER);
    BlockV2, "BLOCK_V2", [], Block, Some(DomainType::BEACON_PROPOSER);
    Deposit, "DEPOSIT", [], Other, Some(DomainType::DEPOSIT);
    RandaoReveal, "RANDAO_REVEAL", [], Block, Some(DomainType::RANDAO);
    VoluntaryExit, "VOLUNTARY_EXIT", [], Other, Some(DomainType::VOLUNTARY_EXIT);
    SyncCommitteeMessage, "SYNC_COMMITTEE_MESSAGE", [], Other, Some(DomainType::SYNC_COMMITTEE);
    SyncCommitteeSelectionProof, "SYNC_COMMITTEE_SELECTION_PROOF", [], Other,
        Some(DomainType::SYNC_COMMITTEE_SELECTION_PROOF);
    SyncCommitteeContributionAndProof, "SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF", [], Other,
        Some(DomainType::CONTRIBUTION_AND_PROOF);
    ValidatorRegistration, "VALIDATOR_REGISTRATION", [], Other, Some(DomainType::APPLICATION_BUILDER);
    ExecutionPayloadBid, "EXECUTION_PAYLOAD_BID", [], Block, Some(DomainType::BEACON_BUILDER);
    ExecutionPayloadEnvelope, "EXECUTION_PAYLOAD_ENVELOPE", [], Block, Some(DomainType::BEACON_BUILDER);
    PayloadAttestationMessage, "PAYLOAD_ATTESTATION_MESSAGE", ["PAYLOAD_ATTESTATION"], Vote,
        Some(DomainType::PTC_ATTESTER);
    ProposerPreferences, "PROPOSER_PREFERENCES", [], Other, Some(DomainType::PROPOSER_PREFERENCES);
    BuilderRequestAuth, "BUILDER_REQUEST_AUTH", ["REQUEST_AUTH"], Other, Some(DomainType::BUILDER_REQUEST_AUTH);
    // A text of no chain, which is not asked for by the sign route and signed as it stands.
    ProofOfValidation, "PROOF_OF_VALIDATION", [], Other, None;
    // A bare 32-byte root, which the API has no `type` for, under a domain that only its caller knows.
    RawRoot, "RAW_ROOT", [], Other, None;
}

/// The four bytes that tell signatures of kinds apart, as consensus-specs and ethereum/builder-specs number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DomainType([u8; 4]);

impl DomainType {
    pub(super) const BEACON_PROPOSER: Self = Self([0, 0, 0, 0]);
    pub(super) const BEACON_ATTESTER: Self = Self([1, 0, 0, 0]);
    pub(super) const RANDAO: Self = Self([2, 0, 0, 0]);
    pub(super) const DEPOSIT: Self = Self([3, 0, 0, 0]);
    pub(super) const VOLUNTARY_EXIT: Self = Self([4, 0, 0, 0]);
    pub(super) const SELECTION_PROOF: Self = Self([5, 0, 0, 0]);
    pub(super) const AGGREGATE_AND_PROOF: Self = Self([6, 0, 0, 0]);
    pub(super) const SYNC_COMMITTEE: Self = Self([7, 0, 0, 0]);
    pub(super) const SYNC_COMMITTEE_SELECTION_PROOF: Self = Self([8, 0, 0, 0]);
    pub(super) const CONTRIBUTION_AND_PROOF: Self = Self([9, 0, 0, 0]);
    pub(super) const BEACON_BUILDER: Self = Self([0x0b, 0, 0, 0]);
    pub(super) const PTC_ATTESTER: Self = Self([0x0c, 0, 0, 0]);
    pub(super) const PROPOSER_PREFERENCES: Self = Self([0x0d, 0, 0, 0]);
    pub(super) const APPLICATION_BUILDER: Self = Self([0, 0, 0, 1]);
    pub(super) const BUILDER_REQUEST_AUTH: Self = Self([0x0b, 0, 0, 1]);

    pub(super) fn bytes(self) -> [u8; 4] {
        self.0
    }
}

/// What is known of a kind.
struct Row {
    name: &'static str,
    /// Names that clients used before version 1.4.0 of the API was settled.
    older_names: &'static [&'static str],
    priority: Priority,
    domain: Option<DomainType>,
}

impl Kind {
    /// The name in the API's `type`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How urgent a duty of this kind is.
    pub(crate) fn priority(self) -> Priority {
        self.row().priority
    }

    /// What its signatures are domain-separated by; none for a proof of validation and a raw root.
    pub(super) fn domain_type(self) -> Option<DomainType> {
        self.row().domain
    }

    /// The kind of a request's `type`. `RAW_ROOT` is none, as a raw root is known by having no `type`, and a proof of
    /// validation has a route of its own.
    pub(super) fn by_type(name: &str) -> Option<Self> {
        name.parse().ok().filter(|kind: &Self| kind.domain_type().is_some())
    }

    /// The names that [`Kind::by_type`] knows, for messages.
    pub(super) fn type_names() -> String {
        let types = Self::ALL.into_iter().filter(|kind| kind.domain_type().is_some());
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
        let is_named = |kind: &Self| {
            let mut names = std::iter::once(&kind.row().name).chain(kind.row().older_names);
            names.any(|name| name.eq_ignore_ascii_case(text))
        };
        Self::ALL.into_iter().find(is_named).ok_or(UnknownKind)
    }
}

/// The text is no kind's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of message: known are {}", Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind;

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
        assert_eq!(Kind::by_type("PROOF_OF_VALIDATION"), None);
        assert_eq!(Kind::by_type("Attestation"), Some(Kind::Attestation));
    }
}
