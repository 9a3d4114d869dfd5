//! Audit: one event a decision with the same fields in JSON as in the journal, down to refusals by configuration.

use serde_json::{Map, Value};

use crate::support::{Daemon, Key, Request, Setup, attestation, block_header, randao_reveal};

type Event = Map<String, Value>;

#[test]
fn every_decision_is_an_event_with_its_fields() {
    let (daemon, key) = signer(&["--audit", "all", "--log-level", "error"]);
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 2)).status, 412, "not only the first is logged");
    let unknown = Key::number(2);
    assert_eq!(daemon.sign(&unknown, &randao_reveal(1)).status, 404);
    let nonsense = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), "{}");
    assert_eq!(daemon.send(&nonsense).status, 400);
    daemon.wait_until(|daemon| events(daemon).len() == 6);

    let events = events(&daemon);
    let expected: [(&str, &[(&str, &str)]); 6] = [
        ("signed", &[("BLS_DUTY", "BLOCK_V2"), ("BLS_SLOT", "10"), ("PRIORITY", "6")]),
        (
            "signed",
            &[("BLS_DUTY", "ATTESTATION"), ("BLS_SOURCE", "2"), ("BLS_TARGET", "4"), ("PRIORITY", "6")],
        ),
        ("slashable", &[("BLS_RULE", "double-vote"), ("BLS_TARGET", "4"), ("PRIORITY", "4")]),
        ("slashable", &[("BLS_RULE", "double-vote"), ("PRIORITY", "4")]),
        ("unknown-key", &[("BLS_RULE", "unknown-key"), ("BLS_DUTY", "RANDAO_REVEAL"), ("PRIORITY", "4")]),
        ("no-duty", &[("BLS_RULE", "malformed"), ("PRIORITY", "4")]),
    ];
    for (event, (verdict, fields)) in events.iter().zip(expected) {
        assert_eq!(value(event, "BLS_VERDICT"), verdict, "{event:?}");
        for (name, expected) in fields {
            assert_eq!(value(event, name), *expected, "{name} of {event:?}");
        }
        let of = if verdict == "unknown-key" { unknown.name() } else { key.name() };
        assert_eq!(value(event, "BLS_PUBKEY"), of);
        assert!(value(event, "MESSAGE").contains(&of), "{event:?}");
        assert_eq!(value(event, "BLS_UID"), nix::unistd::geteuid().to_string());
        assert_eq!(value(event, "BLS_PID"), std::process::id().to_string());
        assert_eq!(value(event, "MESSAGE_ID").len(), 32);
        value(event, "LATENCY_US").parse::<u64>().unwrap();
        assert_eq!(event.contains_key("BLS_ROOT"), verdict != "no-duty");
        assert_eq!(event.contains_key("BLS_RULE"), verdict != "signed");
    }
    let refused = value(&events[2], "MESSAGE");
    assert!(refused.contains("target epoch 4"), "the number that conflicts: {refused}");
}

#[test]
fn without_more_signatures_are_no_events_and_a_refusal_is_one() {
    let (daemon, key) = signer(&[]);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    for _ in 0..3 {
        assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 2)).status, 412);
    }
    assert_eq!(daemon.sign(&key, &block_header(10, 1)).status, 200);
    assert_eq!(daemon.sign(&key, &block_header(10, 2)).status, 412);
    daemon.wait_until(|daemon| events(daemon).len() >= 2);
    let events = events(&daemon);
    let rules: Vec<_> = events.iter().map(|event| value(event, "BLS_RULE")).collect();
    assert_eq!(rules, ["double-vote", "double-block"]);
}

/// Every line, those of the start and of other events among them.
#[test]
fn a_log_in_json_is_json_from_its_first_line_to_its_last() {
    let (daemon, key) = signer(&["--audit", "all", "--log-level", "debug"]);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.wait_for_log(|line| line.contains("\"stopped\""));
    for line in daemon.log().lines() {
        let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for name in ["TIMESTAMP", "PRIORITY", "MESSAGE"] {
            assert!(!value(&event, name).is_empty(), "{name}: {line}");
        }
    }
}

#[test]
fn a_caller_over_tcp_is_named_by_its_address() {
    let daemon = Setup::new()
        .args(&["--network", "minimal", "--log-format", "json", "--audit", "all"])
        .listen("all", "unix:signer.sock")
        .listen("signing", "127.0.0.1:0")
        .start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    let request = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
    assert_eq!(daemon.tcp("signing").send(&request).status, 200);
    daemon.wait_until(|daemon| events(daemon).len() == 1);
    let [event] = &events(&daemon)[..] else { panic!("{}", daemon.log()) };
    assert!(value(event, "BLS_ADDRESS").starts_with("127.0.0.1:"), "{event:?}");
    assert!(!event.contains_key("BLS_UID"));
}

fn signer(args: &[&str]) -> (Daemon, Key) {
    let daemon = Setup::new().args(&["--network", "minimal", "--log-format", "json"]).args(args).start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    (daemon, key)
}

/// The events of the audit, in their order.
fn events(daemon: &Daemon) -> Vec<Event> {
    let log = daemon.log();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
    events.filter(|event| event.contains_key("BLS_VERDICT")).collect()
}

#[track_caller]
fn value<'e>(event: &'e Event, name: &str) -> &'e str {
    event.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name} in {event:?}"))
}
