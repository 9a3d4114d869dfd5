//! Keys without a seal secret: gone with the process, unless the service manager keeps the memory that they lie in.

use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Daemon, Key, Request, Setup, attestation, randao_reveal};

#[test]
fn keys_in_memory_alone_are_gone_with_the_process_and_the_import_says_so() {
    let daemon = Setup::new().args(&["--network", "minimal", "--fd-store", "off"]).start();
    let key = Key::number(1);
    let message = import(&daemon, &key);
    assert!(message.contains("memory only") && message.contains("--seal-file"), "{message}");
    let health = daemon.send(&Request::get("/healthcheck"));
    assert!(health.text().contains(r#""imported-keys":"in memory only""#), "{health:?}");
    assert_eq!(daemon.kill_and_restart().public_keys(), Vec::<String>::new());
}

#[test]
fn the_service_manager_is_not_asked_where_a_seal_secret_keeps_the_keys() {
    let setup = Setup::new();
    let seal = setup.private_file("seal", &"0123456789abcdef".repeat(4));
    let mut daemon = setup.args(&["--network", "minimal", "--seal-file", seal.to_str().unwrap()]).start();
    assert_eq!(daemon.stored().len(), 0, "{}", daemon.notified());
    assert!(!daemon.notified().contains("FDSTORE"), "{}", daemon.notified());
}

#[test]
fn the_next_process_takes_the_keys_over_and_a_deleted_one_does_not_come_back() {
    let mut daemon = Setup::new().args(&["--network", "minimal"]).start();
    let (stays, gone) = (Key::number(1), Key::number(2));
    let message = import(&daemon, &stays);
    assert!(message.contains("survives a restart of the service"), "{message}");
    import(&daemon, &gone);
    assert_eq!(daemon.sign(&stays, &attestation(8, 0, 1, 1)).status, 200);
    delete(&daemon, &gone);
    assert!(daemon.notified().contains("FDPOLL=0"), "{}", daemon.notified());
    let kept = daemon.stored();

    // A generation after the first has taken keys over, added one and deleted one.
    let mut daemon = succeed(daemon, &kept);
    assert_eq!(daemon.public_keys(), [stays.name()]);
    assert_eq!(daemon.sign(&stays, &attestation(16, 1, 2, 1)).status, 200);
    assert_eq!(daemon.sign(&stays, &attestation(16, 1, 2, 2)).status, 412);
    assert_eq!(daemon.sign(&gone, &randao_reveal(1)).status, 404);
    let new = Key::number(3);
    import(&daemon, &new);
    let mut expected = [stays.name(), new.name()];
    expected.sort();
    assert_eq!(daemon.public_keys(), expected);
    assert!(!daemon.notified().contains("FDSTORE=1"), "what is kept is kept: {}", daemon.notified());
    delete(&daemon, &stays);

    // This one ends in good order, and must leave the memory as it is all the same.
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    let daemon = succeed(daemon, &kept);
    assert_eq!(daemon.public_keys(), [new.name()]);
    assert_eq!(daemon.sign(&new, &randao_reveal(1)).status, 200);
}

#[test]
fn a_start_that_is_broken_off_after_it_took_the_keys_over_leaves_them_to_the_next() {
    let mut daemon = Setup::new().args(&["--network", "minimal"]).start();
    let key = Key::number(1);
    import(&daemon, &key);
    let kept = daemon.stored();

    // Keystores whose derivation takes a while hold the start up between the take-over and READY.
    let setup = daemon.kill();
    let directory = setup.directory().join("keystores");
    std::fs::create_dir(&directory).unwrap();
    for number in 2..10 {
        let mut keystore = Key::number(number).keystore_value("p");
        let params = json!({"dklen": 32, "n": 1 << 18, "r": 8, "p": 1, "salt": "00".repeat(32)});
        keystore["crypto"]["kdf"] = json!({"function": "scrypt", "params": params, "message": ""});
        std::fs::write(directory.join(format!("{number}.json")), keystore.to_string()).unwrap();
        std::fs::write(directory.join(format!("{number}.txt")), "p").unwrap();
    }
    let directory = directory.to_str().unwrap();
    let held_up = setup.args(&["--keystores-path", directory, "--keystores-passwords-path", directory]);
    let mut starting = hand_over(held_up, &kept).spawn();
    starting.wait_for_log(|line| line.contains("took over the keys"));
    starting.signal(Signal::SIGTERM);
    starting.wait();
    assert!(!starting.notified().contains("READY=1"), "{}", starting.notified());

    let setup = starting.kill().without("--keystores-path").without("--keystores-passwords-path");
    let daemon = hand_over(setup, &kept).start();
    assert_eq!(daemon.public_keys(), [key.name()]);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
}

#[test]
fn what_is_not_a_pair_of_its_own_costs_the_keys_and_not_the_start() {
    let other = || OwnedFd::from(tempfile::tempfile().unwrap());
    for (names, fds) in [
        ("keys-region:keys-index", vec![other(), other()]),
        ("keys-index", vec![other()]),
        ("keys-region", vec![other()]),
    ] {
        let daemon = Setup::new().args(&["--network", "minimal"]).hand_over(names, fds).start();
        daemon.wait_for_log(|line| line.contains("ERROR") && line.contains("cannot be taken over"));
        let key = Key::number(1);
        import(&daemon, &key);
        assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    }
}

/// Kills it and starts the next one with what the service manager keeps.
#[track_caller]
fn succeed(daemon: Daemon, kept: &[(String, OwnedFd)]) -> Daemon {
    hand_over(daemon.kill(), kept).start()
}

/// With what the service manager keeps.
#[track_caller]
fn hand_over(setup: Setup, kept: &[(String, OwnedFd)]) -> Setup {
    let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["keys-region", "keys-index"], "this kernel has memfd_secret");
    let fds = kept.iter().map(|(_, fd)| fd.try_clone().unwrap()).collect();
    setup.hand_over(&names.join(":"), fds)
}

/// Imports a key; answers the message that came with it.
#[track_caller]
fn import(daemon: &Daemon, key: &Key) -> String {
    let body = json!({"keystores": [key.keystore("p")], "passwords": ["p"]}).to_string();
    let answer = daemon.send(&Request::post("/eth/v1/keystores", body)).json();
    assert_eq!(answer["data"][0]["status"], "imported", "{answer}");
    answer["data"][0]["message"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn delete(daemon: &Daemon, key: &Key) {
    let body = json!({"pubkeys": [key.name()]}).to_string();
    let request =
        Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json").body(body);
    assert_eq!(daemon.send(&request).json()["data"][0]["status"], "deleted");
}
