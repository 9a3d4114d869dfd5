//! Sockets that the service manager hands over: found by name, in any order, or a clear end of the start.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, bind, socket};

use crate::support::{Address, Connection, Daemon, Request, Setup};

#[test]
fn systemd_s_sockets_are_found_by_name_in_either_order() {
    for names in [["signing", "keymanager"], ["keymanager", "signing"]] {
        let setup = Setup::new().args(&["--network", "minimal"]);
        let paths = names.map(|name| setup.directory().join(name).display().to_string());
        let daemon = activate(setup, &paths, &names.join(":"));
        assert_eq!(roles(&daemon.unix("signing")), [true, false], "{names:?}");
        assert_eq!(roles(&daemon.unix("keymanager")), [false, true], "{names:?}");
    }
}

#[test]
fn a_tcp_socket_from_systemd_is_served() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().args(&["--network", "minimal"]);
    let _daemon = activate(setup, &[address.to_string()], "all");
    assert_eq!(roles(&Address::Tcp(address)), [true, true]);
}

#[test]
fn what_came_before_the_daemon_was_ready_is_answered() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let path = setup.directory().join("early.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut early = Connection::open(&Address::Unix(path));
    early.send(&Request::get("/upcheck").bytes());
    let _daemon = setup.hand_over("signing", vec![listener.into()]).start();
    assert_eq!(early.answer().text(), "OK");
}

#[test]
fn the_socket_stays_with_the_service_manager_when_the_daemon_ends() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let path = setup.directory().join("kept.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let ours = listener.try_clone().unwrap();
    let mut daemon = setup.hand_over("signing", vec![listener.into()]).start();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    let _waiting = Connection::open(&Address::Unix(path));
    ours.accept().unwrap();
}

#[test]
fn sockets_from_systemd_take_the_place_of_configured_ones() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let path = setup.directory().join("given.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut daemon =
        setup.listen("all", "unix:signer.sock").hand_over("signing", vec![listener.into()]).start();
    assert_eq!(roles(&Address::Unix(path)), [true, false]);
    assert!(Connection::try_open(&daemon.socket()).is_err());
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    assert!(daemon.log().contains("--listen"), "{}", daemon.log());
}

#[test]
fn stored_file_descriptors_are_no_sockets_to_serve() {
    for names in ["signing:keys-memory", "keys-memory:signing"] {
        let setup = Setup::new().args(&["--network", "minimal"]);
        let path = setup.directory().join("given.sock");
        let listener = UnixListener::bind(&path).unwrap().into();
        let stored = tempfile::tempfile().unwrap().into();
        let fds = if names.starts_with("signing") { vec![listener, stored] } else { vec![stored, listener] };
        let _daemon = setup.hand_over(names, fds).start();
        assert_eq!(roles(&Address::Unix(path)), [true, false], "{names}");
    }
}

#[test]
fn a_name_that_is_no_role_ends_the_start() {
    let unix = || UnixListener::bind_addr(&unnamed()).unwrap().into();
    for name in ["signer", "Signing", "bls-signer.socket", "unknown", "keys"] {
        let log = refused(name, vec![unix()]);
        assert!(log.contains(&format!("'{name}'")) && log.contains("FileDescriptorName="), "{log}");
    }
    let log = refused("signing:stored", vec![unix(), unix()]);
    assert!(log.contains("'stored'"), "{log}");
}

#[test]
fn systemd_s_own_name_for_a_nameless_socket_ends_the_start() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let path = setup.directory().join("nameless.sock");
    let mut daemon =
        setup.under(&[SOCKET_ACTIVATE, "-l", path.to_str().unwrap(), "-E", "NOTIFY_SOCKET"]).spawn();
    let _connection = first_connection(&mut daemon, &path.display().to_string());
    assert_eq!(daemon.wait().code(), Some(CONFIGURATION), "{}", daemon.log());
    assert!(daemon.log().contains("--fdname="), "{}", daemon.log());
}

#[test]
fn datagram_sockets_end_the_start() {
    let unix = UnixDatagram::bind_addr(&unnamed()).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [OwnedFd::from(unix), OwnedFd::from(udp)] {
        let log = refused("signing", vec![socket]);
        assert!(log.contains("datagram") && log.contains("ListenStream="), "{log}");
    }
}

#[test]
fn sockets_that_do_not_listen_end_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (pair, _other) = UnixStream::pair().unwrap();
    let bound = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let address = nix::sys::socket::UnixAddr::new_unnamed();
    bind(std::os::fd::AsRawFd::as_raw_fd(&bound), &address).unwrap();
    for socket in [OwnedFd::from(connected), OwnedFd::from(pair), bound] {
        let log = refused("signing", vec![socket]);
        assert!(log.contains("does not listen"), "{log}");
    }
}

#[test]
fn other_files_end_the_start() {
    let log = refused("signing", vec![File::open("/dev/null").unwrap().into()]);
    assert!(log.contains("/dev/null"), "{log}");
    let seqpacket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let log = refused("signing", vec![seqpacket]);
    assert!(log.contains("no Unix or TCP stream socket"), "{log}");
}

#[test]
fn closed_file_descriptors_end_the_start() {
    for name in ["signing", "keys-memory"] {
        let script = r#"LISTEN_PID=$$ exec "$@" 3<&-"#;
        let setup = Setup::new().args(&["--network", "minimal"]).under(&["/bin/sh", "-c", script, "sh"]);
        let log = ended(setup.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name));
        assert!(log.contains("closed"), "{log}");
    }
}

#[test]
fn numbers_that_do_not_fit_end_the_start() {
    for (count, names) in
        [("0", ""), ("x", "signing"), ("-1", "signing"), ("2", "signing"), ("1", "signing:all")]
    {
        let unused = tempfile::tempfile().unwrap().into();
        let log = ended(Setup::new().hand_over(names, vec![unused]).env("LISTEN_FDS", count));
        assert!(log.contains("LISTEN_FDS"), "{count} {names}: {log}");
    }
}

#[test]
fn sockets_meant_for_another_process_are_left_alone() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let setup = setup.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "signing").env("LISTEN_PID", "1");
    let daemon = setup.start();
    assert_eq!(roles(&daemon.socket()), [true, true]);
}

#[test]
fn sockets_meant_for_nobody_are_left_alone() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let daemon = setup.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "signing").start();
    assert_eq!(roles(&daemon.socket()), [true, true]);
}

#[test]
fn an_open_keymanager_from_systemd_ends_the_start_as_a_configured_one_does() {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let log = refused("keymanager", vec![socket.try_clone().unwrap().into()]);
    assert!(log.contains("--auth-token-file"), "{log}");
    let setup = Setup::new().args(&["--network", "minimal", "--auth-token", "0123456789abcdef"]);
    let _daemon = setup.hand_over("keymanager", vec![socket.into()]).start();
}

/// Starts the daemon by systemd-socket-activate, which waits for the first connection.
fn activate(setup: Setup, addresses: &[String], names: &str) -> Daemon {
    let names = format!("--fdname={names}");
    let mut starter = vec![SOCKET_ACTIVATE, &names, "-E", "NOTIFY_SOCKET", "-E", "BLS_SIGNER_REQUIRE_LEDGER"];
    for address in addresses {
        starter.extend(["-l", address]);
    }
    let mut daemon = setup.under(&starter).spawn();
    let _connection = first_connection(&mut daemon, &addresses[0]);
    daemon.wait_until_ready();
    daemon
}

fn first_connection(daemon: &mut Daemon, address: &str) -> Connection {
    let deadline = Instant::now() + PATIENCE;
    let address = match address.parse() {
        Ok(address) => Address::Tcp(address),
        Err(_) => Address::Unix(Path::new(address).to_owned()),
    };
    loop {
        match Connection::try_open(&address) {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < deadline, "{error}; {}", daemon.log()),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the signing and the keymanager role are served there.
fn roles(address: &Address) -> [bool; 2] {
    ["/api/v1/eth2/publicKeys", "/eth/v1/keystores"].map(|path| {
        match address.send(&Request::get(path)).status {
            200 => true,
            404 => false,
            other => panic!("{path}: {other}"),
        }
    })
}

/// Hands these over and demands that the start ends as a matter of configuration; answers what was said.
#[track_caller]
fn refused(names: &str, fds: Vec<OwnedFd>) -> String {
    ended(Setup::new().args(&["--network", "minimal"]).hand_over(names, fds))
}

#[track_caller]
fn ended(setup: Setup) -> String {
    let (status, log) = setup.fails();
    assert_eq!(status.code(), Some(CONFIGURATION), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    log
}

/// An address that the kernel chooses, without a file.
fn unnamed() -> std::os::unix::net::SocketAddr {
    use std::os::linux::net::SocketAddrExt;
    let unique = tempfile::tempdir().unwrap();
    std::os::unix::net::SocketAddr::from_abstract_name(unique.path().as_os_str().as_encoded_bytes()).unwrap()
}

const SOCKET_ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
const CONFIGURATION: i32 = 78;
/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
