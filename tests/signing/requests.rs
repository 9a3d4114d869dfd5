//! `sign-requests.jsonl`: requests of every type and fork with test keys, expected roots and signatures, made with the
//! executable consensus specification and agreed on by a second implementation. The requests carry no root.

use bls_signer::duty::{Duty, Refusal};
use bls_signer::network::Network;
use serde_json::Value;

const VECTORS: &str = include_str!("../vectors/sign-requests.jsonl");

#[test]
fn every_root_and_signature_is_the_one_of_other_implementations() {
    for case in cases() {
        let duty = Duty::parse(&body(&case.request), &case.network)
            .unwrap_or_else(|error| panic!("{}: {error}", case.id));
        assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
        assert_eq!(duty.kind().to_string(), case.request["type"], "{}", case.id);
        let chain = case.request["fork_info"]["genesis_validators_root"].as_str();
        assert_eq!(
            duty.genesis_validators_root().map(|root| root.to_string()).as_deref(),
            chain,
            "{}",
            case.id
        );

        let signature = case.secret_key.sign(&duty.signing_root().0, CIPHERSUITE, &[]);
        assert_eq!(const_hex::encode_prefixed(signature.to_bytes()), case.signature, "{}", case.id);
    }
}

#[test]
fn the_clients_root_is_accepted_under_both_names_when_it_is_ours() {
    for case in cases() {
        for name in ["signingRoot", "signing_root"] {
            let mut request = case.request.clone();
            request[name] = case.signing_root.clone().into();
            let duty = Duty::parse(&body(&request), &case.network).unwrap();
            assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
        }
    }
}

#[test]
fn the_clients_root_is_refused_when_one_bit_differs_and_both_are_named() {
    for case in cases() {
        let mut root = const_hex::decode(&case.signing_root).unwrap();
        root[31] ^= 1;
        let given = const_hex::encode_prefixed(&root);
        let mut request = case.request.clone();
        request["signingRoot"] = given.clone().into();
        let refusal = Duty::parse(&body(&request), &case.network).unwrap_err();
        assert!(matches!(refusal, Refusal::RootMismatch { .. }), "{}: {refusal}", case.id);
        let message = refusal.to_string();
        assert!(message.contains(&given) && message.contains(&case.signing_root), "{message}");
    }
}

struct Case {
    id: String,
    network: Network,
    secret_key: blst::min_pk::SecretKey,
    request: Value,
    signing_root: String,
    signature: String,
}

fn cases() -> Vec<Case> {
    let cases: Vec<_> = VECTORS.lines().map(read_case).collect();
    assert_eq!(cases.len(), 111);
    cases
}

fn read_case(line: &str) -> Case {
    let case: Value = serde_json::from_str(line).unwrap();
    let text = |field: &str| case[field].as_str().unwrap().to_owned();
    let secret_key = const_hex::decode(text("secret_key")).unwrap();
    Case {
        id: text("id"),
        network: Network::by_name(&text("network")).unwrap(),
        secret_key: blst::min_pk::SecretKey::from_bytes(&secret_key).unwrap(),
        request: case["request"].clone(),
        signing_root: text("signing_root"),
        signature: text("signature"),
    }
}

fn body(request: &Value) -> Vec<u8> {
    serde_json::to_vec(request).unwrap()
}

const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
