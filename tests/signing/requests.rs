//! `sign-requests.jsonl`: requests of every type and fork with test keys, expected roots and signatures, made with the
//! executable consensus specification and agreed on by a second implementation. The requests carry no root.

use bls_signer::duty::Refusal;

use crate::vectors::{parse, specification};

#[test]
fn every_root_and_signature_is_the_one_of_other_implementations() {
    let cases = specification();
    assert_eq!(cases.len(), 111);
    for case in cases {
        let duty =
            parse(&case.request, &case.network).unwrap_or_else(|refusal| panic!("{}: {refusal}", case.id));
        assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
        assert_eq!(duty.kind().to_string(), case.type_name(), "{}", case.id);
        let chain = case.request["fork_info"]["genesis_validators_root"].as_str();
        assert_eq!(
            duty.genesis_validators_root().map(|root| root.to_string()).as_deref(),
            chain,
            "{}",
            case.id
        );

        let secret_key = const_hex::decode(case.line["secret_key"].as_str().unwrap()).unwrap();
        let secret_key = blst::min_pk::SecretKey::from_bytes(&secret_key).unwrap();
        let signature = secret_key.sign(&duty.signing_root().0, CIPHERSUITE, &[]);
        assert_eq!(const_hex::encode_prefixed(signature.to_bytes()), case.line["signature"], "{}", case.id);
    }
}

#[test]
fn the_clients_root_is_accepted_under_both_names_when_it_is_ours() {
    for case in specification() {
        for name in ["signingRoot", "signing_root"] {
            let mut request = case.request.clone();
            request[name] = case.signing_root.clone().into();
            let duty = parse(&request, &case.network).unwrap();
            assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
        }
    }
}

#[test]
fn the_clients_root_is_refused_when_one_bit_differs_and_both_are_named() {
    for case in specification() {
        let mut root = const_hex::decode(&case.signing_root).unwrap();
        root[31] ^= 1;
        let given = const_hex::encode_prefixed(&root);
        let mut request = case.request.clone();
        request["signingRoot"] = given.clone().into();
        let refusal = parse(&request, &case.network).unwrap_err();
        assert!(matches!(refusal, Refusal::RootMismatch { .. }), "{}: {refusal}", case.id);
        let message = refusal.to_string();
        assert!(message.contains(&given) && message.contains(&case.signing_root), "{message}");
    }
}

const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
