//! A disk that fails once: what was asked then is not signed, and a deletion holds all the same.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Connection, Daemon, Key, Request, Setup, attestation, build_preload, randao_reveal};

#[test]
fn after_a_failed_sync_protected_duties_are_faults_others_go_on_and_health_is_red() {
    let daemon = on_a_failing_disk();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);

    fail_once(&daemon);
    let fault = daemon.sign(&key, &attestation(16, 1, 2, 1));
    fault.assert_problem(500);
    assert!(fault.text().contains("no block, no attestation and no raw root is signed"), "{fault:?}");
    daemon.sign(&key, &attestation(24, 2, 3, 1)).assert_problem(500);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    let health = daemon.send(&Request::get("/healthcheck"));
    assert_eq!((health.status, &health.json()["outcome"]), (503, &json!("DOWN")));
    assert!(health.text().contains("fsync"), "the cause: {health:?}");
    assert!(!health.text().contains(daemon.directory().to_str().unwrap()), "no path: {health:?}");
    assert_eq!(daemon.send(&Request::get("/health")).status, 503);
    daemon.wait_for_log(|line| line.contains("the slashing protection ledger broke"));

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.sign(&key, &attestation(24, 2, 3, 1)).status, 200);
}

#[test]
fn who_waits_for_a_disk_that_hangs_gets_a_fault_and_can_ask_again() {
    let (daemon, flag) = on_a_hanging_disk();
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
fn requests_that_meet_the_same_fault_are_one_line_of_the_log() {
    let (mut daemon, flag) = on_a_hanging_disk();
    let keys = [1, 2].map(Key::number);
    daemon.import(&keys.each_ref());
    fs::write(&flag, "").unwrap();
    for key in &keys {
        daemon.sign(key, &attestation(8, 0, 1, 1)).assert_problem(500);
    }
    let batch =
        json!({"identifiers": [keys[0].name()], "signing_request": attestation(8, 0, 1, 1)}).to_string();
    daemon.send(&Request::post("/api/v1/eth2/sign", batch)).assert_problem(500);
    fs::remove_file(&flag).unwrap();
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    let log = daemon.log();
    let faults: Vec<_> =
        log.lines().filter(|line| line.contains("its disk hangs or is overloaded")).collect();
    assert_eq!(faults.len(), 1, "{log}");
    assert!(faults[0].contains("ERROR"), "{log}");
}

#[test]
fn imports_and_deletions_are_carried_out_to_their_end_when_the_client_has_gone() {
    let (daemon, flag) = on_a_hanging_disk();
    let [comes, goes] = [1, 2].map(Key::number);
    daemon.import(&[&goes]);

    fs::write(&flag, "").unwrap();
    let import = json!({"keystores": [comes.keystore("p")], "passwords": ["p"]});
    let mut importing = Connection::open(&daemon.socket());
    importing.send(&Request::post("/eth/v1/keystores", import.to_string()).bytes());
    let delete = json!({"pubkeys": [goes.name()]});
    let mut deleting = Connection::open(&daemon.socket());
    deleting.send(&delete_request(&delete).bytes());
    // Both are in hand, one of them waits for the disk and the other for its turn.
    thread::sleep(Duration::from_millis(500));
    drop((importing, deleting));
    thread::sleep(Duration::from_millis(100));

    fs::remove_file(&flag).unwrap();
    daemon.wait_until(|daemon| daemon.public_keys() == [comes.name()]);
    assert_eq!(daemon.sign(&comes, &attestation(8, 0, 1, 1)).status, 200);
    assert_eq!(daemon.sign(&goes, &randao_reveal(1)).status, 404);
}

#[test]
fn a_key_is_out_of_use_as_soon_as_its_deletion_begins() {
    let (daemon, flag) = on_a_hanging_disk();
    let key = Key::number(1);
    daemon.import(&[&key]);
    fs::write(&flag, "").unwrap();
    let mut deleting = Connection::open(&daemon.socket());
    deleting.send(&delete_request(&json!({"pubkeys": [key.name()]})).bytes());
    // While its deletion waits for the disk.
    daemon.wait_until(|daemon| daemon.sign(&key, &randao_reveal(1)).status == 404);
    fs::remove_file(&flag).unwrap();
    assert_eq!(deleting.answer().json()["data"][0]["status"], "deleted");
}

#[test]
fn a_key_whose_import_failed_is_not_in_use_after_a_restart_either() {
    let daemon = on_a_failing_disk();
    let [before, failing] = [1, 2].map(Key::number);
    daemon.import(&[&before]);
    fail_once(&daemon);
    let keystores = [&failing, &before, &failing].map(|key| key.keystore("p"));
    let import = json!({"keystores": keystores, "passwords": ["p", "p", "p"]}).to_string();
    let answer = daemon.send(&Request::post("/eth/v1/keystores", import.clone())).json();
    // That it is named twice makes it no key that is here.
    for place in 0..3 {
        assert_eq!(answer["data"][place]["status"], "error", "{answer}");
    }

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [before.name()]);
    assert_eq!(daemon.sign(&before, &attestation(8, 0, 1, 1)).status, 200);
    assert_eq!(daemon.sign(&failing, &attestation(8, 0, 1, 1)).status, 404);
    let again = daemon.send(&Request::post("/eth/v1/keystores", import)).json();
    assert_eq!(again["data"][0]["status"], "imported", "{again}");
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys().len(), 2);
    assert_eq!(daemon.sign(&failing, &attestation(8, 0, 1, 1)).status, 200);
}

#[test]
fn a_key_deleted_while_the_disk_fails_is_silent_now_and_after_a_restart() {
    let daemon = on_a_failing_disk();
    let [gone, stays] = [1, 2].map(Key::number);
    daemon.import(&[&gone, &stays]);

    fail_once(&daemon);
    let answer = daemon.send(&delete_request(&json!({"pubkeys": [gone.name()]}))).json();
    assert_eq!(answer["data"][0]["status"], "error", "{answer}");
    assert_eq!(daemon.sign(&gone, &randao_reveal(1)).status, 404);

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [stays.name()]);
    assert_eq!(daemon.sign(&gone, &randao_reveal(1)).status, 404);
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [stays.name()]);
}

#[test]
fn on_a_full_disk_a_deletion_holds_and_what_needs_no_record_goes_on_until_there_is_room_to_start_again() {
    let (mut daemon, flag) = on_a_bad_disk("full_disk", "FULL_DISK");
    let [gone, stays] = [1, 2].map(Key::number);
    daemon.import(&[&gone, &stays]);
    assert_eq!(daemon.sign(&stays, &attestation(8, 0, 1, 1)).status, 200);

    fs::write(&flag, "").unwrap();
    daemon.sign(&stays, &attestation(16, 1, 2, 1)).assert_problem(500);
    let answer = daemon.send(&delete_request(&json!({"pubkeys": [gone.name()]}))).json();
    let message = answer["data"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("now and after a restart"), "{answer}");
    daemon.wait_for_log(|line| line.contains("a restart would not help"));
    assert_eq!(daemon.sign(&stays, &randao_reveal(1)).status, 200);
    assert_eq!(daemon.send(&Request::get("/healthcheck")).status, 503);

    fs::remove_file(&flag).unwrap();
    assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.log());
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [stays.name()]);
    assert_eq!(daemon.sign(&stays, &attestation(16, 1, 2, 1)).status, 200);
}

/// A quota that is used up, a file system that the kernel has made read-only, a device that is gone.
#[test]
fn every_error_of_a_write_is_final_and_loses_nothing() {
    for error in [Errno::EDQUOT, Errno::EROFS, Errno::ENODEV, Errno::EFBIG] {
        let (mut daemon, flag) = on_a_bad_disk("full_disk", "FULL_DISK");
        let key = Key::number(1);
        daemon.import(&[&key]);
        assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);
        fs::write(&flag, (error as i32).to_string()).unwrap();
        for root in [1, 2] {
            daemon.sign(&key, &attestation(16, 1, 2, root)).assert_problem(500);
        }
        assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200, "{error}");
        let health = daemon.send(&Request::get("/healthcheck"));
        assert_eq!((health.status, &health.json()["outcome"]), (503, &json!("DOWN")), "{error}");
        daemon.wait_for_log(|line| line.contains("a restart would not help"));

        fs::remove_file(&flag).unwrap();
        assert_eq!(daemon.wait().code(), Some(1), "{error}: {}", daemon.log());
        let daemon = daemon.kill_and_restart();
        daemon.sign(&key, &attestation(8, 0, 1, 2)).assert_problem(412);
        assert_eq!(daemon.sign(&key, &attestation(16, 1, 2, 1)).status, 200, "{error}");
    }
}

#[test]
fn without_a_descriptor_to_spare_the_ledger_goes_on_and_a_start_says_what_it_cannot_open() {
    let (daemon, flag) = on_a_bad_disk("no_descriptors", "NO_DESCRIPTORS");
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);
    fs::write(&flag, "").unwrap();
    for target in 2..80 {
        assert_eq!(daemon.sign(&key, &attestation(8 * target, target - 1, target, 1)).status, 200);
        daemon.sign(&key, &attestation(8 * target, target - 1, target, 2)).assert_problem(412);
    }
    assert_eq!(daemon.send(&Request::get("/healthcheck")).status, 200);
    fs::remove_file(&flag).unwrap();
    let daemon = daemon.kill_and_restart();
    daemon.sign(&key, &attestation(8 * 79, 78, 79, 2)).assert_problem(412);
    assert_eq!(daemon.sign(&key, &attestation(8 * 80, 79, 80, 1)).status, 200);
    fs::write(&flag, "").unwrap();
    let (status, log) = daemon.kill().fails();
    assert!(!status.success() && log.to_lowercase().contains("too many open files"), "{status}: {log}");
}

#[test]
fn a_deletion_that_can_be_recorded_nowhere_is_never_said_to_hold() {
    let daemon = on_a_failing_disk();
    let key = Key::number(1);
    daemon.import(&[&key]);
    let list = daemon.directory().join("state/deleted-keys");
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    fail_once(&daemon);
    for _ in 0..2 {
        let answer = daemon.send(&delete_request(&json!({"pubkeys": [key.name()]}))).json();
        let message = answer["data"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains("may come back with a restart"), "{answer}");
    }
}

#[test]
fn a_start_without_slashing_protection_forgets_no_deletion() {
    let daemon = on_a_failing_disk();
    let key = Key::number(1);
    daemon.import(&[&key]);
    fail_once(&daemon);
    daemon.send(&delete_request(&json!({"pubkeys": [key.name()]})));
    let daemon = daemon.kill().args(&["--slashing-protection", "off"]).start();
    daemon.import(&[&key]);
    // What was signed meanwhile is shut out, where the present is known.
    let setup = daemon.kill().without("--slashing-protection").without("--network");
    let daemon = setup.args(&["--network", "hoodi"]).start();
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
}

/// With sealed keys. Being supervised, it ends some seconds after the fault.
fn on_a_failing_disk() -> Daemon {
    on_a_bad_disk("failing_disk", "FAILING_DISK").0
}

/// The same on another bad disk; it is bad while the file is there.
fn on_a_bad_disk(library: &str, variable: &str) -> (Daemon, PathBuf) {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let library = build_preload(setup.directory(), library);
    let flag = setup.directory().join("fails");
    let seal = setup.private_file("seal", &format!("{:064x}\n", 0xfeed_u32));
    let setup = setup
        .args(&["--seal-file", seal.to_str().unwrap()])
        .env("LD_PRELOAD", &library)
        .env(variable, flag.to_str().unwrap());
    (setup.start(), flag)
}

/// With one second of patience. It hangs while the file is there.
fn on_a_hanging_disk() -> (Daemon, PathBuf) {
    let setup = Setup::new().args(&["--network", "minimal", "--signing-timeout", "1"]);
    let library = build_preload(setup.directory(), "hanging_disk");
    let flag = setup.directory().join("hangs");
    (setup.env("LD_PRELOAD", &library).env("HANGING_DISK", flag.to_str().unwrap()).start(), flag)
}

fn delete_request(body: &Value) -> Request {
    Request::new("DELETE", "/eth/v1/keystores")
        .header("Content-Type", "application/json")
        .body(body.to_string())
}

fn fail_once(daemon: &Daemon) {
    fs::write(daemon.directory().join("fails"), "").unwrap();
}
