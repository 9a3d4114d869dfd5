//! Backup and restore: a drill, with what must not happen on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::{Key, Request, Setup, attestation_on_hoodi, command, ended, on, run, said, text};

const SEAL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";

#[test]
fn a_restored_backup_has_the_keys_and_signs_nothing_that_was_signed_after_it() {
    let [key, deleted] = [1, 2].map(Key::number);
    let daemon = sealed().start();
    daemon.import(&[&key, &deleted]);
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_000, 1)).status, 200);
    let body = json!({"pubkeys": [deleted.name()]}).to_string();
    let deletion =
        Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json").body(body);
    assert_eq!(daemon.send(&deletion).status, 200);

    let file = daemon.directory().join("backup.json").display().to_string();
    let made = on(&daemon, &["backup", &file]);
    assert!(made.status.success() && text(&made).contains("1 sealed keys"), "{made:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let content = fs::read_to_string(&file).unwrap();
    assert!(content.contains(&key.name()) && !content.contains(SEAL), "{content}");
    assert!(!content.contains(&key.secret_hex()), "{content}");
    // The only copy of another one, perhaps.
    assert!(said(&on(&daemon, &["backup", &file])).contains("cannot write"));

    // What the backup lacks.
    assert_eq!(daemon.sign(&key, &attestation_on_hoodi(60_001, 1)).status, 200);
    let running = restore(daemon.directory(), &file);
    assert!(said(&running).contains("end it first"), "{running:?}");
    let setup = daemon.kill();
    let newer = restore(setup.directory(), &file);
    assert!(!newer.status.success() && said(&newer).contains("may be newer than the backup"), "{newer:?}");

    fs::rename(setup.directory().join("state"), setup.directory().join("lost")).unwrap();
    let restored = restore(setup.directory(), &file);
    assert!(restored.status.success() && text(&restored).contains("restored 2 keys"), "{restored:?}");
    let daemon = setup.start();
    daemon.wait_for_log(|line| {
        line.contains("WATERMARKS WERE LIFTED") && line.contains("restored from a backup")
    });
    assert_eq!(daemon.public_keys(), [key.name()]);
    for target in [60_001, 60_002] {
        daemon.sign(&key, &attestation_on_hoodi(target, 2)).assert_problem(412);
    }
    let status = text(&on(&daemon, &["slashing-protection", "status"]));
    assert!(
        status.lines().any(|line| line.starts_with(&deleted.name()) && line.contains("deleted")),
        "{status}"
    );
    // The lift is done once.
    let daemon = daemon.kill_and_restart();
    assert!(!daemon.log().contains("WATERMARKS WERE LIFTED"));
}

#[test]
fn a_backup_is_made_of_a_ledger_that_nobody_has_open_and_a_broken_file_changes_nothing() {
    let key = Key::number(1);
    let daemon = sealed().start();
    daemon.import(&[&key]);
    let setup = daemon.kill();
    let directory = setup.directory();
    let made = run(directory, &["backup", "--state-dir", "state", "backup.json"]);
    assert!(made.status.success(), "{made:?}");
    let whole = fs::read_to_string(directory.join("backup.json")).unwrap();
    fs::rename(directory.join("state"), directory.join("lost")).unwrap();
    for (broken, word) in [
        (&whole[..whole.len() / 2], "EOF"),
        (&whole.replace("\"version\":1", "\"version\":2"), "version 2"),
        ("{}", "missing field"),
    ] {
        fs::write(directory.join("broken.json"), broken).unwrap();
        let refused = restore(directory, "broken.json");
        assert!(!refused.status.success() && said(&refused).contains(word), "{word}: {refused:?}");
        assert!(!directory.join("state").exists(), "{word}");
    }
    assert!(said(&restore(directory, "none.json")).contains("cannot read none.json"));
    assert!(restore(directory, "backup.json").status.success());
}

fn restore(directory: &Path, file: &str) -> std::process::Output {
    ended(command(directory, &["restore", "--network", "hoodi", "--state-dir", "state", file]))
}

/// With sealed keys, where the present is known.
fn sealed() -> Setup {
    let setup = Setup::new().args(&["--network", "hoodi"]);
    let seal = setup.private_file("seal", &format!("{SEAL}\n"));
    setup.args(&["--seal-file", seal.to_str().unwrap()]).with_runtime_directory()
}
