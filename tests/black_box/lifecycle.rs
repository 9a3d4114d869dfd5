//! Start, readiness and end, as a supervisor and a client see them.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket};

use crate::support::{Connection, Daemon, Key, Request, Setup, randao_reveal};

#[test]
fn says_ready_and_what_it_does_only_when_it_serves() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    assert_eq!(daemon.send(&Request::get("/upcheck")).text(), "OK");
    let notified = daemon.notified();
    assert!(notified.lines().any(|line| line.starts_with("STATUS=")), "{notified}");
}

#[test]
fn answers_what_is_in_hand_and_then_ends() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Daemon::start(&["--network", "minimal"]);
        let key = Key::number(1);
        daemon.import(&[&key]);
        let request =
            Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
        let mut in_hand: Vec<_> = (0..64).map(|_| Connection::open(&daemon.socket())).collect();
        let mut idle = Connection::open(&daemon.socket());
        assert_eq!(idle.exchange(&Request::get("/upcheck")).status, 200);
        let bytes = request.bytes();
        let (most, last) = bytes.split_at(bytes.len() - 1);
        for connection in &mut in_hand {
            // What is in hand has an answer already begun or a body of which one byte is missing.
            connection.send(&[&bytes, most].concat());
            assert_eq!(connection.answer().status, 200);
        }
        daemon.signal(signal);
        for connection in &mut in_hand {
            connection.send(last);
            assert_eq!(connection.answer().status, 200, "{signal}");
        }
        let status = daemon.wait();
        assert!(status.success(), "{signal}: {status:?}, signal {:?}", status.signal());
        assert!(idle.is_closed());
        assert!(daemon.notified().lines().any(|line| line == "STOPPING=1"), "{}", daemon.notified());
        assert!(Connection::try_open(&daemon.socket()).is_err(), "it still accepts");
    }
}

#[test]
fn an_idle_daemon_ends_with_a_client_connected() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    let mut half = Connection::open(&daemon.socket());
    half.send(b"GET /upcheck HTTP/1.1\r\nHost: lo");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn a_mistake_in_the_arguments_ends_the_start_with_a_clear_line() {
    for (args, named) in [
        (&["--listen", "unix:/tmp/x.sock"][..], "listen"),
        (&["--listen", "admin=127.0.0.1:0"], "admin"),
        (&["--listen", "signing=127.0.0.1:70000"], "70000"),
        (&["--listen", "signing=unix:relative.sock"], "relative.sock"),
        (&["--network", "atlantis"], "atlantis"),
        (&["--network", "/nonexistent/config.yaml"], "/nonexistent/config.yaml"),
        (&["--log-level", "loud"], "loud"),
        (&["--raw-roots", "perhaps"], "perhaps"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--config", "/nonexistent.toml"], "/nonexistent.toml"),
    ] {
        let (status, log) = Setup::new().args(args).fails();
        assert!(!status.success(), "{args:?}");
        assert!(log.contains(named), "{args:?}: {log}");
        assert!(!log.contains("panicked"), "{args:?}: {log}");
    }
}

#[test]
fn a_socket_in_use_ends_the_start_and_leaves_the_other_daemon_alone() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let socket = daemon.directory().join("signer.sock");
    let listen = format!("all=unix:{}", socket.display());
    let (status, log) = Setup::new().args(&["--network", "minimal", "--listen", &listen]).fails();
    assert!(!status.success());
    assert!(log.contains("signer.sock"), "{log}");
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn a_socket_left_behind_by_a_killed_daemon_is_taken_over() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    let listen = format!("all=unix:{}", daemon.directory().join("signer.sock").display());
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let _successor = Setup::new().args(&["--network", "minimal", "--listen", &listen]).start();
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let setup = Setup::new();
    let file =
        setup.file("config.toml", "network = \"atlantis\"\nraw_roots = \"refuse\"\n").display().to_string();
    let setup = setup.env("BLS_SIGNER_NETWORK", "minimal").args(&["--config", &file, "--raw-roots", "allow"]);
    let daemon = setup.start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    let raw = serde_json::json!({"signingRoot": format!("0x{}", "11".repeat(32)), "domain_name": "randao"});
    assert_eq!(daemon.sign(&key, &raw).status, 200);
}

#[test]
fn a_socket_whose_owner_has_let_its_queue_fill_is_in_use() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let path = setup.directory().join("signer.sock");
    let living = UnixListener::bind(&path).unwrap();
    listen(&living, Backlog::new(1).unwrap()).unwrap();
    let mut callers = Vec::new();
    loop {
        let caller = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        if connect(caller.as_raw_fd(), &UnixAddr::new(&path).unwrap()).is_err() {
            break;
        }
        callers.push(caller);
    }
    let (status, log) = setup.fails();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("another process listens on"), "{log}");
}

#[test]
fn the_variables_of_a_service_of_this_name_are_a_warning() {
    let setup = Setup::new().args(&["--network", "minimal"]).env("BLS_SIGNER_PORT", "tcp://10.0.0.1:9000");
    let setup =
        setup.env("BLS_SIGNER_PORT_9000_TCP_ADDR", "10.0.0.1").env("BLS_SIGNER_SERVICE_HOST", "10.0.0.1");
    let daemon = setup.start();
    daemon.wait_for_log(|line| line.contains("WARN") && line.contains("enableServiceLinks"));
    assert!(!daemon.log().contains("is no option of bls-signer"), "one line for all: {}", daemon.log());
}
