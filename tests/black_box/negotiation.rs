//! What each `Accept` gets: the rules that validator clients depend on, Teku and Prysm on the case of none at all.

use serde_json::json;

use crate::support::{Answer, Daemon, Key, Request, randao_reveal};

const JSON: Option<&str> = Some("application/json; charset=utf-8");
const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

#[test]
fn a_signature_is_json_for_json_or_anything_and_text_otherwise() {
    let key = Key::number(1);
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&key]);
    let ask = |accept: Option<&str>| {
        let request =
            Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
        daemon.send(&with_accept(request, accept))
    };
    let signature = ask(None).text().to_owned();
    assert!(signature.starts_with("0x") && signature.len() == 2 + 192, "{signature}");
    assert_eq!(signature, signature.to_lowercase());

    for accept in [
        "application/json",
        "Application/JSON",
        "*/*",
        "text/plain, application/json",
        "text/plain;q=1, */*;q=0.1",
        "application/json; charset=utf-8",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/json;q=0",
    ] {
        let answer = ask(Some(accept));
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{accept}: {answer:?}");
        assert_eq!(answer.json(), json!({"signature": signature}), "{accept}");
    }
    for accept in
        [None, Some(""), Some("text/plain"), Some("application/*"), Some("text/html"), Some("image/png")]
    {
        let answer = ask(accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, TEXT), "{accept:?}: {answer:?}");
        assert_eq!(answer.text(), signature, "{accept:?}");
    }
}

#[test]
fn several_accept_lines_count_as_one() {
    let key = Key::number(1);
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&key]);
    let request = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
    let answer = daemon.send(&request.header("Accept", "text/plain").header("Accept", "application/json"));
    assert_eq!(answer.header("content-type"), JSON, "{answer:?}");
}

#[test]
fn public_keys_are_json_or_406() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let ask = |accept| daemon.send(&with_accept(Request::get("/api/v1/eth2/publicKeys"), accept));
    for accept in [None, Some(""), Some("*/*"), Some("application/json"), Some("application/*")] {
        let answer = ask(accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{accept:?}");
        assert_eq!(answer.json(), json!([]));
    }
    for accept in ["text/plain", "text/html, image/png"] {
        ask(Some(accept)).assert_problem(406);
    }
}

#[test]
fn upcheck_is_text_or_for_want_of_it_json_or_406() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let ask = |accept| daemon.send(&with_accept(Request::get("/upcheck"), accept));
    for accept in [None, Some(""), Some("*/*"), Some("text/plain"), Some("text/*")] {
        let answer = ask(accept);
        assert_eq!(
            (answer.status, answer.header("content-type"), answer.text()),
            (200, TEXT, "OK"),
            "{accept:?}"
        );
    }
    let json = ask(Some("application/json"));
    assert_eq!((json.status, json.text()), (200, r#"{"status":"OK"}"#));
    ask(Some("image/png")).assert_problem(406);
}

#[test]
fn errors_are_json_whatever_is_accepted() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    for accept in [None, Some("text/plain"), Some("image/png")] {
        let answer: Answer = daemon.send(&with_accept(Request::post("/api/v1/eth2/sign/0x00", "{}"), accept));
        answer.assert_problem(400);
        assert_eq!(answer.header("content-type"), JSON, "{accept:?}");
    }
}

#[test]
fn health_says_what_monitoring_reads() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&Key::number(1), &Key::number(2)]);
    let health = daemon.send(&Request::get("/health"));
    assert_eq!((health.status, health.json()), (200, json!({"status": "healthy", "keys_loaded": 2})));

    let check = daemon.send(&Request::get("/healthcheck").header("Accept", "application/json"));
    let json = check.json();
    assert_eq!((check.status, &json["status"], &json["outcome"]), (200, &json!("UP"), &json!("UP")));
    let checks = json["checks"].as_array().unwrap();
    assert!(
        !checks.is_empty() && checks.iter().all(|check| check["status"] == "UP" && check["id"].is_string()),
        "{json}"
    );
}

fn with_accept(request: Request, accept: Option<&str>) -> Request {
    match accept {
        Some(accept) => request.header("Accept", accept),
        None => request,
    }
}
