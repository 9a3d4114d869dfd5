//! Slashing-protection history over the Keymanager API: it comes in with a key, binds it, and goes out with it.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Key, Request, attestation, block_header};

const CHAIN: [u8; 32] = [0x47; 32];

#[test]
fn a_history_binds_its_key_from_the_first_request_on() {
    for spelling in [str::to_owned, |name: &str| name[2..].to_owned(), |name: &str| name[2..].to_uppercase()]
    {
        let daemon = signer();
        let (key, other) = (Key::number(1), Key::number(2));
        let history = interchange(&[entry(&spelling(&key.name()), 100, (5, 10))]);
        assert_eq!(statuses(&import(&daemon, &[&key, &other], Some(&history))), ["imported", "imported"]);
        assert_eq!(daemon.sign(&key, &block_header(100, 1)).status, 412);
        assert_eq!(daemon.sign(&key, &block_header(101, 1)).status, 200);
        assert_eq!(daemon.sign(&key, &attestation(80, 5, 10, 1)).status, 412);
        assert_eq!(daemon.sign(&key, &attestation(88, 4, 11, 1)).status, 412);
        assert_eq!(daemon.sign(&key, &attestation(88, 5, 11, 1)).status, 200);
        assert_eq!(daemon.sign(&other, &block_header(1, 1)).status, 200, "a key without history is free");
    }
}

#[test]
fn an_older_history_lowers_nothing() {
    let daemon = signer();
    let key = Key::number(1);
    import(&daemon, &[&key], Some(&interchange(&[entry(&key.name(), 100, (5, 10))])));
    delete(&daemon, &[&key]);
    let older = interchange(&[entry(&key.name(), 50, (2, 4))]);
    assert_eq!(statuses(&import(&daemon, &[&key], Some(&older))), ["imported"]);
    assert_eq!(daemon.sign(&key, &block_header(99, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation(80, 5, 10, 1)).status, 412);
}

#[test]
fn a_history_binds_a_key_that_is_here_already() {
    let daemon = signer();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(50, 1)).status, 200);
    let history = interchange(&[entry(&key.name(), 100, (5, 10))]);
    let again = import(&daemon, &[&key, &key], Some(&history));
    assert_eq!(statuses(&again), ["duplicate", "duplicate"]);
    assert_eq!(daemon.sign(&key, &block_header(100, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(101, 1)).status, 200);

    let unreadable = interchange(&[entry(&key.name(), 100, (5, 10))]).replace("\"100\"", "\"x\"");
    assert_eq!(statuses(&import(&daemon, &[&key], Some(&unreadable))), ["error"]);
    assert_eq!(daemon.sign(&key, &block_header(102, 1)).status, 200, "it is here as before");
}

#[test]
fn a_history_that_cannot_be_used_imports_no_key() {
    let key = Key::number(1);
    let sound = interchange(&[entry(&key.name(), 1, (0, 1))]);
    let changed = |pointer: &str, value: Value| {
        let mut history: Value = serde_json::from_str(&sound).unwrap();
        *history.pointer_mut(pointer).unwrap() = value;
        history.to_string()
    };
    for history in [
        changed("/metadata/interchange_format_version", json!("4")),
        changed("/metadata/genesis_validators_root", json!("0x1234")),
        changed("/metadata", json!({})),
        changed("/data", json!({})),
        changed("/data/0/pubkey", json!("0x00")),
        "{".to_owned(),
    ] {
        let daemon = signer();
        import(&daemon, &[&key], Some(&history)).assert_problem(400);
        assert_eq!(daemon.public_keys(), Vec::<String>::new(), "{history}");
    }
}

#[test]
fn a_history_that_is_json_and_no_string_binds_as_well() {
    let daemon = signer();
    let key = Key::number(1);
    let history: Value = serde_json::from_str(&interchange(&[entry(&key.name(), 100, (5, 10))])).unwrap();
    let body = |history: &Value| {
        json!({"keystores": [key.keystore("p")], "passwords": ["p"], "slashing_protection": history})
            .to_string()
    };
    for wrong in [json!({}), json!([history]), json!(7), json!(true)] {
        daemon.send(&Request::post("/eth/v1/keystores", body(&wrong))).assert_problem(400);
        assert_eq!(daemon.public_keys(), Vec::<String>::new(), "{wrong}");
    }
    let answer = daemon.send(&Request::post("/eth/v1/keystores", body(&history)));
    assert_eq!(statuses(&answer), ["imported"], "{answer:?}");
    assert_eq!(daemon.sign(&key, &block_header(100, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation(8, 4, 10, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(101, 1)).status, 200);
}

#[test]
fn an_empty_history_is_none() {
    let daemon = signer();
    for (number, empty) in [(1, json!("")), (2, json!(null)), (3, json!(" \n")), (4, json!("\u{feff}"))] {
        let key = Key::number(number);
        let body =
            json!({"keystores": [key.keystore("p")], "passwords": ["p"], "slashing_protection": empty});
        let answer = daemon.send(&Request::post("/eth/v1/keystores", body.to_string()));
        assert_eq!(statuses(&answer), ["imported"], "{empty}: {answer:?}");
        assert_eq!(daemon.sign(&key, &block_header(1, 1)).status, 200);
    }
}

#[test]
fn a_history_is_read_with_a_byte_order_mark_and_with_null_for_an_empty_list() {
    let daemon = signer();
    let key = Key::number(1);
    let mut history: Value = serde_json::from_str(&interchange(&[entry(&key.name(), 100, (5, 10))])).unwrap();
    history["data"][0]["signed_attestations"] = json!(null);
    let answer = import(&daemon, &[&key], Some(&format!("\u{feff}{history}")));
    assert_eq!(statuses(&answer), ["imported"], "{answer:?}");
    assert_eq!(daemon.sign(&key, &block_header(100, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);

    // What is missing is not the same as empty: the list may be there under a name that is mistyped.
    let late = Key::number(2);
    let mut history: Value =
        serde_json::from_str(&interchange(&[entry(&late.name(), 100, (5, 10))])).unwrap();
    let blocks = history["data"][0].as_object_mut().unwrap().remove("signed_blocks").unwrap();
    history["data"][0]["signedBlocks"] = blocks;
    let answer = import(&daemon, &[&late], Some(&history.to_string()));
    assert_eq!(statuses(&answer), ["error"], "{answer:?}");
    assert!(answer.text().contains("signed_blocks is missing"), "{answer:?}");
}

#[test]
fn what_is_wrong_with_a_history_is_told_in_one_short_line_whatever_its_length() {
    let daemon = signer();
    let key = Key::number(1);
    let entries: Vec<_> = (0..4_000).map(|slot| entry(&key.name(), slot, (0, 1))).collect();
    let sound = interchange(&entries);
    let long = "9".repeat(1 << 20);
    let mut cases = vec![(json!(sound).to_string(), "encoded twice")];
    for (pointer, value, member) in [
        ("/metadata/interchange_format_version", json!(long), "interchange_format_version"),
        ("/metadata/genesis_validators_root", json!(long), "genesis_validators_root"),
        ("/data/17/pubkey", json!(long), "data[17].pubkey"),
        ("/data/17/signed_blocks/1/slot", json!(long), "signed_blocks[1].slot"),
        (
            "/data/17/signed_attestations/0/source_epoch",
            json!({"x": long}),
            "signed_attestations[0].source_epoch",
        ),
    ] {
        let mut history: Value = serde_json::from_str(&sound).unwrap();
        *history.pointer_mut(pointer).unwrap() = value;
        cases.push((history.to_string(), member));
    }
    for (history, member) in cases {
        let answer = import(&daemon, &[&key], Some(&history));
        let text = answer.text();
        assert!(text.contains(member) && text.len() < 1_000, "{member}: {} bytes: {text:.2000}", text.len());
        assert_eq!(daemon.public_keys(), Vec::<String>::new());
    }
}

#[test]
fn a_history_of_another_chain_is_refused_whole() {
    let daemon = signer();
    let (key, late) = (Key::number(1), Key::number(2));
    import(&daemon, &[&key], Some(&interchange(&[entry(&key.name(), 100, (5, 10))])));
    let foreign = interchange(&[entry(&late.name(), 1, (0, 1))]).replace(&hex(CHAIN), &hex([0x99; 32]));
    import(&daemon, &[&late], Some(&foreign)).assert_problem(400);
    assert_eq!(daemon.public_keys(), [key.name()]);
}

#[test]
fn a_key_whose_own_history_is_broken_is_an_error_and_the_others_are_imported() {
    let daemon = signer();
    let (broken, sound) = (Key::number(1), Key::number(2));
    let mut history: Value = serde_json::from_str(&interchange(&[
        entry(&broken.name(), 1, (0, 1)),
        entry(&sound.name(), 7, (0, 1)),
    ]))
    .unwrap();
    history["data"][0]["signed_blocks"][0]["slot"] = json!("-1");
    let answer = import(&daemon, &[&broken, &sound], Some(&history.to_string()));
    assert_eq!(statuses(&answer), ["error", "imported"], "{answer:?}");
    assert_eq!(daemon.public_keys(), [sound.name()]);
    assert_eq!(daemon.sign(&sound, &block_header(7, 1)).status, 412);
}

#[test]
fn what_was_signed_goes_out_with_the_key_as_often_as_it_is_asked_for() {
    let daemon = signer();
    let (key, unused) = (Key::number(1), Key::number(2));
    daemon.import(&[&key, &unused]);
    assert_eq!(daemon.sign(&key, &block_header(100, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &attestation(80, 5, 10, 1)).status, 200);

    let first = delete(&daemon, &[&key, &unused]);
    assert_eq!(statuses(&first), ["deleted", "deleted"]);
    assert_exported(&first, &key);
    let again = delete(&daemon, &[&key, &unused]);
    assert_eq!(statuses(&again), ["not_active", "not_found"], "{again:?}");
    assert_exported(&again, &key);

    let daemon = daemon.kill_and_restart();
    let later = delete(&daemon, &[&key]);
    assert_eq!(statuses(&later), ["not_active"], "{later:?}");
    assert_exported(&later, &key);
}

#[test]
fn a_key_that_comes_back_is_still_bound_and_the_answer_says_so() {
    let daemon = signer();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(100, 1)).status, 200);
    delete(&daemon, &[&key]);
    let answer = import(&daemon, &[&key], None);
    assert_eq!(statuses(&answer), ["imported"]);
    let message = answer.json()["data"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("deleted"), "{answer:?}");
    assert_eq!(daemon.sign(&key, &block_header(100, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(101, 2)).status, 200);
}

#[test]
fn what_one_signer_lets_go_of_binds_the_next() {
    let (old, new) = (signer(), signer());
    let key = Key::number(1);
    old.import(&[&key]);
    assert_eq!(old.sign(&key, &block_header(100, 1)).status, 200);
    assert_eq!(old.sign(&key, &attestation(80, 5, 10, 1)).status, 200);
    let history = delete(&old, &[&key]).json()["slashing_protection"].as_str().unwrap().to_owned();
    assert_eq!(statuses(&import(&new, &[&key], Some(&history))), ["imported"]);
    assert_eq!(new.sign(&key, &block_header(100, 2)).status, 412);
    assert_eq!(new.sign(&key, &attestation(80, 5, 10, 2)).status, 412);
    assert_eq!(new.sign(&key, &attestation(88, 10, 11, 2)).status, 200);
}

fn signer() -> Daemon {
    Daemon::start(&["--network", "minimal"])
}

fn entry(pubkey: &str, slot: u64, (source, target): (u64, u64)) -> Value {
    json!({
        "pubkey": pubkey,
        "signed_blocks": [{"slot": slot.to_string()}, {"slot": "1"}],
        "signed_attestations": [{"source_epoch": source.to_string(), "target_epoch": target.to_string()}],
    })
}

fn interchange(entries: &[Value]) -> String {
    let metadata = json!({"interchange_format_version": "5", "genesis_validators_root": hex(CHAIN)});
    json!({"metadata": metadata, "data": entries}).to_string()
}

fn import(daemon: &Daemon, keys: &[&Key], history: Option<&str>) -> Answer {
    let keystores: Vec<_> = keys.iter().map(|key| key.keystore("p")).collect();
    let mut body = json!({"keystores": keystores, "passwords": vec!["p"; keys.len()]});
    if let Some(history) = history {
        body["slashing_protection"] = json!(history);
    }
    daemon.send(&Request::post("/eth/v1/keystores", body.to_string()))
}

fn delete(daemon: &Daemon, keys: &[&Key]) -> Answer {
    let body = json!({"pubkeys": keys.iter().map(|key| key.name()).collect::<Vec<_>>()});
    let request = Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json");
    daemon.send(&request.body(body.to_string()))
}

#[track_caller]
fn statuses(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["data"].as_array().cloned().unwrap();
    results.iter().map(|result| result["status"].as_str().unwrap().to_owned()).collect()
}

/// The block at slot 100 and the vote from epoch 5 to 10, and nothing of any other key.
#[track_caller]
fn assert_exported(answer: &Answer, key: &Key) {
    let json = answer.json();
    let text = json["slashing_protection"].as_str().expect("a JSON string");
    let history: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        history["metadata"],
        json!({"interchange_format_version": "5", "genesis_validators_root": hex(CHAIN)})
    );
    let [entry] = history["data"].as_array().unwrap().as_slice() else { panic!("{history}") };
    assert_eq!(entry["pubkey"], json!(key.name()));
    assert_eq!(entry["signed_blocks"][0]["slot"], json!("100"), "{entry}");
    let vote = &entry["signed_attestations"][0];
    assert_eq!((&vote["source_epoch"], &vote["target_epoch"]), (&json!("5"), &json!("10")), "{entry}");
}

fn hex(root: [u8; 32]) -> String {
    const_hex::encode_prefixed(root)
}
