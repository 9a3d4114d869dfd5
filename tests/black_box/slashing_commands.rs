//! `bls-signer slashing-protection` while a daemon holds the ledger: the same commands, through its keymanager listener.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::{self, Daemon, Key, Request, Setup, attestation, block_header, said, socket};

#[test]
fn a_running_daemon_carries_out_the_commands() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);

    let status = done(&daemon, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["keys"][0]["public_key"], key.name());
    assert_eq!(status["keys"][0]["block_slot"], "10");

    assert!(done(&daemon, &["raise", "--slot", "20", "--epoch", "6"]).contains("1 keys"));
    assert_eq!(daemon.sign(&key, &block_header(20, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(21, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &attestation(48, 6, 6, 1)).status, 412);

    done(&daemon, &["high-watermark", "--slot", "30"]);
    assert_eq!(daemon.sign(&key, &block_header(30, 1)).status, 412);
    let high = daemon.send(&Request::get("/api/v1/eth2/highWatermark"));
    assert_eq!(high.json(), json!({"slot": "30"}));
    done(&daemon, &["high-watermark", "--remove"]);
    assert_eq!(daemon.sign(&key, &block_header(30, 1)).status, 200);

    let history: Value = serde_json::from_str(&done(&daemon, &["export"])).unwrap();
    assert_eq!(history["data"][0]["pubkey"], key.name());
    assert_eq!(history["data"][0]["signed_blocks"][0]["slot"], "30");
}

#[test]
fn a_history_that_is_imported_in_part_is_told_by_the_exit_status() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let [good, bad] = [1, 2].map(Key::number);
    let history = |key: &Key, slot: &str| json!({"pubkey": key.name(), "signed_blocks": [{"slot": slot}], "signed_attestations": []});
    let file = daemon.directory().join("history.json");
    let interchange = json!({
        "metadata": {"interchange_format_version": "5", "genesis_validators_root": format!("0x{}", "04".repeat(32))},
        "data": [history(&good, "50"), history(&bad, "fifty")],
    });
    std::fs::write(&file, interchange.to_string()).unwrap();

    let output = command(&daemon, &["import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&bad.name()) && text.contains("NOT imported"), "{text}");
    daemon.import(&[&good]);
    let other_chain = daemon.sign(&good, &block_header(50, 1));
    assert_eq!(other_chain.status, 412, "the imported history pins its chain: {other_chain:?}");
}

#[test]
fn a_history_may_be_larger_than_what_the_daemon_takes_in_one_request() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let chain = attestation(32, 2, 4, 1)["fork_info"]["genesis_validators_root"].clone();
    let interchange = json!({
        "metadata": {"interchange_format_version": "5", "genesis_validators_root": chain},
        "data": [{"pubkey": key.name(), "signed_blocks": [{"slot": "50"}], "signed_attestations": []}],
    });
    let file = daemon.directory().join("history.json");
    let text = interchange.to_string();
    let (before, after) = text.split_at(text.find(',').unwrap());
    let mut writing = std::fs::File::create(&file).unwrap();
    writing.write_all(before.as_bytes()).unwrap();
    for _ in 0..129 {
        writing.write_all(&[b' '; 1024 * 1024]).unwrap();
    }
    writing.write_all(after.as_bytes()).unwrap();

    done(&daemon, &["import", file.to_str().unwrap()]);
    assert_eq!(daemon.sign(&key, &block_header(50, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(51, 1)).status, 200);
}

#[test]
fn a_named_key_that_nobody_knows_is_told_on_standard_error() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let [known, unknown] = [1, 2].map(Key::number);
    daemon.import(&[&known]);
    assert_eq!(daemon.sign(&known, &block_header(10, 1)).status, 200);
    let both = ["--key", &known.name(), "--key", &unknown.name()];
    let exported = command(&daemon, &[&["export"][..], &both].concat());
    assert_eq!(exported.status.code(), Some(1), "{exported:?}");
    assert!(said(&exported).contains(&unknown.name()), "{exported:?}");
    let history: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(history["data"][0]["pubkey"], known.name());
    std::fs::write(daemon.directory().join("history.json"), history.to_string()).unwrap();
    for keys in [&both[..], &both[2..]] {
        let imported = command(&daemon, &[&["import", "history.json"][..], keys].concat());
        assert_eq!(imported.status.code(), Some(1), "{imported:?}");
        assert!(said(&imported).contains(&unknown.name()), "{imported:?}");
    }
}

#[test]
fn the_daemon_that_is_named_is_asked_and_no_file_is_touched() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    let home = tempfile::tempdir().unwrap();
    let address = socket(&daemon);
    let ask = |arguments: &[&str]| {
        let output = run(home.path(), &[arguments, &["--connect", &address]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };

    let history = ask(&["export"]);
    assert!(history.contains(&key.name()), "{history}");
    std::fs::write(home.path().join("history.json"), &history).unwrap();
    let place = format!("of the daemon at {address}");
    for arguments in [
        &["init"][..],
        &["import", "history.json"],
        &["status"],
        &["raise", "--slot", "20"],
        &["high-watermark", "--slot", "30"],
    ] {
        assert!(ask(arguments).contains(&place), "{arguments:?}");
    }
    assert_eq!(daemon.sign(&key, &block_header(20, 1)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(30, 1)).status, 412);
    assert!(!home.path().join(".local").exists());

    drop(daemon);
    for arguments in [&["init"][..], &["import", "history.json"], &["status"]] {
        let output = run(home.path(), &[arguments, &["--connect", &address]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(said(&output).contains("cannot connect"), "{output:?}");
    }
    assert!(!home.path().join(".local").exists());
}

#[test]
fn what_a_daemon_answers_is_said_as_it_is_with_what_to_do_about_it() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let token = setup.file("token", "0123456789abcdef\n");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let setup = setup.listen("signing", "unix:signer.sock").listen("keymanager", "unix:keymanager.sock");
    let daemon = setup.args(&["--auth-token-file", token.to_str().unwrap()]).start();
    let at = |socket: &str, arguments: &[&str]| {
        let address = format!("unix:{}", daemon.directory().join(socket).display());
        let output = run(daemon.directory(), &[arguments, &["--connect", &address]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        said(&output)
    };
    let status_with_token = ["status", "--auth-token-file", "token"];
    for (said, expected) in [
        (at("keymanager.sock", &["status"]), &["401", "--auth-token-file"][..]),
        (at("signer.sock", &status_with_token), &["404", "perhaps", "no keymanager listener"]),
        (
            at("keymanager.sock", &["raise", "--slot", "1", "--auth-token-file", "token"]),
            &["400", "knows no key"],
        ),
        (at("nobody.sock", &status_with_token), &["cannot connect", "nobody.sock"]),
    ] {
        assert!(expected.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("a process holds the ledger"), "{said}");
    }
}

#[test]
fn how_far_is_too_far_is_for_the_daemon_s_own_network_to_say() {
    let daemon = Daemon::start(&["--network", "hoodi"]);
    let key = Key::number(1).name();
    // Two years ahead there; on mainnet, which the command would take by itself, it is the past.
    let slot = ((unix_time() - HOODI_GENESIS) / 12 + 5_000_000).to_string();
    let raise = ["raise", "--key", &key, "--slot", &slot];
    let refused = command(&daemon, &raise);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said(&refused).contains("hoodi") && said(&refused).contains("--yes"), "{refused:?}");
    assert!(done(&daemon, &[&raise[..], &["--yes"]].concat()).contains("1 keys"));
}

#[test]
fn a_daemon_without_a_ledger_says_so() {
    let daemon = Daemon::start(&["--network", "minimal", "--slashing-protection", "off"]);
    for arguments in [&["init"][..], &["status"], &["high-watermark", "--remove"]] {
        let output = run(daemon.directory(), &[arguments, &["--connect", &socket(&daemon)]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains("slashing protection is off"), "{output:?}");
        assert!(!said(&output).contains("perhaps"), "{output:?}");
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn done(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = command(daemon, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command for a user whose home this is.
fn run(home: &Path, arguments: &[&str]) -> Output {
    support::run(home, &[&["slashing-protection"], arguments].concat())
}

fn command(daemon: &Daemon, arguments: &[&str]) -> Output {
    run(daemon.directory(), &[arguments, &["--connect", &socket(daemon)]].concat())
}

const HOODI_GENESIS: u64 = 1_742_213_400;
