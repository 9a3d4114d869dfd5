//! Which keys are there after a restart, and what a reload of the operator's files changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, Key, Request, Setup, block_header, randao_reveal};

#[test]
fn an_import_that_was_answered_survives_a_kill_with_its_history() {
    let daemon = sealed();
    let (key, deleted) = (Key::number(1), Key::number(2));
    daemon.import(&[&key, &deleted]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    delete(&daemon, &deleted);
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [key.name()]);
    assert_eq!(daemon.sign(&key, &block_header(10, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &block_header(11, 2)).status, 200);
}

#[test]
fn without_a_seal_imported_keys_are_gone_and_the_answer_said_so() {
    let daemon = Daemon::start(&["--network", "minimal", "--fd-store", "off"]);
    let key = Key::number(1);
    let body = json!({"keystores": [key.keystore("p")], "passwords": ["p"]}).to_string();
    let answer = daemon.send(&Request::post("/eth/v1/keystores", body));
    assert!(answer.text().contains("memory only"), "{answer:?}");
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
}

#[test]
fn another_seal_ends_the_start_and_loses_nothing() {
    let daemon = sealed();
    let key = Key::number(1);
    daemon.import(&[&key]);
    let seal = daemon.directory().join("seal");
    let right = fs::read(&seal).unwrap();
    let setup = daemon.kill();
    fs::write(&seal, "9d2c4b6a80f1e3d5c7b9a0f2e4d6c8ba1c3e5f7092b4d6f8a1c3e5f7092b4d6f").unwrap();
    let mut refused = setup.spawn();
    assert_eq!(refused.wait().code(), Some(78), "{}", refused.log());
    assert!(refused.log().contains("sealed"), "{}", refused.log());
    let setup = refused.kill();
    fs::write(&seal, right).unwrap();
    assert_eq!(setup.start().public_keys(), [key.name()]);
}

#[test]
fn keys_come_from_the_operator_s_files_and_follow_them_on_reload() {
    let setup = Setup::new();
    let directory = setup.directory().join("keystores");
    fs::create_dir(&directory).unwrap();
    let (stays, goes, comes) = (Key::number(1), Key::number(2), Key::number(3));
    put(&directory, "a", &stays);
    put(&directory, "b", &goes);
    fs::write(directory.join("c.json"), "{}").unwrap();
    let path = directory.display().to_string();
    let arguments = ["--network", "minimal", "--keystores-path", &path, "--keystores-passwords-path", &path];
    let daemon = setup.args(&arguments).start();
    assert_eq!(daemon.public_keys(), sorted(&[&stays, &goes]));
    let listed = daemon.send(&Request::get("/eth/v1/keystores")).json();
    assert!(listed["data"].as_array().unwrap().iter().all(|key| key["readonly"] == true), "{listed}");

    fs::remove_file(directory.join("b.json")).unwrap();
    put(&directory, "d", &comes);
    reload(&daemon);
    assert_eq!(daemon.public_keys(), sorted(&[&stays, &comes]));
    assert_eq!(daemon.sign(&comes, &randao_reveal(1)).status, 200);
    assert_eq!(daemon.sign(&goes, &randao_reveal(1)).status, 404);
}

#[test]
fn a_file_that_has_become_unreadable_takes_no_key_away_and_is_reported() {
    let setup = Setup::new();
    let directory = setup.directory().join("keystores");
    fs::create_dir(&directory).unwrap();
    let key = Key::number(1);
    put(&directory, "a", &key);
    let path = directory.display().to_string();
    let arguments = ["--network", "minimal", "--keystores-path", &path, "--keystores-passwords-path", &path];
    let daemon = setup.args(&arguments).start();
    assert_eq!(unloaded_files(&daemon), json!([]));

    fs::write(directory.join("a.json"), "{").unwrap();
    assert_eq!(reload(&daemon), "completed_with_errors");
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    assert_eq!(unloaded_files(&daemon).as_array().unwrap().len(), 1);

    put(&directory, "a", &key);
    assert_eq!(reload(&daemon), "completed");
    assert_eq!(unloaded_files(&daemon), json!([]));
}

#[test]
fn sighup_reloads_too() {
    let setup = Setup::new();
    let directory = setup.directory().join("keystores");
    fs::create_dir(&directory).unwrap();
    let path = directory.display().to_string();
    let arguments = ["--network", "minimal", "--keystores-path", &path, "--keystores-passwords-path", &path];
    let daemon = setup.args(&arguments).start();
    let key = Key::number(1);
    put(&directory, "a", &key);
    daemon.signal(Signal::SIGHUP);
    wait_until(&daemon, |daemon| daemon.public_keys() == [key.name()]);
}

#[test]
fn a_key_of_a_file_cannot_be_deleted_over_the_api() {
    let setup = Setup::new();
    let directory = setup.directory().join("keystores");
    fs::create_dir(&directory).unwrap();
    let key = Key::number(1);
    put(&directory, "a", &key);
    let path = directory.display().to_string();
    let daemon = setup
        .args(&["--network", "minimal", "--keystores-path", &path, "--keystores-passwords-path", &path])
        .start();
    assert_eq!(delete(&daemon, &key), "error");
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
}

#[test]
fn web3signer_s_key_configuration_is_read() {
    let setup = Setup::new();
    let directory = setup.directory().join("keys");
    fs::create_dir(&directory).unwrap();
    let (kept, raw) = (Key::number(1), Key::number(2));
    put(&directory, "k", &kept);
    let secret = raw.secret_hex();
    let yaml = format!(
        "type: file-keystore\nkeyType: BLS\nkeystoreFile: k.json\nkeystorePasswordFile: k.txt\n---\ntype: file-raw\nkeyType: BLS\nprivateKey: {secret}\n"
    );
    private(&directory, "keys.yaml", &yaml);
    let path = directory.display().to_string();
    let daemon = setup.args(&["--network", "minimal", "--key-config-path", &path]).start();
    assert_eq!(daemon.public_keys(), sorted(&[&kept, &raw]));
}

/// With a seal secret, so that imported keys are kept.
fn sealed() -> Daemon {
    let setup = Setup::new();
    let seal = private(
        setup.directory(),
        "seal",
        "5e1f0c8a3b7d92e4465a1d0f9c2b8e7733d05a6c41f8b29e0d7c6a5b3f1e2d48",
    );
    setup.args(&["--network", "minimal", "--seal-file", &seal]).start()
}

/// As health tells of them, without turning red for it.
fn unloaded_files(daemon: &Daemon) -> Value {
    let answer = daemon.send(&Request::get("/healthcheck"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let check = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "keys-check").unwrap();
    check["data"]["files-not-loaded"].clone()
}

/// Reloads and waits for the end; answers the status.
fn reload(daemon: &Daemon) -> String {
    let answer = daemon.send(&Request::new("POST", "/reload"));
    assert_eq!(answer.status, 202, "{answer:?}");
    let status =
        |daemon: &Daemon| daemon.send(&Request::get("/reload")).json()["status"].as_str().unwrap().to_owned();
    wait_until(daemon, |daemon| status(daemon) != "running");
    status(daemon)
}

fn delete(daemon: &Daemon, key: &Key) -> String {
    let body = json!({"pubkeys": [key.name()]}).to_string();
    let request =
        Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json").body(body);
    let answer = daemon.send(&request);
    answer.json()["data"][0]["status"].as_str().unwrap().to_owned()
}

fn put(directory: &Path, name: &str, key: &Key) {
    private(directory, &format!("{name}.json"), &key.keystore("p"));
    private(directory, &format!("{name}.txt"), "p");
}

fn private(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn sorted(keys: &[&Key]) -> Vec<String> {
    let mut names: Vec<_> = keys.iter().map(|key| key.name()).collect();
    names.sort();
    names
}

#[track_caller]
fn wait_until(daemon: &Daemon, condition: impl Fn(&Daemon) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition(daemon) {
        assert!(Instant::now() < deadline, "it does not come; keys: {:?}", daemon.public_keys());
        std::thread::sleep(Duration::from_millis(10));
    }
}
