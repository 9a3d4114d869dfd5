//! Defaults, contradictions and credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::raw_roots::RawRoots;
use crate::regular_file::FileError;

fn validate(toml: &str) -> Result<Settings, Error> {
    validate_in(toml, &[("HOME", "/home/me")])
}

fn validate_in(toml: &str, environment: &[(&str, &str)]) -> Result<Settings, Error> {
    let raw = RawSettings::from_toml(toml).unwrap_or_else(|error| panic!("{error:?}"));
    Settings::validate(raw, None, &environment.iter().copied().collect())
}

fn error(toml: &str) -> Error {
    validate(toml).err().unwrap_or_else(|| panic!("accepted: {toml}"))
}

fn secret_file(directory: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, "0123456789abcdef").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn nothing_given_serves_everything_on_the_loopback_port_8080() {
    let settings = validate("").ok().unwrap();
    assert_eq!(settings.listen, ["all=127.0.0.1:8080".parse().unwrap()]);
    assert!(!settings.listen_chosen);
    assert!(settings.ledger.slashing_protection && settings.ledger.required);
    assert_eq!(settings.ledger.state_dir, PathBuf::from("/home/me/.local/state/bls-signer"));
    assert_eq!(settings.allowed_hosts, ["localhost", "127.0.0.1", "[::1]"]);
    assert_eq!(settings.network, "mainnet");
    assert_eq!(settings.raw_roots, RawRoots::UnprotectedKeys);
    assert_eq!(settings.log_level, LogLevel::Info);
    assert!(
        settings.tls.is_none()
            && settings.tokens.signing.is_none()
            && settings.tokens.keymanager.is_none()
            && settings.warnings.is_empty()
    );
}

#[test]
fn the_example_file_shows_the_real_defaults() {
    let example = include_str!("../../../packaging/config.toml");
    let shown = |key: &str| {
        let line = example.lines().find(|line| line.starts_with(&format!("#{key} = ")));
        line.unwrap().strip_prefix('#').unwrap().to_owned()
    };
    let keys = [
        "host",
        "port",
        "http_host_allowlist",
        "network",
        "slashing_protection",
        "refuse_far_future",
        "shared_root_tables",
        "kdf_memory",
        "max_connections",
        "max_requests",
        "header_timeout",
        "idle_timeout",
        "log_level",
    ];
    let from_example = validate(&keys.map(shown).join("\n")).ok().unwrap();
    let default = validate("").ok().unwrap();
    assert_eq!(from_example.listen, default.listen);
    assert_eq!(from_example.allowed_hosts, default.allowed_hosts);
    assert_eq!(from_example.network, default.network);
    assert_eq!(from_example.ledger, default.ledger);
    assert!(from_example.refuse_far_future && default.refuse_far_future);
    assert!(from_example.shared_root_tables && default.shared_root_tables);
    assert_eq!(from_example.keys, default.keys);
    assert_eq!(from_example.limits, default.limits);
    assert_eq!(from_example.log_level, default.log_level);
}

#[test]
fn host_and_port_serve_everything_there() {
    let settings = validate("host = '::1'\nport = 9000").ok().unwrap();
    assert_eq!(settings.listen, ["all=[::1]:9000".parse().unwrap()]);
    assert!(settings.listen_chosen);
    assert!(matches!(error("host = 'signer.example.org'"), Error::Host { .. }));
}

#[test]
fn listen_excludes_host_and_port_of_the_same_source() {
    assert!(matches!(error("listen = ['signing=unix:/a']\nport = 1"), Error::Conflict { .. }));
    assert!(matches!(error("listen = ['signing=unix:/a']\nhost = '::1'"), Error::Conflict { .. }));
    assert!(matches!(error("listen = []"), Error::NoListener));
}

#[test]
fn keys_are_not_managed_by_anybody_on_the_network() {
    for open in [
        "host = '0.0.0.0'",
        "host = '::'",
        "host = '192.0.2.1'",
        "listen = ['keymanager=0.0.0.0:1']",
        "listen = ['signing=unix:/a', 'all=[2001:db8::1]:1']",
        "host = '::ffff:192.0.2.1'",
    ] {
        let error = error(open);
        assert!(matches!(&error, Error::OpenKeymanager(_)), "{open}: {error}");
        assert!(error.to_string().contains("--auth-token-file"));
        assert!(validate(&format!("auth_token = '0123456789abcdef'\n{open}")).is_ok(), "{open}");
        assert!(validate(&format!("allow_open_keymanager = true\n{open}")).is_ok(), "{open}");
        assert!(validate(&format!("allow_open_keymanager = false\n{open}")).is_err(), "{open}");
    }
    for fine in [
        "host = '127.0.0.2'",
        "host = '::1'",
        "listen = ['signing=0.0.0.0:1', 'metrics=0.0.0.0:2']",
        "listen = ['keymanager=unix:/a']",
        "host = '::ffff:127.0.0.1'",
    ] {
        assert!(validate(fine).is_ok(), "{fine}");
    }
}

#[test]
fn client_certificates_guard_a_keymanager_listener_and_tls_alone_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let file = secret_file(&directory, "pem");
    let file = file.display();
    let tls = format!("host = '0.0.0.0'\ntls_cert = '{file}'\ntls_key = '{file}'");
    assert!(matches!(error(&tls), Error::OpenKeymanager(_)));
    for option in ["tls_client_ca", "tls_known_clients_file"] {
        let guarded = validate(&format!("{tls}\n{option} = '{file}'")).ok().unwrap();
        assert_eq!(guarded.warnings, Vec::<String>::new(), "{option}");
    }
}

#[test]
fn a_tls_key_that_everybody_can_read_is_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    let file = secret_file(&directory, "pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let settings = validate(&format!("tls_cert = '{0}'\ntls_key = '{0}'", file.display())).ok().unwrap();
    assert!(settings.warnings[0].contains("the TLS key"), "{:?}", settings.warnings);
}

#[test]
fn one_token_comes_from_one_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = secret_file(&directory, "auth-token");
    let both = format!("auth_token = 'x'\nauth_token_file = '{}'", file.display());
    assert!(matches!(error(&both), Error::Conflict { .. }));
    assert!(matches!(error("auth_token = ''"), Error::EmptyToken));

    let credentials = [("HOME", "/"), ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
    let from_credential = validate_in("", &credentials).ok().unwrap();
    assert_eq!(from_credential.tokens.signing.unwrap().reveal(), "0123456789abcdef");
    let given = validate_in("auth_token = 'fedcba9876543210'", &credentials).ok().unwrap();
    assert_eq!(given.tokens.keymanager.unwrap().reveal(), "fedcba9876543210");
}

#[test]
fn a_keymanager_on_the_network_needs_its_own_role_s_token() {
    let directory = tempfile::tempdir().unwrap();
    let token = |role: &str| {
        let file = secret_file(&directory, role);
        format!("auth_token_file = ['{role}={}']\nlisten = ['keymanager=0.0.0.0:1']", file.display())
    };
    assert!(matches!(error(&token("signing")), Error::OpenKeymanager(_)));
    let settings = validate(&token("keymanager")).ok().unwrap();
    assert!(settings.tokens.signing.is_none() && settings.tokens.keymanager.is_some());
}

#[test]
fn what_cannot_be_refused_is_said_of_each_listener() {
    let directory = tempfile::tempdir().unwrap();
    let file = secret_file(&directory, "file").display().to_string();
    let token = "auth_token = '0123456789abcdef'".to_owned();
    let keymanager_token = format!("auth_token_file = ['keymanager={file}']");
    let tls = format!("tls_cert = '{file}'\ntls_key = '{file}'");
    let certificates = format!("{tls}\ntls_known_clients_file = '{file}'");
    let (beyond, local) = ("192.0.2.1:1", "127.0.0.2:1");
    for (options, role, address, said) in [
        ("", Role::Signing, beyond, &["signs for everybody who reaches it"][..]),
        ("", Role::Signing, "[::]:1", &["signs for everybody who reaches it"]),
        (&tls, Role::Signing, beyond, &["signs for everybody who reaches it"]),
        (&keymanager_token, Role::Signing, beyond, &["signs for everybody who reaches it"]),
        (&certificates, Role::Signing, beyond, &[]),
        (&token, Role::Signing, beyond, &["has no TLS"]),
        (&format!("{token}\n{tls}"), Role::Signing, beyond, &[]),
        (&keymanager_token, Role::All, beyond, &["signs for everybody who reaches it", "has no TLS"]),
        (&token, Role::Keymanager, beyond, &["has no TLS"]),
        ("", Role::Metrics, beyond, &[]),
        ("", Role::Signing, local, &[]),
        ("", Role::Keymanager, beyond, &["LETS EVERYBODY WHO REACHES IT IMPORT AND DELETE KEYS"]),
        (
            "",
            Role::All,
            beyond,
            &["signs for everybody", "LETS EVERYBODY WHO REACHES IT IMPORT AND DELETE KEYS"],
        ),
        ("", Role::All, local, &["have everything signed there, import and delete keys"]),
        ("", Role::Keymanager, "[::ffff:127.0.0.1]:1", &["can import and delete keys there"]),
        (&keymanager_token, Role::All, local, &[]),
        (&certificates, Role::All, local, &[]),
        (&token, Role::All, local, &[]),
    ] {
        let settings = validate(options).ok().unwrap();
        let exposures = settings.exposures(role, address.parse().unwrap());
        let texts: Vec<_> = exposures.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), said.len(), "{options} {role} {address}: {texts:?}");
        for (text, said) in texts.iter().zip(said) {
            assert!(text.contains(said) && text.starts_with(&format!("{role} on {address}")), "{text}");
        }
    }
}

#[test]
fn a_short_token_and_an_unknown_variable_are_warned_about() {
    let environment = [("HOME", "/"), ("BLS_SIGNER_PROT", "1")];
    let settings = validate_in("auth_token = 'secret'", &environment).ok().unwrap();
    assert_eq!(settings.warnings.len(), 2);
    assert!(settings.warnings.iter().all(|warning| !warning.contains("secret")));
}

#[test]
fn allowed_hosts_are_names_or_addresses_without_port() {
    for fine in ["*", "signer.example.org", "192.0.2.1", "[2001:db8::1]"] {
        let settings = validate(&format!("http_host_allowlist = ['{fine}']")).ok().unwrap();
        assert_eq!(settings.allowed_hosts, [fine]);
    }
    for wrong in ["", "localhost:9000", "http://localhost", "a b"] {
        let error = error(&format!("http_host_allowlist = ['{wrong}']"));
        assert!(matches!(error, Error::AllowedHost { .. }), "{wrong}");
    }
}

#[test]
fn allowed_origins_are_exact() {
    assert_eq!(validate("").ok().unwrap().allowed_origins, Vec::<String>::new());
    for fine in ["http://brain.web3signer.dappnode", "https://a.example:8443", "http://[::1]:80"] {
        let settings = validate(&format!("http_origin_allowlist = ['{fine}']")).ok().unwrap();
        assert_eq!(settings.allowed_origins, [fine]);
    }
    for wrong in [
        "",
        "*",
        "null",
        "a.example",
        "http://",
        "http://a/",
        "http://*.a",
        "ftp://a",
        "http://a b",
        "http://u@a",
    ] {
        let error = error(&format!("http_origin_allowlist = ['{wrong}']"));
        assert!(matches!(error, Error::AllowedOrigin { .. }), "{wrong}");
    }
}

#[test]
fn a_required_ledger_contradicts_protection_that_is_off() {
    assert!(matches!(error("slashing_protection = 'off'\nrequire_ledger = true"), Error::Conflict { .. }));
    assert!(!validate("slashing_protection = 'off'").ok().unwrap().ledger.slashing_protection);
    for (given, required) in [("", true), ("require_ledger = true", true), ("require_ledger = false", false)]
    {
        assert_eq!(validate(given).ok().unwrap().ledger.required, required, "{given:?}");
    }
}

#[test]
fn the_state_directory_must_be_known() {
    assert!(matches!(validate_in("", &[]).err(), Some(Error::NoStateDirectory)));
    let settings = validate_in("state_dir = '/s'", &[("STATE_DIRECTORY", "/var/lib/x")]).ok().unwrap();
    assert_eq!(settings.ledger.state_dir, PathBuf::from("/s"));
}

#[test]
fn keystores_and_their_passwords_come_together() {
    assert!(matches!(error("keystores_path = '/k'"), Error::Incomplete { .. }));
    assert!(matches!(error("keystores_passwords_path = '/p'"), Error::Incomplete { .. }));
    assert!(
        validate("keystores_path = '/k'\nkeystores_passwords_path = '/p'")
            .ok()
            .unwrap()
            .keys
            .keystores
            .is_some()
    );
}

#[test]
fn the_seal_comes_from_the_credentials_unless_a_file_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let seal = secret_file(&directory, "seal");
    let other = secret_file(&directory, "other");
    let credentials = [("HOME", "/"), ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
    assert_eq!(validate_in("", &credentials).ok().unwrap().keys.seal_file, Some(seal));
    let given = format!("seal_file = '{}'", other.display());
    assert_eq!(validate_in(&given, &credentials).ok().unwrap().keys.seal_file, Some(other.clone()));

    fs::set_permissions(&other, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(error(&given), Error::File { source: FileError::Readable { .. }, .. }));
    assert!(matches!(error("seal_file = '/nonexistent'"), Error::File { source: FileError::Read(_), .. }));
    assert!(matches!(error("seal_file = '/dev/zero'"), Error::File { source: FileError::NotRegular, .. }));
}

#[test]
fn zero_is_no_limit() {
    for key in
        ["max_connections", "max_requests", "header_timeout", "idle_timeout", "signing_timeout", "kdf_memory"]
    {
        assert!(RawSettings::from_toml(&format!("{key} = 0")).is_err(), "{key}");
    }
}
