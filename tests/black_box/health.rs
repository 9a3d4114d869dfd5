//! Health with a purpose: keys that should be there, and a daemon that stops.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Address, Answer, Connection, Daemon, Key, Request, Setup, randao_reveal};

#[test]
fn a_daemon_without_the_keys_that_are_expected_is_red_and_says_what_is_wrong() {
    let mut daemon = Setup::new()
        .args(&["--network", "minimal", "--expected-keys", "2"])
        .listen("metrics", "unix:metrics.sock")
        .listen("all", "unix:signer.sock")
        .start();
    daemon.wait_for_status(|line| line.contains("0 keys on minimal, 2 EXPECTED"));
    let problem = || {
        let answer = daemon.send(&Request::get("/healthcheck"));
        let check = check(&answer, "keys-check");
        assert_eq!(answer.status == 200, check["status"] == "UP", "{answer:?}");
        assert_eq!(daemon.send(&Request::get("/health")).status, answer.status);
        assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
        check["data"]["problem"].as_str().map(str::to_owned)
    };
    for (number, have) in [(1, "0 keys"), (2, "1 keys")] {
        let problem = problem().unwrap();
        assert!(problem.contains(have) && problem.contains("2 are expected"), "{problem}");
        daemon.import_at(&daemon.socket(), &[&Key::number(number)]);
    }
    assert_eq!(problem(), None);
    daemon.wait_for_status(|line| line.contains("2 keys on minimal, slashing"));
    let metrics = daemon.unix("metrics.sock").send(&Request::get("/metrics"));
    assert!(metrics.text().contains("\nbls_signer_keys_expected 2\n"), "{}", metrics.text());
}

#[test]
fn a_probe_says_by_itself_which_keys_it_expects() {
    let daemon = Daemon::start(&["--network", "minimal", "--expected-keys", "all"]);
    let statuses = |queries: &[(&str, u16)]| {
        for (query, status) in queries {
            for path in ["/healthcheck", "/health"] {
                let path = format!("{path}{query}");
                let answer = daemon.send(&Request::get(&path));
                assert_eq!(answer.status, *status, "{path}: {answer:?}");
                let mut connection = Connection::open(&daemon.socket());
                connection.send(&Request::new("HEAD", &path).bytes());
                let head = String::from_utf8(connection.take_head()).unwrap();
                assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "HEAD {path}: {head}");
            }
        }
    };
    statuses(&[("", 503), ("?keys=any", 200), ("?keys=all", 503), ("?keys=1", 503), ("?other=1", 503)]);
    statuses(&[("?keys=0", 400), ("?keys=", 400), ("?keys=many", 400), ("?keys=1&keys=-1", 400)]);
    daemon.import(&[&Key::number(1)]);
    statuses(&[("", 200), ("?keys=all", 200), ("?keys=1", 200), ("?keys=2", 503), ("?x=1&keys=2&y", 503)]);
}

/// A load balancer's probe opens connections of its own. What is in hand is answered, and nothing new is begun.
#[test]
fn a_daemon_that_stops_says_so_while_it_answers_what_is_in_hand() {
    let mut daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    let request = Request::post(&path, randao_reveal(1).to_string());
    let bytes = request.bytes();
    let (most, last) = bytes.split_at(bytes.len() - 1);
    let mut in_hand = Connection::open(&daemon.socket());
    in_hand.send(&[&bytes, most].concat());
    assert_eq!(in_hand.answer().status, 200);

    daemon.signal(Signal::SIGTERM);
    let drained = wait_for_draining(&daemon.socket());
    let check = check(&drained, "default-check");
    assert_eq!((drained.status, &check["status"]), (503, &Value::from("DOWN")), "{drained:?}");
    assert!(check["data"]["problem"].as_str().unwrap().starts_with("draining"), "{drained:?}");
    let refused = Connection::open(&daemon.socket()).exchange(&request);
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("stopping"), "{refused:?}");
    let short = Connection::open(&daemon.socket()).exchange(&Request::get("/health"));
    assert_eq!((short.status, &short.json()["status"]), (503, &Value::from("draining")), "{short:?}");

    in_hand.send(last);
    assert_eq!(in_hand.answer().status, 200);
    assert!(daemon.wait().success());
    assert!(Connection::try_open(&daemon.socket()).is_err(), "it still accepts");
}

/// The first health answer that says it.
fn wait_for_draining(address: &Address) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = Connection::open(address).exchange(&Request::get("/healthcheck"));
        if answer.text().contains("draining") {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
}

fn check(answer: &Answer, id: &str) -> Value {
    let health = answer.json();
    health["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap().clone()
}

const PATIENCE: Duration = Duration::from_secs(60);
