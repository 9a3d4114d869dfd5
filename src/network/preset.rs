//! The constants that are fixed for all networks of a kind.
//!
//! Source: consensus-specs, `presets/{mainnet,gnosis,minimal}`; Teku, `spec/config/presets/swift`.

use std::fmt;
use std::num::NonZeroU64;

/// A named set of constants (`PRESET_BASE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Ethereum mainnet and most test networks.
    Mainnet,
    /// Gnosis chain and Chiado.
    Gnosis,
    /// Small numbers for tests.
    Minimal,
    /// Smaller ones, for Teku's tests.
    Swift,
}

impl Preset {
    const ALL: [Self; 4] = [Self::Mainnet, Self::Gnosis, Self::Minimal, Self::Swift];

    /// The preset of a `PRESET_BASE` value.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The name in `PRESET_BASE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Gnosis => "gnosis",
            Self::Minimal => "minimal",
            Self::Swift => "swift",
        }
    }

    /// `SLOTS_PER_EPOCH`.
    pub fn slots_per_epoch(self) -> NonZeroU64 {
        match self {
            Self::Mainnet => const { NonZeroU64::new(32).unwrap() },
            Self::Gnosis => const { NonZeroU64::new(16).unwrap() },
            Self::Minimal => const { NonZeroU64::new(8).unwrap() },
            Self::Swift => const { NonZeroU64::new(4).unwrap() },
        }
    }

    /// The preset's constants that enter a signature, by their names in a `config.yaml`.
    pub(super) fn constants(self) -> [(&'static str, u64); 10] {
        [
            ("SLOTS_PER_EPOCH", self.slots_per_epoch().get()),
            ("MAX_COMMITTEES_PER_SLOT", self.max_committees_per_slot() as u64),
            ("MAX_VALIDATORS_PER_COMMITTEE", MAX_VALIDATORS_PER_COMMITTEE as u64),
            ("SYNC_COMMITTEE_SIZE", self.sync_committee_size() as u64),
            // The limits of the lists in a phase0 or Altair block, which is hashed whole: the same in every preset.
            ("MAX_PROPOSER_SLASHINGS", 16),
            ("MAX_ATTESTER_SLASHINGS", 2),
            ("MAX_ATTESTATIONS", 128),
            ("MAX_DEPOSITS", 16),
            ("MAX_VOLUNTARY_EXITS", 16),
            ("MAX_EXTRA_DATA_BYTES", 32),
        ]
    }

    /// `MAX_COMMITTEES_PER_SLOT`: the number of committee bits of an aggregate from Electra on.
    pub fn max_committees_per_slot(self) -> usize {
        match self {
            Self::Mainnet | Self::Gnosis => 64,
            Self::Minimal | Self::Swift => 4,
        }
    }

    /// `MAX_VALIDATORS_PER_COMMITTEE * MAX_COMMITTEES_PER_SLOT`: the most aggregation bits from Electra to Fulu.
    pub fn max_validators_per_slot(self) -> usize {
        match self {
            Self::Mainnet | Self::Gnosis => MAX_VALIDATORS_PER_COMMITTEE * 64,
            Self::Minimal | Self::Swift => MAX_VALIDATORS_PER_COMMITTEE * 4,
        }
    }

    /// `SYNC_COMMITTEE_SIZE`: the number of participation bits in a block.
    pub fn sync_committee_size(self) -> usize {
        match self {
            Self::Mainnet | Self::Gnosis => 512,
            Self::Minimal | Self::Swift => 32,
        }
    }

    /// `SYNC_COMMITTEE_SIZE / SYNC_COMMITTEE_SUBNET_COUNT`: the number of bits of a contribution.
    pub fn sync_subcommittee_size(self) -> usize {
        self.sync_committee_size() / SYNC_COMMITTEE_SUBNET_COUNT
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The most aggregation bits of one committee; the same in every preset.
pub(crate) const MAX_VALIDATORS_PER_COMMITTEE: usize = 2048;

const SYNC_COMMITTEE_SUBNET_COUNT: usize = 4;
