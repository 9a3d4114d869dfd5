//! `client-requests.jsonl`: what clients really sent, with the signatures another signer gave them. The bodies carry the
//! client's own root, so each is also a comparison with the client's computation.

use std::str::FromStr;

use bls_signer::bls::{self, PublicKey, Signature};
use bls_signer::duty::Duty;
use bls_signer::network::Network;
use serde_json::Value;

const REQUESTS: &str = include_str!("../vectors/client-requests.jsonl");

#[test]
fn what_clients_sent_has_the_root_they_computed_and_the_signature_they_got() {
    let mut requests = 0;
    for line in REQUESTS.lines() {
        let sample: Value = serde_json::from_str(line).unwrap();
        let request = &sample["request"];
        let network = Network::by_name(sample["network"].as_str().unwrap()).unwrap();
        let duty = Duty::parse(&serde_json::to_vec(request).unwrap(), &network)
            .unwrap_or_else(|refusal| panic!("{} {}: {refusal}", sample["client"], request["type"]));
        assert_eq!(duty.signing_root().to_string(), request["signingRoot"], "{}", request["type"]);

        let public_key = PublicKey::from_str(sample["public_key"].as_str().unwrap()).unwrap();
        let signature = Signature::from_str(sample["signature"].as_str().unwrap()).unwrap();
        assert!(bls::verify(&public_key, &duty.signing_root(), &signature), "{}", request["type"]);
        requests += 1;
    }
    assert_eq!(requests, 50);
}
