//! Which chain the daemon signs for: a network's `config.yaml` as it is found in the wild.

use serde_json::json;

use crate::support::{Daemon, Key, Setup, attestation};

#[test]
fn real_configurations_start_the_daemon_whatever_stands_in_keys_that_are_not_read() {
    for (name, text) in [
        ("an address of 125 bits", "DEPOSIT_CONTRACT_ADDRESS: 0x00000000219ab540356cBB839Cbe05303d7705Fa\n"),
        ("a difficulty of 76 bits", "TERMINAL_TOTAL_DIFFICULTY: 58750000000000000000000\n"),
        ("anchors and aliases", "A: &a {x: [1, 2]}\nB: *a\nC: !!binary \"AAA=\"\n"),
        (
            "lists and texts over lines",
            "BLOB_SCHEDULE:\n- EPOCH: 1\n  MAX: 2\nNOTE: >\n  PRESET_BASE: huge\n\nEND: 1\n",
        ),
        ("a key given twice", "TERMINAL_BLOCK_HASH: 0x00\nTERMINAL_BLOCK_HASH: 0x01\n"),
    ] {
        let daemon = on_config(&format!("{DEVNET}{text}")).start();
        vote(&daemon, name);
        let daemon = on_config(&format!("\u{feff}{text}{DEVNET}").replace('\n', "\r\n")).start();
        vote(&daemon, name);
    }
}

#[test]
fn a_configuration_that_cannot_be_signed_for_ends_the_start_with_the_key_and_what_is_wrong() {
    let long = "9".repeat(100_000);
    let replaced = |from: &str, to: &str| DEVNET.replace(from, to);
    for (text, named) in [
        (format!("{DEVNET}SLOTS_PER_EPOCH: 6\n"), "SLOTS_PER_EPOCH is 6, but the preset mainnet has 32"),
        (
            format!("{DEVNET}SYNC_COMMITTEE_SIZE: 32\n"),
            "SYNC_COMMITTEE_SIZE is 32, but the preset mainnet has 512",
        ),
        (
            replaced("ALTAIR_FORK_EPOCH: 0", &format!("ALTAIR_FORK_EPOCH: {long}")),
            "ALTAIR_FORK_EPOCH is \"9999",
        ),
        (replaced("ALTAIR_FORK_EPOCH: 0", "ALTAIR_FORK_EPOCH: *epoch"), "ALTAIR_FORK_EPOCH is an alias"),
        (replaced("ALTAIR_FORK_EPOCH: 0", "ALTAIR_FORK_EPOCH: [0]"), "ALTAIR_FORK_EPOCH is a list"),
        (replaced("PRESET_BASE: 'mainnet'", "<<: *base"), "merge key"),
        (format!("{DEVNET}ALTAIR_FORK_EPOCH: 1\n"), "ALTAIR_FORK_EPOCH is given twice"),
        (format!("{DEVNET}OPEN: [1, {{\n"), "a bracket is not closed"),
        (format!("{DEVNET}---\n{DEVNET}"), "more than one YAML document"),
        ("[*a]".to_owned(), "no mapping of names to values"),
    ] {
        let setup = on_config(&text);
        let path = setup.directory().join("config.yaml").display().to_string();
        let (status, log) = setup.fails();
        assert_eq!(status.code(), Some(78), "{named}: {log}");
        assert!(log.contains(named) && log.contains(&path), "{named}: {log}");
        assert!(log.len() < 4_000 && !log.contains("panicked"), "{named}: {log}");
    }
}

fn on_config(text: &str) -> Setup {
    let setup = Setup::new();
    let path = setup.file("config.yaml", text).display().to_string();
    setup.args(&["--network", &path])
}

fn vote(daemon: &Daemon, what: &str) {
    let key = Key::number(1);
    daemon.import(&[&key]);
    let mut vote = attestation(64, 1, 2, 1);
    vote["fork_info"]["fork"] =
        json!({"previous_version": "0x30000038", "current_version": "0x40000038", "epoch": "0"});
    assert_eq!(daemon.sign(&key, &vote).status, 200, "{what}");
}

/// A private chain's, as the tools that make such chains write it.
const DEVNET: &str = "# Extends the mainnet preset
PRESET_BASE: 'mainnet'
CONFIG_NAME: devnet # any name
MIN_GENESIS_TIME: 1606824000
GENESIS_FORK_VERSION: 0x10000038
ALTAIR_FORK_VERSION: 0x20000038
ALTAIR_FORK_EPOCH: 0
BELLATRIX_FORK_VERSION: 0x30000038
BELLATRIX_FORK_EPOCH: 0
CAPELLA_FORK_VERSION: 0x40000038
CAPELLA_FORK_EPOCH: 0
DENEB_FORK_VERSION: 0x50000038
DENEB_FORK_EPOCH: 18446744073709551615
SECONDS_PER_SLOT: 12
";
