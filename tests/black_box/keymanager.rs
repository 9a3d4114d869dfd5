//! The Keymanager API: one status a keystore, in their order, and what is wrong with one is never another's matter.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Key, Request, randao_reveal};

const KEYSTORES: &str = "/eth/v1/keystores";

#[test]
fn lists_no_keys_then_those_imported_sorted_by_name() {
    let daemon = signer();
    assert_eq!(list(&daemon), json!([]));
    let keys = [Key::number(1), Key::number(2), Key::number(3)];
    assert_eq!(import(&daemon, &keys.each_ref().map(|key| (key.keystore("p"), "p"))), ["imported"; 3]);
    let mut names = keys.each_ref().map(Key::name);
    names.sort();
    let expected = names.each_ref().map(
        |name| json!({"validating_pubkey": name, "derivation_path": "m/12381/3600/0/0/0", "readonly": false}),
    );
    assert_eq!(list(&daemon), json!(expected));
    assert_eq!(daemon.public_keys(), names);
}

#[test]
fn an_imported_key_signs_and_a_deleted_one_does_not() {
    let daemon = signer();
    let key = Key::number(1);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 404);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    assert_eq!(statuses(&delete(&daemon, &[key.name()])), ["deleted"]);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 404);
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
}

#[test]
fn answers_one_status_for_each_keystore_in_their_order() {
    let daemon = signer();
    let keys: Vec<_> = (1..=4).map(Key::number).collect();
    daemon.import(&[&keys[3]]);
    let answered = import(
        &daemon,
        &[
            (keys[0].keystore("right"), "right"),
            (keys[1].keystore("right"), "wrong"),
            (keys[2].keystore("right"), "right"),
            ("no keystore".to_owned(), "right"),
            (keys[0].keystore("right"), "right"),
            (keys[3].keystore("right"), "right"),
            ("{}".to_owned(), "right"),
        ],
    );
    assert_eq!(answered, ["imported", "error", "imported", "error", "duplicate", "duplicate", "error"]);
    let mut expected = [&keys[0], &keys[2], &keys[3]].map(Key::name);
    expected.sort();
    assert_eq!(daemon.public_keys(), expected);
}

#[test]
fn the_second_copy_counts_when_the_first_cannot_be_decrypted() {
    let daemon = signer();
    let key = Key::number(1);
    let twice = [(key.keystore("right"), "wrong"), (key.keystore("right"), "right")];
    assert_eq!(import(&daemon, &twice), ["error", "imported"]);
}

#[test]
fn every_error_has_a_message_and_none_has_a_secret() {
    let daemon = signer();
    let key = Key::number(1);
    let cases = [
        (key.keystore("Correct-Horse"), "Battery-Staple"),
        ("Correct-Horse".to_owned(), "Battery-Staple"),
        (changed(&key, "/version", json!(3)), "Correct-Horse"),
        (changed(&key, "/pubkey", json!(&Key::number(2).name()[2..])), "Correct-Horse"),
        (changed(&key, "/crypto/kdf/function", json!("argon2")), "Correct-Horse"),
        (changed(&key, "/crypto/kdf/params/c", json!(u32::MAX)), "Correct-Horse"),
        (changed(&key, "/crypto/kdf/params/c", json!(0)), "Correct-Horse"),
        (changed(&key, "/crypto/kdf/params/dklen", json!(0)), "Correct-Horse"),
        (changed(&key, "/crypto/kdf/params/prf", json!("hmac-sha512")), "Correct-Horse"),
        (changed(&key, "/crypto/cipher/function", json!("aes-256-gcm")), "Correct-Horse"),
        (changed(&key, "/crypto/cipher/params/iv", json!("00".repeat(12))), "Correct-Horse"),
        (changed(&key, "/crypto/cipher/message", json!("00".repeat(31))), "Correct-Horse"),
        (changed(&key, "/crypto/checksum/message", json!("00".repeat(32))), "Correct-Horse"),
    ];
    let answer = post(&daemon, &cases.each_ref().map(|(keystore, password)| (keystore.clone(), *password)));
    let json = answer.json();
    let results = json["data"].as_array().unwrap();
    assert_eq!(results.len(), cases.len());
    for (result, (keystore, _)) in results.iter().zip(&cases) {
        assert_eq!(result["status"], "error", "{keystore}");
        assert!(!result["message"].as_str().unwrap_or_default().is_empty(), "no message: {keystore}");
    }
    for text in [answer.text(), &daemon.log()] {
        assert!(
            !text.contains("Correct-Horse") && !text.contains("Battery-Staple"),
            "a password came out: {text}"
        );
    }
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
}

#[test]
fn a_keystore_that_costs_too_much_is_an_error_at_once() {
    let daemon = signer();
    let key = Key::number(1);
    let scrypt = |n: u64, r: u64, p: u64| {
        let mut keystore = key.keystore_value("p");
        let params = json!({"dklen": 32, "n": n, "r": r, "p": p, "salt": "00".repeat(32)});
        keystore["crypto"]["kdf"] = json!({"function": "scrypt", "params": params, "message": ""});
        (keystore.to_string(), "p")
    };
    let costly = [
        scrypt(1 << 31, 8, 1),
        scrypt(1 << 18, 1 << 20, 1),
        scrypt(1 << 18, 8, 1 << 20),
        scrypt(1 << 40, 8, 1),
        scrypt(u64::MAX, u64::MAX, u64::MAX),
        scrypt(1000, 8, 1),
        scrypt(0, 8, 1),
        scrypt(2, 0, 1),
        scrypt(2, 8, 0),
    ];
    let count = costly.len();
    assert_eq!(import(&daemon, &costly), vec!["error"; count]);
}

#[test]
fn a_request_that_cannot_be_read_is_400_and_imports_nothing() {
    let daemon = signer();
    let keystore = Key::number(1).keystore("p");
    for body in [
        String::new(),
        "[]".to_owned(),
        "{".to_owned(),
        json!({"keystores": [keystore]}).to_string(),
        json!({"passwords": ["p"]}).to_string(),
        json!({"keystores": [keystore], "passwords": []}).to_string(),
        json!({"keystores": [keystore], "passwords": ["p", "p"]}).to_string(),
        json!({"keystores": keystore, "passwords": "p"}).to_string(),
        json!({"keystores": [keystore], "passwords": ["p"], "slashing_protection": "no interchange"})
            .to_string(),
    ] {
        daemon.send(&Request::post(KEYSTORES, body)).assert_problem(400);
    }
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
}

#[test]
fn a_request_that_cannot_be_read_is_told_its_member_and_no_value() {
    let daemon = signer();
    let secret = "Correct-Horse";
    for (body, member) in [
        (json!({"keystores": ["x"], "passwords": secret}), "passwords"),
        (json!({"keystores": [secret, 7], "passwords": [secret]}), "keystores"),
        (json!({"keystores": [], "passwords": [], "slashing_protection": [secret]}), "slashing_protection"),
        (json!({"keystores": [], "passwords": [], "slashing_protection": {"x": secret}}), "metadata"),
        (json!({"keystores": [secret]}), "passwords"),
        (json!(json!({"passwords": [secret]}).to_string()), "wrong type"),
    ] {
        let message = daemon.send(&Request::post(KEYSTORES, body.to_string())).assert_problem(400);
        assert!(message.contains(member) && !message.contains(secret), "{member}: {message}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_wherever_it_stands() {
    let daemon = signer();
    let [key, other] = [1, 2].map(Key::number);
    // In front of the body, of a keystore, and of a password as its file has it; and one that was taken for the password's.
    let body = json!({
        "keystores": [format!("\u{feff}{}", key.keystore("bars")), other.keystore("\u{feff}bars")],
        "passwords": ["\u{feff}bars\n", "\u{feff}bars"],
    });
    let answer = daemon.send(&Request::post(KEYSTORES, format!("\u{feff}{body}")));
    assert_eq!(statuses(&answer), ["imported", "imported"]);
    let request = format!("\u{feff}{}", randao_reveal(1));
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    assert_eq!(daemon.send(&Request::post(&path, request)).status, 200);
    let deleted = format!("\u{feff}{}", json!({"pubkeys": [key.name()]}));
    let delete = Request::new("DELETE", KEYSTORES).header("Content-Type", "application/json").body(deleted);
    assert_eq!(statuses(&daemon.send(&delete)), ["deleted"]);
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(daemon.send(&Request::post(KEYSTORES, utf16)).assert_problem(400).contains("UTF-16"));
}

#[test]
fn a_keystore_of_a_library_that_dropped_combining_marks_opens() {
    let daemon = signer();
    // As go-eth2-wallet-encryptor-keystorev4 before 1.1.4 took these passwords.
    let cases = [
        (1, "contrasena", "contrase\u{f1}a"),
        (2, "Munchen!", "M\u{fc}nchen!"),
        (3, "ea", "e\u{301}a\u{30a}"),
    ];
    let keystores = cases.map(|(number, taken, password)| (Key::number(number).keystore(taken), password));
    assert_eq!(import(&daemon, &keystores), ["imported"; 3]);
    let wrong = [(Key::number(4).keystore("contrasena"), "contrase\u{f1}as")];
    assert_eq!(import(&daemon, &wrong), ["error"]);
}

#[test]
fn an_import_of_nothing_is_fine() {
    let daemon = signer();
    assert_eq!(import(&daemon, &[]), Vec::<String>::new());
}

#[test]
fn a_delete_says_for_each_key_what_became_of_it() {
    let daemon = signer();
    let (key, unknown) = (Key::number(1), Key::number(2));
    daemon.import(&[&key]);
    let answer = delete(&daemon, &[key.name()[2..].to_uppercase(), unknown.name(), key.name()]);
    let answered = statuses(&answer);
    assert_eq!(answered[..2], ["deleted", "not_found"], "{answer:?}");
    assert!(["not_active", "not_found"].contains(&answered[2].as_str()), "{answer:?}");
    let text = answer.json()["slashing_protection"].as_str().map(str::to_owned).expect("a JSON string");
    let interchange: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(interchange["metadata"]["interchange_format_version"], "5", "{interchange}");
    assert!(interchange["data"].is_array(), "{interchange}");
}

#[test]
fn a_delete_that_cannot_be_read_is_400_and_deletes_nothing() {
    let daemon = signer();
    let key = Key::number(1);
    daemon.import(&[&key]);
    let requests = [
        String::new(),
        "{}".to_owned(),
        json!({"pubkeys": key.name()}).to_string(),
        json!({"pubkeys": [7]}).to_string(),
    ];
    for body in requests {
        let request = Request::new("DELETE", KEYSTORES).header("Content-Type", "application/json").body(body);
        daemon.send(&request).assert_problem(400);
    }
    assert_eq!(daemon.public_keys(), [key.name()]);
}

#[test]
fn the_standards_own_keystores_are_imported() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/eip2335.json");
    let vectors: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for vector in vectors {
        let daemon = signer();
        let password = vector["password"].as_str().unwrap();
        assert_eq!(import(&daemon, &[(vector["keystore"].to_string(), password)]), ["imported"], "{vector}");
        let key = Key::from_hex(vector["secret"].as_str().unwrap());
        assert_eq!(daemon.public_keys(), [key.name()]);
    }
}

fn signer() -> Daemon {
    Daemon::start(&["--network", "minimal"])
}

fn list(daemon: &Daemon) -> Value {
    let answer = daemon.send(&Request::get(KEYSTORES));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].clone()
}

fn post(daemon: &Daemon, keystores: &[(String, &str)]) -> Answer {
    let (keystores, passwords): (Vec<_>, Vec<_>) = keystores.iter().cloned().unzip();
    let body = json!({"keystores": keystores, "passwords": passwords});
    daemon.send(&Request::post(KEYSTORES, body.to_string()))
}

fn import(daemon: &Daemon, keystores: &[(String, &str)]) -> Vec<String> {
    statuses(&post(daemon, keystores))
}

fn delete(daemon: &Daemon, names: &[String]) -> Answer {
    let body = json!({"pubkeys": names}).to_string();
    daemon.send(&Request::new("DELETE", KEYSTORES).header("Content-Type", "application/json").body(body))
}

#[track_caller]
fn statuses(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["status"].as_str().unwrap().to_owned())
        .collect()
}

/// The key's keystore with the member at `pointer` set; it was sound before.
fn changed(key: &Key, pointer: &str, value: Value) -> String {
    let mut keystore = key.keystore_value("Correct-Horse");
    *keystore.pointer_mut(pointer).unwrap() = value;
    keystore.to_string()
}
