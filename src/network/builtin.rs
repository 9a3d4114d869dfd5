//! The networks known by name: facts that are public and do not change, and the fork schedules of November 2026.

use std::time::Duration;

use super::forks::LaterFork;
use super::{Fork, Forks, Network, Preset};
use crate::primitives::{Epoch, ForkVersion, Root};

/// One row of the table.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    preset: Preset,
    slot_ms: u64,
    genesis: Option<Genesis>,
    genesis_version: u32,
    later: &'static [(Fork, u32, Option<u64>)],
    /// The fork whose date lay ahead when this was written: the request says whether it has come.
    announced: Option<Fork>,
}

/// What only the chain itself decides.
struct Genesis {
    /// Unix seconds.
    time: u64,
    /// The two halves of the genesis validators root, big endian.
    validators_root: [u128; 2],
}

impl Builtin {
    pub(super) fn to_network(&self) -> Network {
        let later = self.later.iter().map(|&(fork, version, epoch)| LaterFork {
            fork,
            version: ForkVersion(version.to_be_bytes()),
            epoch: epoch.map(Epoch),
        });
        Network {
            name: self.name.to_owned(),
            preset: self.preset,
            forks: Forks::in_order(
                ForkVersion(self.genesis_version.to_be_bytes()),
                later.collect(),
                self.announced,
            ),
            slot_duration: Some(Duration::from_millis(self.slot_ms)),
            genesis_time: self.genesis.as_ref().map(|genesis| genesis.time),
            genesis_validators_root: self.genesis_validators_root(),
        }
    }

    pub(super) fn genesis_validators_root(&self) -> Option<Root> {
        self.genesis.as_ref().map(Genesis::root)
    }
}

impl Genesis {
    fn root(&self) -> Root {
        let [high, low] = self.validators_root.map(u128::to_be_bytes);
        let mut bytes = [0; 32];
        for (byte, half) in bytes.iter_mut().zip(high.into_iter().chain(low)) {
            *byte = half;
        }
        Root(bytes)
    }
}

/// Every name of `--network`. A fork without an epoch has a version and no date yet.
pub(super) const NETWORKS: &[Builtin] = &[
    Builtin {
        name: "mainnet",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: Some(Genesis {
            time: 1_606_824_023,
            validators_root: [0x4b363db94e286120d76eb905340fdd4e, 0x54bfe9f06bf33ff6cf5ad27f511bfe95],
        }),
        genesis_version: 0x00000000,
        later: &[
            (Fork::Altair, 0x01000000, Some(74_240)),
            (Fork::Bellatrix, 0x02000000, Some(144_896)),
            (Fork::Capella, 0x03000000, Some(194_048)),
            (Fork::Deneb, 0x04000000, Some(269_568)),
            (Fork::Electra, 0x05000000, Some(364_032)),
            (Fork::Fulu, 0x06000000, Some(411_392)),
            (Fork::Gloas, 0x07000000, None),
            (Fork::Heze, 0x08000000, None),
        ],
        announced: None,
    },
    Builtin {
        name: "sepolia",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: Some(Genesis {
            time: 1_655_733_600,
            validators_root: [0xd8ea171f3c94aea21ebc42a1ed61052a, 0xcf3f9209c00e4efbaaddac09ed9b8078],
        }),
        genesis_version: 0x90000069,
        later: &[
            (Fork::Altair, 0x90000070, Some(50)),
            (Fork::Bellatrix, 0x90000071, Some(100)),
            (Fork::Capella, 0x90000072, Some(56_832)),
            (Fork::Deneb, 0x90000073, Some(132_608)),
            (Fork::Electra, 0x90000074, Some(222_464)),
            (Fork::Fulu, 0x90000075, Some(272_640)),
            (Fork::Gloas, 0x90000076, Some(353_024)),
        ],
        announced: Some(Fork::Gloas),
    },
    Builtin {
        name: "hoodi",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: Some(Genesis {
            time: 1_742_213_400,
            validators_root: [0x212f13fc4df078b6cb7db228f1c83075, 0x66dcecf900867401a92023d7ba99cb5f],
        }),
        genesis_version: 0x10000910,
        later: &[
            (Fork::Altair, 0x20000910, Some(0)),
            (Fork::Bellatrix, 0x30000910, Some(0)),
            (Fork::Capella, 0x40000910, Some(0)),
            (Fork::Deneb, 0x50000910, Some(0)),
            (Fork::Electra, 0x60000910, Some(2_048)),
            (Fork::Fulu, 0x70000910, Some(50_688)),
            (Fork::Gloas, 0x80000910, None),
        ],
        announced: None,
    },
    Builtin {
        name: "holesky",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: Some(Genesis {
            time: 1_695_902_400,
            validators_root: [0x9143aa7c615a7f7115e2b6aac319c035, 0x29df8242ae705fba9df39b79c59fa8b1],
        }),
        genesis_version: 0x01017000,
        later: &[
            (Fork::Altair, 0x02017000, Some(0)),
            (Fork::Bellatrix, 0x03017000, Some(0)),
            (Fork::Capella, 0x04017000, Some(256)),
            (Fork::Deneb, 0x05017000, Some(29_696)),
            (Fork::Electra, 0x06017000, Some(115_968)),
            (Fork::Fulu, 0x07017000, Some(165_120)),
        ],
        announced: None,
    },
    Builtin {
        name: "gnosis",
        preset: Preset::Gnosis,
        slot_ms: 5_000,
        genesis: Some(Genesis {
            time: 1_638_993_340,
            validators_root: [0xf5dcb5564e829aab27264b9becd5dfaa, 0x017085611224cb3036f573368dbb9d47],
        }),
        genesis_version: 0x00000064,
        later: &[
            (Fork::Altair, 0x01000064, Some(512)),
            (Fork::Bellatrix, 0x02000064, Some(385_536)),
            (Fork::Capella, 0x03000064, Some(648_704)),
            (Fork::Deneb, 0x04000064, Some(889_856)),
            (Fork::Electra, 0x05000064, Some(1_337_856)),
            (Fork::Fulu, 0x06000064, Some(1_714_688)),
            (Fork::Gloas, 0x07000064, None),
        ],
        announced: None,
    },
    Builtin {
        name: "chiado",
        preset: Preset::Gnosis,
        slot_ms: 5_000,
        genesis: Some(Genesis {
            time: 1_665_396_300,
            validators_root: [0x9d642dac73058fbf39c0ae41ab1e34e4, 0xd889043cb199851ded7095bc99eb4c1e],
        }),
        genesis_version: 0x0000006f,
        later: &[
            (Fork::Altair, 0x0100006f, Some(90)),
            (Fork::Bellatrix, 0x0200006f, Some(180)),
            (Fork::Capella, 0x0300006f, Some(244_224)),
            (Fork::Deneb, 0x0400006f, Some(516_608)),
            (Fork::Electra, 0x0500006f, Some(948_224)),
            (Fork::Fulu, 0x0600006f, Some(1_353_216)),
            (Fork::Gloas, 0x0700006f, None),
        ],
        announced: None,
    },
    Builtin {
        name: "lukso",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: None,
        genesis_version: 0x42000001,
        later: &[
            (Fork::Altair, 0x42000002, Some(0)),
            (Fork::Bellatrix, 0x42000003, Some(0)),
            (Fork::Capella, 0x42000004, Some(8_100)),
            (Fork::Deneb, 0x42000005, Some(123_075)),
            (Fork::Electra, 0x42000006, Some(190_800)),
            (Fork::Fulu, 0x42000007, None),
        ],
        announced: None,
    },
    Builtin {
        name: "plataberget",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: Some(Genesis {
            time: 1_786_622_400,
            validators_root: [0xbb4a1a9e3f7f4e10edcd734e4acc3b5f, 0xfd4f830efe0af2748fa458cfee5d2658],
        }),
        genesis_version: 0x10733183,
        later: &[
            (Fork::Altair, 0x20733183, Some(0)),
            (Fork::Bellatrix, 0x30733183, Some(0)),
            (Fork::Capella, 0x40733183, Some(0)),
            (Fork::Deneb, 0x50733183, Some(0)),
            (Fork::Electra, 0x60733183, Some(0)),
            (Fork::Fulu, 0x70733183, Some(0)),
            (Fork::Gloas, 0x80733183, Some(1_536)),
            (Fork::Heze, 0x90000000, None),
        ],
        announced: None,
    },
    // It begins anew every few weeks, with another genesis.
    Builtin {
        name: "ephemery",
        preset: Preset::Mainnet,
        slot_ms: 12_000,
        genesis: None,
        genesis_version: 0x1000101b,
        later: &[
            (Fork::Altair, 0x2000101b, Some(0)),
            (Fork::Bellatrix, 0x3000101b, Some(0)),
            (Fork::Capella, 0x4000101b, Some(0)),
            (Fork::Deneb, 0x5000101b, Some(0)),
            (Fork::Electra, 0x6000101b, Some(0)),
            (Fork::Fulu, 0x7000101b, Some(0)),
            (Fork::Gloas, 0x8000101b, None),
        ],
        announced: None,
    },
    Builtin {
        name: "minimal",
        preset: Preset::Minimal,
        slot_ms: 6_000,
        genesis: None,
        genesis_version: 0x00000001,
        later: TEST_FORKS,
        announced: None,
    },
    // Teku's own, for its tests.
    Builtin {
        name: "swift",
        preset: Preset::Swift,
        slot_ms: 2_000,
        genesis: None,
        genesis_version: 0x00000001,
        later: TEST_FORKS,
        announced: None,
    },
    Builtin {
        name: "less-swift",
        preset: Preset::Swift,
        slot_ms: 6_000,
        genesis: None,
        genesis_version: 0x00000001,
        later: TEST_FORKS,
        announced: None,
    },
];

/// Those of the specifications' minimal configuration and of Teku's. A chain of tests sets dates of its own.
const TEST_FORKS: &[(Fork, u32, Option<u64>)] = &[
    (Fork::Altair, 0x01000001, None),
    (Fork::Bellatrix, 0x02000001, None),
    (Fork::Capella, 0x03000001, None),
    (Fork::Deneb, 0x04000001, None),
    (Fork::Electra, 0x05000001, None),
    (Fork::Fulu, 0x06000001, None),
    (Fork::Gloas, 0x07000001, None),
    (Fork::Heze, 0x08000001, None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_is_in_order() {
        for network in NETWORKS {
            let later = network.to_network().forks.later().to_vec();
            let forks = Forks::new(ForkVersion(network.genesis_version.to_be_bytes()), later);
            assert!(forks.is_ok(), "{}: {forks:?}", network.name);
        }
    }

    #[test]
    fn mainnet_is_the_chain_everyone_knows() {
        let mainnet = Network::by_name("mainnet").unwrap();
        assert_eq!(
            mainnet.genesis_validators_root().unwrap().to_string(),
            "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95"
        );
        assert_eq!(mainnet.genesis_time(), Some(1_606_824_023));
        assert_eq!(mainnet.slot_duration(), Some(Duration::from_secs(12)));
        assert_eq!(mainnet.forks().version(Fork::Capella), Some(ForkVersion([3, 0, 0, 0])));
        assert_eq!(mainnet.forks().epoch(Fork::Deneb), Some(Epoch(269_568)));
        assert_eq!(mainnet.forks().epoch(Fork::Gloas), None);
        let sepolia = Network::by_name("sepolia").unwrap();
        assert_eq!(sepolia.forks().epoch(Fork::Gloas), Some(Epoch(353_024)));
    }

    #[test]
    fn genesis_roots_and_versions_are_all_different() {
        let roots: Vec<_> =
            NETWORKS.iter().filter_map(|network| network.to_network().genesis_validators_root()).collect();
        let public =
            NETWORKS.iter().filter(|network| matches!(network.preset, Preset::Mainnet | Preset::Gnosis));
        let versions: Vec<_> = public.map(|network| network.genesis_version).collect();
        for (index, root) in roots.iter().enumerate() {
            assert!(!roots[..index].contains(root), "{root}");
        }
        for (index, version) in versions.iter().enumerate() {
            assert!(!versions[..index].contains(version), "{version:#x}");
        }
    }
}
