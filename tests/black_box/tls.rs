//! TLS on TCP listeners: 1.2 and 1.3, nothing in the clear, files in the form that is read.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::support::{
    Address, Connection, Daemon, Key, Request, Setup, binary, build_preload, randao_reveal,
};

pub const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tls");

#[test]
fn serves_tls_1_2_and_1_3() {
    let daemon = signer(&[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut connection = connect(&daemon, client(version, true, None));
        assert_eq!(connection.exchange(&Request::get("/upcheck")).text(), "OK");
        let key = Key::number(1);
        let sign = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
        assert_eq!(connection.exchange(&sign).status, 404);
    }
}

#[test]
fn answers_nothing_in_the_clear() {
    let daemon = signer(&[]);
    let mut connection = Connection::open(&daemon.tcp("all"));
    connection.send(&Request::get("/upcheck").bytes());
    assert!(connection.try_answer().is_err());
}

#[test]
fn handshakes_that_do_not_come_hold_up_nobody() {
    let daemon = signer(&["--max-connections", "8", "--header-timeout", "3600"]);
    let mut used = connect(&daemon, client(&rustls::version::TLS13, true, None));
    assert_eq!(used.exchange(&Request::get("/upcheck")).status, 200);
    let mut silent: Vec<_> = (0..64).map(|_| Connection::open(&daemon.tcp("all"))).collect();
    let mut new = connect(&daemon, client(&rustls::version::TLS13, true, None));
    assert_eq!(new.exchange(&Request::get("/upcheck")).status, 200);
    assert_eq!(used.exchange(&Request::get("/upcheck")).status, 200);
    for connection in &mut silent {
        assert!(connection.is_closed());
    }
}

#[test]
fn a_client_that_does_not_trust_the_authority_gets_nowhere() {
    let daemon = signer(&[]);
    let mut connection = connect(&daemon, client(&rustls::version::TLS13, false, None));
    assert!(connection.try_send(&Request::get("/upcheck").bytes()).is_err());
}

#[test]
fn a_command_that_meets_tls_says_that_it_speaks_none() {
    let daemon = signer(&[]);
    let Address::Tcp(address) = daemon.tcp("all") else { panic!("TCP") };
    for command in [&["keys", "list"][..], &["status"], &["slashing-protection", "status"]] {
        let address = address.to_string();
        let output = Command::new(binary()).args(command).args(["--connect", &address]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        for expected in [&address, "speak no TLS", "Unix socket"] {
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn another_certificate_of_the_server_is_shown_from_a_reload_on_and_open_connections_go_on() {
    let setup = Setup::new();
    let [certificate, key] = ["server.pem", "server.key"].map(|name| private_copy(name, setup.directory()));
    let daemon = setup
        .args(&["--network", "minimal", "--tls-cert", &certificate, "--tls-key", &key])
        .listen("all", "unix:signer.sock")
        .listen("all", "127.0.0.1:0")
        .start();
    let answers = |roots: &str| {
        let mut connection = connect(&daemon, trusting(&rustls::version::TLS13, roots));
        let upcheck = Request::get("/upcheck").bytes();
        connection.try_send(&upcheck).and_then(|()| connection.try_answer()).is_ok()
    };
    let mut open = connect(&daemon, trusting(&rustls::version::TLS13, "ca"));
    assert_eq!(open.exchange(&Request::get("/upcheck")).status, 200);
    assert!(!answers("server-usage"));

    for (new, old) in [("server-usage.pem", &certificate), ("server-usage.key", &key)] {
        std::fs::copy(private_copy(new, daemon.directory()), old).unwrap();
    }
    assert_eq!(daemon.send(&Request::post("/reload", "")).status, 202);
    daemon.wait_until(|daemon| daemon.send(&Request::get("/reload")).json()["status"] == "completed");
    assert!(answers("server-usage") && !answers("ca"));
    assert_eq!(open.exchange(&Request::get("/upcheck")).status, 200);
}

#[test]
fn a_unix_socket_beside_it_needs_no_tls() {
    let daemon = signer(&[]);
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn a_certificate_without_its_key_ends_the_start() {
    let certificate = format!("{FILES}/server.pem");
    let directory = tempfile::tempdir().unwrap();
    let wrong_key = private_copy("client.key", directory.path());
    let no_key = private_copy("server.pem", directory.path());
    for (args, named) in [
        (vec!["--tls-cert", &certificate], "tls-key"),
        (vec!["--tls-cert", "/nonexistent.pem", "--tls-key", &wrong_key], "/nonexistent.pem"),
        (vec!["--tls-cert", &certificate, "--tls-key", &wrong_key], certificate.as_str()),
        (vec!["--tls-cert", &certificate, "--tls-key", &no_key], no_key.as_str()),
    ] {
        let (status, log) = Setup::new().listen("all", "127.0.0.1:0").args(&args).fails();
        assert!(!status.success(), "{args:?}");
        assert!(log.contains(named), "{args:?}: the message says what is wrong: {log}");
    }
}

#[test]
fn a_certificate_in_another_form_ends_the_start_and_the_way_to_one_that_is_read_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let store = private_copy("client.p12", directory.path());
    let (status, log) =
        Setup::new().listen("all", "127.0.0.1:0").args(&["--tls-cert", &store, "--tls-key", &store]).fails();
    assert_eq!(status.code(), Some(78));
    assert!(log.contains(&store) && log.contains("--tls-keystore-file"), "{log}");
    let keytool = directory.path().join("keystore.jks");
    std::fs::write(&keytool, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
    let keytool = keytool.to_str().unwrap();
    let (_, log) = Setup::new()
        .listen("all", "127.0.0.1:0")
        .args(&["--tls-cert", keytool, "--tls-key", keytool])
        .fails();
    assert!(log.contains("keytool -importkeystore"), "{log}");
}

#[test]
fn a_pkcs12_store_that_cannot_be_used_ends_the_start_and_says_why() {
    for (store, password, reason) in [
        ("openssl", "another", "its password does not open it"),
        ("two-keys", "test-password", "2 private keys"),
        ("no-key", "test-password", "no private key"),
        ("no-certificate", "test-password", "no certificate of its private key"),
        ("rc4", "test-password", "1.2.840.113549.1.12.1.1: make it anew with"),
        ("openssl", "\n", "has no password in its first line"),
    ] {
        let setup = Setup::new();
        let password = setup.file("password", password);
        let store = format!("{FILES}/stores/{store}.p12");
        let options =
            ["--tls-keystore-file", &store, "--tls-keystore-password-file", password.to_str().unwrap()];
        let (status, log) = setup.listen("all", "127.0.0.1:0").args(&options).fails();
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.contains(reason), "{store}: {log}");
        assert!(!log.contains("test-password") && !log.contains("another"), "{log}");
    }
}

#[test]
fn an_expired_certificate_of_a_pkcs12_store_is_said_to_be_one() {
    let setup = Setup::new();
    let password = setup.file("password", "test-password");
    let store = format!("{FILES}/stores/expired.p12");
    let options = ["--tls-keystore-file", &store, "--tls-keystore-password-file", password.to_str().unwrap()];
    let daemon = setup.args(&["--network", "minimal"]).args(&options).listen("all", "127.0.0.1:0").start();
    daemon.wait_for_log(|line| line.contains("2020-02-01T00:00:00Z"));
}

/// With a client certificate, which has dates to be judged.
#[test]
fn a_clock_before_1970_or_beyond_9999_ends_no_handshake_but_those_of_certificates() {
    for seconds in ["-86400", "-1099511627776", "253402300800"] {
        let setup = Setup::new();
        let library = build_preload(setup.directory(), "set_clock");
        let clock = setup.file("clock", seconds);
        let setup = setup.env("LD_PRELOAD", &library).env("SET_CLOCK", clock.to_str().unwrap());
        let daemon = start(setup, &["--tls-client-ca", &format!("{FILES}/ca.pem")]);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut connection = connect(&daemon, client(version, true, Some("client")));
            let upcheck = Request::get("/upcheck").bytes();
            let answered = connection.try_send(&upcheck).and_then(|()| connection.try_answer());
            assert!(answered.is_err(), "no certificate is valid at {seconds}: {answered:?}");
        }
        let upcheck = Connection::open(&daemon.unix("signer.sock")).exchange(&Request::get("/upcheck"));
        assert_eq!(upcheck.text(), "OK", "{seconds}");

        let daemon = daemon.kill().without("--tls-client-ca").start();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut connection = connect(&daemon, client(version, true, None));
            assert_eq!(connection.exchange(&Request::get("/upcheck")).text(), "OK", "{seconds}");
        }
    }
}

fn signer(args: &[&str]) -> Daemon {
    start(Setup::new(), args)
}

fn start(setup: Setup, args: &[&str]) -> Daemon {
    let (certificate, key) = (format!("{FILES}/server.pem"), private_copy("server.key", setup.directory()));
    setup
        .args(&["--network", "minimal", "--tls-cert", &certificate, "--tls-key", &key])
        .args(args)
        .listen("all", "unix:signer.sock")
        .listen("all", "127.0.0.1:0")
        .start()
}

/// The daemon takes no key that every user can read, and a repository's files are such.
pub fn private_copy(name: &str, directory: &Path) -> String {
    let copy = directory.join(name);
    std::fs::copy(format!("{FILES}/{name}"), &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).unwrap();
    copy.display().to_string()
}

/// A client that trusts who is named by this certificate.
fn trusting(version: &'static SupportedProtocolVersion, name: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(format!("{FILES}/{name}.pem")).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client that trusts the server's authority or not, with the certificate of that name or none.
pub fn client(
    version: &'static SupportedProtocolVersion,
    trusting: bool,
    certificate: Option<&str>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if trusting {
        roots.add(CertificateDer::from_pem_file(format!("{FILES}/ca.pem")).unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => builder.with_client_cert_resolver(Arc::new(identity(name, name))),
    }
}

/// A client that shows one certificate and holds the key of another.
pub fn impostor(version: &'static SupportedProtocolVersion, certificate: &str, key: &str) -> ClientConfig {
    let mut config = client(version, true, None);
    config.client_auth_cert_resolver = Arc::new(identity(certificate, key));
    config
}

/// Certificate and key, not looked at any further: the library would send none of version 1.
fn identity(certificate: &str, key: &str) -> SingleCertAndKey {
    let certificate = CertificateDer::from_pem_file(format!("{FILES}/{certificate}.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{FILES}/{key}.key")).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(vec![certificate], key).into()
}

pub fn connect(daemon: &Daemon, client: ClientConfig) -> Connection {
    connect_to(&daemon.tcp("all"), client)
}

pub fn connect_to(address: &Address, client: ClientConfig) -> Connection {
    let Address::Tcp(address) = address else { panic!("no TCP address") };
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let session = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    Connection::over(StreamOwned::new(session, stream))
}
