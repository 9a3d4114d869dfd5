//! The token of the packaged daemon: root's commands find it where the daemon has it from.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::package::{PACKAGED_KEYMANAGER, Package};
use crate::support::{Setup, State, said};

#[test]
fn root_s_commands_carry_the_token_that_the_daemon_s_configuration_names() {
    for option in [
        "auth_token_file = '/etc/bls-signer/token'",
        "auth_token_file = ['signing=/etc/bls-signer/other', 'keymanager=/etc/bls-signer/token']",
    ] {
        let Some(package) = Package::installed() else { return };
        let text = fs::read_to_string(package.config()).unwrap();
        fs::write(package.config(), format!("{option}\n{text}")).unwrap();
        for (name, token) in [("token", TOKEN), ("other", OTHER)] {
            secret(&package, &format!("etc/bls-signer/{name}"), token);
        }
        assert_found(&package, &[]);
    }
}

#[test]
fn root_s_commands_carry_the_token_that_systemd_delivers_to_the_daemon() {
    let Some(package) = Package::installed() else { return };
    secret(&package, "run/credentials/bls-signer.service/auth-token", TOKEN);
    assert_found(&package, &[("CREDENTIALS_DIRECTORY", "/run/credentials/bls-signer.service")]);
}

#[track_caller]
fn assert_found(package: &Package, environment: &[(&str, &str)]) {
    package.give(package.keymanager().parent().unwrap());
    let keymanager = format!("keymanager=unix:{PACKAGED_KEYMANAGER}");
    let setup = Setup::new().with_state(State::Unnamed).listen("signing", "unix:signer.sock");
    let setup = environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    let _daemon = package.service(setup.args(&["--listen", &keymanager])).start();

    for command in [&["keys", "list"][..], &["slashing-protection", "status"]] {
        let done = package.run(command);
        assert!(done.status.success(), "{command:?}: {done:?}");
        let named = package.run(&[command, &["--connect", &format!("unix:{PACKAGED_KEYMANAGER}")]].concat());
        assert!(named.status.success(), "{command:?}: {named:?}");
    }
    // Who names another one means it.
    let wrong = secret(package, "home/wrong", OTHER);
    let refused = package.run(&["keys", "list", "--auth-token-file", &wrong]);
    assert!(said(&refused).contains("403"), "{refused:?}");
}

/// A file of the service's user, whose path seen from outside is answered.
fn secret(package: &Package, name: &str, text: &str) -> String {
    let path = package.home().parent().unwrap().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    package.give(&path);
    path.display().to_string()
}

const TOKEN: &str = "0123456789abcdef-right";
const OTHER: &str = "0123456789abcdef-other";
