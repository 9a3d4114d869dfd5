//! A ledger that was rolled back, copied or lost its log: the daemon refuses it, and says how to go on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{
    Daemon, Key, Request, Setup, attestation, attestation_on_hoodi, block_header, command, ended, on, said,
    text,
};

#[test]
fn a_ledger_that_was_rolled_back_is_refused_until_its_loss_is_accepted() {
    let key = Key::number(1);
    let daemon = started();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    copy(daemon.directory(), "state", "older");
    assert_eq!(daemon.sign(&key, &block_header(11, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    let setup = daemon.kill();
    replace(setup.directory(), "state", "older");
    let (_setup, log) = refused(setup);
    assert!(log.contains("rolled back by 2 commits") && log.contains("--accept-loss"), "{log}");
}

#[test]
fn an_accepted_loss_lets_the_daemon_sign_what_lies_above() {
    let key = Key::number(1);
    let daemon = started();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    let setup = daemon.kill();
    fs::remove_file(setup.directory().join("state/ledger.sqlite-wal")).unwrap();
    let output = raise(setup.directory(), &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(said(&output).contains("its log") && said(&output).contains("gone or empty"), "{output:?}");
    // The log had all that was on record of it.
    let output = raise(setup.directory(), &["--accept-loss", "--key", &key.name()]);
    assert!(output.status.success(), "{output:?}");

    let daemon = setup.start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(20, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(21, 2)).status, 200);
}

#[test]
fn a_copy_on_another_host_signs_nothing_up_to_the_present() {
    let key = Key::number(1);
    let daemon = on_hoodi().start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_000, 1)).status, 200);
    let setup = stopped(daemon);
    let elsewhere = setup.directory().join("elsewhere");
    let setup = setup.env("RUNTIME_DIRECTORY", elsewhere.to_str().unwrap());
    let (setup, log) = refused(setup.args(&["--unproven", "refuse"]));
    assert!(log.contains("nothing shows") && log.contains("--accept-loss"), "{log}");
    let state = setup.directory().join("state").display().to_string();
    let mut looked = command(setup.directory(), &["slashing-protection", "status", "--state-dir", &state]);
    looked.env("RUNTIME_DIRECTORY", &elsewhere).args(["--network", "hoodi"]);
    let looked = ended(looked);
    assert!(text(&looked).contains("unproven") && text(&looked).contains("anchors are gone"), "{looked:?}");
    let daemon = setup.without("--unproven").start();
    lifts(&daemon, &key, "anchors are gone");
    // From now on it is the newest here.
    let daemon = daemon.kill_and_restart();
    assert!(!daemon.send(&Request::get("/healthcheck")).text().contains("watermarks-lifted"));
}

#[test]
fn what_was_signed_without_protection_is_shut_out_when_it_is_on_again() {
    let key = Key::number(1);
    let daemon = on_hoodi().start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_000, 1)).status, 200);
    let daemon = daemon.kill().args(&["--slashing-protection", "off"]).start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_001, 1)).status, 200);
    let daemon = daemon.kill().without("--slashing-protection").start();
    lifts(&daemon, &key, "started without slashing protection");
}

#[test]
fn where_the_present_is_not_known_an_operator_lifts() {
    let key = Key::number(1);
    let daemon = started();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    let setup = stopped(daemon);
    fs::remove_dir_all(setup.directory().join("run")).unwrap();
    let (setup, log) = refused(setup);
    assert!(log.contains("genesis time is not known"), "{log}");
    let output = raise(setup.directory(), &["--accept-loss"]);
    assert!(output.status.success(), "{output:?}");
    let daemon = setup.start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &block_header(20, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(21, 2)).status, 200);
}

#[test]
fn a_copy_beside_the_running_daemon_is_refused() {
    let daemon = started();
    copy(daemon.directory(), "state", "clone");
    let directory = daemon.directory();
    let mut clone =
        command(directory, &["serve", "--network", "minimal", "--port", "0", "--state-dir", "clone"]);
    clone.env("RUNTIME_DIRECTORY", directory.join("run"));
    let output = ended(clone);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(said(&output).contains("a copy of the slashing protection ledger"), "{output:?}");
}

#[test]
fn kills_and_restarts_lose_nothing_and_are_never_refused() {
    let key = Key::number(1);
    let mut daemon = started();
    daemon.import(&[&key]);
    for slot in 1..=12 {
        assert_eq!(daemon.sign(&key, &block_header(slot, 1)).status, 200);
        let setup = if slot % 2 == 0 { daemon.kill() } else { stopped(daemon) };
        daemon = setup.start();
        daemon.import(&[&key]);
        assert_eq!(daemon.sign(&key, &block_header(slot, 2)).status, 412);
    }
}

/// The daemon says that it lifted, and why; what was signed before is refused, what lies ahead is signed.
fn lifts(daemon: &Daemon, key: &Key, why: &str) {
    daemon.wait_for_log(|line| line.contains("ALL WATERMARKS WERE LIFTED") && line.contains(why));
    let health = daemon.send(&Request::get("/healthcheck"));
    assert!(health.status == 200 && health.text().contains("watermarks-lifted-at-the-start"), "{health:?}");
    daemon.import(&[key]);
    for command in [&["status"][..], &["slashing-protection", "status"]] {
        let shown = on(daemon, command);
        assert!(
            shown.status.success() && text(&shown).contains("lifted") && text(&shown).contains(why),
            "{shown:?}"
        );
    }
    let present = health.json()["checks"][1]["data"]["watermarks-lifted-at-the-start"]["epoch"].clone();
    let present: u64 = present.as_str().unwrap().parse().unwrap();
    daemon.sign(key, &attestation_on_hoodi(60_001, 2)).assert_problem(412);
    daemon.sign(key, &attestation_on_hoodi(present, 2)).assert_problem(412);
    assert_eq!(daemon.sign(key, &attestation_on_hoodi(present + 10, 2)).status, 200);
}

fn on_hoodi() -> Setup {
    Setup::new().args(&["--network", "hoodi"]).with_runtime_directory()
}

fn stopped(mut daemon: Daemon) -> Setup {
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.wait().success());
    let log = daemon.directory().join("state/ledger.sqlite-wal");
    assert_eq!(fs::metadata(log).unwrap().len(), 0, "the ledger was not closed");
    daemon.kill()
}

fn started() -> Daemon {
    Setup::new().args(&["--network", "minimal"]).with_runtime_directory().start()
}

/// Lifts the watermarks of the ledger of a daemon that was started so, to slot 20 and epoch 3.
fn raise(directory: &Path, more: &[&str]) -> Output {
    let words = ["slashing-protection", "raise", "--network", "minimal", "--slot", "20", "--epoch", "3"];
    let mut raise = command(directory, &[&words, more].concat());
    raise.arg("--state-dir").arg(directory.join("state")).env("RUNTIME_DIRECTORY", directory.join("run"));
    ended(raise)
}

/// It ends with a configuration that cannot be used; its state, and what it said.
fn refused(setup: Setup) -> (Setup, String) {
    let mut daemon = setup.spawn();
    let status = daemon.wait();
    let log = daemon.log();
    assert_eq!(status.code(), Some(78), "{log}");
    (daemon.kill(), log)
}

fn copy(directory: &Path, from: &str, to: &str) {
    let arguments = ["--recursive", "--preserve=mode", from, to];
    assert!(Command::new("cp").args(arguments).current_dir(directory).status().unwrap().success());
}

fn replace(directory: &Path, name: &str, copy: &str) {
    let place = directory.join(name);
    fs::remove_dir_all(&place).unwrap();
    fs::rename(directory.join(copy), place).unwrap();
}
