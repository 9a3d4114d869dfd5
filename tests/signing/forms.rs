//! The forms a message may come in: wrapped or bare, whole or as a header, under its settled or an older name.

use bls_signer::duty::{Claim, Kind};
use bls_signer::network::{Fork, Network};
use bls_signer::primitives::{Epoch, Slot};
use serde_json::{Value, json};

use crate::vectors::{Case, case_of, lodestar, network, parse, specification};

#[test]
fn the_claim_is_what_the_message_says() {
    for case in specification().into_iter().chain(lodestar()) {
        let claim = parse(&case.request, &case.network).unwrap().claim();
        let request = &case.request;
        let expected = match case.type_name() {
            "ATTESTATION" => Claim::Attestation {
                source: Epoch(number(&request["attestation"]["source"]["epoch"])),
                target: Epoch(number(&request["attestation"]["target"]["epoch"])),
            },
            "BLOCK" => Claim::Block { slot: Slot(number(&request["block"]["slot"])) },
            "BLOCK_V2" => {
                let block = &request["beacon_block"];
                let block = if block["block"].is_null() { &block["block_header"] } else { &block["block"] };
                Claim::Block { slot: Slot(number(&block["slot"])) }
            }
            _ => Claim::Unslashable,
        };
        assert_eq!(claim, expected, "{}", case.id);
    }
}

#[test]
fn a_header_signs_the_same_as_its_block_in_every_version() {
    // A header is what a block's root is made of, so the root does not depend on the version beside it.
    let mut case = specification_case(|case| case.request["beacon_block"]["version"] == "DENEB");
    for version in Fork::ALL.map(Fork::name) {
        case.request["beacon_block"]["version"] = json!(version);
        let duty = parse(&case.request, &case.network).unwrap();
        assert_eq!(duty.signing_root().to_string(), case.signing_root, "{version}");
        assert_eq!(duty.kind(), Kind::BlockV2);
    }
}

#[test]
fn a_whole_block_counts_before_a_header_where_both_are_allowed() {
    let mut case = specification_case(|case| case.request["beacon_block"]["version"] == "ALTAIR");
    case.request["beacon_block"]["block_header"] = header();
    assert_eq!(parse(&case.request, &case.network).unwrap().signing_root().to_string(), case.signing_root);
}

#[test]
fn a_block_without_the_form_its_version_needs_is_refused() {
    let whole = specification_case(|case| case.request["beacon_block"]["version"] == "PHASE0");
    let block = &whole.request["beacon_block"]["block"];
    for (beacon_block, said) in [
        (json!({"version": "PHASE0"}), "beacon_block.block is missing"),
        (json!({"version": "ALTAIR", "block": null}), "beacon_block.block is missing"),
        (json!({"version": "CAPELLA"}), "beacon_block.block_header is missing"),
        (json!({"version": "DENEB", "block": block}), "beacon_block.block_header is missing"),
        (json!({"block": block}), "beacon_block.version is missing"),
        (json!({"version": "phase0", "block": block}), "beacon_block.version must be one of PHASE0, ALTAIR"),
        (json!({"version": "Deneb", "block_header": header()}), "beacon_block.version must be one of"),
        (json!({"version": "OSAKA", "block_header": header()}), "beacon_block.version must be one of"),
        (json!({"version": "ALTAIR", "block": block}), "beacon_block.block.body.sync_aggregate is missing"),
        (json!([]), "beacon_block must be an object"),
    ] {
        let mut request = whole.request.clone();
        request["beacon_block"] = beacon_block;
        let refusal = parse(&request, &whole.network).unwrap_err().to_string();
        assert!(refusal.starts_with(said), "{refusal}");
    }
}

#[test]
fn both_aggregate_types_take_both_forms() {
    for case in specification().into_iter().filter(|case| case.type_name().starts_with("AGGREGATE")) {
        let payload = &case.request["aggregate_and_proof"];
        let bare = if payload["data"].is_null() { payload } else { &payload["data"] };
        let fork = case.line["fork"].as_str().unwrap().to_uppercase();
        let wrapped = json!({"version": fork, "data": bare});
        for name in ["AGGREGATE_AND_PROOF", "AGGREGATE_AND_PROOF_V2"] {
            for form in [bare, &wrapped, &json!({"data": bare})] {
                let mut request = case.request.clone();
                (request["type"], request["aggregate_and_proof"]) = (json!(name), form.clone());
                // In the cases whose fork_info is of the next fork, that one is all a bare aggregate can go by.
                let root = parse(&request, &case.network).map(|duty| duty.signing_root().to_string());
                assert_eq!(root.ok().as_ref(), Some(&case.signing_root), "{} {name} {form}", case.id);
            }
        }
    }
}

#[test]
fn an_aggregates_version_counts_before_the_networks_schedule() {
    let mut case = specification_case(|case| {
        case.type_name() == "AGGREGATE_AND_PROOF_V2"
            && case.request["aggregate_and_proof"]["version"] == "ELECTRA"
    });
    let right = parse(&case.request, &case.network).unwrap().signing_root();
    // Minimal schedules nothing, so only the version says that this is an Electra aggregate.
    let fulu = json!("FULU");
    case.request["aggregate_and_proof"]["version"] = fulu;
    assert_eq!(parse(&case.request, &case.network).unwrap().signing_root(), right, "one layout for both");
    case.request["aggregate_and_proof"]["version"] = json!("DENEB");
    assert_ne!(parse(&case.request, &case.network).unwrap().signing_root(), right);
    case.request["aggregate_and_proof"]["version"] = json!("GLOAS");
    assert_ne!(parse(&case.request, &case.network).unwrap().signing_root(), right);
    for unknown in ["electra", "OSAKA", ""] {
        case.request["aggregate_and_proof"]["version"] = json!(unknown);
        let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
        assert!(refusal.starts_with("aggregate_and_proof.version must be one of PHASE0, "), "{refusal}");
    }
}

#[test]
fn committee_bits_before_electra_are_refused_when_no_version_explains_them() {
    let case = specification_case(|case| case.line["tags"][0] == "electra-under-v1");
    // A network that has never heard of Electra.
    let text = "PRESET_BASE: mainnet\nCONFIG_NAME: old\nGENESIS_FORK_VERSION: 0x00000000\n";
    let refusal = parse(&case.request, &Network::from_config_yaml(text).unwrap()).unwrap_err().to_string();
    assert!(
        refusal.starts_with("aggregate_and_proof.aggregate.committee_bits belongs to ELECTRA"),
        "{refusal}"
    );
    assert!(refusal.contains("the network old has PHASE0 at slot 12751327"), "{refusal}");
    // And one that has it without a date: then the fork version of the message tells.
    let text = ["ALTAIR: 1", "BELLATRIX: 2", "CAPELLA: 3", "DENEB: 4", "ELECTRA: 5"]
        .map(|fork| {
            let (name, version) = fork.split_once(": ").unwrap();
            format!("{name}_FORK_VERSION: 0x0{version}000000\n{name}_FORK_EPOCH: 18446744073709551615\n")
        })
        .concat();
    let text = format!("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x00000000\n{text}");
    let undated = Network::from_config_yaml(&text).unwrap();
    assert_eq!(parse(&case.request, &undated).unwrap().signing_root().to_string(), case.signing_root);
}

#[test]
fn an_electra_aggregate_needs_its_committee_bits() {
    let mut case = specification_case(|case| case.line["tags"][0] == "electra-under-v1");
    case.request["aggregate_and_proof"]["aggregate"].as_object_mut().unwrap().remove("committee_bits");
    let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
    assert_eq!(refusal, "aggregate_and_proof.aggregate.committee_bits is missing");
}

#[test]
fn older_names_of_the_gloas_types_mean_the_same() {
    let wrapped =
        |case: &Case, member: &str| json!({"version": "GLOAS", "data": bare(&case.request[member])});
    for (name, member, aliases) in [
        (
            "PAYLOAD_ATTESTATION_MESSAGE",
            "payload_attestation_message",
            &["payload_attestation_data", "payload_attestation", "payload_attestation_message"][..],
        ),
        ("BUILDER_REQUEST_AUTH", "builder_request_auth", &["request_auth", "builder_request_auth"]),
        ("PROPOSER_PREFERENCES", "proposer_preferences", &["proposer_preferences"]),
        ("EXECUTION_PAYLOAD_BID", "execution_payload_bid", &["execution_payload_bid"]),
        ("EXECUTION_PAYLOAD_ENVELOPE", "execution_payload_envelope", &["execution_payload_envelope"]),
    ] {
        let case = case_of(name);
        for alias in aliases {
            for type_name in [
                name,
                &name.replace("BUILDER_", "").replace("PAYLOAD_ATTESTATION_MESSAGE", "PAYLOAD_ATTESTATION"),
            ] {
                for form in [bare(&case.request[member]), wrapped(&case, member)] {
                    let mut request = case.request.clone();
                    request.as_object_mut().unwrap().remove(member);
                    (request["type"], request[alias]) = (json!(type_name), form);
                    let duty = parse(&request, &case.network).unwrap();
                    assert_eq!(duty.signing_root().to_string(), case.signing_root, "{type_name} {alias}");
                    assert_eq!(duty.kind().to_string(), name);
                }
            }
        }
    }
}

#[test]
fn two_names_of_a_payload_at_once_are_refused() {
    let mut case = case_of("PAYLOAD_ATTESTATION_MESSAGE");
    case.request["payload_attestation"] = case.request["payload_attestation_message"].clone();
    let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
    assert!(
        refusal.contains("payload_attestation_message and payload_attestation are two names"),
        "{refusal}"
    );
}

#[test]
fn a_gloas_type_in_a_wrapper_of_another_fork_is_refused() {
    let mut case = case_of("PROPOSER_PREFERENCES");
    case.request["proposer_preferences"] =
        json!({"version": "FULU", "data": bare(&case.request["proposer_preferences"])});
    let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
    assert_eq!(refusal, "proposer_preferences.version must be GLOAS or HEZE, not \"FULU\"");
}

#[test]
fn preferences_may_name_the_gas_limit_as_earlier_drafts_did() {
    let mut case = case_of("PROPOSER_PREFERENCES");
    let mut preferences = bare(&case.request["proposer_preferences"]);
    let limit = preferences.as_object_mut().unwrap().remove("target_gas_limit").unwrap();
    preferences["gas_limit"] = limit;
    case.request["proposer_preferences"] = preferences;
    assert_eq!(parse(&case.request, &case.network).unwrap().signing_root().to_string(), case.signing_root);

    case.request["proposer_preferences"].as_object_mut().unwrap().remove("gas_limit");
    let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
    assert_eq!(refusal, "proposer_preferences.target_gas_limit is missing");
}

#[test]
fn authentication_data_has_at_most_4096_bytes_and_may_have_none() {
    let request =
        json!({"type": "BUILDER_REQUEST_AUTH", "builder_request_auth": {"data": "0x", "slot": "1"}});
    assert!(parse(&request, &network("mainnet")).is_ok());
    let long = format!("0x{}", "00".repeat(4097));
    let request =
        json!({"type": "BUILDER_REQUEST_AUTH", "builder_request_auth": {"data": long, "slot": "1"}});
    let refusal = parse(&request, &network("mainnet")).unwrap_err().to_string();
    assert_eq!(refusal, "builder_request_auth.data has 4097 bytes, and at most 4096 are allowed");
}

#[test]
fn registrations_are_bound_to_the_networks_genesis_and_deposits_to_their_own() {
    let registration = case_of("VALIDATOR_REGISTRATION").request;
    let deposit = case_of("DEPOSIT").request;
    let roots = |request: &Value| {
        let mut roots: Vec<_> =
            Network::names().map(|name| parse(request, &network(name)).unwrap().signing_root()).collect();
        roots.sort();
        roots.dedup();
        roots.len()
    };
    // The three networks of tests share a version.
    assert_eq!(roots(&registration), Network::names().count() - 2);
    assert_eq!(roots(&deposit), 1);
}

#[test]
fn the_fork_version_is_the_previous_one_before_the_forks_epoch() {
    let mut case = case_of("RANDAO_REVEAL");
    let schedule = "ALTAIR_FORK_VERSION: 0x01000000\nALTAIR_FORK_EPOCH: 0\n\
                    BELLATRIX_FORK_VERSION: 0x02000000\nBELLATRIX_FORK_EPOCH: 10\n";
    let text = format!("PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x00000000\n{schedule}");
    case.network = Network::from_config_yaml(&text).unwrap();
    let with = |case: &mut Case, previous: &str, current: &str, fork: u64, epoch: u64| {
        case.request["fork_info"]["fork"] =
            json!({"previous_version": previous, "current_version": current, "epoch": fork});
        case.request["randao_reveal"]["epoch"] = json!(epoch);
        parse(&case.request, &case.network).unwrap().signing_root()
    };
    let old = with(&mut case, "0x01000000", "0x01000000", 0, 9);
    let new = with(&mut case, "0x02000000", "0x02000000", 0, 10);
    assert_eq!(with(&mut case, "0x01000000", "0x02000000", 10, 9), old);
    assert_eq!(with(&mut case, "0x01000000", "0x02000000", 10, 10), new);
}

#[test]
fn lists_take_what_their_limit_allows_and_no_more() {
    let case = specification_case(|case| {
        let body = &case.request["block"]["body"];
        ["attester_slashings", "attestations", "deposits", "voluntary_exits"]
            .iter()
            .all(|list| !body[list][0].is_null())
    });
    let slashing =
        specification_case(|case| !case.request["block"]["body"]["proposer_slashings"][0].is_null());
    let slashing = &slashing.request["block"]["body"]["proposer_slashings"][0];
    for (list, limit) in [
        ("proposer_slashings", 16),
        ("attester_slashings", 2),
        ("attestations", 128),
        ("deposits", 16),
        ("voluntary_exits", 16),
    ] {
        let mut request = case.request.clone();
        let body = &mut request["block"]["body"];
        let item = if list == "proposer_slashings" { slashing.clone() } else { body[list][0].clone() };
        body[list] = vec![item.clone(); limit].into();
        assert!(parse(&request, &case.network).is_ok(), "{list}");
        request["block"]["body"][list] = vec![item; limit + 1].into();
        let refusal = parse(&request, &case.network).unwrap_err().to_string();
        let said = format!("block.body.{list} has {} items, and at most {limit} are allowed", limit + 1);
        assert_eq!(refusal, said);
    }
}

#[test]
fn bits_beyond_their_number_are_refused() {
    let mut case = specification_case(|case| case.type_name() == "AGGREGATE_AND_PROOF");
    for (bits, said) in [
        (format!("0x{}02", "00".repeat(256)), "has 2049 bits, and at most 2048 are allowed"),
        ("0x0100".to_owned(), "must end in a byte with the bit that marks a bit list's end"),
        ("0x".to_owned(), "must end in a byte with the bit that marks a bit list's end"),
    ] {
        case.request["aggregate_and_proof"]["aggregate"]["aggregation_bits"] = json!(bits);
        let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
        assert_eq!(refusal, format!("aggregate_and_proof.aggregate.aggregation_bits {said}"));
    }

    let contribution = specification_case(|case| case.type_name() == "SYNC_COMMITTEE_CONTRIBUTION_AND_PROOF");
    let refusal = parse(&contribution.request, &network("minimal")).unwrap_err().to_string();
    assert!(
        refusal.starts_with(
            "contribution_and_proof.contribution.aggregation_bits must be a hexadecimal string of 1 bytes"
        ),
        "{refusal}"
    );

    let mut minimal = lodestar()
        .into_iter()
        .find(|case| {
            case.network.name() == "minimal"
                && case.type_name() == "AGGREGATE_AND_PROOF_V2"
                && case.request.to_string().contains("ELECTRA")
        })
        .unwrap();
    minimal.request["aggregate_and_proof"]["data"]["aggregate"]["committee_bits"] = json!("0x10");
    let refusal = parse(&minimal.request, &minimal.network).unwrap_err().to_string();
    assert!(refusal.ends_with("committee_bits has a bit set after its 4 bits"), "{refusal}");
}

#[test]
fn fork_info_is_not_looked_at_where_no_chain_is_signed_for() {
    for name in ["DEPOSIT", "VALIDATOR_REGISTRATION", "BUILDER_REQUEST_AUTH"] {
        let mut case = case_of(name);
        case.request["fork_info"] = json!("nonsense");
        let duty = parse(&case.request, &case.network).unwrap();
        assert_eq!(duty.genesis_validators_root(), None);
        assert_eq!(duty.signing_root().to_string(), case.signing_root);
    }
}

#[test]
fn a_config_file_of_the_same_chain_gives_the_same_roots() {
    let mainnet = network("mainnet");
    let mut text =
        "PRESET_BASE: 'mainnet'\nCONFIG_NAME: 'mainnet'\nGENESIS_FORK_VERSION: 0x00000000\n".to_owned();
    for fork in Fork::ALL.into_iter().skip(1) {
        let version = mainnet.forks().version(fork).unwrap();
        let epoch = mainnet.forks().epoch(fork).map_or(u64::MAX, |epoch| epoch.0);
        text.push_str(&format!("{fork}_FORK_VERSION: {version}\n{fork}_FORK_EPOCH: {epoch}\n"));
    }
    let from_file = Network::from_config_yaml(&text).unwrap();
    assert_eq!(from_file.forks(), mainnet.forks());
    for case in specification().into_iter().filter(|case| case.network.name() == "mainnet") {
        let duty = parse(&case.request, &from_file).unwrap();
        assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
    }
}

fn specification_case(wanted: impl Fn(&Case) -> bool) -> Case {
    specification().into_iter().find(wanted).unwrap()
}

/// A payload without its wrapper.
fn bare(payload: &Value) -> Value {
    if payload["data"].is_object() { payload["data"].clone() } else { payload.clone() }
}

fn header() -> Value {
    let root = format!("0x{}", "11".repeat(32));
    json!({"slot": "1", "proposer_index": "2", "parent_root": root, "state_root": root, "body_root": root})
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}
