//! Tools that drive a Web3Signer, as they ask: what they send to start it, to wait for it and to manage its keys.
//!
//! The facts are those of the tools' sources: StakingBrain of DAppNode, Stereum's launcher, and what Kubernetes and
//! Prometheus ask of the pods of public charts.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Key, Request, Setup, init, randao_reveal};

const SIGNER: &str = "web3signer.web3signer-hoodi.dappnode:9000";
const PROOF: &str = r#"{"type":"PROOF_OF_VALIDATION","platform":"dappnode","timestamp":"1711338489397"}"#;

#[test]
fn staking_brain_s_calls_all_pass_with_the_documented_options() {
    let options = "--http-cors-origins=http://brain.web3signer-hoodi.dappnode --key-manager-api-enabled=true \
                   --Xsigning-ext-enabled=true";
    let daemon = start(options);
    for (call, request) in staking_brain() {
        let answer = send(&daemon, &request);
        assert_eq!(answer.status, 200, "{call}: {answer:?}");
        // It reads JSON only where the answer says that it is JSON.
        let type_of_answer = answer.header("content-type").unwrap_or_default();
        assert!(type_of_answer.starts_with("application/json"), "{call}: {answer:?}");
    }
}

#[test]
fn staking_brain_s_calls_all_fail_without_them() {
    let daemon = start("--key-manager-api-enabled=true");
    for (call, request) in staking_brain() {
        let message = send(&daemon, &request).assert_problem(403);
        assert!(message.contains("Origin") || message.contains("origin"), "{call}: {message}");
    }
    let origin = "--http-cors-origins=http://brain.web3signer-hoodi.dappnode";
    let daemon = start(origin);
    let statuses: Vec<u16> =
        staking_brain().into_iter().map(|(_, request)| send(&daemon, &request).status).collect();
    assert_eq!(statuses, [200, 200, 404, 404, 404, 404, 404], "health alone passes");
}

/// In the order of a first day: is it there, which keys, an import, a proof, an exit, a deletion.
fn staking_brain() -> Vec<(&'static str, Request)> {
    let key = Key::number(1);
    let mut exit = randao_reveal(1);
    exit["type"] = json!("VOLUNTARY_EXIT");
    exit["voluntary_exit"] = json!({"epoch": "1", "validator_index": "1"});
    exit.as_object_mut().unwrap().remove("randao_reveal");
    let import = json!({"keystores": [key.keystore("password")], "passwords": ["password"]});
    let call = |method: &str, path: &str, content_type: &str, body: Option<String>| {
        let request = Request::bare(method, path)
            .header("Host", SIGNER)
            .header("Content-Type", content_type)
            .header("Accept", "application/json")
            .header("Authorization", "Bearer undefined")
            .header("Origin", "http://brain.web3signer-hoodi.dappnode");
        match body {
            Some(body) => request.body(body),
            None => request,
        }
    };
    let json = "application/json";
    let of_key = |path: &str| format!("{path}/{}", key.name());
    vec![
        ("upcheck", call("GET", "/upcheck", "text/plain; charset=utf-8", None)),
        ("healthcheck", call("GET", "/healthcheck", json, None)),
        ("list", call("GET", "/eth/v1/keystores", json, None)),
        ("import", call("POST", "/eth/v1/keystores", json, Some(import.to_string()))),
        ("proof", call("POST", &of_key("/api/v1/eth2/ext/sign"), json, Some(PROOF.to_owned()))),
        ("exit", call("POST", &of_key("/api/v1/eth2/sign"), json, Some(exit.to_string()))),
        (
            "delete",
            call("DELETE", "/eth/v1/keystores", json, Some(json!({"pubkeys": [key.name()]}).to_string())),
        ),
    ]
}

#[test]
fn stereum_s_launcher_imports_lists_and_deletes_keys() {
    let daemon = start("--key-manager-api-enabled=true");
    let keys: Vec<Key> = (1..=20).map(Key::number).collect();
    // By curl, in batches of 20, without a token.
    let curl = |method: &str, data: Option<Value>| {
        let request = Request::bare(method, "/eth/v1/keystores")
            .header("Host", "stereum-11111111-2222-3333-4444-555555555555:9000")
            .header("User-Agent", "curl/8.5.0")
            .header("Accept", "*/*")
            .header("Content-Type", "application/json");
        let request = data.map(|data| data.to_string()).into_iter().fold(request, Request::body);
        let answer = send(&daemon, &request);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let keystores: Vec<String> = keys.iter().map(|key| key.keystore("password")).collect();
    let import = json!({"keystores": keystores, "passwords": vec!["password"; keys.len()]});
    let imported = curl("POST", Some(import));
    assert!(imported["data"].as_array().unwrap().iter().all(|key| key["status"] == "imported"), "{imported}");
    assert_eq!(curl("GET", None)["data"].as_array().unwrap().len(), keys.len());
    let names: Vec<String> = keys.iter().map(Key::name).collect();
    let deleted = curl("DELETE", Some(json!({"pubkeys": names})));
    assert!(deleted["data"].as_array().unwrap().iter().all(|key| key["status"] == "deleted"), "{deleted}");
    assert!(deleted["slashing_protection"].is_string(), "{deleted}");
}

#[test]
fn a_chart_s_probes_and_scrapes_pass() {
    let daemon = start("--key-manager-api-enabled=false");
    // The kubelet probes the pod's own address, a ServiceMonitor scrapes it.
    let probe = |path: &str| {
        Request::bare("GET", path)
            .header("Host", "10.244.1.7:6174")
            .header("User-Agent", "kube-probe/1.33")
            .header("Accept", "*/*")
            .header("Connection", "close")
    };
    for path in ["/upcheck", "/healthcheck"] {
        let answer = daemon.tcp("signing").send(&probe(path));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let scrape = Request::bare("GET", "/metrics")
        .header("Host", "10.244.1.7:9000")
        .header("User-Agent", "Prometheus/3.5.0")
        .header(
            "Accept",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
        );
    let answer = daemon.tcp("metrics").send(&scrape);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("signing_signers_loaded_count"), "{}", answer.text());
}

fn start(options: &str) -> Daemon {
    let setup = Setup::new();
    let state = setup.directory().join("state");
    init(&state);
    let data_path = format!("--data-path={}", state.display());
    let line = [
        data_path.as_str(),
        "--http-listen-host=127.0.0.1",
        "--http-listen-port=0",
        "--http-host-allowlist=*",
        "--metrics-enabled",
        "--metrics-port=0",
        "--metrics-host-allowlist=*",
        "eth2",
        "--network=minimal",
    ];
    let options: Vec<&str> = options.split_whitespace().collect();
    let daemon = setup.web3signer(&[&line[..], &options].concat()).start();
    // The last line of a start: those before it have come through the pipe then.
    daemon.wait_for_log(|line| line.contains("ready:"));
    daemon
}

fn send(daemon: &Daemon, request: &Request) -> Answer {
    let role = if daemon.log().contains("all on") { "all" } else { "signing" };
    daemon.tcp(role).send(request)
}
