//! `fork_info` against the network: its chain, its fork versions, and the version of exits.

use std::str::FromStr;

use bls_signer::duty::{Kind, Refusal};
use bls_signer::network::Network;
use serde_json::{Value, json};

use crate::vectors::{Case, lodestar, network, one_of_each_type, parse, specification};

#[test]
fn every_kind_that_names_a_chain_is_refused_for_another_one_and_both_are_named() {
    let hoodi = network("hoodi").genesis_validators_root().unwrap().to_string();
    let mut kinds = Vec::new();
    for mut case in on_known_chains() {
        let own = case.request["fork_info"]["genesis_validators_root"].as_str().unwrap().to_owned();
        case.request["fork_info"]["genesis_validators_root"] = json!(hoodi);
        if case.network.name() == "hoodi" {
            continue;
        }
        let refusal = parse(&case.request, &case.network).unwrap_err();
        assert!(matches!(refusal, Refusal::OtherChain { .. }), "{}: {refusal}", case.id);
        let (text, configured) = (refusal.to_string(), format!("{own} ({})", case.network.name()));
        assert!(text.contains(&format!("{hoodi} (hoodi)")) && text.contains(&configured), "{text}");
        kinds.push(Kind::from_str(case.type_name()).unwrap());
    }
    kinds.sort_unstable();
    kinds.dedup();
    // All but deposits, registrations and builder authentication, which are of no chain.
    assert_eq!(kinds.len(), 15, "{kinds:?}");
}

#[test]
fn a_version_that_no_chain_has_at_that_epoch_is_refused_for_every_kind() {
    for case in on_known_chains() {
        let fork = &case.request["fork_info"]["fork"];
        let used = match message_epoch(&case) {
            epoch if epoch < fork["epoch"].as_str().unwrap().parse().unwrap() => "previous_version",
            _ => "current_version",
        };
        let is_exit = case.type_name() == "VOLUNTARY_EXIT";
        // What lies beyond the schedule is the request's word.
        let is_beyond = ["gloas", "heze"].iter().any(|tag| case.line.to_string().contains(tag));
        if is_beyond || (is_exit && used == "previous_version") {
            continue;
        }
        let mut request = case.request.clone();
        request["fork_info"]["fork"][used] = json!("0x98000000");
        request["fork_info"]["fork"]["epoch"] = match used {
            "current_version" => json!("0"),
            _ => fork["epoch"].clone(),
        };
        let refusal = match parse(&request, &case.network) {
            // After the schedule's end, before a fork that the request has coming.
            Ok(duty) => {
                assert!(used == "previous_version" && duty.newer_version().is_some(), "{}", case.id);
                continue;
            }
            Err(refusal) => refusal.to_string(),
        };
        let said =
            format!("fork_info.fork.{used} is 0x98000000, but the network {} has ", case.network.name());
        assert!(refusal.starts_with(&said), "{}: {refusal}", case.id);
    }
}

#[test]
fn beyond_the_schedule_an_unknown_version_is_signed_and_said_to_be_newer() {
    let mainnet = network("mainnet");
    let reveal = |version: &str, since: u64, epoch: u64| {
        let request = json!({
            "type": "RANDAO_REVEAL",
            "fork_info": fork_info(&mainnet, "0x06000000", version, since),
            "randao_reveal": {"epoch": epoch.to_string()},
        });
        parse(&request, &mainnet).map(|duty| duty.newer_version().map(|version| version.to_string()))
    };
    assert_eq!(reveal("0x98000000", 600_000, 600_001).unwrap(), Some("0x98000000".to_owned()));
    assert_eq!(reveal("0x98000000", 600_000, 599_999).unwrap(), None, "still the previous one");
    assert_eq!(reveal("0x07000000", 600_000, 600_001).unwrap(), None, "known, without a date");
    for (version, since, epoch) in [
        ("0x98000000", 411_392, 450_000),
        ("0x98000000", 0, 450_000),
        ("0x07000000", 411_392, 450_000),
        ("0x05000000", 364_032, 450_000),
        ("0x06000000", 0, 411_391),
    ] {
        assert!(reveal(version, since, epoch).is_err(), "{version} since {since} at {epoch}");
    }
}

#[test]
fn an_exit_of_a_chain_at_deneb_or_later_is_signed_for_capella_whatever_its_epoch() {
    // Of the executable specification: mainnet, and both exits of validator 7.
    for (epoch, root) in [
        (200_000, "0xf4d0a27ed31e6b7d991a587c6985b1b0bbb554f44de0b13e5429ddf155bc52a9"),
        (0, "0xd400e1f95cda1f026fc615c00deb26161d926e1c73f3e176de203cc925eb9b65"),
    ] {
        for (previous, current, since) in [
            ("0x05000000", "0x06000000", 411_392),
            ("0x03000000", "0x04000000", 269_568),
            ("0x06000000", "0x07000000", 600_000),
            ("0x07000000", "0x98000000", 700_000),
            // What tools send that know of EIP-7044.
            ("0x03000000", "0x03000000", 194_048),
        ] {
            let mainnet = network("mainnet");
            let duty = parse(&exit(&mainnet, previous, current, since, epoch), &mainnet).unwrap();
            assert_eq!(duty.signing_root().to_string(), root, "{current} {epoch}");
        }
    }
}

#[test]
fn an_exit_of_an_undated_chain_goes_by_the_fork_that_it_names() {
    let minimal = network("minimal");
    let root = |current: &str, epoch: u64| {
        parse(&exit(&minimal, current, current, 5, epoch), &minimal).unwrap().signing_root()
    };
    for version in ["0x04000001", "0x05000001", "0x06000001", "0x07000001", "0x08000001"] {
        assert_eq!(root(version, 3), root("0x03000001", 3), "{version}");
    }
    assert_ne!(root("0x02000001", 3), root("0x03000001", 3));
}

#[test]
fn an_exit_under_a_version_of_no_fork_is_refused() {
    let mainnet = network("mainnet");
    for (previous, current, since, epoch, named) in [
        ("0x05000000", "0x98000000", 0, 450_000, "current_version"),
        ("0x05000000", "0x98000000", 411_392, 0, "current_version"),
        ("0x98000000", "0x02000000", 144_896, 100, "previous_version"),
    ] {
        let refusal =
            parse(&exit(&mainnet, previous, current, since, epoch), &mainnet).unwrap_err().to_string();
        assert!(refusal.starts_with(&format!("fork_info.fork.{named} is 0x98000000")), "{refusal}");
    }
}

#[test]
fn bids_of_heze_are_refused_however_they_come() {
    let case = specification_or_lodestar("EXECUTION_PAYLOAD_BID");
    let payload = &case.request["execution_payload_bid"];
    let bare = if payload["data"].is_object() { payload["data"].clone() } else { payload.clone() };
    let mut with_bits = bare.clone();
    with_bits["inclusion_list_bits"] = json!("0xffff");
    for form in [
        json!({"version": "HEZE", "data": bare}),
        json!({"version": "GLOAS", "data": with_bits}),
        with_bits.clone(),
    ] {
        let mut request = case.request.clone();
        request["execution_payload_bid"] = form;
        let refusal = parse(&request, &case.network).unwrap_err().to_string();
        assert!(refusal.contains("HEZE, whose bids are not signed yet"), "{refusal}");
    }
}

fn on_known_chains() -> impl Iterator<Item = Case> {
    let every = one_of_each_type().into_iter().chain(specification()).chain(lodestar());
    every.filter(|case| {
        case.network.genesis_validators_root().is_some() && case.request["fork_info"].is_object()
    })
}

/// The epoch of a message, wherever it stands.
fn message_epoch(case: &Case) -> u64 {
    let slots = case.network.preset().slots_per_epoch().get();
    let payload = |name: &str| case.request[name].clone();
    let unwrapped = |value: Value| if value["data"].is_object() { value["data"].clone() } else { value };
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    match case.type_name() {
        "ATTESTATION" => number(&payload("attestation")["target"]["epoch"]),
        "VOLUNTARY_EXIT" => number(&payload("voluntary_exit")["epoch"]),
        "RANDAO_REVEAL" => number(&payload("randao_reveal")["epoch"]),
        "BLOCK" => number(&payload("block")["slot"]) / slots,
        "BLOCK_V2" => {
            let block = payload("beacon_block");
            let block = if block["block"].is_null() { &block["block_header"] } else { &block["block"] };
            number(&block["slot"]) / slots
        }
        "AGGREGATION_SLOT" => number(&payload("aggregation_slot")["slot"]) / slots,
        "AGGREGATE_AND_PROOF" | "AGGREGATE_AND_PROOF_V2" => {
            number(&unwrapped(payload("aggregate_and_proof"))["aggregate"]["data"]["slot"]) / slots
        }
        "SYNC_COMMITTEE_MESSAGE" => number(&payload("sync_committee_message")["slot"]) / slots,
        "SYNC_COMMITTEE_SELECTION_PROOF" => {
            number(&payload("sync_aggregator_selection_data")["slot"]) / slots
        }
        "SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF" => {
            number(&payload("contribution_and_proof")["contribution"]["slot"]) / slots
        }
        // Of Gloas, which is beyond the schedule.
        _ => u64::MAX,
    }
}

fn specification_or_lodestar(type_name: &str) -> Case {
    specification().into_iter().chain(lodestar()).find(|case| case.type_name() == type_name).unwrap()
}

fn fork_info(network: &Network, previous: &str, current: &str, since: u64) -> Value {
    let root =
        network.genesis_validators_root().map_or(format!("0x{}", "11".repeat(32)), |root| root.to_string());
    json!({
        "fork": {"previous_version": previous, "current_version": current, "epoch": since.to_string()},
        "genesis_validators_root": root,
    })
}

fn exit(network: &Network, previous: &str, current: &str, since: u64, epoch: u64) -> Value {
    json!({
        "type": "VOLUNTARY_EXIT",
        "fork_info": fork_info(network, previous, current, since),
        "voluntary_exit": {"epoch": epoch.to_string(), "validator_index": "7"},
    })
}
