//! Requests of the first design: a 32-byte root with the name or the number of its domain, signed as it is.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Key, Request, attestation};

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
const ROOT: [u8; 32] = [0x5a; 32];

#[test]
fn every_domain_name_and_number_is_signed_as_it_is() {
    let key = Key::number(1);
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&key]);
    let root = const_hex::encode_prefixed(ROOT);
    let expected = key.signature(&ROOT);
    for name in NAMES {
        for member in ["domain_name", "domainName"] {
            assert_signed(&daemon.sign(&key, &json!({"signingRoot": root, member: name})), &expected, name);
        }
    }
    for number in 0..=9 {
        let domain = format!("0x{number:02x}000000");
        assert_signed(
            &daemon.sign(&key, &json!({"signingRoot": root, "domain": domain})),
            &expected,
            &domain,
        );
    }
    assert_signed(
        &daemon.sign(&key, &json!({"signing_root": root, "domain_name": "randao"})),
        &expected,
        "signing_root",
    );
}

#[test]
fn it_is_answered_like_any_other_sign_request() {
    let key = Key::number(1);
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&key]);
    let body = json!({"signingRoot": const_hex::encode_prefixed(ROOT), "domain_name": "randao"}).to_string();
    let request = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), body.as_str());
    assert_eq!(
        daemon.send(&request.header("Accept", "*/*")).json(),
        json!({"signature": key.signature(&ROOT)})
    );
    let unknown = Request::post(&format!("/api/v1/eth2/sign/{}", Key::number(2).name()), body.as_str());
    daemon.send(&unknown).assert_problem(404);
}

#[test]
fn an_unknown_name_is_refused_and_the_known_ones_are_listed() {
    let (key, daemon) = signer(&[]);
    let request = json!({"signingRoot": const_hex::encode_prefixed(ROOT), "domain_name": "beacon_attestor"});
    let message = daemon.sign(&key, &request).assert_problem(400);
    for name in NAMES {
        assert!(message.contains(name), "{name} is missing in: {message}");
    }
}

#[test]
fn bad_roots_and_domains_are_refused() {
    let (key, daemon) = signer(&[]);
    let root = const_hex::encode_prefixed(ROOT);
    for request in [
        json!({"signingRoot": root}),
        json!({"domain_name": "randao"}),
        json!({"signingRoot": "0x5a", "domain_name": 7}),
        json!({"signingRoot": "0x5z", "domain_name": "randao"}),
        json!({"signingRoot": format!("{root}00"), "domain_name": "randao"}),
        json!({"signingRoot": null, "domain_name": "randao"}),
        json!({"signingRoot": root, "domain": "0x010000"}),
        json!({"signingRoot": root, "domain": 1}),
    ] {
        daemon.sign(&key, &request).assert_problem(400);
    }
}

#[test]
fn each_is_logged_as_such() {
    let (key, daemon) = signer(&[]);
    assert_eq!(daemon.sign(&key, &raw()).status, 200);
    daemon.wait_for_log(|line| line.contains("raw root") && line.contains(&key.name()));
}

#[test]
fn policy_refuse_refuses_them() {
    let (key, daemon) = signer(&["--raw-roots", "refuse"]);
    let answer = daemon.sign(&key, &raw());
    assert!([403, 412].contains(&answer.status), "{answer:?}");
    answer.assert_problem(answer.status);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 7)).status, 200);
}

#[test]
fn policy_allow_signs_them() {
    let (key, daemon) = signer(&["--raw-roots", "allow"]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 7)).status, 200);
    assert_signed(&daemon.sign(&key, &raw()), &key.signature(&ROOT), "allow");
}

fn signer(args: &[&str]) -> (Key, Daemon) {
    let key = Key::number(1);
    let daemon = Daemon::start(&[&["--network", "minimal"], args].concat());
    daemon.import(&[&key]);
    (key, daemon)
}

fn raw() -> Value {
    json!({"signingRoot": const_hex::encode_prefixed(ROOT), "domain_name": "beacon_attester"})
}

#[track_caller]
fn assert_signed(answer: &Answer, signature: &str, what: &str) {
    assert_eq!((answer.status, answer.text()), (200, signature), "{what}: {answer:?}");
}
