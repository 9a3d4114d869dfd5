//! Which chain the daemon signs for: a network's `config.yaml` as it is found in the wild, and requests of other chains
//! and forks.

use serde_json::{Value, json};

use crate::support::{Daemon, Key, Request, Setup, attestation, randao_reveal};

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

#[test]
fn a_message_of_another_chain_is_refused_whatever_its_kind_and_both_are_named() {
    // With protection and without: what is not recorded is not signed for a foreign chain either.
    for protection in ["on", "off"] {
        let (daemon, key) = on_mainnet(&["--slashing-protection", protection]);
        for mut request in [exit(450_000), reveal(450_000), vote_of(450_000, 1)] {
            request["fork_info"]["genesis_validators_root"] = json!(HOODI);
            let message = daemon.sign(&key, &request).assert_problem(412);
            assert!(message.contains(&format!("{HOODI} (hoodi)")), "{message}");
            assert!(message.contains(&format!("{MAINNET} (mainnet)")), "{message}");
        }
        let mut request = reveal(450_000);
        request["fork_info"]["genesis_validators_root"] = json!(HOODI);
        let batch = json!({"identifiers": [key.name()], "signing_request": request}).to_string();
        daemon.send(&Request::post("/api/v1/eth2/sign", batch)).assert_problem(412);
        assert_eq!(daemon.sign(&key, &vote_of(450_000, 1)).status, 200);
    }
}

#[test]
fn on_a_network_without_a_known_root_the_first_record_decides_for_every_kind() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let mut foreign = randao_reveal(1);
    foreign["fork_info"]["genesis_validators_root"] = json!(HOODI);
    assert_eq!(daemon.sign(&key, &foreign).status, 200, "nothing is recorded yet");
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);
    let message = daemon.sign(&key, &foreign).assert_problem(412);
    assert!(message.contains("(hoodi)"), "{message}");
    let batch = json!({"identifiers": [key.name()], "signing_request": foreign}).to_string();
    let answer = daemon.send(&Request::post("/api/v1/eth2/sign", batch)).json();
    assert_eq!(answer[0]["error"]["code"], 412, "{answer}");
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
}

#[test]
fn a_made_up_fork_version_is_refused_and_costs_no_duty() {
    let (daemon, key) = on_mainnet(&[]);
    for version in ["0x98000000", "0x05000000", "0x07000000"] {
        let mut vote = vote_of(450_000, 1);
        vote["fork_info"]["fork"]["current_version"] = json!(version);
        let message = daemon.sign(&key, &vote).assert_problem(400);
        assert!(message.contains(version) && message.contains("has 0x06000000 (FULU)"), "{message}");
    }
    assert_eq!(daemon.sign(&key, &vote_of(450_000, 1)).status, 200);
}

#[test]
fn a_fork_newer_than_the_schedule_is_signed_for_and_told_once() {
    let (daemon, key) = on_mainnet(&[]);
    for epoch in 600_000..600_003 {
        let mut vote = vote_of(epoch, 1);
        vote["fork_info"]["fork"] =
            json!({"previous_version": "0x06000000", "current_version": "0x98000000", "epoch": "600000"});
        assert_eq!(daemon.sign(&key, &vote).status, 200);
    }
    daemon.wait_for_log(|line| line.contains("0x98000000") && line.contains("newer than the schedule"));
    let health = daemon.send(&Request::get("/healthcheck")).json();
    let check = health["checks"].as_array().unwrap().iter().find(|check| check["id"] == "network-check");
    let data = &check.unwrap()["data"];
    assert_eq!(*data, json!({"network": "mainnet", "newer-fork-versions": ["0x98000000"]}));
    assert_eq!(daemon.log().matches("newer than the schedule").count(), 1);
}

#[test]
fn an_exit_before_deneb_is_signed_for_the_one_version_that_the_chain_takes() {
    let (daemon, key) = on_mainnet(&[]);
    for (epoch, root) in [
        (200_000, "0xf4d0a27ed31e6b7d991a587c6985b1b0bbb554f44de0b13e5429ddf155bc52a9"),
        (0, "0xd400e1f95cda1f026fc615c00deb26161d926e1c73f3e176de203cc925eb9b65"),
    ] {
        let mut exit = exit(epoch);
        assert_eq!(daemon.sign(&key, &exit).status, 200);
        exit["signingRoot"] = json!(root);
        assert_eq!(daemon.sign(&key, &exit).status, 200);
    }
}

fn on_mainnet(args: &[&str]) -> (Daemon, Key) {
    let daemon = Setup::new().args(&["--network", "mainnet"]).args(args).start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    (daemon, key)
}

fn vote_of(epoch: u64, root: u8) -> Value {
    let mut vote = attestation(epoch * 32, epoch - 1, epoch, root);
    vote["fork_info"] = fulu();
    vote
}

fn reveal(epoch: u64) -> Value {
    let mut reveal = randao_reveal(epoch);
    reveal["fork_info"] = fulu();
    reveal
}

fn exit(epoch: u64) -> Value {
    json!({
        "type": "VOLUNTARY_EXIT",
        "fork_info": fulu(),
        "voluntary_exit": {"epoch": epoch.to_string(), "validator_index": "7"},
    })
}

fn fulu() -> Value {
    json!({
        "fork": {"previous_version": "0x05000000", "current_version": "0x06000000", "epoch": "411392"},
        "genesis_validators_root": MAINNET,
    })
}

const MAINNET: &str = "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95";

const HOODI: &str = "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f";

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
pub(crate) const DEVNET: &str = "# Extends the mainnet preset
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
