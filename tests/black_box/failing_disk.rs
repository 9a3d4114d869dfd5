//! A disk that fails once: what was asked then is not signed, and a deletion holds all the same.

use std::fs;

use serde_json::json;

use crate::support::{Daemon, Key, Request, Setup, attestation, build_preload, randao_reveal};

#[test]
fn after_a_failed_sync_protected_duties_are_faults_others_go_on_and_health_is_red() {
    let daemon = on_a_failing_disk();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);

    fail_once(&daemon);
    daemon.sign(&key, &attestation(16, 1, 2, 1)).assert_problem(500);
    daemon.sign(&key, &attestation(24, 2, 3, 1)).assert_problem(500);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    let health = daemon.send(&Request::get("/healthcheck"));
    assert_eq!((health.status, &health.json()["outcome"]), (503, &json!("DOWN")));
    assert_eq!(daemon.send(&Request::get("/health")).status, 503);
    daemon.wait_for_log(|line| line.contains("the slashing protection ledger broke"));

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.sign(&key, &attestation(24, 2, 3, 1)).status, 200);
}

#[test]
fn who_waits_for_a_disk_that_hangs_gets_a_fault_and_can_ask_again() {
    let setup = Setup::new().args(&["--network", "minimal", "--ledger-timeout", "1"]);
    let library = build_preload(setup.directory(), "hanging_disk");
    let flag = setup.directory().join("hangs");
    let daemon = setup.env("LD_PRELOAD", &library).env("HANGING_DISK", flag.to_str().unwrap()).start();
    let [early, late] = [1, 2].map(Key::number);
    daemon.import(&[&early, &late]);

    fs::write(&flag, "").unwrap();
    // The first waits for the very commit that hangs, the second comes when it is known to hang.
    daemon.sign(&early, &attestation(8, 0, 1, 1)).assert_problem(500);
    daemon.sign(&late, &attestation(8, 0, 1, 1)).assert_problem(500);
    assert_eq!(daemon.sign(&early, &randao_reveal(1)).status, 200);
    daemon.wait_for_log(|line| line.contains("longer than 1s"));

    fs::remove_file(&flag).unwrap();
    assert_eq!(daemon.sign(&early, &attestation(8, 0, 1, 2)).status, 412, "it is on record, unsigned");
    assert_eq!(daemon.sign(&early, &attestation(8, 0, 1, 1)).status, 200);
    assert_eq!(daemon.sign(&late, &attestation(8, 0, 1, 2)).status, 200, "it is not on record");
}

#[test]
fn a_key_deleted_while_the_disk_fails_is_silent_now_and_after_a_restart() {
    let daemon = on_a_failing_disk();
    let [gone, stays] = [1, 2].map(Key::number);
    daemon.import(&[&gone, &stays]);

    fail_once(&daemon);
    let delete =
        Request::new("DELETE", "/eth/v1/keystores").body(json!({"pubkeys": [gone.name()]}).to_string());
    let answer = daemon.send(&delete.clone().header("Content-Type", "application/json")).json();
    assert_eq!(answer["data"][0]["status"], "error", "{answer}");
    assert_eq!(daemon.sign(&gone, &randao_reveal(1)).status, 404);

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [stays.name()]);
    assert_eq!(daemon.sign(&gone, &randao_reveal(1)).status, 404);
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [stays.name()]);
}

/// With sealed keys. Being supervised, it ends some seconds after the fault.
fn on_a_failing_disk() -> Daemon {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let library = build_preload(setup.directory(), "failing_disk");
    let flag = setup.directory().join("fails");
    let seal = setup.file("seal", &format!("{:064x}\n", 0xfeed_u32));
    fs::set_permissions(&seal, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    setup
        .args(&["--seal-file", seal.to_str().unwrap()])
        .env("LD_PRELOAD", &library)
        .env("FAILING_DISK", flag.to_str().unwrap())
        .start()
}

fn fail_once(daemon: &Daemon) {
    fs::write(daemon.directory().join("fails"), "").unwrap();
}
