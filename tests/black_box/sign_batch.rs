//! One duty signed by many keys in one request: per-key results in order, a key twice refused whole.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Key, Request, aggregation_slot, attestation, randao_reveal};

#[test]
fn every_key_signs_what_it_would_sign_alone_in_the_order_asked_for() {
    // So many that their signatures are checked together.
    let keys: Vec<Key> = (1..=120).map(Key::number).collect();
    let daemon = signer(&keys);
    for duty in [attestation(8, 0, 1, 7), aggregation_slot(8), randao_reveal(1)] {
        let backwards: Vec<&Key> = keys.iter().rev().collect();
        let results = results(&batch(&daemon, &names(&backwards), &duty));
        assert_eq!(results.len(), keys.len());
        for (key, result) in backwards.iter().zip(&results) {
            let alone = daemon.sign(key, &duty);
            assert_eq!(*result, json!({"identifier": key.name(), "signature": alone.text()}));
        }
    }
}

#[test]
fn signatures_are_the_same_with_tables_for_shared_roots_and_without() {
    let keys: Vec<Key> = (1..=8).map(Key::number).collect();
    let [with, without] = ["on", "off"].map(|tables| {
        let daemon = Daemon::start(&["--network", "minimal", "--shared-root-tables", tables]);
        daemon.import(&keys.iter().collect::<Vec<_>>());
        keys.iter().map(|key| daemon.sign(key, &randao_reveal(1)).text().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(with, without);
    assert!(with.iter().all(|signature| signature.starts_with("0x") && signature.len() == 194), "{with:?}");
}

#[test]
fn what_is_wrong_with_one_key_does_not_concern_the_others() {
    let keys: Vec<Key> = (1..=3).map(Key::number).collect();
    let daemon = signer(&keys);
    assert_eq!(daemon.sign(&keys[1], &attestation(8, 0, 1, 9)).status, 200);

    let unknown = Key::number(4).name();
    let names = [keys[0].name(), unknown, keys[1].name(), "no key".to_owned(), keys[2].name()];
    let results = results(&batch(&daemon, &names, &attestation(8, 0, 1, 7)));
    let codes: Vec<_> = results.iter().map(|result| result["error"]["code"].as_u64()).collect();
    assert_eq!(codes, [None, Some(404), Some(412), Some(404), None], "{results:?}");
    for (name, result) in names.iter().zip(&results) {
        assert_eq!(result["identifier"], json!(name));
        let (signature, error) = (result.get("signature"), result.get("error"));
        assert!(signature.is_some() != error.is_some(), "one of the two: {result}");
        assert!(error.is_none_or(|error| !error["message"].as_str().unwrap().is_empty()));
    }
}

#[test]
fn a_batch_leaves_records_as_single_requests_do() {
    let keys: Vec<Key> = (1..=3).map(Key::number).collect();
    let mut daemon = signer(&keys);
    let names = names(&keys.iter().collect::<Vec<_>>());
    let first = batch(&daemon, &names, &attestation(8, 0, 1, 7));
    assert_eq!(first.status, 200);

    daemon = daemon.kill_and_restart();
    daemon.import(&keys.iter().collect::<Vec<_>>());
    assert_eq!(daemon.sign(&keys[2], &attestation(8, 0, 1, 8)).status, 412);
    for result in results(&batch(&daemon, &names, &attestation(8, 0, 1, 8))) {
        assert_eq!(result["error"]["code"], 412, "{result}");
    }
    assert_eq!(results(&batch(&daemon, &names, &attestation(8, 0, 1, 7))), results(&first), "a repeat");
}

#[test]
fn a_key_twice_is_refused_whole() {
    let key = Key::number(1);
    let daemon = signer(&[Key::number(1)]);
    let names = [key.name(), key.name().to_uppercase().replacen("0X", "0x", 1)];
    let message = batch(&daemon, &names, &attestation(8, 0, 1, 7)).assert_problem(400);
    assert!(message.contains(&key.name()), "{message}");
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 8)).status, 200, "nothing was recorded");
}

#[test]
fn what_is_wrong_with_the_request_is_400() {
    let daemon = signer(&[Key::number(1)]);
    let identifiers = [Key::number(1).name()];
    for body in [
        json!([]),
        json!({}),
        json!({"identifiers": identifiers}),
        json!({"signing_request": randao_reveal(1)}),
        json!({"identifiers": [], "signing_request": randao_reveal(1)}),
        json!({"identifiers": "0x", "signing_request": randao_reveal(1)}),
        json!({"identifiers": identifiers, "signing_request": {"type": "RANDAO_REVEAL"}}),
        json!({"identifiers": identifiers, "signing_request": null}),
        json!({"identifiers": identifiers, "signing_request": [randao_reveal(1)]}),
    ] {
        daemon.send(&Request::post(PATH, body.to_string())).assert_problem(400);
    }
}

fn signer(keys: &[Key]) -> Daemon {
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&keys.iter().collect::<Vec<_>>());
    daemon
}

fn batch(daemon: &Daemon, identifiers: &[String], duty: &Value) -> Answer {
    let body = json!({"identifiers": identifiers, "signing_request": duty});
    daemon.send(&Request::post(PATH, body.to_string()))
}

fn results(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().clone()
}

fn names(keys: &[&Key]) -> Vec<String> {
    keys.iter().map(|key| key.name()).collect()
}

const PATH: &str = "/api/v1/eth2/sign";
