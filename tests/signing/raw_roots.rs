//! Requests of the first design: a bare root and the name of its domain.

use bls_signer::duty::{Claim, Kind};
use serde_json::{Value, json};

use crate::vectors::{network, parse};

const ROOT: &str = "0x8e18c0f2e4205fcb06752252b89df7a5b272a25b2ede2348ce00e5f7f057e4ea";

const NAMES: [&str; 10] = [
    "beacon_proposer",
    "beacon_attester",
    "randao",
    "deposit",
    "voluntary_exit",
    "selection_proof",
    "aggregate_and_proof",
    "sync_committee",
    "sync_committee_selection_proof",
    "contribution_and_proof",
];

#[test]
fn a_raw_root_is_signed_as_it_is_under_every_known_name() {
    for name in NAMES {
        for (root, label) in [("signingRoot", "domain_name"), ("signing_root", "domainName")] {
            let duty = parse(&json!({root: ROOT, label: name}), &network("mainnet")).unwrap();
            assert_eq!((duty.kind(), duty.claim()), (Kind::RawRoot, Claim::RawRoot), "{name}");
            assert_eq!(duty.signing_root().to_string(), ROOT);
            assert_eq!(duty.genesis_validators_root(), None);
        }
    }
}

#[test]
fn four_bytes_may_stand_for_the_name() {
    for domain in ["0x01000000", "01000000", "0x0B000001"] {
        let duty = parse(&json!({"signingRoot": ROOT, "domain": domain}), &network("mainnet")).unwrap();
        assert_eq!(duty.claim(), Claim::RawRoot);
    }
}

#[test]
fn an_unknown_name_is_refused_with_all_the_known_ones() {
    let message = refusal(json!({"signingRoot": ROOT, "domain_name": "beacon_attestor"}));
    assert!(message.contains("domain_name") && message.contains("\"beacon_attestor\""), "{message}");
    for name in NAMES {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn what_is_wrong_with_a_raw_root_is_named() {
    for (request, named) in [
        (json!({"signingRoot": ROOT}), "type is missing"),
        (json!({"signingRoot": null}), "type is missing"),
        (json!({"domain_name": "randao"}), "signingRoot is missing"),
        (
            json!({"signingRoot": "0x1111", "domain_name": "randao"}),
            "signingRoot must be a hexadecimal string of 32 bytes",
        ),
        (json!({"signingRoot": "", "domain_name": "randao"}), "signingRoot must be"),
        (json!({"signingRoot": "zz", "domain_name": "randao"}), "signingRoot must be"),
        (json!({"signingRoot": 1, "domain_name": "randao"}), "signingRoot must be"),
        (
            json!({"signingRoot": ROOT, "signing_root": ROOT, "domain_name": "randao"}),
            "two names of one field",
        ),
        (
            json!({"signingRoot": ROOT, "domain_name": "randao", "domainName": "randao"}),
            "two names of one field",
        ),
        (json!({"signingRoot": ROOT, "domain_name": "randao", "domain": "0x02000000"}), "give one of them"),
        (
            json!({"signingRoot": ROOT, "domain": "0x010000"}),
            "domain must be a hexadecimal string of 4 bytes",
        ),
        (json!({"signingRoot": ROOT, "domain": 1}), "domain must be"),
        (json!({"signingRoot": ROOT, "domain_name": 1}), "domain_name must be a string"),
        (json!({"signingRoot": ROOT, "domain_name": "randao", "type": "RAW_ROOT"}), "type must be one of"),
    ] {
        let message = refusal(request.clone());
        assert!(message.contains(named), "{request}: {message}");
    }
}

#[test]
fn a_type_makes_it_a_message_whatever_else_is_there() {
    let message = refusal(json!({"type": "ATTESTATION", "signingRoot": ROOT, "domain_name": "randao"}));
    assert_eq!(message, "attestation is missing");
}

fn refusal(request: Value) -> String {
    parse(&request, &network("mainnet")).unwrap_err().to_string()
}
