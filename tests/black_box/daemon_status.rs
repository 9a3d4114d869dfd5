//! `bls-signer status` and `explain`: what an operator asks first.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{
    Daemon, Key, Setup, attestation, block_header, command, init, json_of, on, run, said, socket, text,
};

#[test]
fn keys_duties_and_refusals_are_seen_at_a_glance() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    for _ in 0..3 {
        assert_eq!(daemon.sign(&key, &block_header(10, 2)).status, 412);
    }
    let output = on(&daemon, &["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = text(&output);
    for expected in
        ["UP  version", "1 imported, 0 from files", "ledger.sqlite", "double-block, 3 times", &key.name()]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    let row = table.lines().find(|line| line.starts_with("propose")).unwrap_or_else(|| panic!("{table}"));
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["propose", "1", "3", "0"]);

    let json = json_of(&on(&daemon, &["status", "--json"]));
    assert_eq!((&json["status"], &json["keys"]["imported"]), (&"UP".into(), &1.into()), "{json}");
    assert_eq!(
        (&json["refusals"][0]["rule"], &json["refusals"][0]["times"]),
        (&"double-block".into(), &3.into())
    );
    assert!(json["latency"]["slowest"].as_u64().unwrap() >= json["latency"]["median"].as_u64().unwrap());
}

#[test]
fn what_is_wrong_stands_first_and_in_the_exit_status() {
    let daemon = Daemon::start(&["--network", "minimal", "--expected-keys", "1"]);
    let output = on(&daemon, &["status"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let table = text(&output);
    let second = table.lines().nth(1).unwrap();
    assert!(second.starts_with("WRONG") && second.contains("1 are expected"), "{table}");
}

#[test]
fn a_signing_listener_tells_its_health_and_no_more() {
    let setup = Setup::new()
        .args(&["--network", "minimal"])
        .listen("signing", "unix:signing.sock")
        .listen("keymanager", "unix:keymanager.sock");
    let daemon = setup.start();
    let ask = |socket: &str| {
        let address = format!("unix:{}", daemon.directory().join(socket).display());
        run(daemon.directory(), &["status", "--connect", &address])
    };
    let (signing, keymanager) = (ask("signing.sock"), ask("keymanager.sock"));
    assert_eq!(
        (signing.status.code(), keymanager.status.code()),
        (Some(0), Some(0)),
        "{signing:?} {keymanager:?}"
    );
    assert!(text(&signing).contains("more is told") && !text(&signing).contains("clients"), "{signing:?}");
    assert!(text(&keymanager).contains("everybody whom a listener lets in"), "{keymanager:?}");
}

#[test]
fn a_key_is_explained_by_the_daemon_and_by_the_file() {
    let daemon = Daemon::start(&["--network", "mainnet"]);
    let key = Key::number(1);
    let name = key.name();
    let unknown = text(&on(&daemon, &["explain", &name]));
    assert!(unknown.contains("does NOT have it") && unknown.contains("never heard of"), "{unknown}");

    daemon.import(&[&key]);
    let raise = ["slashing-protection", "raise", "--slot", "100", "--epoch", "3", "--key", &name];
    assert!(on(&daemon, &raise).status.success());
    let asked = ["explain", &name, "--slot", "100", "--epoch", "3"];
    let by_daemon = text(&on(&daemon, &asked));
    for expected in [
        "the daemon has it",
        "a block at slot 100, 2020-12-01T12:20:23Z",
        "source 3 and target 3",
        "REFUSED by the rule block-not-above",
        "signed again from slot 101, 2020-12-01T12:20:35Z on",
        "REFUSED by the rule target-not-above",
        "targets from epoch 4, ",
    ] {
        assert!(by_daemon.contains(expected), "{expected}: {by_daemon}");
    }
    let present = text(&on(&daemon, &["explain", &name]));
    assert_eq!(present.matches("would be signed").count(), 2, "{present}");
    assert!(on(&daemon, &["slashing-protection", "high-watermark", "--epoch", "4"]).status.success());
    let stopped = text(&on(&daemon, &["explain", &name, "--epoch", "5"]));
    for expected in ["REFUSED by the rule high-watermark", "high-watermark --remove"] {
        assert!(stopped.contains(expected), "{expected}: {stopped}");
    }

    let setup = daemon.kill();
    let state = ["--state-dir", "state", "--network", "mainnet"];
    let by_file = run(setup.directory(), &[&asked[..], &state].concat());
    assert!(by_file.status.success(), "{by_file:?}");
    for expected in ["no daemon runs here", "REFUSED by the rule block-not-above", "a block at slot 100"] {
        assert!(text(&by_file).contains(expected), "{expected}: {by_file:?}");
    }
}

#[test]
fn what_was_signed_is_what_is_explained_and_asking_records_nothing() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    for epoch in ["9", "4"] {
        let explained = text(&on(&daemon, &["explain", &key.name(), "--epoch", epoch]));
        assert_eq!(explained.contains("double-vote"), epoch == "4", "{explained}");
    }
    assert_eq!(
        daemon.sign(&key, &attestation(40, 2, 5, 1)).status,
        200,
        "asking about epoch 9 has left no record"
    );
}

#[test]
fn a_ledger_that_is_not_there_is_said_and_none_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let name = Key::number(1).name();
    let explain = ["explain", &name, "--state-dir", "state", "--network", "minimal"];
    let none = run(directory.path(), &explain);
    assert_eq!(none.status.code(), Some(78), "{none:?}");
    assert!(said(&none).contains("slashing-protection init"), "{none:?}");
    assert!(!directory.path().join("state").exists());
    init(&directory.path().join("state"));
    assert!(run(directory.path(), &explain).status.success());
}

#[test]
fn a_watch_shows_what_comes_and_a_daemon_that_goes_until_it_is_stopped() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    let shown = daemon.directory().join("shown");
    let mut watching = command(daemon.directory(), &["status", "--watch", "--connect", &socket(&daemon)]);
    let mut watch = watching.stdout(fs::File::create(&shown).unwrap()).spawn().unwrap();
    // Answers how much was shown when that was there, for what must come after it.
    let until = |since: usize, what: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&shown).unwrap();
            if text[since..].contains(what) {
                return text.len();
            }
            assert!(Instant::now() < deadline, "no '{what}' after byte {since} of {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let since = until(0, "0 imported");
    daemon.import(&[&key]);
    let since = until(since, "1 imported");
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    let since = until(since, "\npropose");
    let setup = daemon.kill();
    let since = until(since, "cannot connect");
    assert!(watch.try_wait().unwrap().is_none(), "it goes on while no daemon is there");
    let _again = setup.start();
    until(since, "0 imported");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn what_is_not_right_and_stops_nobody_is_a_note_before_the_checks() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let keys = setup.directory().join("keys");
    fs::create_dir(&keys).unwrap();
    let good = format!("type: file-raw\nprivateKey: '{}'\n", Key::number(1).secret_hex());
    fs::write(keys.join("good.yaml"), good).unwrap();
    fs::write(keys.join("bad.yaml"), "type: file-raw\n").unwrap();
    let daemon = setup.args(&["--key-config-path", keys.to_str().unwrap()]).start();
    let output = on(&daemon, &["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = text(&output);
    let second = table.lines().nth(1).unwrap();
    assert!(second.starts_with("NOTE") && second.contains("1 key files gave no key"), "{table}");
}

const PATIENCE: Duration = Duration::from_secs(60);
