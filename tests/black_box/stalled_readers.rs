//! Readers of ours that stall: of the log, and of what the service manager is told. Signing, start and stop wait for
//! neither.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Connection, Daemon, Key, Request, Setup, attestation, randao_reveal};

#[test]
fn signing_and_stopping_go_on_though_nobody_reads_the_log() {
    let (setup, pipe) =
        logs_into_a_pipe(Setup::new().args(&["--network", "minimal", "--log-level", "debug"]));
    let mut daemon = setup.start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 2, 1)).status, 200);
    let long = format!("/{}", "x".repeat(4000));
    for _ in 0..500 {
        assert_eq!(daemon.sign(&key, &attestation(8, 0, 2, 2)).status, 412);
        assert_eq!(daemon.send(&Request::get(&long)).status, 404);
    }
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    assert!(lines_dropped(&daemon) > 0);
    daemon.wait_for_status(|status| status.contains("log lines dropped"));

    let mut log = BufReader::new(pipe).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("listening")), "the first lines are kept");
    assert!(log.any(|line| line.contains("log lines were dropped")), "said once there is room");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn a_full_log_ends_neither_start_nor_stop() {
    let (setup, mut pipe) = logs_into_a_pipe(Setup::new().args(&["--network", "minimal"]));
    fill(&mut pipe);
    let mut daemon = setup.start();
    assert_eq!(lines_dropped(&daemon), 0, "they wait");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    let (setup, mut pipe) = logs_into_a_pipe(Setup::new().args(&["--network", "atlantis"]));
    fill(&mut pipe);
    assert_eq!(setup.fails().0.code(), Some(78));
}

#[test]
fn a_log_whose_reader_is_gone_is_counted_and_no_more() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let script = r#"exec "$@" 2>/dev/full"#;
    let mut daemon = setup.under(&["/bin/sh", "-c", script, "sh"]).start();
    daemon.wait_until(|daemon| lines_dropped(daemon) > 0);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn a_service_manager_that_does_not_listen_holds_neither_start_nor_service_nor_stop() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let files = setup.directory().join("files");
    fs::create_dir(&files).unwrap();
    let (setup, manager) = told_to_a_full_socket(setup.args(&["--key-config-path", files.to_str().unwrap()]));
    let mut daemon = setup.spawn();
    daemon.wait_until(answers);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 1)).status, 200);
    let file = files.join("a.yaml");
    fs::write(&file, format!("type: file-raw\nprivateKey: '{}'\n", Key::number(2).secret_hex())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until(|daemon| daemon.public_keys().len() == 2);
    assert_eq!(daemon.sign(&key, &randao_reveal(1)).status, 200);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    drop(manager);
}

#[test]
fn a_service_manager_that_listens_again_hears_that_the_start_is_complete() {
    let (setup, manager) = told_to_a_full_socket(Setup::new().args(&["--network", "minimal"]));
    let mut daemon = setup.spawn();
    daemon.wait_until(answers);
    let told = hear_until(&manager, "READY=1");
    assert!(told.iter().any(|message| message == FILLING), "{told:?}");
    fill_socket(&manager.path);
    daemon.signal(Signal::SIGHUP);
    let told = hear_until(&manager, "READY=1");
    assert!(told.iter().any(|message| message.starts_with("RELOADING=1")), "{told:?}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

/// A setup whose log goes into a pipe that nobody reads, and the pipe.
fn logs_into_a_pipe(setup: Setup) -> (Setup, File) {
    let path = setup.directory().join("log");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let pipe = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let script = format!(r#"exec "$@" 2<>'{}'"#, path.display());
    (setup.under(&["/bin/sh", "-c", &script, "sh"]), pipe)
}

fn fill(pipe: &mut File) {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(pipe));
    let mut filler = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).unwrap();
    while filler.write(b"full\n").is_ok() {}
}

struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
}

/// A setup whose service manager does not listen at the moment, and that service manager's end.
fn told_to_a_full_socket(setup: Setup) -> (Setup, Manager) {
    let path = setup.directory().join("manager.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    fill_socket(&path);
    (setup.env("NOTIFY_SOCKET", path.to_str().unwrap()), Manager { path, socket })
}

fn fill_socket(path: &Path) {
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(FILLING.as_bytes(), path).is_ok() {}
}

/// What the service manager is told up to the first message that begins so.
fn hear_until(manager: &Manager, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let mut message = [0; 4096];
        let length = manager.socket.recv(&mut message).unwrap();
        told.push(String::from_utf8(message[..length].to_vec()).unwrap());
        if told.iter().any(|message| message.starts_with(last)) {
            return told;
        }
    }
}

/// The file of a socket is there a moment before the socket listens.
fn answers(daemon: &Daemon) -> bool {
    let connection = Connection::try_open(&daemon.socket());
    connection.is_ok_and(|mut connection| connection.exchange(&Request::get("/upcheck")).status == 200)
}

/// What health says of the log.
fn lines_dropped(daemon: &Daemon) -> u64 {
    let health = daemon.send(&Request::get("/healthcheck")).json();
    let checks = health["checks"].as_array().unwrap();
    let log = checks.iter().find(|check| check["id"] == "log-check").unwrap();
    log["data"]["lines-dropped"].as_u64().unwrap()
}

const FILLING: &str = "STATUS=";
