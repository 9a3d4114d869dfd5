//! Root's `bls-signer check` of the packaged service: it sees what the service's user sees from behind the unit's walls.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::support::package::Package;
use crate::support::{Key, text};

#[test]
fn a_key_file_that_root_alone_can_read_is_wrong() {
    let Some(package) = Package::installed() else { return };
    let file = with_key_file(&package);
    assert_fine(&package);
    chown(&file, Some(0), Some(0)).unwrap();
    assert_wrong(&package, "keys", &["/etc/bls-signer/keys/a.yaml", "Permission denied"]);
}

#[test]
fn a_ledger_of_root_s_is_wrong() {
    let Some(package) = Package::installed() else { return };
    with_key_file(&package);
    chown(package.state().join("ledger.sqlite"), Some(0), Some(0)).unwrap();
    assert_wrong(&package, "ledger", &["/var/lib/bls-signer"]);
}

#[test]
fn a_source_that_the_unit_hides_is_wrong_though_the_user_could_read_it() {
    let Some(package) = Package::installed() else { return };
    let private = tempfile::tempdir_in("/tmp").unwrap();
    write_key(private.path());
    package.give(private.path());
    configure(&package, private.path());
    assert_wrong(&package, "keys", &[private.path().to_str().unwrap(), "No such file"]);
    for hidden in ["/home", "/root"] {
        configure(&package, Path::new(hidden));
        assert_wrong(&package, "keys", &[hidden, "Permission denied"]);
    }
}

/// Gives the service one key configuration file, whose path seen from outside is answered.
fn with_key_file(package: &Package) -> PathBuf {
    let keys = package.config().with_file_name("keys");
    fs::create_dir(&keys).unwrap();
    let file = write_key(&keys);
    package.give(&keys);
    configure(package, Path::new("/etc/bls-signer/keys"));
    file
}

fn write_key(directory: &Path) -> PathBuf {
    let file = directory.join("a.yaml");
    fs::write(&file, format!("type: file-raw\nprivateKey: '{}'\n", Key::number(1).secret_hex())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn configure(package: &Package, keys: &Path) {
    let shipped = fs::read_to_string(package.config()).unwrap();
    let others = shipped.lines().filter(|line| !line.starts_with("key_config_path"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    fs::write(package.config(), format!("key_config_path = '{}'\n{others}", keys.display())).unwrap();
}

#[track_caller]
fn assert_fine(package: &Package) {
    let checked = package.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
}

/// One finding on this matter is wrong, and says so.
#[track_caller]
fn assert_wrong(package: &Package, matter: &str, said: &[&str]) {
    let checked = package.run(&["check"]);
    assert!(!checked.status.success(), "{checked:?}");
    let findings = text(&checked);
    let mut wrong = findings.lines().filter(|line| line.starts_with("WRONG") && line.contains(matter));
    assert!(wrong.any(|line| said.iter().all(|said| line.contains(said))), "{findings}");
}
