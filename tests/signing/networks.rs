//! `networks.json`: the public networks as a consensus client publishes them (`tests/forksim/networks.mjs` makes it, and
//! the layer `forksim` compares it with the package).

use std::collections::BTreeMap;
use std::time::Duration;

use bls_signer::network::{Fork, Network};
use serde::Deserialize;

#[derive(Deserialize)]
struct Published {
    preset: String,
    slot_ms: u64,
    genesis_version: String,
    genesis_time: Option<u64>,
    genesis_validators_root: Option<String>,
    forks: BTreeMap<String, PublishedFork>,
}

#[derive(Deserialize)]
struct PublishedFork {
    version: String,
    epoch: Option<u64>,
}

#[test]
fn the_networks_known_by_name_are_as_a_consensus_client_publishes_them() {
    let published: BTreeMap<String, Published> =
        serde_json::from_str(include_str!("../vectors/networks.json")).unwrap();
    assert!(published.len() >= 7, "{}", published.len());
    for (name, published) in published {
        let network = Network::by_name(&name).unwrap_or_else(|| panic!("{name} is unknown"));
        assert_eq!(network.preset().name(), published.preset, "{name}");
        assert_eq!(network.slot_duration(), Some(Duration::from_millis(published.slot_ms)), "{name}");
        assert_eq!(network.genesis_fork_version().to_string(), published.genesis_version, "{name}");
        assert_eq!(network.genesis_time(), published.genesis_time, "{name}");
        let root = network.genesis_validators_root().map(|root| root.to_string());
        assert_eq!(root, published.genesis_validators_root, "{name}");
        for (fork_name, published) in published.forks {
            let fork = Fork::by_name(&fork_name).unwrap_or_else(|| panic!("{fork_name} is unknown"));
            let version = network.forks().version(fork).map(|version| version.to_string());
            assert_eq!(version, Some(published.version), "{name} {fork}");
            let epoch = network.forks().epoch(fork).map(|epoch| epoch.0);
            if !(epoch.is_some() && DATED_ELSEWHERE.contains(&(&*name, fork))) {
                assert_eq!(epoch, published.epoch, "{name} {fork}");
            }
        }
    }
}

/// Dates that were announced after the client's last release (https://github.com/ethereum/pm/pull/2205).
const DATED_ELSEWHERE: &[(&str, Fork)] = &[("sepolia", Fork::Gloas)];
