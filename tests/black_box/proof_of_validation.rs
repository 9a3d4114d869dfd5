//! Proofs of validation: texts that show a monitor who holds a key, in Web3Signer's form, for who asked for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Answer, Daemon, Key, Request, Setup};

const TEXT: &str = r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":"1711338489397"}"#;

#[test]
fn none_is_signed_unless_it_is_asked_for() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&Key::number(1)]);
    let message = ask(&daemon, &Key::number(1), TEXT).assert_problem(403);
    assert!(message.contains("proofs_of_validation"), "{message}");
}

#[test]
fn the_text_is_signed_as_it_stands_and_answered_with_it() {
    let daemon = Daemon::start(&["--network", "minimal", "--proofs-of-validation"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let spaced = r#"{ "platform": "", "timestamp": 1711338489397, "type": "PROOF_OF_VALIDATION" }"#;
    for text in [TEXT, spaced] {
        let answer = ask(&daemon, &key, text);
        assert_eq!(answer.status, 200, "{answer:?}");
        let signed = json!({"payload": STANDARD.encode(text), "signature": key.signature_of_text(text)});
        assert_eq!(answer.json(), signed);
    }
    // Web3Signer answers JSON whatever is accepted.
    let path = format!("/api/v1/eth2/ext/sign/{}", key.name());
    let answer = daemon.send(&Request::post(&path, TEXT).header("Accept", "text/plain"));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{answer:?}");
}

#[test]
fn nothing_else_is_signed_there_and_none_on_the_sign_route() {
    let daemon = Daemon::start(&["--network", "minimal", "--proofs-of-validation=on"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let long =
        format!(r#"{{"type":"PROOF_OF_VALIDATION","platform":"{}","timestamp":"1"}}"#, "p".repeat(4096));
    for (text, status) in [
        ("", 400),
        ("{}", 400),
        ("12345678901234567890123456789012", 400),
        (r#"{"type":"ATTESTATION","platform":"dappnode","timestamp":"1"}"#, 400),
        (r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":"1","signingRoot":"0x00"}"#, 400),
        (long.as_str(), 413),
    ] {
        ask(&daemon, &key, text).assert_problem(status);
    }
    ask(&daemon, &Key::number(2), TEXT).assert_problem(404);
    let on_sign_route = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), TEXT);
    daemon.send(&on_sign_route).assert_problem(400);
}

#[test]
fn a_client_needs_a_grant_of_its_own_for_it() {
    let key = Key::number(1);
    for (duties, status) in [("'attest', 'propose'", 403), ("'attest', 'proof'", 200)] {
        let setup = Setup::new();
        let user = nix::unistd::geteuid();
        let clients = format!("[[client]]\nname = 'vc'\nuser = {user}\nkeys = 'all'\nduties = [{duties}]\n");
        let config = setup.file("clients.toml", &clients).display().to_string();
        let daemon =
            setup.args(&["--network", "minimal", "--proofs-of-validation", "--config", &config]).start();
        daemon.import(&[&key]);
        let answer = ask(&daemon, &key, TEXT);
        assert_eq!(answer.status, status, "{duties}: {answer:?}");
    }
}

fn ask(daemon: &Daemon, key: &Key, text: &str) -> Answer {
    daemon.send(&Request::post(&format!("/api/v1/eth2/ext/sign/{}", key.name()), text))
}
