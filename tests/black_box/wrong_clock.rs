//! Hosts whose clock is wrong: by years, before 1970, beyond 9999. Nothing ends, and what contradicts is refused as ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{
    Connection, Daemon, Key, Request, Setup, attestation, block_header, build_preload, run, socket, text,
};

#[test]
fn no_clock_ends_the_process() {
    let key = Key::number(1);
    let (daemon, clock) = with_clock(-86_400);
    daemon.import(&[&key]);
    let mut kept = Connection::open(&daemon.socket());
    for (target, seconds) in (60_001..).zip([-86_400_i64, -(1 << 40), 0, 253_402_300_800, 1 << 50, -1]) {
        set(&clock, seconds);
        assert_eq!(kept.exchange(&Request::get("/upcheck")).text(), "OK", "{seconds}");
        assert_eq!(daemon.send(&Request::get("/healthcheck")).status, 200, "{seconds}");
        assert_eq!(daemon.sign(&key, &vote(target, 1)).status, 200, "{seconds}");
        daemon.sign(&key, &vote(target, 2)).assert_problem(412);
        assert_eq!(daemon.send(&Request::post("/reload", "")).status, 202, "{seconds}");
        daemon.wait_until(|daemon| daemon.send(&Request::get("/reload")).json()["status"] == "completed");
        let status = ["slashing-protection", "status", "--connect", &socket(&daemon)];
        assert!(text(&run(daemon.directory(), &status)).contains(&key.name()), "{seconds}");
        over_http_2(&daemon);
    }
    let daemon = daemon.kill_and_restart();
    daemon.import(&[&key]);
    daemon.sign(&key, &vote(60_006, 2)).assert_problem(412);
    assert_eq!(daemon.sign(&key, &vote(60_007, 1)).status, 200);
}

#[test]
fn answers_bear_the_date_of_the_clock_or_the_nearest_that_has_a_form() {
    let (daemon, clock) = with_clock(784_111_777);
    // From then on hyper renews its date, a second at a time.
    for (seconds, date) in [
        (784_111_777_i64, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        set(&clock, seconds);
        let answer = Connection::open(&daemon.socket()).exchange(&Request::get("/upcheck"));
        assert_eq!(answer.header("date"), Some(date));
    }
    for (seconds, date) in [(-5, "Thu, 01 Jan 1970 00:00:00 GMT"), (1 << 50, "Fri, 31 Dec 9999 23:59:59 GMT")]
    {
        let (daemon, _) = with_clock(seconds);
        assert_eq!(daemon.send(&Request::get("/upcheck")).header("date"), Some(date));
    }
}

#[test]
fn a_clock_that_is_40_years_off_changes_nothing_for_a_key_that_has_signed() {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let (daemon, clock) = with_clock(now);
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &vote(60_000, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &block(1_920_000, 1)).status, 200);
    let mut daemon = daemon;
    let forty_years = 40 * 365 * 86_400;
    for (round, seconds) in (1..).zip([now - forty_years, now + forty_years, now - 1, now + 365 * 86_400]) {
        set(&clock, seconds);
        let target = 60_000 + 2 * round;
        daemon.sign(&key, &vote(target - 2, 2)).assert_problem(412);
        daemon.sign(&key, &block(32 * (target - 2), 2)).assert_problem(412);
        assert_eq!(daemon.sign(&key, &vote(target - 1, 1)).status, 200, "{seconds}");
        daemon = daemon.kill_and_restart();
        daemon.import(&[&key]);
        daemon.sign(&key, &vote(target - 1, 2)).assert_problem(412);
        assert_eq!(daemon.sign(&key, &vote(target, 1)).status, 200, "{seconds}");
        assert_eq!(daemon.sign(&key, &block(32 * target, 1)).status, 200, "{seconds}");
    }
}

#[test]
fn under_a_clock_that_is_40_years_slow_a_new_key_is_told_to_look_at_it_until_others_make_up_for_it() {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let (daemon, clock) = with_clock(now);
    // Two years after the genesis and more, so that a clock before it makes none of them plausible.
    let target = 170_000;
    let keys: Vec<_> = (1..=4).map(Key::number).collect();
    daemon.import(&keys.iter().collect::<Vec<_>>());
    assert_eq!(daemon.sign(&keys[0], &vote(target, 1)).status, 200);
    set(&clock, now - 40 * 365 * 86_400);
    let message = daemon.sign(&keys[1], &vote(target, 1)).assert_problem(412);
    assert!(message.contains("this host's clock"), "{message}");
    daemon.wait_until(|daemon| daemon.send(&Request::get("/healthcheck")).text().contains("far-ahead"));

    set(&clock, now);
    assert_eq!(daemon.sign(&keys[2], &vote(target, 1)).status, 200);
    set(&clock, now - 40 * 365 * 86_400);
    assert_eq!(daemon.sign(&keys[3], &vote(target, 1)).status, 200);
}

fn with_clock(seconds: i64) -> (Daemon, PathBuf) {
    let setup = Setup::new().args(&["--network", "hoodi"]);
    let library = build_preload(setup.directory(), "set_clock");
    let clock = setup.file("clock", &seconds.to_string());
    let daemon = setup.env("LD_PRELOAD", &library).env("SET_CLOCK", clock.to_str().unwrap()).start();
    (daemon, clock)
}

/// At once: a file that is half written would show another time.
fn set(clock: &Path, seconds: i64) {
    let next = clock.with_extension("next");
    fs::write(&next, seconds.to_string()).unwrap();
    fs::rename(next, clock).unwrap();
}

fn over_http_2(daemon: &Daemon) {
    let socket = daemon.directory().join("signer.sock");
    let curl = Command::new("curl")
        .args(["--silent", "--fail", "--http2-prior-knowledge", "--unix-socket"])
        .arg(socket)
        .arg("http://localhost/upcheck")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "OK", "{curl:?}");
}

fn vote(target: u64, root: u8) -> Value {
    on_hoodi(attestation(target * 32, target - 1, target, root))
}

fn block(slot: u64, root: u8) -> Value {
    on_hoodi(block_header(slot, root))
}

fn on_hoodi(mut duty: Value) -> Value {
    duty["fork_info"] = json!({
        "fork": {"previous_version": "0x60000910", "current_version": "0x70000910", "epoch": "50688"},
        "genesis_validators_root": "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f",
    });
    duty
}
