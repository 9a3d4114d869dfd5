//! `client-requests.jsonl`: what clients really sent, with the signatures another signer gave them. The bodies carry the
//! client's own root, so each is also a comparison with the client's computation.
//!
//! `client-forms.jsonl`: one request of every kind as each client writes it, phase0 to Heze.

use std::collections::BTreeMap;
use std::str::FromStr;

use bls_signer::bls::{self, PublicKey, Signature};
use bls_signer::duty::Duty;
use bls_signer::network::Network;
use serde_json::{Value, json};

const FORMS: &str = include_str!("../vectors/client-forms.jsonl");

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

#[test]
fn every_form_of_every_client_has_the_root_of_the_specification() {
    let mut clients: BTreeMap<String, usize> = BTreeMap::new();
    for line in FORMS.lines() {
        let form: Value = serde_json::from_str(line).unwrap();
        let network = Network::by_name(form["network"].as_str().unwrap()).unwrap();
        let duty = Duty::parse(&serde_json::to_vec(&form["request"]).unwrap(), &network)
            .unwrap_or_else(|refusal| panic!("{} {}: {refusal}", form["client"], form["what"]));
        assert_eq!(
            duty.signing_root().to_string(),
            form["signing_root"],
            "{} {}",
            form["client"],
            form["what"]
        );
        *clients.entry(form["client"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let expected = [
        ("grandine", 43),
        ("lighthouse", 47),
        ("lodestar", 5),
        ("nimbus", 38),
        ("prysm", 37),
        ("teku", 42),
        ("vero", 37),
    ];
    assert_eq!(clients, expected.map(|(client, forms)| (client.to_owned(), forms)).into());
}

#[test]
fn members_that_a_client_writes_as_null_are_as_if_not_there() {
    let request = json!({
        "type": "RANDAO_REVEAL",
        "fork_info": {
            "fork": {"previous_version": "0x05000000", "current_version": "0x06000000", "epoch": "411392"},
            "genesis_validators_root": "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95",
        },
        "signingRoot": null, "block": null, "attestation": null, "randao_reveal": {"epoch": "450000"},
    });
    let body = serde_json::to_vec(&request).unwrap();
    assert!(Duty::parse(&body, &Network::by_name("mainnet").unwrap()).is_ok());
}
