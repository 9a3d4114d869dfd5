//! A client that asks again and again for what slashing protection refuses does not fill the log.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Daemon, Key, Request, attestation, block_header};

#[test]
fn the_first_refusal_of_a_key_by_a_rule_is_logged_and_its_repetitions_are_counted() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let keys = [1, 2].map(Key::number);
    daemon.import(&keys.each_ref());
    for key in &keys {
        assert_eq!(daemon.sign(key, &attestation(8, 0, 2, 1)).status, 200);
        assert_eq!(daemon.sign(key, &block_header(9, 1)).status, 200);
        for _ in 0..50 {
            assert_eq!(daemon.sign(key, &attestation(8, 0, 2, 2)).status, 412);
        }
        assert_eq!(daemon.sign(key, &block_header(9, 2)).status, 412, "another rule");
    }
    let identifiers = keys.each_ref().map(Key::name);
    let batch = json!({ "identifiers": identifiers, "signing_request": attestation(8, 0, 2, 3) });
    assert_eq!(daemon.send(&Request::post("/api/v1/eth2/sign", batch.to_string())).status, 200);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_log(|line| line.contains("stopped"));

    let log = daemon.log();
    for key in identifiers {
        let lines = log.lines().filter(|line| line.contains("WARN") && line.contains(&key));
        let refusals: Vec<_> = lines.collect();
        for rule in ["another block at slot", "another attestation with target epoch"] {
            assert_eq!(refusals.iter().filter(|line| line.contains(rule)).count(), 1, "{rule}: {log}");
        }
    }
}
