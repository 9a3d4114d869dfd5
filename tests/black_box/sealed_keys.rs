//! Imported keys on disk: they outlive SIGKILL, open only with their secret, and change it all at once.

use std::path::Path;
use std::process::{Command, Output};

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Daemon, Key, Request, Setup, attestation, binary, randao_reveal};

const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";
const NEW: &str = "aa112233445566778899aabbccddeeff00112233445566778899aabbccddee02";

#[test]
fn a_key_whose_import_was_answered_and_its_history_outlive_sigkill() {
    let daemon = sealed(Setup::new(), OLD).start();
    let key = Key::number(1);
    let body = json!({
        "keystores": [key.keystore("p")],
        "passwords": ["p"],
        "slashing_protection": json!({
            "metadata": {
                "interchange_format_version": "5",
                "genesis_validators_root": format!("0x{}", "47".repeat(32)),
            },
            "data": [{
                "pubkey": key.name(),
                "signed_blocks": [],
                "signed_attestations": [{"source_epoch": "5", "target_epoch": "6"}],
            }],
        }).to_string(),
    });
    let answer = daemon.send(&Request::post("/eth/v1/keystores", body.to_string()));
    assert_eq!(answer.json()["data"], json!([{"status": "imported"}]), "{answer:?}");

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [key.name()]);
    assert_eq!(daemon.sign(&key, &attestation(48, 5, 6, 1)).status, 412, "the history is in force");
    assert_eq!(daemon.sign(&key, &attestation(56, 6, 7, 1)).status, 200);
    let listed = daemon.send(&Request::get("/eth/v1/keystores")).json();
    let entry =
        json!({"validating_pubkey": key.name(), "derivation_path": "m/12381/3600/0/0/0", "readonly": false});
    assert_eq!(listed["data"], json!([entry]));
}

#[test]
fn a_deleted_key_stays_deleted() {
    let daemon = sealed(Setup::new(), OLD).start();
    let (gone, stays) = (Key::number(1), Key::number(2));
    daemon.import(&[&gone, &stays]);
    assert_eq!(daemon.sign(&gone, &attestation(8, 0, 1, 1)).status, 200);
    assert_eq!(delete(&daemon, &gone), "deleted");
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys(), [stays.name()]);
    assert_eq!(daemon.sign(&gone, &randao_reveal(1)).status, 404);
    assert_eq!(delete(&daemon, &gone), "not_active");
    let path = daemon.directory().join("state/ledger.sqlite");
    drop(daemon.kill_and_keep(&path, |rows| assert_eq!(rows.len(), 1, "its keystore is gone too")));
}

#[test]
fn a_sealed_keystore_is_one_that_other_programs_open_with_the_secret() {
    let daemon = sealed(Setup::new(), OLD).start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    let path = daemon.directory().join("state/ledger.sqlite");
    drop(daemon.kill_and_keep(&path, |rows| {
        let keystore: Value = serde_json::from_str(&rows[0]).unwrap();
        assert_eq!(keystore["version"], 4);
        let secret = decrypt(&keystore, OLD);
        assert_eq!(Key::from_hex(&const_hex::encode(secret)).name(), key.name());
    }));
}

#[test]
fn a_missing_or_another_secret_ends_the_start_with_one_line_and_loses_nothing() {
    let daemon = sealed(Setup::new(), OLD).start();
    let keys = [Key::number(1), Key::number(2)];
    daemon.import(&keys.each_ref());
    let mut setup = daemon.kill();
    for (secret, said) in [
        (Some(NEW), "sealed under another secret"),
        (Some("not a secret"), "64 random hexadecimal digits"),
        (None, "2 keys are sealed"),
    ] {
        let path = setup.directory().join("seal");
        match secret {
            Some(secret) => drop(private(&setup, "seal", secret)),
            None => std::fs::remove_file(path).unwrap(),
        }
        // Without the file there is no option either.
        let mut refused = match secret {
            Some(_) => setup.spawn(),
            None => setup.without("--seal-file").spawn(),
        };
        assert_eq!(refused.wait().code(), Some(78), "{}", refused.log());
        let log = refused.log();
        let lines: Vec<_> = log.lines().filter(|line| line.starts_with("bls-signer: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(said), "{log}");
        assert!(!log.contains(OLD) && !log.contains(NEW), "{log}");
        setup = refused.kill();
    }
    let daemon = sealed(setup, OLD).start();
    assert_eq!(sorted(daemon.public_keys()), sorted(keys.each_ref().map(Key::name)));
}

#[test]
fn resealing_changes_the_secret_of_all_keys_and_of_nothing_else() {
    let daemon = sealed(Setup::new(), OLD).start();
    let keys = [Key::number(1), Key::number(2), Key::number(3)];
    daemon.import(&keys.each_ref());
    assert_eq!(daemon.sign(&keys[0], &attestation(8, 0, 1, 1)).status, 200);

    private_in(daemon.directory(), "new-seal", NEW);
    let in_use = reseal(daemon.directory());
    assert_eq!(in_use.status.code(), Some(75), "a daemon has the keys: {in_use:?}");

    let setup = daemon.kill();
    let done = reseal(setup.directory());
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("3 imported keys and 0 copies"), "{done:?}");
    let again = reseal(setup.directory());
    assert_eq!(again.status.code(), Some(78), "the old secret opens nothing any more: {again:?}");
    assert_one_line(&again, "nothing was changed");

    let mut refused = setup.spawn();
    assert_eq!(refused.wait().code(), Some(78), "{}", refused.log());
    assert!(refused.log().contains("sealed under another secret"), "{}", refused.log());

    let daemon = sealed(refused.kill(), NEW).start();
    assert_eq!(sorted(daemon.public_keys()), sorted(keys.each_ref().map(Key::name)));
    assert_eq!(daemon.sign(&keys[1], &randao_reveal(1)).status, 200);
    assert_eq!(daemon.sign(&keys[0], &attestation(8, 0, 1, 2)).status, 412, "the history has stayed");
}

#[test]
fn resealing_asks_for_both_secrets_and_for_good_ones() {
    let daemon = sealed(Setup::new(), OLD).start();
    daemon.import(&[&Key::number(1)]);
    let setup = daemon.kill();
    let missing = reseal(setup.directory());
    assert_eq!(missing.status.code(), Some(78), "{missing:?}");
    assert_one_line(&missing, "new-seal");
    private(&setup, "new-seal", "1234");
    assert_one_line(&reseal(setup.directory()), "64 random hexadecimal digits");
    let open = private(&setup, "new-seal", NEW);
    std::fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_one_line(&reseal(setup.directory()), "can be read by every user");
    assert_eq!(setup.start().public_keys(), [Key::number(1).name()]);
}

/// With this seal secret in its own directory.
fn sealed(setup: Setup, secret: &str) -> Setup {
    let file = private(&setup, "seal", secret);
    let setup = setup.without("--network").without("--seal-file");
    setup.args(&["--network", "minimal", "--seal-file", file.to_str().unwrap()])
}

fn private(setup: &Setup, name: &str, text: &str) -> std::path::PathBuf {
    private_in(setup.directory(), name, text)
}

fn private_in(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// From the secret in `seal` to the one in `new-seal`.
fn reseal(directory: &Path) -> Output {
    let path = |name: &str| directory.join(name).display().to_string();
    Command::new(binary())
        .args(["keys", "reseal", "--state-dir", &path("state")])
        .args(["--seal-file", &path("seal"), "--new-seal-file", &path("new-seal")])
        .env_clear()
        .output()
        .unwrap()
}

#[track_caller]
fn assert_one_line(output: &Output, said: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(stderr.lines().count() == 1 && stderr.contains(said), "{stderr}");
    assert!(!stderr.contains(OLD) && !stderr.contains(NEW), "{stderr}");
}

fn delete(daemon: &Daemon, key: &Key) -> String {
    let body = json!({"pubkeys": [key.name()]}).to_string();
    let request =
        Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json").body(body);
    let answer = daemon.send(&request);
    answer.json()["data"][0]["status"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

impl Daemon {
    /// Kills it and shows the keystores that lie in its ledger.
    fn kill_and_keep(self, ledger: &Path, look: impl FnOnce(&[String])) -> Setup {
        let setup = self.kill();
        let connection = Connection::open(ledger).unwrap();
        let mut statement = connection.prepare("SELECT keystore FROM sealed_keystores ORDER BY key").unwrap();
        let rows: Vec<String> =
            statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        look(&rows);
        setup
    }
}

/// EIP-2335 as its text says, without anything of the daemon's.
fn decrypt(keystore: &Value, password: &str) -> [u8; 32] {
    let hex = |pointer: &str| {
        const_hex::decode(keystore["crypto"].pointer(pointer).unwrap().as_str().unwrap()).unwrap()
    };
    let kdf = &keystore["crypto"]["kdf"];
    assert_eq!((&kdf["function"], &kdf["params"]["prf"]), (&json!("pbkdf2"), &json!("hmac-sha256")));
    let iterations = kdf["params"]["c"].as_u64().unwrap() as u32;
    let mut derived = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &hex("/kdf/params/salt"), iterations, &mut derived);
    let mut message = hex("/cipher/message");
    let checksum = Sha256::new().chain_update(&derived[16..]).chain_update(&message).finalize();
    assert_eq!(checksum.to_vec(), hex("/checksum/message"), "the password is right");
    let iv: [u8; 16] = hex("/cipher/params/iv").try_into().unwrap();
    Ctr128BE::<Aes128>::new(derived[..16].into(), &iv.into()).apply_keystream(&mut message);
    message.try_into().unwrap()
}

fn sorted(names: impl Into<Vec<String>>) -> Vec<String> {
    let mut names = names.into();
    names.sort();
    names
}
