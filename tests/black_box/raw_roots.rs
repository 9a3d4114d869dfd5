//! Requests of the first design: a 32-byte root with the name or the number of its domain, signed as it is.

use serde_json::{Value, json};

use crate::support::{
    Answer, Connection, Daemon, Key, Request, attestation, block_header, randao_reveal, run, said, socket,
    text,
};

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

#[test]
fn a_raw_root_is_signed_until_the_key_has_a_history() {
    let (key, daemon) = signer(&[]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 7)).status, 200);
    let message = daemon.sign(&key, &raw()).assert_problem(412);
    assert!(message.contains(&key.name()), "{message}");
    assert_eq!(daemon.sign(&key, &attestation(16, 1, 2, 7)).status, 200);
}

#[test]
fn after_one_the_key_signs_no_block_and_no_attestation_until_its_watermarks_are_lifted() {
    let (key, daemon) = signer(&[]);
    assert_eq!(daemon.sign(&key, &raw()).status, 200);
    let warning = daemon.wait_for_log(|line| line.contains("for the first time"));
    assert!(warning.contains("WARN") && warning.contains(&key.name()), "{warning}");
    for _ in 0..2 {
        let message = daemon.sign(&key, &attestation(8, 0, 1, 7)).assert_problem(412);
        assert!(message.contains("slashing-protection raise") && message.contains(&key.name()), "{message}");
        daemon.sign(&key, &block_header(10, 1)).assert_problem(412);
    }
    assert_eq!(daemon.sign(&key, &randao_reveal(0)).status, 200);
    assert_eq!(daemon.sign(&key, &raw()).status, 200);

    let daemon = daemon.kill_and_restart();
    daemon.import(&[&key]);
    daemon.sign(&key, &attestation(8, 0, 1, 7)).assert_problem(412);
    daemon.wait_for_log(|line| {
        line.contains("raw roots were signed with 1 keys") && line.contains(&key.name())
    });
    let health = daemon.send(&Request::get("/healthcheck"));
    assert_eq!(health.status, 200);
    assert!(health.text().contains(&key.name()), "{health:?}");
    let ledger = |arguments: &[&str]| {
        run(
            daemon.directory(),
            &[&["slashing-protection"], arguments, &["--connect", &socket(&daemon)]].concat(),
        )
    };
    let status = text(&ledger(&["status"]));
    assert!(status.contains("raw roots only") && status.contains("signed with 1 keys"), "{status}");
    assert!(said(&ledger(&["export"])).contains(&key.name()));

    let half = ledger(&["raise", "--slot", "100"]);
    assert_eq!(half.status.code(), Some(1), "{half:?}");
    assert!(said(&half).contains("--slot and --epoch are given together"), "{half:?}");
    daemon.sign(&key, &block_header(101, 1)).assert_problem(412);
    assert!(ledger(&["raise", "--slot", "100", "--epoch", "12"]).status.success());
    daemon.sign(&key, &attestation(96, 11, 13, 7)).assert_problem(412);
    assert_eq!(daemon.sign(&key, &attestation(104, 12, 13, 7)).status, 200);
    assert_eq!(daemon.sign(&key, &block_header(101, 1)).status, 200);
    daemon.sign(&key, &raw()).assert_problem(412);
    assert!(!daemon.send(&Request::get("/healthcheck")).text().contains(&key.name()));
}

#[test]
fn a_deletion_and_an_import_leave_the_mark_and_say_so() {
    let (key, daemon) = signer(&[]);
    assert_eq!(daemon.sign(&key, &raw()).status, 200);
    let body = json!({"pubkeys": [key.name()]}).to_string();
    let deleted = daemon.send(
        &Request::new("DELETE", "/eth/v1/keystores").body(body).header("Content-Type", "application/json"),
    );
    let status = &deleted.json()["data"][0];
    assert_eq!(status["status"], "deleted");
    assert!(status["message"].as_str().unwrap().contains("raw roots"), "{status}");
    let body = json!({"keystores": [key.keystore("pass")], "passwords": ["pass"]}).to_string();
    let imported = daemon.send(&Request::post("/eth/v1/keystores", body));
    let status = &imported.json()["data"][0];
    assert_eq!(status["status"], "imported");
    assert!(status["message"].as_str().unwrap().contains("raw roots"), "{status}");
    daemon.sign(&key, &attestation(8, 0, 1, 7)).assert_problem(412);
}

#[test]
fn a_high_watermark_stops_them() {
    for policy in ["unprotected-keys", "allow"] {
        let (key, daemon) = signer(&["--raw-roots", policy]);
        assert_eq!(daemon.sign(&key, &raw()).status, 200);
        for stop in [["--slot", "1000"], ["--epoch", "1000"]] {
            let order =
                [&["slashing-protection", "high-watermark"], &stop[..], &["--connect", &socket(&daemon)]];
            assert!(run(daemon.directory(), &order.concat()).status.success());
            let message = daemon.sign(&key, &raw()).assert_problem(412);
            assert!(message.contains("high watermark"), "{message}");
        }
    }
}

/// Two hundred at once for one key, on both routes: raw roots or votes are signed, and never both.
#[test]
fn of_raw_roots_and_votes_at_once_only_one_sort_is_signed() {
    for number in 1..=6 {
        let key = Key::number(number);
        let daemon = Daemon::start(&["--network", "minimal"]);
        daemon.import(&[&key]);
        let request = |number: u8| {
            let body = match number % 2 {
                0 => {
                    json!({"signingRoot": format!("0x{}", format!("{number:02x}").repeat(32)), "domain_name": "randao"})
                }
                _ => attestation(8, 0, 1, number),
            };
            if number % 3 > 0 {
                return Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), body.to_string());
            }
            let batch = json!({"identifiers": [key.name()], "signing_request": body});
            Request::post("/api/v1/eth2/sign", batch.to_string())
        };
        let mut connections: Vec<_> = (0..200).map(|_| Connection::open(&daemon.socket())).collect();
        // Now the one sort comes first, now the other.
        for (at, connection) in (0..).zip(&mut connections) {
            connection.send(&request(at + number as u8).bytes());
        }
        let answers: Vec<_> = connections.iter_mut().map(Connection::answer).collect();
        let is_signed = |answer: &Answer| answer.status == 200 && !answer.text().contains("error");
        let signed = |rest: usize| {
            let of_sort = answers.iter().enumerate().filter(|(at, _)| (at + number as usize) % 2 == rest);
            of_sort.filter(|(_, answer)| is_signed(answer)).count()
        };
        assert!(answers.iter().all(|answer| [200, 412].contains(&answer.status)), "{answers:?}");
        let (raw_roots, votes) = (signed(0), signed(1));
        assert!((raw_roots == 0) != (votes == 0), "{raw_roots} raw roots and {votes} votes were signed");
    }
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
