//! Keys that a fetcher brings: they enter as they come, and leave only when their source has listed all and not them.

use serde_json::{Value, json};

use crate::support::{Daemon, Fetcher, Key, Request, Setup, attestation, on, randao_reveal, text};

const SEAL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";

#[test]
fn a_fetched_key_signs_is_readonly_and_leaves_with_the_next_complete_list() {
    let daemon = start(Setup::new());
    let [one, two, three] = [1, 2, 3].map(Key::number);
    let mut fetcher = Fetcher::connect(&daemon);
    assert_eq!(fetcher.deliver("vault", "always", &[&one, &two]), outcome("vault", [2, 2, 0, 0], true));
    assert_eq!(daemon.public_keys().len(), 2);
    assert_eq!(daemon.sign(&one, &attestation(8, 0, 1, 1)).status, 200);
    assert_eq!(daemon.sign(&one, &attestation(8, 0, 1, 2)).status, 412, "history holds for it");
    let body = json!({"pubkeys": [one.name()]}).to_string();
    let answer = daemon.send(&Request::new("DELETE", "/eth/v1/keystores").body(body));
    assert_eq!(answer.json()["data"][0]["status"], "error", "{answer:?}");

    assert_eq!(fetcher.deliver("vault", "always", &[&two, &three]), outcome("vault", [2, 1, 1, 0], true));
    assert_eq!(daemon.sign(&one, &randao_reveal(1)).status, 404);
    assert_eq!(daemon.sign(&three, &randao_reveal(1)).status, 200);
    // The one that comes back has its history still.
    fetcher.deliver("vault", "always", &[&one, &two, &three]);
    assert_eq!(daemon.sign(&one, &attestation(8, 0, 1, 2)).status, 412);
}

#[test]
fn keystores_are_opened_with_their_passwords() {
    let daemon = start(Setup::new());
    let [one, two] = [1, 2].map(Key::number);
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.begin("vault", "never");
    for (key, password) in [(&one, "right \""), (&two, "wrong")] {
        let keystore = key.keystore_value("right \"");
        fetcher.say(&json!({"keystore": {"name": "k", "keystore": keystore, "password": password}}));
    }
    assert_eq!(fetcher.end(2), outcome("vault", [1, 1, 0, 1], false));
    assert_eq!(daemon.public_keys(), [one.name()]);
}

#[test]
fn no_lie_and_no_failure_of_a_source_takes_a_key_away() {
    let daemon = start(Setup::new());
    let [one, two, other] = [1, 2, 3].map(Key::number);
    Fetcher::connect(&daemon).deliver("vault", "always", &[&one, &two]);
    let both = daemon.public_keys();
    let holds = |what: &str, error: &str| {
        assert_eq!(daemon.public_keys(), both, "{what}");
        daemon.wait_until(|daemon| {
            check(daemon)["source vault"]["error"].as_str().is_some_and(|text| text.starts_with(error))
        });
        assert_eq!(daemon.sign(&one, &randao_reveal(1)).status, 200, "{what}");
    };

    let mut fetcher = Fetcher::connect(&daemon);
    assert_eq!(fetcher.deliver("vault", "always", &[]), outcome("vault", [0, 0, 0, 0], false));
    holds("an empty list", "empty: ");
    assert_eq!(check_status(&daemon), "DOWN", "an empty list has to be looked at");

    fetcher.begin("vault", "always");
    fetcher.key(&one);
    fetcher.say(&json!({"failed": {"trouble": "timeout", "reason": "no answer within 10 s"}}));
    fetcher.hears().unwrap();
    holds("a time-out", "timeout: ");
    assert_eq!(check(&daemon)["source vault"]["errors-since-start"], json!({"empty": 1, "timeout": 1}));
    assert_eq!(check_status(&daemon), "UP", "all keys sign");

    fetcher.begin("vault", "always");
    fetcher.key(&one);
    fetcher.say(&json!({"missing": {"name": "keys/2", "trouble": "denied", "reason": "403"}}));
    assert_eq!(fetcher.end(2), outcome("vault", [1, 0, 0, 1], false));
    holds("an entry that could not be read", "denied: ");

    fetcher.begin("vault", "always");
    fetcher.say(&json!({"key": {"name": "k", "public_key": two.name(), "secret": other.secret_hex()}}));
    assert_eq!(fetcher.end(1), outcome("vault", [0, 0, 0, 1], false));
    holds("another key's name", "wrong-key: ");
    for secret in ["0x00".to_owned(), "f".repeat(64), "<html>".to_owned()] {
        fetcher.begin("vault", "always");
        fetcher.say(&json!({"key": {"name": "k", "secret": secret}}));
        assert_eq!(fetcher.end(1), outcome("vault", [0, 0, 0, 1], false));
        holds("what is no key", "malformed: ");
    }

    fetcher.begin("vault", "always");
    fetcher.key(&one);
    assert_eq!(fetcher.end(2), outcome("vault", [1, 0, 0, 0], false), "one was lost on the way");
    holds("a lost entry", "malformed: ");

    fetcher.begin("vault", "always");
    fetcher.key(&one);
    drop(fetcher);
    holds("the fetcher's death", "interrupted: ");

    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.begin("vault", "always");
    fetcher.say_to_whom_may_have_left(&vec![b'x'; 10 << 20]);
    assert_ne!(fetcher.hears().map(|said| said["refused"].is_object()), Some(false));
    holds("10 MB in a line", "interrupted: ");

    Fetcher::connect(&daemon).deliver("vault", "always", &[&one, &two]);
    assert_eq!(check(&daemon)["source vault"]["error"], Value::Null);
}

#[test]
fn sealed_keys_need_no_source_at_the_next_start() {
    let daemon = start(sealed(Setup::new()));
    let [always, next, never] = [1, 2, 3].map(Key::number);
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.deliver("a", "always", &[&always]);
    fetcher.deliver("b", "until-next-fetch", &[&next]);
    fetcher.deliver("c", "never", &[&never]);
    assert_eq!(daemon.sign(&always, &attestation(8, 0, 1, 1)).status, 200);

    let daemon = daemon.kill_and_restart();
    let mut listed = [always.name(), next.name()];
    listed.sort();
    assert_eq!(daemon.public_keys(), listed);
    assert_eq!(daemon.sign(&always, &attestation(8, 0, 1, 2)).status, 412);
    assert_eq!(check_status(&daemon), "DOWN", "source b has not said that the key is still its own");
    let mut fetcher = Fetcher::connect(&daemon);
    // What was sealed is known again, and is not new.
    assert_eq!(fetcher.deliver("b", "until-next-fetch", &[&next]), outcome("b", [1, 0, 0, 0], true));
    assert_eq!(check_status(&daemon), "UP");
    // Off the disk, too: one by its policy, one with its source.
    fetcher.deliver("b", "never", &[&next]);
    fetcher.say(&json!({"retire": {"source": "a"}}));
    assert_eq!(fetcher.hears(), Some(json!({"retired": {"source": "a", "left": 1}})));
    assert_eq!(daemon.public_keys(), [next.name()]);
    assert_eq!(daemon.kill_and_restart().public_keys(), Vec::<String>::new());
}

#[test]
fn a_key_of_two_sources_leaves_with_the_second() {
    let daemon = start(sealed(Setup::new()));
    let [one, two] = [1, 2].map(Key::number);
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.deliver("a", "always", &[&one, &two]);
    fetcher.deliver("b", "always", &[&one, &two]);
    assert_eq!(fetcher.deliver("a", "always", &[&two]), outcome("a", [1, 0, 0, 0], true));
    fetcher.deliver("b", "always", &[&one, &two]);
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys().len(), 2);
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.deliver("a", "always", &[&two]);
    assert_eq!(fetcher.deliver("b", "always", &[&two]), outcome("b", [1, 0, 1, 0], true));
    assert_eq!(daemon.public_keys(), [two.name()]);
}

#[test]
fn an_imported_key_stays_imported() {
    let daemon = start(sealed(Setup::new()));
    let [imported, fetched] = [1, 2].map(Key::number);
    daemon.import(&[&imported]);
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.deliver("a", "always", &[&imported, &fetched]);
    assert_eq!(fetcher.deliver("a", "always", &[&fetched]), outcome("a", [1, 0, 0, 0], true));
    let mut both = [imported.name(), fetched.name()];
    both.sort();
    assert_eq!(daemon.public_keys(), both);
    assert_eq!(daemon.kill_and_restart().public_keys(), both);
}

#[test]
fn a_reload_has_the_fetcher_ask_again() {
    let daemon = start(Setup::new());
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.deliver("a", "never", &[&Key::number(1)]);
    assert_eq!(daemon.send(&Request::post("/reload", "")).status, 202);
    assert_eq!(fetcher.hears(), Some(json!({"fetch": {}})));
}

#[test]
fn only_the_fetch_user_may_bring_keys() {
    let setup = Setup::new();
    let daemon = start(setup.args(&["--fetch-user", "65534"]));
    let mut stranger = Fetcher::connect(&daemon);
    stranger.say_to_whom_may_have_left(b"{\"retire\": {\"source\": \"a\"}}\n");
    assert_eq!(stranger.hears(), None);
    daemon.wait_for_log(|line| line.contains("may not bring keys, only user 65534"));
    let (status, said) =
        Setup::new().args(&["--fetch-socket", "/x", "--fetch-user", "nobody-of-this-name"]).fails();
    assert!(!status.success() && said.contains("nobody-of-this-name"), "{said}");
}

#[test]
fn metrics_and_status_know_the_sources() {
    let daemon = start(Setup::new());
    let mut fetcher = Fetcher::connect(&daemon);
    fetcher.deliver("vault", "never", &[&Key::number(1), &Key::number(2)]);
    fetcher.deliver("vault", "never", &[]);
    let answer = daemon.send(&Request::get("/metrics"));
    let metrics = answer.text();
    for line in [
        "bls_signer_keys{source=\"fetched\"} 2",
        "bls_signer_fetched_keys{source=\"vault\"} 2",
        "bls_signer_fetch_errors_total{source=\"vault\",kind=\"empty\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    let shown = text(&on(&daemon, &["status"]));
    assert!(shown.contains("2 fetched") && shown.contains("source vault"), "{shown}");
}

fn start(setup: Setup) -> Daemon {
    let socket = setup.directory().join("fetch.sock").display().to_string();
    setup.args(&["--network", "minimal", "--fetch-socket", &socket]).start()
}

fn sealed(setup: Setup) -> Setup {
    let seal = setup.private_file("seal", SEAL).display().to_string();
    setup.args(&["--seal-file", &seal])
}

fn outcome(source: &str, [keys, entered, left, missing]: [usize; 4], complete: bool) -> Value {
    json!({
        "source": source, "keys": keys, "entered": entered, "left": left, "missing": missing, "complete": complete,
    })
}

fn check(daemon: &Daemon) -> Value {
    let report = daemon.send(&Request::get("/healthcheck")).json();
    let checks = report["checks"].as_array().unwrap().clone();
    checks.into_iter().find(|check| check["id"] == "fetch-check").unwrap()["data"].clone()
}

fn check_status(daemon: &Daemon) -> String {
    let report = daemon.send(&Request::get("/healthcheck")).json();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "fetch-check").unwrap();
    check["status"].as_str().unwrap().to_owned()
}
