//! Keys from the operator's files: read at the start, again on a reload, and never anybody's but the operator's to take away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, Key, LAYOUTS, Request, Setup, attestation, randao_reveal};

#[test]
fn a_directory_of_keystores_with_a_directory_of_passwords_is_loaded() {
    let setup = Setup::new();
    for number in 1..=3 {
        put(setup.directory(), &format!("keystore-{number}"), &Key::number(number), &format!("p{number}"));
    }
    let daemon = on_directories(setup).start();
    assert_eq!(daemon.public_keys(), names(&[1, 2, 3]));
    for number in 1..=3 {
        assert_eq!(daemon.sign(&Key::number(number), &randao_reveal(1)).status, 200);
    }
}

#[test]
fn the_directories_of_validator_clients_are_loaded_as_they_are() {
    for layout in LAYOUTS {
        let setup = Setup::new();
        let [keystores, passwords] = layout.lay_out(setup.directory(), &[1, 2, 3].map(Key::number));
        let args = ["--keystores-path", &keystores, "--keystores-passwords-path", &passwords];
        let daemon = setup.args(&["--network", "minimal"]).args(&args).start();
        assert_eq!(daemon.public_keys(), names(&[1, 2, 3]), "{layout:?}");
        let health = health(&daemon);
        assert_eq!(
            (&health["error-count"], &health["files-passed-over"]),
            (&json!(0), &json!(0)),
            "{layout:?}"
        );
    }
}

#[test]
fn extensions_count_in_any_letter_case_and_what_is_passed_over_is_said_once() {
    let setup = Setup::new();
    let root = setup.directory().to_owned();
    private(&root.join("keystores/k.JSON"), &Key::number(1).keystore("p"));
    private(&root.join("passwords/k.txt"), "p");
    let raw = |secret: u8| format!("type: file-raw\nprivateKey: \"{}\"\n", const_hex::encode([secret; 32]));
    private(&root.join("config/k.YAML"), &raw(0x11));
    private(&root.join("config/l.Yml"), &raw(0x22));
    for name in ["keystores/k.json.bak", "keystores/k.yaml", "keystores/a/b/k.json", "config/k.conf"] {
        private(&root.join(name), "{}");
    }
    private(&root.join("keystores/prices.json"), "[1, 2]");
    private(&root.join("keystores/deposit_data-1.json"), "[]");
    private(&root.join("keystores/notes.txt"), "about the keys");
    private(&root.join("config/below/m.yaml"), &raw(0x33));
    let config = directory(&root, "config");
    let daemon = on_directories(setup).args(&["--key-config-path", &config]).start();
    assert_eq!(daemon.public_keys().len(), 3);
    assert_eq!(
        (health(&daemon)["error-count"].clone(), health(&daemon)["files-passed-over"].clone()),
        (json!(0), json!(6))
    );
    let is_said = |line: &str| line.contains("passed over");
    let line = daemon.wait_for_log(is_said);
    for name in ["k.json.bak", "k.yaml", "keystores/a", "prices.json", "k.conf", "below"] {
        assert!(line.contains(name), "{name}: {line}");
    }
    for name in ["deposit_data", "notes.txt"] {
        assert!(!line.contains(name), "{name}: {line}");
    }
    reload(&daemon);
    private(&root.join("keystores/l.json.bak"), "{}");
    reload(&daemon);
    daemon.wait_for_log(|line| is_said(line) && line.contains("l.json.bak"));
    assert_eq!(daemon.log().lines().filter(|line| is_said(line)).count(), 2, "{}", daemon.log());
}

/// Whoever expects all keys is told of one that is missing.
#[test]
fn a_file_without_a_key_is_red_where_all_keys_are_expected() {
    let daemon = on_directories(Setup::new()).args(&["--expected-keys", "all"]).start();
    let problem = |query: &str| {
        let answer = daemon.send(&Request::get(&format!("/healthcheck{query}")));
        let json = answer.json();
        let checks = json["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["id"] == "keys-check").unwrap();
        assert_eq!(answer.status == 503, check["data"]["problem"].is_string(), "{json}");
        check["data"]["problem"].as_str().map(str::to_owned)
    };
    put(daemon.directory(), "keystore-1", &Key::number(1), "p");
    private(&daemon.directory().join("keystores/keystore-2.json"), "no keystore");
    reload(&daemon);
    let said = problem("").unwrap();
    assert!(said.contains("1 key files gave no key") && !said.contains("keystore-2"), "{said}");
    assert_eq!((problem("?keys=1"), problem("?keys=any")), (None, None));
    put(daemon.directory(), "keystore-2", &Key::number(2), "p");
    reload(&daemon);
    assert_eq!(problem(""), None);
}

#[test]
fn a_source_that_gives_no_key_at_all_is_red_until_it_gives_one() {
    let setup = Setup::new();
    let config = directory(setup.directory(), "config");
    let mut daemon = on_directories(setup).args(&["--key-config-path", &config]).start();
    // Keys from elsewhere do not make up for it.
    daemon.import(&[&Key::number(9)]);
    assert_eq!(red(&daemon), Some(json!(2)));
    assert_eq!(daemon.send(&Request::get("/health")).status, 503);
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
    for name in ["keystores", "config"] {
        daemon.wait_for_log(|line| {
            line.contains("ERROR") && line.contains("no key comes from") && line.contains(name)
        });
    }
    let deadline = Instant::now() + PATIENCE;
    while !daemon.notified().contains("2 key sources WITHOUT KEYS") {
        assert!(Instant::now() < deadline, "{}", daemon.notified());
    }

    put(daemon.directory(), "keystore-1", &Key::number(1), "p");
    private(&daemon.directory().join("config/k.yaml"), "type: file-raw\n");
    reload(&daemon);
    assert_eq!(red(&daemon), Some(json!(1)));
    daemon.wait_for_log(|line| line.contains("no key comes from") && line.contains("privateKey is missing"));
    let raw = format!("type: file-raw\nprivateKey: '{}'\n", Key::number(2).secret_hex());
    private(&daemon.directory().join("config/k.yaml"), &raw);
    reload(&daemon);
    assert_eq!(red(&daemon), None);
    assert_eq!(daemon.public_keys(), names(&[1, 2, 9]));

    // A key that is served from an earlier reading counts; one that is gone does not.
    private(&daemon.directory().join("config/k.yaml"), "type: [");
    reload(&daemon);
    assert_eq!(red(&daemon), None);
    fs::remove_file(daemon.directory().join("config/k.yaml")).unwrap();
    reload(&daemon);
    assert_eq!(red(&daemon), Some(json!(1)));
    assert_eq!(daemon.sign(&Key::number(1), &randao_reveal(1)).status, 200);
}

#[test]
fn one_password_file_serves_all() {
    let setup = Setup::new();
    for number in 1..=2 {
        put(setup.directory(), &format!("keystore-{number}"), &Key::number(number), "the same");
    }
    let password = private(&setup.directory().join("password"), "the same\n");
    let keystores = directory(setup.directory(), "keystores");
    let args = ["--keystores-path", &keystores, "--keystores-passwords-path", &password];
    let daemon = setup.args(&["--network", "minimal"]).args(&args).start();
    assert_eq!(daemon.public_keys(), names(&[1, 2]));
}

#[test]
fn a_byte_order_mark_in_a_keystore_or_a_password_file_is_skipped_and_utf_16_is_named() {
    let setup = Setup::new();
    private(
        &setup.directory().join("keystores/one.json"),
        &format!("\u{feff}{}", Key::number(1).keystore("p1")),
    );
    private(&setup.directory().join("passwords/one.txt"), "\u{feff}p1\r\n");
    put(setup.directory(), "two", &Key::number(2), "p2");
    let utf16: Vec<u8> = "\u{feff}p2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(setup.directory().join("passwords/two.txt"), utf16).unwrap();
    let config = setup.file("config.toml", "\u{feff}network = 'minimal'\n").display().to_string();
    let seal =
        private(&setup.directory().join("seal"), &format!("\u{feff}{}\n", "0123456789abcdef".repeat(4)));
    let token = private(&setup.directory().join("token"), &format!("\u{feff}{TOKEN}\n"));
    let secrets = ["--seal-file", &seal, "--auth-token-file", &token];
    let daemon =
        on_directories(setup).without("--network").args(&["--config", &config]).args(&secrets).start();
    let listed = Request::get("/api/v1/eth2/publicKeys").header("Authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(daemon.send(&listed).json(), json!(names(&[1])));
    daemon.wait_for_log(|line| line.contains("two.txt") && line.contains("UTF-16"));
}

#[test]
fn key_configuration_files_are_read_document_by_document() {
    let setup = Setup::new();
    put(setup.directory(), "one", &Key::number(1), "p1");
    let raw = |secret: u8| {
        format!("type: file-raw\nkeyType: BLS\nprivateKey: \"0x{}\"\n", const_hex::encode([secret; 32]))
    };
    let text = format!(
        "type: file-keystore\nkeyType: BLS\nkeystoreFile: {0}/keystores/one.json\n\
         keystorePasswordFile: {0}/passwords/one.txt\n---\n{1}---\ntype: hashicorp\n---\n\
         type: file-keystore\nkeystoreFile: two.json\nkeystorePasswordFile: two.txt\n",
        setup.directory().display(),
        raw(0x11)
    );
    private(&setup.directory().join("config/several.yaml"), &text);
    // Relative paths start where the configuration lies.
    private(&setup.directory().join("config/two.json"), &Key::number(2).keystore("p2"));
    private(&setup.directory().join("config/two.txt"), "p2");
    private(&setup.directory().join("config/single.yml"), &raw(0x22));
    let config = directory(setup.directory(), "config");
    let daemon = setup.args(&["--network", "minimal", "--key-config-path", &config]).start();
    let raw_keys = [0x11, 0x22].map(|secret| Key::from_hex(&const_hex::encode([secret; 32])));
    let mut expected: Vec<_> =
        [Key::number(1), Key::number(2)].iter().chain(&raw_keys).map(Key::name).collect();
    expected.sort();
    assert_eq!(daemon.public_keys(), expected);
    assert_eq!(health(&daemon)["files-not-loaded"], json!(["several.yaml, document 3"]));
}

#[test]
fn a_key_configuration_may_hold_anything_and_stops_neither_the_start_nor_a_reload() {
    let setup = Setup::new();
    let secret = const_hex::encode([0x11; 32]);
    let text = format!(
        "\u{feff}# ours\r\n{{\"type\": \"file-raw\", \"privateKey\": \"0x{secret}\",\r\n \
         \"wide\": 0x{secret}{secret}, \"x\": *a}}\r\n"
    );
    private(&setup.directory().join("config/a.yaml"), &text);
    private(&setup.directory().join("config/b.yaml"), "[*a]");
    private(&setup.directory().join("config/c.yaml"), &format!("type: &t file-raw\nprivateKey: *{secret}\n"));
    let config = directory(setup.directory(), "config");
    let daemon = setup.args(&["--network", "minimal", "--key-config-path", &config]).start();
    let expected = [Key::from_hex(&secret).name()];
    assert_eq!(daemon.public_keys(), expected);
    assert_eq!(health(&daemon)["files-not-loaded"], json!(["b.yaml, document 1", "c.yaml, document 1"]));

    for (number, bytes) in
        [&b"*"[..], b"&a [*a", b"? ", b"- - - {", b"\"\\x", b"!<", b"k: |9", b"\xff\xfe", b"%"]
            .into_iter()
            .enumerate()
    {
        let path = daemon.directory().join(format!("config/odd-{number}.yaml"));
        private(&path, "");
        fs::write(&path, bytes).unwrap();
        reload(&daemon);
        assert_eq!(daemon.public_keys(), expected, "{bytes:?}");
    }
    let log = daemon.log();
    assert!(log.contains("privateKey is an alias") && !log.contains(&secret), "{log}");
}

#[test]
fn a_key_that_was_deleted_and_comes_back_as_a_file_votes_again_once_it_is_imported() {
    let key = Key::number(1);
    let daemon = on_directories(Setup::new()).start();
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);
    let delete = json!({"pubkeys": [key.name()]}).to_string();
    let delete =
        Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json").body(delete);
    assert_eq!(daemon.send(&delete).json()["data"][0]["status"], "deleted");

    put(daemon.directory(), "keystore", &key, "p");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until(|daemon| daemon.public_keys() == [key.name()]);
    daemon.sign(&key, &attestation(16, 1, 2, 1)).assert_problem(412);
    let import = json!({"keystores": [key.keystore("p")], "passwords": ["p"]}).to_string();
    let answer = daemon.send(&Request::post("/eth/v1/keystores", import)).json();
    assert_eq!(answer["data"][0]["status"], "duplicate", "{answer}");
    assert!(
        answer["data"][0]["message"].as_str().unwrap_or_default().contains("deleted here before"),
        "{answer}"
    );
    assert_eq!(daemon.sign(&key, &attestation(16, 1, 2, 1)).status, 200);
    daemon.sign(&key, &attestation(8, 0, 1, 9)).assert_problem(412);
}

#[test]
fn keys_of_files_are_readonly_and_not_deleted_over_the_api() {
    let setup = Setup::new();
    put(setup.directory(), "keystore-1", &Key::number(1), "p1");
    let daemon = on_directories(setup).start();
    let key = Key::number(1);
    let listed = daemon.send(&Request::get("/eth/v1/keystores")).json();
    assert_eq!(listed["data"][0]["readonly"], true, "{listed}");
    let body = json!({"pubkeys": [key.name()]}).to_string();
    let request =
        Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json").body(body);
    let answer = daemon.send(&request).json();
    assert_eq!(answer["data"][0]["status"], "error", "{answer}");
    assert!(answer["data"][0]["message"].as_str().unwrap().contains("reload"), "{answer}");
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
}

#[test]
fn a_bad_file_is_reported_and_stops_nobody() {
    let setup = Setup::new();
    put(setup.directory(), "keystore-1", &Key::number(1), "p1");
    put(setup.directory(), "keystore-2", &Key::number(2), "Correct-Horse");
    private(&setup.directory().join("passwords/keystore-2.txt"), "Battery-Staple");
    put(setup.directory(), "keystore-3", &Key::number(3), "p3");
    fs::remove_file(setup.directory().join("passwords/keystore-3.txt")).unwrap();
    private(&setup.directory().join("keystores/keystore-4.json"), "{");
    private(&setup.directory().join("passwords/keystore-4.txt"), "p4");
    let target = setup.directory().join("keystores/keystore-1.json");
    std::os::unix::fs::symlink(target, setup.directory().join("keystores/keystore-5.json")).unwrap();
    private(&setup.directory().join("passwords/keystore-5.txt"), "p1");
    let daemon = on_directories(setup).start();
    assert_eq!(daemon.public_keys(), names(&[1]));
    let health = health(&daemon);
    assert_eq!((&health["keys-loaded"], &health["error-count"]), (&json!(1), &json!(4)), "{health}");
    let mut reported: Vec<_> =
        health["files-not-loaded"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    reported.sort_unstable();
    let bad = ["keystore-2.json", "keystore-3.json", "keystore-4.json", "keystore-5.json"];
    assert_eq!(reported, bad);
    for name in bad {
        daemon.wait_for_log(|line| line.contains("not loaded") && line.contains(name));
    }
    let log = daemon.log();
    assert!(!log.contains("Correct-Horse") && !log.contains("Battery-Staple"), "{log}");
}

#[test]
fn a_reload_takes_new_and_changed_files_in_vanished_ones_out_and_keeps_what_fails() {
    let setup = Setup::new();
    for number in 1..=3 {
        put(setup.directory(), &format!("keystore-{number}"), &Key::number(number), "p");
    }
    let daemon = on_directories(setup).start();
    assert_eq!(reload_status(&daemon), "idle");
    put(daemon.directory(), "keystore-1", &Key::number(11), "other");
    fs::remove_file(daemon.directory().join("keystores/keystore-2.json")).unwrap();
    private(&daemon.directory().join("keystores/keystore-3.json"), "{");
    put(daemon.directory(), "keystore-4", &Key::number(4), "p");
    assert_eq!(daemon.public_keys(), names(&[1, 2, 3]), "nothing changes before");
    reload(&daemon);
    assert_eq!(daemon.public_keys(), names(&[3, 4, 11]));
    assert_eq!(reload_status(&daemon), "completed_with_errors");
    let status = daemon.send(&Request::get("/reload")).json();
    assert!(status["lastError"].is_string() && status["lastOperationTime"].is_string(), "{status}");
    assert_eq!(health(&daemon)["files-not-loaded"], json!(["keystore-3.json"]));
    assert_eq!(daemon.sign(&Key::number(3), &randao_reveal(1)).status, 200);

    put(daemon.directory(), "keystore-3", &Key::number(3), "p");
    reload(&daemon);
    assert_eq!(reload_status(&daemon), "completed");
    assert_eq!(health(&daemon)["error-count"], 0);
    assert_eq!(daemon.public_keys(), names(&[3, 4, 11]));
}

#[test]
fn many_reloads_under_signing_fail_no_request_and_cost_no_memory() {
    let reloads: usize = std::env::var("BLS_SIGNER_TEST_RELOADS").map_or(300, |count| count.parse().unwrap());
    let setup = Setup::new();
    for number in 1..=3 {
        put(setup.directory(), &format!("keystore-{number}"), &Key::number(number), "p");
    }
    let raw = |number: u64| format!("type: file-raw\nprivateKey: '{}'\n", Key::number(number).secret_hex());
    let config = directory(setup.directory(), "config");
    for number in 10..40 {
        private(&setup.directory().join(format!("config/{number}.yaml")), &raw(number));
    }
    let daemon = on_directories(setup).args(&["--key-config-path", &config]).start();
    let come_and_go = daemon.directory().join("config/50.yaml");
    let round = |round: usize| {
        if round % 2 == 0 {
            private(&come_and_go, &raw(50)).clear()
        } else {
            fs::remove_file(&come_and_go).unwrap()
        }
        reload(&daemon);
        let expected = if round % 2 == 0 { 200 } else { 404 };
        assert_eq!(daemon.sign(&Key::number(50), &randao_reveal(1)).status, expected);
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let signing = scope.spawn(|| {
            let mut signed = 0_usize;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(daemon.sign(&Key::number(1), &randao_reveal(signed as u64)).status, 200);
                signed += 1;
            }
            signed
        });
        // Ends the other thread also when a round fails.
        struct End<'a>(&'a std::sync::atomic::AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let end = End(&done);
        (0..100).for_each(round);
        let before = resident_kib(&daemon);
        (0..reloads).for_each(round);
        let after = resident_kib(&daemon);
        drop(end);
        assert!(signing.join().unwrap() > 0);
        println!("{reloads} reloads: {before} KiB before, {after} KiB after");
        assert!(after < before + 4096, "{before} KiB before {reloads} reloads, {after} KiB after");
    });
}

/// Memory of the process that is in use.
fn resident_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn sighup_reloads_and_tells_the_service_manager() {
    let setup = Setup::new();
    put(setup.directory(), "keystore-1", &Key::number(1), "p");
    let mut daemon = on_directories(setup).start();
    put(daemon.directory(), "keystore-2", &Key::number(2), "p");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until(|daemon| daemon.public_keys() == names(&[1, 2]));
    let deadline = Instant::now() + PATIENCE;
    while daemon.notified().matches("READY=1").count() < 2 {
        assert!(Instant::now() < deadline, "{}", daemon.notified());
    }
    let notified = daemon.notified();
    let reloading = notified.find("RELOADING=1").expect("it says that it reloads");
    assert!(notified[reloading..].contains("MONOTONIC_USEC="), "{notified}");
    assert!(notified[reloading..].contains("READY=1"), "{notified}");
}

#[test]
fn a_second_reload_is_refused_while_one_runs_and_signing_goes_on() {
    let setup = Setup::new();
    put(setup.directory(), "keystore-1", &Key::number(1), "p");
    let daemon = on_directories(setup).start();
    // Takes long enough to be asked about in the meantime.
    put_value(daemon.directory(), "slow", &slow_keystore(&Key::number(2)), "p");
    let first = daemon.send(&Request::post("/reload", ""));
    assert_eq!((first.status, &first.json()["status"]), (202, &json!("accepted")), "{first:?}");
    let second = daemon.send(&Request::post("/reload", ""));
    assert_eq!((second.status, reload_status(&daemon).as_str()), (409, "running"), "{second:?}");
    assert_eq!(second.json()["status"], "error");
    assert!(second.assert_problem(409).contains("already in progress"), "{second:?}");
    assert_eq!(daemon.sign(&Key::number(1), &randao_reveal(1)).status, 200);
    assert_eq!(reload_status(&daemon), "running", "the signature did not wait for the reload");
}

#[test]
fn with_a_seal_secret_a_password_is_needed_only_once() {
    let setup = Setup::new();
    for number in 1..=2 {
        put(setup.directory(), &format!("keystore-{number}"), &Key::number(number), "right");
    }
    let seal = private(&setup.directory().join("seal"), &"0123456789abcdef".repeat(4));
    let daemon = on_directories(setup).args(&["--seal-file", &seal]).start();
    assert_eq!(daemon.public_keys(), names(&[1, 2]));
    let setup = daemon.kill();
    // What the key derivation would need is no longer there.
    for number in 1..=2 {
        private(&setup.directory().join(format!("passwords/keystore-{number}.txt")), "wrong");
    }
    // Another content is another matter.
    let other = Key::number(2).keystore_value("right").to_string() + "\n";
    private(&setup.directory().join("keystores/keystore-2.json"), &other);
    let daemon = setup.start();
    assert_eq!(daemon.public_keys(), names(&[1]));
    assert_eq!(health(&daemon)["files-not-loaded"], json!(["keystore-2.json"]));
    assert_eq!(daemon.sign(&Key::number(1), &randao_reveal(1)).status, 200);

    let setup = daemon.kill();
    fs::remove_file(setup.directory().join("keystores/keystore-1.json")).unwrap();
    assert_eq!(setup.start().public_keys(), Vec::<String>::new(), "a copy never stands in for its file");
}

/// Loads `keystores` with the passwords in `passwords`, both in its directory.
fn on_directories(setup: Setup) -> Setup {
    let [keystores, passwords] = ["keystores", "passwords"].map(|name| directory(setup.directory(), name));
    setup.args(&["--network", "minimal"]).args(&[
        "--keystores-path",
        &keystores,
        "--keystores-passwords-path",
        &passwords,
    ])
}

fn put(base: &Path, name: &str, key: &Key, password: &str) {
    put_value(base, name, &key.keystore_value(password), password);
}

fn put_value(base: &Path, name: &str, keystore: &Value, password: &str) {
    private(&base.join("keystores").join(name).with_extension("json"), &keystore.to_string());
    private(&base.join("passwords").join(name).with_extension("txt"), password);
}

/// The right password fails the checksum, after some seconds of derivation.
fn slow_keystore(key: &Key) -> Value {
    let mut keystore = key.keystore_value("p");
    keystore["crypto"]["kdf"]["params"]["c"] = json!(16_000_000);
    keystore
}

fn private(path: &Path, text: &str) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn directory(base: &Path, name: &str) -> String {
    let path: PathBuf = base.join(name);
    fs::create_dir_all(&path).unwrap();
    path.display().to_string()
}

fn names(numbers: &[u64]) -> Vec<String> {
    let mut names: Vec<_> = numbers.iter().map(|number| Key::number(*number).name()).collect();
    names.sort();
    names
}

fn health(daemon: &Daemon) -> Value {
    let answer = daemon.send(&Request::get("/healthcheck"));
    assert_eq!(answer.status, 200, "a bad file turns nothing red: {answer:?}");
    let json = answer.json();
    let check = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "keys-check").cloned();
    check.unwrap()["data"].clone()
}

/// How many sources give no key, as a health check that is down says it; none where it is up.
fn red(daemon: &Daemon) -> Option<Value> {
    let answer = daemon.send(&Request::get("/healthcheck"));
    let json = answer.json();
    let check = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "keys-check").unwrap();
    assert_eq!(answer.status == 200, json["status"] == "UP", "{json}");
    assert_eq!(json["status"], check["status"], "{json}");
    (answer.status == 503).then(|| check["data"]["sources-without-keys"].clone())
}

/// Asks for a reload and waits for its end.
fn reload(daemon: &Daemon) {
    let answer = daemon.send(&Request::post("/reload", ""));
    assert_eq!(answer.status, 202, "{answer:?}");
    daemon.wait_until(|daemon| reload_status(daemon) != "running");
}

fn reload_status(daemon: &Daemon) -> String {
    let answer = daemon.send(&Request::get("/reload"));
    answer.json()["status"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

const TOKEN: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
