//! The status of a sign request for everything that can be wrong with it, and what may differ and still be right.

use serde_json::{Value, json};

use crate::support::{
    Connection, Daemon, Key, Request, aggregation_slot, attestation, block_header, randao_reveal,
    sign_vectors, sync_committee_message,
};

#[test]
fn answers_a_reason_for_every_bad_request() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let cases: &[(&str, String)] = &[
        ("no body", String::new()),
        ("no JSON", "signingRoot".to_owned()),
        ("half a JSON", r#"{"type": "RANDAO_REVEAL""#.to_owned()),
        ("more after the JSON", format!("{} {{}}", randao_reveal(1))),
        ("an array", "[]".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("a member that says nothing", json!({"invalid": "json body"}).to_string()),
        ("no type", without(randao_reveal(1), "/type")),
        ("an unknown type", with(randao_reveal(1), "/type", json!("RANDAO"))),
        ("a type that is no text", with(randao_reveal(1), "/type", json!(7))),
        ("a null type", with(randao_reveal(1), "/type", json!(null))),
        ("no payload", without(attestation(8, 0, 1, 7), "/attestation")),
        ("a null payload", with(attestation(8, 0, 1, 7), "/attestation", json!(null))),
        ("another type's payload", with(attestation(8, 0, 1, 7), "/type", json!("RANDAO_REVEAL"))),
        ("a payload that is text", with(attestation(8, 0, 1, 7), "/attestation", json!("0x00"))),
        ("no fork_info", without(attestation(8, 0, 1, 7), "/fork_info")),
        ("no fork", without(attestation(8, 0, 1, 7), "/fork_info/fork")),
        (
            "no genesis_validators_root",
            without(attestation(8, 0, 1, 7), "/fork_info/genesis_validators_root"),
        ),
        (
            "a fork version of five bytes",
            with(randao_reveal(1), "/fork_info/fork/current_version", json!("0x0000000001")),
        ),
        ("a payload without a field", without(attestation(8, 0, 1, 7), "/attestation/source")),
        (
            "a root of 33 bytes",
            with(attestation(8, 0, 1, 7), "/attestation/beacon_block_root", json!(hex(33))),
        ),
        (
            "a root that is no hex",
            with(attestation(8, 0, 1, 7), "/attestation/beacon_block_root", json!("0xzz")),
        ),
        ("a block without a version", without(block_header(1, 1), "/beacon_block/version")),
        (
            "a block of an unknown version",
            with(block_header(1, 1), "/beacon_block/version", json!("SHANGHAI")),
        ),
        (
            "a block version in lower case",
            with(block_header(1, 1), "/beacon_block/version", json!("capella")),
        ),
        ("a block without block or header", without(block_header(1, 1), "/beacon_block/block_header")),
        ("a wrong signingRoot", with(randao_reveal(1), "/signingRoot", json!(hex(32)))),
        ("a wrong signing_root", with(randao_reveal(1), "/signing_root", json!(hex(32)))),
        ("a signingRoot that is no root", with(randao_reveal(1), "/signingRoot", json!("0x12zz"))),
        ("a signingRoot without a type", json!({"signingRoot": "NONHEX"}).to_string()),
    ];
    for (what, body) in cases {
        let answer = daemon.send(&Request::post(&path(&key), body.as_str()));
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        answer.assert_problem(400);
    }
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200, "and goes on signing");
}

#[test]
fn a_wrong_root_of_every_type_is_refused() {
    let vectors = sign_vectors().remove("minimal").unwrap();
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    for vector in vectors {
        let mut root: Vec<u8> = const_hex::decode(&vector.signing_root).unwrap();
        root[31] ^= 1;
        let mut request = vector.request;
        request["signingRoot"] = json!(const_hex::encode_prefixed(root));
        let answer = daemon.sign(&key, &request);
        let message = answer.assert_problem(400);
        assert!(message.contains(&vector.signing_root), "{} {}: {message}", vector.id, vector.kind);
    }
}

#[test]
fn what_a_bad_request_asked_for_stays_free_to_be_signed_otherwise() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let wrong_root = with(attestation(8, 0, 1, 7), "/signingRoot", json!(hex(32)));
    daemon.send(&Request::post(&path(&key), wrong_root)).assert_problem(400);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 8)).status, 200);
}

#[test]
fn an_unknown_key_is_404() {
    let daemon = signer(&Key::number(1));
    let unknown = Key::number(2).name();
    for identifier in [
        unknown.as_str(),
        &unknown[2..],
        &unknown.to_uppercase()[2..],
        "12345",
        "0x",
        "%20",
        &"a".repeat(1024),
    ] {
        let request = Request::post(&format!("/api/v1/eth2/sign/{identifier}"), randao_reveal(1).to_string());
        daemon.send(&request).assert_problem(404);
    }
}

#[test]
fn a_bad_request_for_an_unknown_key_is_400() {
    let daemon = signer(&Key::number(1));
    daemon.send(&Request::post(&path(&Key::number(2)), "{}")).assert_problem(400);
}

#[test]
fn a_key_is_named_in_any_case_with_or_without_0x() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let expected = daemon.sign(&key, &randao_reveal(1));
    let digits = key.name()[2..].to_owned();
    for identifier in [digits.clone(), digits.to_uppercase(), format!("0X{}", digits.to_uppercase())] {
        let request = Request::post(&format!("/api/v1/eth2/sign/{identifier}"), randao_reveal(1).to_string());
        assert_eq!(daemon.send(&request), expected, "{identifier}");
    }
}

#[test]
fn what_a_client_may_write_differently_is_the_same_duty() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let expected = daemon.sign(&key, &attestation(8, 0, 1, 0xab));
    assert_eq!(expected.status, 200, "{expected:?}");
    let same = |change: &dyn Fn(&mut Value)| {
        let mut request = attestation(8, 0, 1, 0xab);
        change(&mut request);
        assert_eq!(daemon.sign(&key, &request), expected, "{request}");
    };
    same(&|request| request["type"] = json!("attestation"));
    same(&|request| request["attestation"]["slot"] = json!(8));
    same(&|request| request["attestation"]["target"]["epoch"] = json!(1));
    same(&|request| request["attestation"]["beacon_block_root"] = json!("AB".repeat(32)));
    same(&|request| request["attestation"]["beacon_block_root"] = json!(format!("0x{}", "aB".repeat(32))));
    same(&|request| request["unknown"] = json!({"any": ["thing", 1, null]}));
    same(&|request| request["attestation"]["source"]["unknown"] = json!(1.5));
    same(&|request| request["fork_info"]["fork"]["epoch"] = json!(0));
    same(&|request| request["signingRoot"] = json!(null));
}

#[test]
fn a_short_root_is_padded_on_the_left() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let expected =
        daemon.send(&Request::post(&path(&key), with_block_root(&format!("0x{}1111", "00".repeat(30)))));
    let short = daemon.send(&Request::post(&path(&key), with_block_root("0x1111")));
    assert_eq!((short.status, short.body), (200, expected.body));
}

#[test]
fn a_repeat_is_signed_again() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let slashable = [attestation(8, 0, 1, 7), block_header(9, 7)];
    let others = [randao_reveal(1), aggregation_slot(8), sync_committee_message(8, 7)];
    for request in slashable.iter().chain(&others) {
        let first = daemon.sign(&key, request);
        assert_eq!(first.status, 200, "{first:?}");
        for _ in 0..3 {
            assert_eq!(daemon.sign(&key, request), first);
        }
    }
}

#[test]
fn other_paths_and_methods_are_404_and_405() {
    let key = Key::number(1);
    let daemon = signer(&key);
    let mut connection = Connection::open(&daemon.socket());
    for path in ["/", "/api/v1/eth2/", "/api/v1/eth2/publicKeys/x", "/nothing", "/upcheck/x"] {
        connection.exchange(&Request::get(path)).assert_problem(404);
    }
    for (method, path, allowed) in [
        ("GET", path(&key).as_str(), "POST"),
        ("GET", "/api/v1/eth2/sign", "POST"),
        ("PUT", &path(&key), "POST"),
        ("POST", "/api/v1/eth2/publicKeys", "GET, HEAD"),
        ("DELETE", "/upcheck", "GET, HEAD"),
        ("PUT", "/eth/v1/keystores", "GET, HEAD, POST, DELETE"),
    ] {
        let answer = connection.exchange(&Request::new(method, path));
        answer.assert_problem(405);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

fn signer(key: &Key) -> Daemon {
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[key]);
    daemon
}

fn path(key: &Key) -> String {
    format!("/api/v1/eth2/sign/{}", key.name())
}

fn with_block_root(root: &str) -> String {
    with(attestation(8, 0, 1, 7), "/attestation/beacon_block_root", json!(root))
}

/// The request with the member at `pointer` set.
fn with(mut request: Value, pointer: &str, value: Value) -> String {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[name] = value;
    request.to_string()
}

/// The request without the member at `pointer`.
fn without(mut request: Value, pointer: &str) -> String {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let removed = request.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    assert!(removed.is_some(), "{pointer} is not there");
    request.to_string()
}

fn hex(bytes: usize) -> String {
    const_hex::encode_prefixed(vec![0x11; bytes])
}
