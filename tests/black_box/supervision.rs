//! What the service manager is told while the daemon serves.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Connection, Daemon, Key, Request, Setup, attestation, build_preload, randao_reveal};

#[test]
fn the_watchdog_is_fed_while_everything_works() {
    let mut daemon = Setup::new().args(&["--network", "minimal"]).env("WATCHDOG_USEC", "200000").start();
    wait_for(&mut daemon, |daemon| watchdogs(daemon) >= 3);
}

#[test]
fn nobody_is_fed_where_nobody_watches() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    assert_eq!(watchdogs(&mut daemon), 0);
}

#[test]
fn a_disk_that_hangs_starves_the_watchdog_and_says_so_while_other_duties_are_signed() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let library = build_preload(setup.directory(), "hanging_disk");
    let flag = setup.directory().join("hangs");
    let mut daemon = setup
        .env("LD_PRELOAD", &library)
        .env("HANGING_DISK", flag.to_str().unwrap())
        .env("WATCHDOG_USEC", "400000")
        .start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);
    wait_for(&mut daemon, |daemon| watchdogs(daemon) >= 1);

    fs::write(&flag, "").unwrap();
    let mut unanswered = Connection::open(&daemon.socket());
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    unanswered.send(&Request::post(&path, attestation(16, 1, 2, 1).to_string()).bytes());
    wait_for(&mut daemon, |daemon| daemon.log().contains("the slashing protection ledger did not answer"));
    let starved = watchdogs(&mut daemon);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    assert_eq!(watchdogs(&mut daemon), starved, "fed while the ledger hangs");

    fs::remove_file(&flag).unwrap();
    assert_eq!(unanswered.answer().status, 200);
    wait_for(&mut daemon, |daemon| watchdogs(daemon) > starved);
}

#[test]
fn the_status_follows_what_is_news() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    daemon.wait_for_status(|status| status.starts_with("0 keys"));
    daemon.import(&[&Key::number(1)]);
    daemon.wait_for_status(|status| status.starts_with("1 keys on minimal, slashing protection on"));
}

/// How often the watchdog was fed so far.
fn watchdogs(daemon: &mut Daemon) -> usize {
    daemon.notified().lines().filter(|line| *line == "WATCHDOG=1").count()
}

#[track_caller]
fn wait_for(daemon: &mut Daemon, condition: impl Fn(&mut Daemon) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition(daemon) {
        assert!(Instant::now() < deadline, "it does not come; told so far:\n{}", daemon.notified());
    }
}

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
