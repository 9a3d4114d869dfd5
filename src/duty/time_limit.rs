//! Time limit of a duty: the part of a slot that is its own, from when it is due until what builds upon it is.
//!
//! Source: consensus-specs, the `*_DUE_BPS` of `specs/phase0/validator.md` and `specs/gloas/validator.md`, in basis
//! points of a slot.

use std::time::Duration;

use super::{Duty, Kind};
use crate::network::{Fork, Network};

impl Duty {
    /// For how long a signature is of use once it is asked for. It does not depend on the time: the duty of a slot that
    /// is over has as long.
    pub(crate) fn time_limit(&self, network: &Network) -> Duration {
        let (since, until) = match Part::of(self.kind) {
            None => (0, SLOT),
            Some(part) => part.basis_points(self.fork.unwrap_or(Fork::Phase0)),
        };
        limit(network, until.saturating_sub(since))
    }
}

/// The least that any duty of a fork has, for what is waited for before the duty is known.
pub(crate) fn least_time_limit(network: &Network, fork: Fork) -> Duration {
    let (since, until) = Part::Vote.basis_points(fork);
    limit(network, until.saturating_sub(since))
}

fn limit(network: &Network, basis_points: u32) -> Duration {
    let slot = network.slot_duration().unwrap_or(MAINNET_SLOT);
    let part = slot.saturating_mul(basis_points).checked_div(SLOT).unwrap_or_default();
    part.max(LEAST_LIMIT)
}

/// A part of a slot. What is of none, such as a registration or a proof of being chosen, has the whole slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// From its beginning until attestations are due.
    Block,
    /// Until aggregates are due.
    Vote,
    /// Until the next part, which a slot has from Gloas on, or its end.
    Aggregate,
    /// From Gloas on, until its end.
    PayloadVote,
}

impl Part {
    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Block
            | Kind::BlockV2
            | Kind::RandaoReveal
            | Kind::ExecutionPayloadBid
            | Kind::ExecutionPayloadEnvelope => Some(Self::Block),
            Kind::Attestation | Kind::SyncCommitteeMessage => Some(Self::Vote),
            Kind::AggregateAndProof | Kind::AggregateAndProofV2 | Kind::SyncCommitteeContributionAndProof => {
                Some(Self::Aggregate)
            }
            Kind::PayloadAttestationMessage => Some(Self::PayloadVote),
            Kind::AggregationSlot
            | Kind::Deposit
            | Kind::VoluntaryExit
            | Kind::SyncCommitteeSelectionProof
            | Kind::ValidatorRegistration
            | Kind::ProposerPreferences
            | Kind::BuilderRequestAuth
            | Kind::ProofOfValidation
            | Kind::RawRoot => None,
        }
    }

    /// Where it begins and ends.
    fn basis_points(self, fork: Fork) -> (u32, u32) {
        let is_gloas = match fork {
            Fork::Phase0
            | Fork::Altair
            | Fork::Bellatrix
            | Fork::Capella
            | Fork::Deneb
            | Fork::Electra
            | Fork::Fulu => false,
            Fork::Gloas | Fork::Heze => true,
        };
        match (self, is_gloas) {
            (Self::Block, false) => (0, ATTESTATION_DUE),
            (Self::Vote, false) => (ATTESTATION_DUE, AGGREGATE_DUE),
            (Self::Aggregate, false) => (AGGREGATE_DUE, SLOT),
            (Self::Block, true) => (0, ATTESTATION_DUE_GLOAS),
            (Self::Vote, true) => (ATTESTATION_DUE_GLOAS, AGGREGATE_DUE_GLOAS),
            (Self::Aggregate, true) => (AGGREGATE_DUE_GLOAS, PAYLOAD_ATTESTATION_DUE),
            (Self::PayloadVote, false | true) => (PAYLOAD_ATTESTATION_DUE, SLOT),
        }
    }
}

/// Messages of the sync committee and contributions are due with attestations and aggregates.
const ATTESTATION_DUE: u32 = 3_333;
const AGGREGATE_DUE: u32 = 6_667;
const ATTESTATION_DUE_GLOAS: u32 = 2_500;
const AGGREGATE_DUE_GLOAS: u32 = 5_000;
const PAYLOAD_ATTESTATION_DUE: u32 = 7_500;
const SLOT: u32 = 10_000;

/// Where a configuration does not say how long a slot is.
const MAINNET_SLOT: Duration = Duration::from_secs(12);

/// Chains for tests have slots of a second or two. A slot's part of them is shorter than a busy disk may take.
const LEAST_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_have_a_third_of_a_slot_and_from_gloas_on_a_quarter() {
        for (network, fork, milliseconds) in [
            ("mainnet", Fork::Fulu, 4_000),
            ("mainnet", Fork::Gloas, 3_000),
            ("mainnet", Fork::Heze, 3_000),
            ("gnosis", Fork::Fulu, 1_667),
            ("gnosis", Fork::Gloas, 1_250),
            ("minimal", Fork::Fulu, 2_000),
            ("minimal", Fork::Gloas, 1_500),
        ] {
            let limit = least_time_limit(&Network::by_name(network).unwrap(), fork);
            assert!(limit.as_millis().abs_diff(milliseconds) <= 1, "{network} {fork}: {limit:?}");
        }
    }

    #[test]
    fn every_kind_has_its_part_of_the_slot() {
        let mainnet = Network::by_name("mainnet").unwrap();
        for kind in Kind::ALL {
            for fork in Fork::ALL {
                let limit = duty(kind, fork).time_limit(&mainnet).as_millis();
                let expected = match (Part::of(kind), fork >= Fork::Gloas) {
                    (None, _) => 12_000,
                    (Some(Part::PayloadVote), _) | (Some(_), true) => 3_000,
                    (Some(Part::Block | Part::Vote | Part::Aggregate), false) => 4_000,
                };
                assert!(limit.abs_diff(expected) <= 1, "{kind} {fork}: {limit}");
            }
        }
    }

    #[test]
    fn short_slots_leave_a_second() {
        let text = "PRESET_BASE: minimal\nGENESIS_FORK_VERSION: 0x1\nSLOT_DURATION_MS: 1000\n";
        let network = Network::from_config_yaml(text).unwrap();
        assert_eq!(least_time_limit(&network, Fork::Gloas), Duration::from_secs(1));
    }

    fn duty(kind: Kind, fork: Fork) -> Duty {
        Duty {
            kind,
            signing_root: crate::primitives::SigningRoot([0; 32]),
            claim: super::super::Claim::Unslashable,
            genesis_validators_root: None,
            fork: Some(fork),
            newer_version: None,
        }
    }
}
