//! Metrics: by Web3Signer's names and by ours, in both text formats, on listeners of the role alone.

use std::collections::BTreeMap;

use crate::support::{
    Address, Daemon, Key, Request, Setup, attestation, block_header, randao_reveal, sync_committee_message,
};

/// Values by their series, written as the text format has them: `name{label="value"}`.
type Series = BTreeMap<String, f64>;

#[test]
fn requests_are_counted_by_duty_outcome_and_rule() {
    let (daemon, key) = signer();
    for request in
        [block_header(10, 1), attestation(32, 2, 4, 1), randao_reveal(1), sync_committee_message(1, 1)]
    {
        assert_eq!(daemon.sign(&key, &request).status, 200);
    }
    assert_eq!(daemon.sign(&key, &block_header(10, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 2)).status, 412);
    assert_eq!(daemon.sign(&key, &attestation(40, 1, 5, 2)).status, 412);
    assert_eq!(daemon.sign(&Key::number(2), &randao_reveal(1)).status, 404);
    let nonsense = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), "{}");
    assert_eq!(daemon.send(&nonsense).status, 400);

    let series = scrape(&metrics(&daemon));
    for (name, value) in [
        (r#"bls_signer_requests_total{duty="propose",outcome="signed"}"#, 1.0),
        (r#"bls_signer_requests_total{duty="propose",outcome="slashable"}"#, 1.0),
        (r#"bls_signer_requests_total{duty="attest",outcome="signed"}"#, 1.0),
        (r#"bls_signer_requests_total{duty="attest",outcome="slashable"}"#, 2.0),
        (r#"bls_signer_requests_total{duty="randao",outcome="unknown-key"}"#, 1.0),
        (r#"bls_signer_requests_total{duty="exit",outcome="signed"}"#, 0.0),
        (r#"bls_signer_requests_total{duty="none",outcome="no-duty"}"#, 1.0),
        (r#"bls_signer_refusals_total{rule="double-block"}"#, 1.0),
        (r#"bls_signer_refusals_total{rule="double-vote"}"#, 1.0),
        (r#"bls_signer_refusals_total{rule="source-below"}"#, 1.0),
        (r#"bls_signer_refusals_total{rule="unknown-key"}"#, 1.0),
        (r#"bls_signer_refusals_total{rule="malformed"}"#, 1.0),
        (r#"bls_signer_request_seconds_count{duty="attest"}"#, 3.0),
        (r#"bls_signer_stage_seconds_count{duty="sync",stage="multiply"}"#, 1.0),
        (r#"bls_signer_stage_seconds_bucket{duty="sync",stage="multiply",le="+Inf"}"#, 1.0),
        // By Web3Signer's names.
        ("signing_signers_loaded_count", 1.0),
        ("http_bls_malformed_request_count_total", 1.0),
        ("http_bls_malformed_request_count", 1.0),
        ("signing_bls_missing_identifier_count_total", 1.0),
        ("signing_bls_missing_identifier_count", 1.0),
        ("eth2_slashingprotection_permitted_signings_total", 2.0),
        ("eth2_slashingprotection_permitted_signings", 2.0),
        ("eth2_slashingprotection_prevented_signings_total", 3.0),
        ("eth2_slashingprotection_prevented_signings", 3.0),
        ("signing_bls_signing_duration_count", 9.0),
        (r#"eth2_slashingprotection_database_duration_count{signingOperation="block"}"#, 2.0),
        (r#"eth2_slashingprotection_database_duration_count{signingOperation="attestation"}"#, 3.0),
        (r#"http_vertx_worker_pool_usage_count{poolName="signing-threads"}"#, 4.0),
        (r#"http_vertx_worker_pool_rejected_total{poolName="signing-threads"}"#, 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    for quantile in ["0.2", "0.5", "0.8", "0.95", "0.99", "1.0"] {
        let duration = series[&format!(r#"signing_bls_signing_duration{{quantile="{quantile}"}}"#)];
        assert!(duration > 0.0, "{quantile}: {duration}");
    }
    assert!(series[r#"bls_signer_last_signature_timestamp_seconds{duty="propose"}"#] > 1_600_000_000.0);
    assert!(series["bls_signer_ledger_commit_seconds_count"] >= 1.0);
}

#[test]
fn what_the_daemon_has_and_how_it_stands_is_shown() {
    let (daemon, _key) = signer();
    let series = scrape(&metrics(&daemon));
    for (name, value) in [
        (r#"bls_signer_keys{source="keymanager"}"#, 1.0),
        (r#"bls_signer_keys{source="files"}"#, 0.0),
        (r#"bls_signer_network_info{network="minimal"}"#, 1.0),
        (r#"bls_signer_slashing_protection{state="on"}"#, 1.0),
        (r#"bls_signer_slashing_protection{state="broken"}"#, 0.0),
        (r#"bls_signer_connections{listener="metrics"}"#, 1.0),
        (r#"bls_signer_connections_accepted_total{listener="metrics"}"#, 1.0),
        ("bls_signer_key_sources_without_keys", 0.0),
        ("bls_signer_log_events_dropped_total", 0.0),
        ("bls_signer_wrong_computations_total", 0.0),
        ("bls_signer_watermarks_lifted_at_start", 0.0),
        ("bls_signer_keys_expected", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    assert!(series["bls_signer_key_derivations_total"] >= 1.0);
    for name in [
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(series[name] > 0.0, "{name}");
    }
    let release = series.keys().find(|name| name.starts_with("process_release{version=")).unwrap();
    assert!(release.contains(env!("CARGO_PKG_VERSION")), "{release}");
}

#[test]
fn the_text_format_is_prometheus_s_and_openmetrics_where_that_is_asked_for() {
    let (daemon, key) = signer();
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    let metrics = metrics(&daemon);
    let plain = metrics.send(&Request::get("/metrics"));
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.text().contains("# TYPE bls_signer_requests_total counter\n"));
    assert!(!plain.text().contains("# EOF"));

    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open = metrics.send(&Request::get("/metrics").header("Accept", accept));
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(media_type));
    assert!(open.text().ends_with("# EOF\n"));
    assert!(open.text().contains("# TYPE bls_signer_requests counter\n"));
    // The formats write the bounds of buckets in two ways.
    let names =
        |text| -> Vec<_> { series(text).into_keys().filter(|name| !name.contains("_bucket{")).collect() };
    assert!(names(plain.text()) == names(open.text()), "{}", open.text());
}

/// Families stand together, have one type each, and no series comes twice.
#[test]
fn every_family_is_told_once() {
    let (daemon, _key) = signer();
    let answer = metrics(&daemon).send(&Request::get("/metrics"));
    let mut families = Vec::new();
    let mut family = "";
    let mut series = Vec::new();
    for line in answer.text().lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            family = described.split(' ').next().unwrap();
            families.push(family);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} stands under {family}");
            series.push(line.rsplit_once(' ').unwrap().0);
        }
    }
    for mut names in [families, series] {
        assert!(names.len() > 20, "{}", answer.text());
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

#[test]
fn no_series_names_a_key_and_more_keys_make_none() {
    let (daemon, key) = signer();
    let names = |daemon: &Daemon| scrape(&metrics(daemon)).into_keys().collect::<Vec<_>>();
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    let before = names(&daemon);
    let more: Vec<_> = (2..6).map(Key::number).collect();
    daemon.import_at(&daemon.socket(), &more.iter().collect::<Vec<_>>());
    for key in &more {
        assert_eq!(daemon.sign(key, &attestation(32, 2, 4, 1)).status, 200);
    }
    assert_eq!(names(&daemon), before);
    let text = metrics(&daemon).send(&Request::get("/metrics")).text().to_owned();
    assert!(!text.contains(key.name().trim_start_matches("0x")) && text.len() < 64 * 1024, "{}", text.len());
}

#[test]
fn metrics_are_on_listeners_of_their_role_and_need_no_token() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let token = setup.file("token", "a-token-of-some-length\n");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let daemon = setup
        .args(&["--auth-token-file", token.to_str().unwrap()])
        .listen("signing", "unix:signing.sock")
        .listen("keymanager", "unix:keymanager.sock")
        .listen("metrics", "unix:metrics.sock")
        .listen("all", "unix:signer.sock")
        .start();
    for (listener, status) in
        [("signing.sock", 404), ("keymanager.sock", 404), ("metrics.sock", 200), ("signer.sock", 200)]
    {
        assert_eq!(daemon.unix(listener).send(&Request::get("/metrics")).status, status, "{listener}");
    }
    assert_eq!(daemon.unix("metrics.sock").send(&Request::post("/metrics", "{}")).status, 405);
}

#[test]
fn without_slashing_protection_nothing_is_permitted_by_it() {
    let daemon = Setup::new()
        .args(&["--network", "minimal", "--slashing-protection", "off"])
        .listen("metrics", "unix:metrics.sock")
        .listen("all", "unix:signer.sock")
        .start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(32, 2, 4, 1)).status, 200);
    let series = scrape(&metrics(&daemon));
    assert_eq!(series["eth2_slashingprotection_permitted_signings_total"], 0.0);
    assert_eq!(series[r#"bls_signer_slashing_protection{state="off"}"#], 1.0);
    assert!(!series.contains_key("bls_signer_ledger_commit_seconds_count"));
}

/// Where the clock is known, the time into the slot is counted.
#[test]
fn the_time_into_the_slot_is_counted_on_a_network_whose_clock_is_known() {
    let start = |network| {
        Setup::new()
            .args(&["--network", network])
            .listen("metrics", "unix:metrics.sock")
            .listen("all", "unix:signer.sock")
            .start()
    };
    let key = Key::number(1);
    let registration = r#"{"type": "VALIDATOR_REGISTRATION", "validator_registration": {
        "fee_recipient": "0x6fdfab408c56b6105a76eff5c0435d09fc6ed7a9", "gas_limit": "30000000",
        "timestamp": "1700000000", "pubkey": "KEY"}}"#;
    for (network, is_known) in [("mainnet", true), ("minimal", false)] {
        let daemon = start(network);
        daemon.import(&[&key]);
        let body = registration.replace("KEY", &key.name());
        let answer = daemon.send(&Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), body));
        assert_eq!(answer.status, 200, "{answer:?}");
        let series = scrape(&metrics(&daemon));
        let answered = series.get(r#"bls_signer_answered_into_slot_seconds_count{duty="registration"}"#);
        assert_eq!(answered, is_known.then_some(&1.0), "{network}");
    }
}

fn signer() -> (Daemon, Key) {
    let daemon = Setup::new()
        .args(&["--network", "minimal"])
        .listen("metrics", "unix:metrics.sock")
        .listen("all", "unix:signer.sock")
        .start();
    let key = Key::number(1);
    daemon.import(&[&key]);
    (daemon, key)
}

fn metrics(daemon: &Daemon) -> Address {
    daemon.unix("metrics.sock")
}

#[track_caller]
fn scrape(metrics: &Address) -> Series {
    let answer = metrics.send(&Request::get("/metrics"));
    assert_eq!(answer.status, 200, "{answer:?}");
    series(answer.text())
}

fn series(text: &str) -> Series {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        })
        .collect()
}
