//! Bodies that nobody planned: whatever arrives, the answer is a duty or a refusal that says something, never a panic.

use std::sync::LazyLock;

use bls_signer::duty::Duty;
use bls_signer::network::Network;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::vectors::{Case, network, one_of_each_type, parse};

proptest! {
    #[test]
    fn any_bytes_are_answered(body in vec(any::<u8>(), 0..400)) {
        answered(&body);
    }

    #[test]
    fn any_json_is_answered(value in json_value()) {
        answered(value.to_string().as_bytes());
    }

    #[test]
    fn any_json_in_the_place_of_a_payload_is_answered(
        case in 0_usize..18, member in any::<prop::sample::Index>(), value in json_value()
    ) {
        let mut request = cases()[case].request.clone();
        let name = member.get(&request.as_object().unwrap().keys().cloned().collect::<Vec<_>>()).clone();
        request[&name] = value;
        answered(request.to_string().as_bytes());
    }

    /// Flipped, lost and doubled bytes of good requests: mostly one character of one value.
    #[test]
    fn a_damaged_request_is_answered(
        case in 0_usize..18, changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..4)
    ) {
        let case = &cases()[case];
        let mut body = case.request.to_string().into_bytes();
        for (place, byte, change) in changes {
            let place = place.index(body.len());
            match change {
                0 => body[place] = byte,
                1 => body[place] ^= 1 << (byte % 8),
                2 => { body.remove(place); }
                _ => body.insert(place, body[place]),
            }
        }
        answered(&body);
    }

    #[test]
    fn every_uint64_is_signed_the_same_in_both_spellings(slot in any::<u64>()) {
        let request = |slot: Value| json!({
            "type": "AGGREGATION_SLOT",
            "fork_info": {
                "fork": {"previous_version": "0x00000000", "current_version": "0x00000000", "epoch": "0"},
                "genesis_validators_root": format!("0x{}", "00".repeat(32)),
            },
            "aggregation_slot": {"slot": slot},
        });
        let text = "PRESET_BASE: mainnet\nGENESIS_FORK_VERSION: 0x00000000\n";
        let mainnet = Network::from_config_yaml(text).unwrap();
        let as_text = parse(&request(json!(slot.to_string())), &mainnet).unwrap();
        let as_number = parse(&request(json!(slot)), &mainnet).unwrap();
        prop_assert_eq!(as_text.signing_root(), as_number.signing_root());

        // By hand: a fork version and a genesis validators root of zeros, domain type 5.
        let mut leaf = [0; 32];
        leaf[..8].copy_from_slice(&slot.to_le_bytes());
        let mut domain = [0; 32];
        domain[0] = 5;
        domain[4..].copy_from_slice(&Sha256::digest([0; 64])[..28]);
        let by_hand = Sha256::digest([leaf, domain].concat());
        prop_assert_eq!(as_text.signing_root().0, <[u8; 32]>::from(by_hand));
    }

    #[test]
    fn every_other_number_is_refused(digits in "[0-9]{21,40}|0[0-9]{1,19}|-[0-9]{1,19}|[0-9]{1,5}[.eE][0-9]{1,5}") {
        let case = cases().iter().find(|case| case.type_name() == "AGGREGATION_SLOT").unwrap();
        let mut request = case.request.clone();
        request["aggregation_slot"]["slot"] = json!(digits);
        let refusal = parse(&request, &case.network).unwrap_err().to_string();
        prop_assert!(refusal.starts_with("aggregation_slot.slot must be an integer"), "{}", refusal);
        let bare = request.to_string().replace(&format!("\"{digits}\""), &digits);
        prop_assert!(Duty::parse(bare.as_bytes(), &case.network).is_err(), "{}", digits);
    }
}

fn answered(body: &[u8]) {
    for name in ["mainnet", "minimal"] {
        if let Err(refusal) = Duty::parse(body, &network(name)) {
            let message = refusal.to_string();
            assert!(!message.is_empty() && message.len() < 2000, "{message}");
        }
    }
}

fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(one_of_each_type);
    &CASES
}

fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[0-9]{1,20}",
        "0x([0-9a-fA-F]{2}){0,40}",
        Just("GLOAS".to_owned()),
        Just("ATTESTATION".to_owned()),
        any::<String>()
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("type"),
        Just("fork_info"),
        Just("fork"),
        Just("epoch"),
        Just("slot"),
        Just("data"),
        Just("version"),
        Just("attestation"),
        Just("source"),
        Just("target"),
        Just("signingRoot"),
        Just("domain"),
        Just("beacon_block"),
        Just("block"),
        Just("body"),
        Just("aggregate"),
        Just("aggregate_and_proof"),
        Just("")
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((name.clone(), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}
