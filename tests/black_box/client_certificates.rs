//! Client certificates: whose are taken, and that what is taken away by a reload is refused at once, open connections too.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::support::{Connection, Daemon, Request, Setup};
use crate::tls::{FILES, client, connect, impostor, private_copy};

#[test]
fn an_authority_s_clients_are_let_in_and_others_refused_with_the_reason_in_the_log() {
    let daemon = Server::new().with("--tls-client-ca", "ca.pem").start();
    for version in VERSIONS {
        assert_eq!(ask(&daemon, version, Some("client")), Some(200));
    }
    for (certificate, reason) in [
        (Some("expired"), "expired"),
        (Some("foreign"), "add its authority to --tls-client-ca"),
        (Some("server-usage"), "make one with the usage clientAuth"),
        (Some("authority"), "--tls-known-clients-file"),
        (Some("version-1"), "--tls-known-clients-file"),
        (None, "give the client a certificate"),
    ] {
        // The log has a line for each peer in a minute, so each certificate gets a daemon that has said nothing yet.
        let daemon = Server::new().with("--tls-client-ca", "ca.pem").start();
        for version in VERSIONS {
            assert_eq!(ask(&daemon, version, certificate), None, "{certificate:?}");
        }
        let line = daemon.wait_for_log(|line| line.contains("TLS handshake refused"));
        assert!(line.contains("WARN") && line.contains("127.0.0.1:") && line.contains(reason), "{line}");
        if let Some(certificate) = certificate {
            assert!(line.contains(&fingerprint(certificate)), "{line}");
        }
        assert_eq!(daemon.log().matches("TLS handshake refused").count(), 1, "{}", daemon.log());
    }
}

#[test]
fn who_does_not_trust_the_server_or_speaks_no_tls_is_named_in_the_log() {
    let daemon = Server::new().start();
    let mut distrustful = connect(&daemon, client(&rustls::version::TLS13, false, None));
    assert!(distrustful.try_send(&Request::get("/upcheck").bytes()).is_err());
    daemon.wait_for_log(|line| line.contains("does not trust the certificate of --tls-cert"));

    let daemon = Server::new().start();
    let mut plain = Connection::open(&daemon.tcp("all"));
    plain.send(&Request::get("/upcheck").bytes());
    assert!(plain.try_answer().is_err());
    daemon.wait_for_log(|line| line.contains("does its URL begin with https?"));
}

#[test]
fn clients_known_by_fingerprint_are_let_in_whatever_the_form_of_their_certificate() {
    let alone = Server::new().with("--tls-known-clients-file", "known-clients.txt").start();
    let beside = Server::new()
        .with("--tls-known-clients-file", "known-clients.txt")
        .with("--tls-client-ca", "ca.pem")
        .start();
    for version in VERSIONS {
        for certificate in ["server-usage", "authority", "version-1"] {
            assert_eq!(ask(&alone, version, Some(certificate)), Some(200), "{certificate} {version:?}");
            assert_eq!(ask(&beside, version, Some(certificate)), Some(200), "{certificate} {version:?}");
        }
        assert_eq!(ask(&alone, version, Some("client")), None, "no authority is named");
        assert_eq!(ask(&beside, version, Some("client")), Some(200), "either will do");
        for daemon in [&alone, &beside] {
            assert_eq!(ask(daemon, version, Some("foreign")), None);
            assert_eq!(ask(daemon, version, None), None);
        }
    }
}

#[test]
fn a_certificate_that_is_known_is_of_no_use_without_its_key() {
    let daemon = Server::new().with("--tls-known-clients-file", "known-clients.txt").start();
    for version in VERSIONS {
        for (certificate, other) in [("version-1", "server-usage"), ("authority", "client")] {
            let stolen = impostor(version, certificate, other);
            assert_eq!(status(&mut connect(&daemon, stolen)), None, "{certificate} {version:?}");
        }
    }
    daemon.wait_for_log(|line| line.contains("TLS handshake refused"));
}

#[test]
fn a_line_that_names_no_client_ends_the_start() {
    let server = Server::new();
    let list = server.0.file("known", "# names\nvc1 AB:CD\n");
    let (status, log) = server.0.args(&["--tls-known-clients-file", list.to_str().unwrap()]).fails();
    assert_eq!(status.code(), Some(78));
    assert!(log.contains("known line 2") && log.contains("openssl x509"), "{log}");
}

#[test]
fn a_revoked_certificate_is_refused_from_the_reload_on_also_on_an_open_connection() {
    let server = Server::new().with("--tls-client-ca", "ca.pem");
    let list = server.copy("none-revoked.crl");
    let daemon = server.with("--tls-client-crl", list.to_str().unwrap()).start();
    let mut open: Vec<Connection> =
        VERSIONS.iter().map(|version| with(&daemon, version, "revoked")).collect();
    let mut other = with(&daemon, &rustls::version::TLS13, "client");
    for connection in open.iter_mut().chain([&mut other]) {
        assert_eq!(status(connection), Some(200));
    }

    fs::copy(vector("one-revoked.crl"), &list).unwrap();
    reload(&daemon);
    for connection in &mut open {
        assert!(connection.is_closed(), "the daemon closes it without being asked");
    }
    for version in VERSIONS {
        assert_eq!(ask(&daemon, version, Some("revoked")), None);
        assert_eq!(ask(&daemon, version, Some("client")), Some(200));
    }
    assert_eq!(status(&mut other), Some(200), "what is still taken stays connected");
}

#[test]
fn a_client_that_is_struck_off_the_list_loses_its_open_connection() {
    let server = Server::new();
    let list = server.copy("known-clients.txt");
    let daemon = server.with("--tls-known-clients-file", list.to_str().unwrap()).start();
    let mut open = with(&daemon, &rustls::version::TLS13, "version-1");
    let mut http_2 = http_2(&daemon, "version-1");
    let mut other = with(&daemon, &rustls::version::TLS13, "authority");
    assert_eq!((status(&mut open), status(&mut other)), (Some(200), Some(200)));

    let kept: Vec<_> = fs::read_to_string(&list)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("version-1"))
        .map(str::to_owned)
        .collect();
    fs::write(&list, kept.join("\n")).unwrap();
    daemon.signal(Signal::SIGHUP);
    assert!(open.is_closed());
    assert!(http_2.ends());
    assert_eq!(ask(&daemon, &rustls::version::TLS13, Some("version-1")), None);
    assert_eq!(status(&mut other), Some(200));
}

#[test]
fn another_authority_is_taken_by_a_reload() {
    let server = Server::new();
    let authority = server.copy("ca.pem");
    let daemon = server.with("--tls-client-ca", authority.to_str().unwrap()).start();
    let mut open = with(&daemon, &rustls::version::TLS13, "client");
    assert_eq!(status(&mut open), Some(200));
    assert_eq!(ask(&daemon, &rustls::version::TLS13, Some("authority")), None);

    fs::copy(vector("authority.pem"), &authority).unwrap();
    reload(&daemon);
    assert!(open.is_closed());
    assert_eq!(ask(&daemon, &rustls::version::TLS13, Some("client")), None);
}

#[test]
fn files_that_cannot_be_read_again_change_nothing_and_the_reload_says_so() {
    let server = Server::new();
    let authority = server.copy("ca.pem");
    let daemon = server.with("--tls-client-ca", authority.to_str().unwrap()).start();
    let mut open = with(&daemon, &rustls::version::TLS13, "client");
    assert_eq!(status(&mut open), Some(200));

    fs::write(&authority, "no certificate").unwrap();
    reload(&daemon);
    let last = daemon.send(&Request::get("/reload")).json();
    assert_eq!(last["status"], "completed_with_errors", "{last}");
    assert!(last["lastError"].as_str().unwrap().contains("certificates"), "{last}");
    assert!(!last.to_string().contains("ca.pem"), "{last}");
    daemon.wait_for_log(|line| line.contains("ERROR") && line.contains(authority.to_str().unwrap()));
    assert!(daemon.send(&Request::get("/healthcheck")).text().contains("those from before hold"));
    assert_eq!(status(&mut open), Some(200));

    fs::copy(vector("ca.pem"), &authority).unwrap();
    reload(&daemon);
    assert_eq!(daemon.send(&Request::get("/reload")).json()["status"], "completed");
    assert!(!daemon.send(&Request::get("/healthcheck")).text().contains("those from before hold"));
    assert_eq!(status(&mut open), Some(200));
}

/// A daemon's set-up with TLS; it has a Unix socket too.
struct Server(Setup);

impl Server {
    fn new() -> Self {
        let setup = Setup::new();
        let key = private_copy("server.key", setup.directory());
        let certificate = format!("{FILES}/server.pem");
        let setup = setup.args(&["--network", "minimal", "--tls-cert", &certificate, "--tls-key", &key]);
        Self(setup.listen("all", "unix:signer.sock").listen("all", "127.0.0.1:0"))
    }

    /// With an option whose value is a file of the vectors, or of that path.
    fn with(self, option: &str, file: &str) -> Self {
        Self(self.0.args(&[option, Path::new(FILES).join(file).to_str().unwrap()]))
    }

    /// A file of the vectors in the daemon's directory, to be changed there.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.0.directory().join(name);
        fs::copy(vector(name), &copy).unwrap();
        copy
    }

    #[track_caller]
    fn start(self) -> Daemon {
        self.0.start()
    }
}

fn vector(name: &str) -> PathBuf {
    Path::new(FILES).join(name)
}

/// As the vectors have it, made by openssl.
fn fingerprint(certificate: &str) -> String {
    let known = fs::read_to_string(vector("known-clients.txt")).unwrap();
    let line = known.lines().find(|line| line.starts_with(certificate)).unwrap_or_default();
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The status of an answer over a new connection; `None` where the client is not let in.
fn ask(
    daemon: &Daemon,
    version: &'static rustls::SupportedProtocolVersion,
    certificate: Option<&str>,
) -> Option<u16> {
    status(&mut connect(daemon, client(version, true, certificate)))
}

fn with(
    daemon: &Daemon,
    version: &'static rustls::SupportedProtocolVersion,
    certificate: &str,
) -> Connection {
    connect(daemon, client(version, true, Some(certificate)))
}

fn status(connection: &mut Connection) -> Option<u16> {
    connection.try_send(&Request::get("/upcheck").bytes()).ok()?;
    connection.try_answer().ok().map(|answer| answer.status)
}

/// A connection over HTTP/2 that has exchanged its settings.
fn http_2(daemon: &Daemon, certificate: &str) -> Connection {
    let mut config = client(&rustls::version::TLS13, true, Some(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut connection = connect(daemon, config);
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    connection.take(9);
    connection
}

/// Asks for a reload and waits for its end.
fn reload(daemon: &Daemon) {
    let before = daemon.send(&Request::get("/reload")).json();
    assert_eq!(daemon.send(&Request::post("/reload", "")).status, 202, "{before}");
    daemon.wait_until(|daemon| daemon.send(&Request::get("/reload")).json()["status"] != "running");
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
