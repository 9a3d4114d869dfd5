//! Sockets where nobody answers: a command that looks says so within seconds, and who holds the socket.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Output;
use std::thread;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket};

use crate::support::{Key, run, said};

#[test]
fn every_command_that_asks_a_daemon_gives_up_and_says_who_holds_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let _listener = UnixListener::bind(home.join("s")).unwrap();
    fs::write(home.join("k.json"), Key::number(1).keystore("p")).unwrap();
    private(home, "p.txt", "p");
    let key = Key::number(1).name();
    let commands: [&[&str]; 6] = [
        &["status"],
        &["keys", "list"],
        &["keys", "import", "--passwords", "p.txt", "k.json"],
        &["keys", "delete", "--yes", "--history", "h.json", &key],
        &["slashing-protection", "status"],
        &["slashing-protection", "export"],
    ];
    thread::scope(|scope| {
        for command in commands {
            scope.spawn(move || {
                let output =
                    run(home, &[command, &["--connect", &format!("unix:{}/s", home.display())]].concat());
                let status = if command == ["status"] { 69 } else { 1 };
                assert_silent(&output, status, &format!("process {} (", std::process::id()));
            });
        }
    });
}

#[test]
fn a_full_queue_of_callers_and_a_silent_port_are_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let _callers = fill(&path);
    assert_silent(
        &run(directory.path(), &["status", "--connect", &format!("unix:{}", path.display())]),
        69,
        "",
    );
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    assert_silent(&run(directory.path(), &["status", "--connect", &address]), 69, &address);
}

#[test]
fn an_answer_that_says_nothing_of_health_is_no_good_health() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("s")).unwrap();
    let answers = ["{}", "[]", r#"{"status":"up"}"#, r#"{"status":"DOWN","outcome":"DOWN"}"#];
    let other_program = thread::spawn(move || {
        for body in answers {
            let (mut caller, _) = listener.accept().unwrap();
            let _ = caller.read(&mut [0; 4096]).unwrap();
            write!(caller, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    for answer in answers {
        let at = format!("unix:{}/s", directory.path().display());
        let output = run(directory.path(), &["status", "--connect", &at]);
        assert_eq!(output.status.code(), Some(1), "{answer}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("does not say that it is well"),
            "{output:?}"
        );
    }
    other_program.join().unwrap();
}

#[test]
fn a_daemon_that_falls_silent_over_its_work_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("s")).unwrap();
    // Answers the first question, whether it is there, and nothing more.
    let answering = thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(first.read(&mut request).unwrap() > 0);
        first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        listener
    });
    let socket = format!("unix:{}/s", directory.path().display());
    let key = Key::number(1).name();
    let delete = ["keys", "delete", "--yes", "--history", "h.json", &key, "--connect", &socket];
    let output = run(directory.path(), &delete);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not answer any more"), "{output:?}");
    drop(answering.join().unwrap());
}

#[track_caller]
fn assert_silent(output: &Output, status: i32, holder: &str) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    for expected in ["nothing answers at", holder, "run 'bls-signer check'"] {
        assert!(said(output).contains(expected), "{expected}: {output:?}");
    }
}

fn fill(path: &Path) -> Vec<OwnedFd> {
    let mut callers = Vec::new();
    loop {
        let caller = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        if connect(caller.as_raw_fd(), &UnixAddr::new(path).unwrap()).is_err() {
            return callers;
        }
        callers.push(caller);
    }
}

fn private(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}
