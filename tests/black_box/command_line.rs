//! The subcommands that look at a daemon or its configuration from outside.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, Key, Setup, attestation, randao_reveal};

#[test]
fn keys_are_imported_from_a_directory_listed_and_deleted() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let keys: Vec<_> = (1..=20).map(Key::number).collect();
    let directory = daemon.directory().join("keystores");
    fs::create_dir(&directory).unwrap();
    for (number, key) in keys.iter().enumerate() {
        fs::write(directory.join(format!("keystore-{number:02}.json")), key.keystore("open sesame")).unwrap();
    }
    fs::write(directory.join("deposit_data-1.json"), "[]").unwrap();
    fs::write(daemon.directory().join("password"), "open sesame\n").unwrap();

    let imported = on(&daemon, &["keys", "import", "keystores", "--passwords", "password", "--json"]);
    assert!(imported.status.success(), "{imported:?}");
    let results = json_of(&imported);
    assert_eq!(results.as_array().unwrap().len(), keys.len());
    for (result, key) in results.as_array().unwrap().iter().zip(&keys) {
        assert_eq!((&result["status"], &result["pubkey"]), (&json!("imported"), &json!(key.name())));
    }

    let listed = on(&daemon, &["keys", "list"]);
    let mut names: Vec<_> = keys.iter().map(Key::name).collect();
    names.sort();
    let shown: Vec<_> =
        text(&listed).lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert_eq!(shown, names);
    assert_eq!(daemon.sign(&keys[3], &randao_reveal(1)).status, 200);

    let deleted =
        on(&daemon, &["keys", "delete", &names[0], &names[1], "--yes", "--history", "history.json"]);
    assert!(deleted.status.success(), "{deleted:?}");
    assert_eq!(daemon.public_keys(), names[2..]);
    let history: Value =
        serde_json::from_slice(&fs::read(daemon.directory().join("history.json")).unwrap()).unwrap();
    assert_eq!(history["metadata"]["interchange_format_version"], "5");
}

#[test]
fn a_wrong_password_is_told_for_its_keystore_and_stops_no_other() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    fs::create_dir(daemon.directory().join("passwords")).unwrap();
    for (name, password) in [("a", "right"), ("b", "wrong"), ("c", "right")] {
        let key = Key::number(name.as_bytes()[0].into());
        fs::write(daemon.directory().join(format!("{name}.json")), key.keystore("right")).unwrap();
        fs::write(daemon.directory().join(format!("passwords/{name}.txt")), password).unwrap();
    }
    let imported = on(&daemon, &["keys", "import", "a.json", "b.json", "c.json", "--passwords", "passwords"]);
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    let statuses: Vec<_> =
        text(&imported).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["imported", "error", "imported"]);
    assert!(text(&imported).contains("b.json"));
    assert!(String::from_utf8_lossy(&imported.stderr).contains("1 of 3"));
    assert!(!format!("{imported:?}").contains("right"));
}

#[test]
fn a_history_goes_with_its_keys_and_a_foreign_one_stops_the_import() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    fs::write(daemon.directory().join("k.json"), key.keystore("p")).unwrap();
    fs::write(daemon.directory().join("p"), "p").unwrap();
    let root = format!("0x{}", "22".repeat(32));
    let history = |pubkey: &str| {
        let data = json!([{"pubkey": pubkey, "signed_blocks": [], "signed_attestations":
            [{"source_epoch": "5", "target_epoch": "9"}]}]);
        json!({"metadata": {"interchange_format_version": "5", "genesis_validators_root": root}, "data": data})
    };
    let file = daemon.directory().join("history.json");
    let import = ["keys", "import", "k.json", "--passwords", "p", "--slashing-protection", "history.json"];

    fs::write(&file, history(&Key::number(2).name()).to_string()).unwrap();
    let refused = on(&daemon, &import);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&key.name()), "{refused:?}");
    assert_eq!(daemon.public_keys(), Vec::<String>::new());

    let unreadable = history(&key.name()).to_string().replace("\"9\"", "\"nine\"");
    fs::write(&file, unreadable).unwrap();
    let refused = on(&daemon, &import);
    assert_eq!(refused.status.code(), Some(1));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains(&key.name()) && message.contains("nine"), "{refused:?}");
    assert_eq!(daemon.public_keys(), Vec::<String>::new());

    fs::write(&file, history(&key.name()).to_string()).unwrap();
    let imported = on(&daemon, &import);
    assert!(imported.status.success(), "{imported:?}");
    let mut old = attestation(72, 5, 9, 1);
    old["fork_info"]["genesis_validators_root"] = json!(root);
    assert_eq!(daemon.sign(&key, &old).status, 412);
}

#[test]
fn nothing_is_deleted_when_the_history_cannot_be_saved() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    fs::write(daemon.directory().join("taken.json"), "precious").unwrap();
    for history in ["taken.json", "nonexistent/h.json"] {
        let deleted = on(&daemon, &["keys", "delete", &key.name(), "--yes", "--history", history]);
        assert_eq!(deleted.status.code(), Some(1), "{deleted:?}");
        assert_eq!(daemon.public_keys(), [key.name()]);
    }
    assert_eq!(fs::read_to_string(daemon.directory().join("taken.json")).unwrap(), "precious");
}

#[test]
fn the_token_is_sent_from_its_file() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let token = setup.file("token", "0123456789abcdef\n");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = setup.args(&["--auth-token-file", token.to_str().unwrap()]).start();
    let without = on(&daemon, &["keys", "list"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&without.stderr).contains("401"), "{without:?}");
    assert!(on(&daemon, &["keys", "list", "--auth-token-file", "token"]).status.success());
}

#[test]
fn status_shows_the_checks_and_a_missing_daemon_is_an_error() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let status = on(&daemon, &["status"]);
    assert!(status.status.success(), "{status:?}");
    assert!(text(&status).contains("slashing-protection") && text(&status).contains("UP"), "{status:?}");
    assert_eq!(json_of(&on(&daemon, &["status", "--json"]))["status"], "UP");
    let missing = run(daemon.directory(), &["status", "--connect", "unix:/nonexistent/s.sock"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent/s.sock"), "{missing:?}");
}

#[test]
fn check_tells_what_a_start_would_do_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    fs::write(&config, "network = 'minimal'\nlisten = ['signing=127.0.0.1:1']\n").unwrap();
    let check = ["check", "--config", "config.toml", "--state-dir", "state"];
    let fine = run(directory.path(), &check);
    assert_eq!(fine.status.code(), Some(0), "{fine:?}");
    assert!(text(&fine).contains("signing on 127.0.0.1:1"), "{fine:?}");
    assert!(!directory.path().join("state").exists());

    let required = run(directory.path(), &[&check[..], &["--require-ledger"]].concat());
    assert_eq!(required.status.code(), Some(78), "{required:?}");
    assert!(text(&required).contains("WRONG"), "{required:?}");

    fs::write(&config, "netwerk = 'minimal'\n").unwrap();
    let unknown = run(directory.path(), &check);
    assert_eq!(unknown.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("line 1"), "{unknown:?}");
}

#[test]
fn a_running_daemon_s_configuration_can_be_checked() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let check = run(
        daemon.directory(),
        &["check", "--network", "minimal", "--require-ledger", "--state-dir", "state"],
    );
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(text(&check).contains("in use by a daemon"), "{check:?}");
    assert_eq!(on(&daemon, &["status"]).status.code(), Some(0));
}

#[test]
fn a_second_daemon_on_a_state_directory_ends_with_its_own_status() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let state = daemon.directory().join("state");
    let second = run(
        daemon.directory(),
        &["serve", "--network=minimal", "--listen=all=127.0.0.1:0", "--state-dir", state.to_str().unwrap()],
    );
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_except_for_history() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&Key::number(1)]);
    for arguments in [&["keys", "list"][..], &["status"], &["slashing-protection", "status"]] {
        let output = for_nobody(&daemon, arguments);
        assert_eq!(
            (output.status.code(), text_of(&output.stderr)),
            (Some(0), String::new()),
            "{arguments:?}"
        );
    }
    let history = for_nobody(&daemon, &["slashing-protection", "export"]);
    assert_eq!(history.status.code(), Some(1));
    assert!(text_of(&history.stderr).contains("cannot write the output"), "{history:?}");
}

#[test]
fn arguments_that_cannot_be_read_have_their_own_status() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--no-such-flag"][..], &["frobnicate"], &["--port", "x"], &["keys"]] {
        assert_eq!(run(directory.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "keys", "import"], &["completions", "zsh"]] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}

/// Runs a subcommand against this daemon, in its directory.
fn on(daemon: &Daemon, arguments: &[&str]) -> Output {
    run(daemon.directory(), &[arguments, &["--connect", &socket(daemon)]].concat())
}

/// The same, with nobody at the other end of the output.
fn for_nobody(daemon: &Daemon, arguments: &[&str]) -> Output {
    let state = daemon.directory().join("state");
    let place: &[&str] = match arguments {
        ["slashing-protection", ..] => &["--state-dir", state.to_str().unwrap()],
        _ => &[],
    };
    let (writer, _) = UnixStream::pair().unwrap();
    command(daemon.directory(), &[arguments, place, &["--connect", &socket(daemon)]].concat())
        .stdout(OwnedFd::from(writer))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

fn socket(daemon: &Daemon) -> String {
    format!("unix:{}", daemon.directory().join("signer.sock").display())
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bls-signer"));
    command.args(arguments).current_dir(directory).env_clear().env("HOME", directory).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    text_of(&output.stdout)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
