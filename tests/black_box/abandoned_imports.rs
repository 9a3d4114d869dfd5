//! Imports whose client leaves: what was opened is imported, and no further keystore is opened for nobody.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{Address, Connection, Daemon, Key, Request};

#[test]
fn keystores_that_are_not_begun_when_the_client_leaves_are_not_opened() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let (first, stream) = send_import(&daemon, 64);
    // By then the first is open, which costs next to nothing, and most of the others are not begun.
    daemon.wait_until(|daemon| ticks_of_work(daemon) >= 100);
    drop(stream);
    let line = daemon.wait_for_log(|line| line.contains("keystores were not opened"));
    assert!(line.contains("of 65 keystores"), "{line}");
    daemon.wait_until(|daemon| daemon.public_keys() == [first.name()]);
}

#[test]
fn a_client_that_has_said_all_and_waits_has_all_its_keystores_opened() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let (_first, stream) = send_import(&daemon, 4);
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = Connection::over(stream).answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let results = answer["data"].as_array().unwrap();
    assert_eq!(results[0]["status"], "imported", "{answer}");
    for result in &results[1..] {
        assert!(result["message"].as_str().unwrap().contains("password"), "{answer}");
    }
}

/// Sends one keystore that opens at once and so many that keep a core busy for a moment each, to find that the password is
/// wrong. Answers the first one's key, and the connection.
fn send_import(daemon: &Daemon, heavy: usize) -> (Key, UnixStream) {
    let first = Key::number(1);
    let mut slow = Key::number(2).keystore_value("p");
    slow["crypto"]["kdf"]["params"]["c"] = 250_000.into();
    let mut keystores = vec![first.keystore("p")];
    keystores.extend(vec![slow.to_string(); heavy]);
    let import = json!({"keystores": keystores, "passwords": vec!["p"; keystores.len()]});
    let Address::Unix(path) = daemon.socket() else { panic!("a Unix socket") };
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&Request::post("/eth/v1/keystores", import.to_string()).bytes()).unwrap();
    (first, stream)
}

/// How long the daemon has worked so far, in hundredths of a second (proc(5), `utime`).
fn ticks_of_work(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let behind_the_name = stat.rsplit_once(')').unwrap().1;
    behind_the_name.split_whitespace().nth(11).unwrap().parse().unwrap()
}
