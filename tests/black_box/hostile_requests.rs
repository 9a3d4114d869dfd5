//! Bodies that try to have one thing signed as another, or a number read as another: refused with the field's name, and
//! nothing is signed.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Key, Request, attestation, block_header, randao_reveal, sign_vectors};

#[test]
fn an_attestation_labelled_as_something_harmless_is_refused() {
    let (daemon, key) = signer();
    let vector =
        sign_vectors().remove("minimal").unwrap().into_iter().find(|v| v.kind == "ATTESTATION").unwrap();
    for label in ["RANDAO_REVEAL", "AGGREGATION_SLOT", "VOLUNTARY_EXIT", "SYNC_COMMITTEE_MESSAGE", "DEPOSIT"]
    {
        let mut request = vector.request.clone();
        request["type"] = json!(label);
        request["signingRoot"] = json!(vector.signing_root);
        refused(&daemon, &key, &request.to_string());
    }
    let mut randao = randao_reveal(1);
    randao["signingRoot"] = json!(vector.signing_root);
    refused(&daemon, &key, &randao.to_string());
}

#[test]
fn a_payload_and_a_root_that_differ_by_one_bit_are_refused() {
    let (daemon, key) = signer();
    let vector =
        sign_vectors().remove("minimal").unwrap().into_iter().find(|v| v.kind == "ATTESTATION").unwrap();
    let root: [u8; 32] = const_hex::decode_to_array(&vector.signing_root).unwrap();
    for bit in [0, 7, 100, 255] {
        let mut changed = root;
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut request = vector.request.clone();
        request["signingRoot"] = json!(const_hex::encode_prefixed(changed));
        refused(&daemon, &key, &request.to_string());
    }
    let mut request = vector.request.clone();
    request["signingRoot"] = json!(vector.signing_root);
    request["attestation"]["slot"] =
        json!(request["attestation"]["slot"].as_str().unwrap().parse::<u64>().unwrap() ^ 1);
    refused(&daemon, &key, &request.to_string());
}

#[test]
fn the_refusal_names_the_field() {
    let (daemon, key) = signer();
    for (field, request) in [
        ("type", json!({"type": "NOTHING", "fork_info": {}})),
        ("fork_info", removed(attestation(8, 0, 1, 7), "", "fork_info")),
        ("attestation", removed(attestation(8, 0, 1, 7), "", "attestation")),
        ("target", removed(attestation(8, 0, 1, 7), "/attestation", "target")),
        ("beacon_block_root", removed(attestation(8, 0, 1, 7), "/attestation", "beacon_block_root")),
        ("randao_reveal", removed(randao_reveal(1), "", "randao_reveal")),
        ("beacon_block", removed(block_header(1, 1), "", "beacon_block")),
        ("state_root", removed(block_header(1, 1), "/beacon_block/block_header", "state_root")),
    ] {
        let message = refused(&daemon, &key, &request.to_string());
        assert!(message.contains(field), "{field} is not named: {message}");
    }
}

#[test]
fn a_number_is_a_decimal_string_or_an_integer_and_never_cut_off() {
    let (daemon, key) = signer();
    let with_slot = |slot: &str| {
        attestation(8, 0, 1, 7).to_string().replace(r#""slot":"8""#, &format!(r#""slot":{slot}"#))
    };
    let plain = answer(&daemon, &key, &with_slot(r#""8""#));
    assert_eq!(plain.status, 200, "{plain:?}");
    assert_eq!(answer(&daemon, &key, &with_slot("8")), plain);
    for slot in [
        "8.0",
        "8.5",
        "8e0",
        "-8",
        "-0",
        "18446744073709551616",
        "340282366920938463463374607431768211464",
        "08",
        "0x8",
        "+8",
        "true",
        "null",
        "[8]",
        r#"{"slot": 8}"#,
        r#""8.0""#,
        r#""-8""#,
        r#""+8""#,
        r#""08""#,
        r#""0x8""#,
        r#"" 8""#,
        r#""8 ""#,
        r#""""#,
        r#""8e0""#,
        r#""٨""#,
        r#""18446744073709551616""#,
        r#""1_000""#,
    ] {
        refused(&daemon, &key, &with_slot(slot));
    }
}

#[test]
fn the_largest_number_is_read_whole() {
    let (daemon, key) = signer();
    let mut request = randao_reveal(1);
    request["randao_reveal"]["epoch"] = json!(u64::MAX.to_string());
    let as_text = answer(&daemon, &key, &request.to_string());
    request["randao_reveal"]["epoch"] = json!(u64::MAX);
    let as_integer = answer(&daemon, &key, &request.to_string());
    assert_eq!((as_text.status, as_text), (200, as_integer));
}

#[test]
fn a_member_that_comes_twice_is_refused() {
    let (daemon, key) = signer();
    let text = attestation(8, 0, 1, 7).to_string();
    for (once, twice) in [
        (r#""type":"ATTESTATION""#, r#""type":"ATTESTATION","type":"ATTESTATION""#),
        (r#""source":{"#, r#""source":{"epoch":"0","root":"0x00"},"source":{"#),
        (r#""slot":"8""#, r#""slot":"8","slot":"9""#),
        (r#""slot":"8""#, r#""slot":"8","\u0073lot":"9""#),
        (r#""fork_info":{"#, r#""fork_info":{},"fork_info":{"#),
    ] {
        assert!(text.contains(once), "{once} is not in {text}");
        refused(&daemon, &key, &text.replacen(once, twice, 1));
    }
    let zero = format!("0x{}", "00".repeat(32));
    let both = text.replacen('{', &format!(r#"{{"signingRoot":"{zero}","signing_root":"{zero}","#), 1);
    refused(&daemon, &key, &both);
}

#[test]
fn deep_nesting_and_bytes_that_are_no_text_are_refused() {
    let (daemon, key) = signer();
    let deep = |open: &str, close: &str| {
        let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        attestation(8, 0, 1, 7).to_string().replacen('{', &format!(r#"{{"extra":{nested},"#), 1)
    };
    refused(&daemon, &key, &deep("[", "]"));
    refused(&daemon, &key, &deep(r#"{"a":"#, "}"));
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    for body in [&b"\xff\xfe\xfd"[..], b"{\"type\": \"\xc3\x28\"}", b"\0", b"\xef\xbb\xbf{}"] {
        daemon.send(&Request::post(&path, body)).assert_problem(400);
    }
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
}

fn signer() -> (Daemon, Key) {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    (daemon, key)
}

fn answer(daemon: &Daemon, key: &Key, body: &str) -> Answer {
    daemon.send(&Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), body))
}

#[track_caller]
fn refused(daemon: &Daemon, key: &Key, body: &str) -> String {
    let answer = answer(daemon, key, body);
    assert_eq!(answer.status, 400, "{answer:?} for {}", body.get(..400).unwrap_or(body));
    answer.assert_problem(400)
}

fn removed(mut request: Value, parent: &str, name: &str) -> Value {
    request.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    request
}
