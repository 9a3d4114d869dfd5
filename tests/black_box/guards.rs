//! Who is let in: hosts, browsers, tokens, and headers that claim to be somebody.

use crate::support::{Address, Connection, Daemon, Key, Request, Setup, randao_reveal};

const TOKEN: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

#[test]
fn tcp_requests_must_name_an_allowed_host() {
    let (_daemon, address) = on_tcp(&[]);
    for host in ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:9000"] {
        assert_eq!(
            address.send(&Request::bare("GET", "/upcheck").header("Host", host)).status,
            200,
            "{host}"
        );
    }
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9000", "0.0.0.0", "[::2]", ""]
    {
        for path in ["/upcheck", "/healthcheck", "/api/v1/eth2/publicKeys", "/nothing"] {
            address.send(&Request::bare("GET", path).header("Host", host)).assert_problem(403);
        }
    }
    assert_eq!(address.send(&Request::bare("GET", "/upcheck")).status, 400, "no Host");
    let two = Request::bare("GET", "/upcheck").header("Host", "localhost").header("Host", "evil.example");
    assert_eq!(address.send(&two).status, 400, "two hosts");
    let absolute = Request::bare("GET", "http://evil.example/upcheck").header("Host", "localhost");
    assert_eq!(address.send(&absolute).status, 403, "the absolute form wins over the header");
}

#[test]
fn the_host_list_can_be_changed_or_opened() {
    let (_daemon, address) = on_tcp(&["--http-host-allowlist", "signer.internal"]);
    let status =
        |address: &Address, host| address.send(&Request::bare("GET", "/upcheck").header("Host", host)).status;
    assert_eq!(status(&address, "signer.internal:9000"), 200);
    assert_eq!(status(&address, "localhost"), 403);
    let (_daemon, address) = on_tcp(&["--http-host-allowlist", "*"]);
    assert_eq!(status(&address, "whatever.example"), 200);
}

#[test]
fn a_unix_socket_has_no_host_to_check() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    for host in ["signer", "%2Frun%2Fsigner.sock", "evil.example"] {
        assert_eq!(daemon.send(&Request::bare("GET", "/upcheck").header("Host", host)).status, 200, "{host}");
    }
}

#[test]
fn browsers_are_refused_everywhere() {
    let daemon = Setup::new()
        .args(&["--network", "minimal"])
        .listen("all", "unix:signer.sock")
        .listen("all", "127.0.0.1:0")
        .start();
    for address in [daemon.socket(), daemon.tcp("all")] {
        for (name, value) in
            [("Origin", "http://localhost"), ("Origin", "null"), ("Sec-Fetch-Site", "same-origin")]
        {
            for request in [Request::get("/upcheck"), Request::new("OPTIONS", "/eth/v1/keystores")] {
                let answer = address.send(&request.header(name, value));
                answer.assert_problem(403);
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
}

#[test]
fn every_route_but_health_asks_for_the_token() {
    let (daemon, key) = guarded(&["--auth-token", TOKEN]);
    let sign = format!("/api/v1/eth2/sign/{}", key.name());
    let signing =
        [Request::get("/api/v1/eth2/publicKeys"), Request::post(&sign, randao_reveal(1).to_string())];
    let keymanager = Request::get("/eth/v1/keystores");

    for request in signing.iter().chain([&keymanager]) {
        let answer = daemon.send(request);
        answer.assert_problem(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let with_token = request.clone().header("Authorization", &format!("Bearer {TOKEN}"));
        assert_eq!(daemon.send(&with_token).status, 200);
        let lower_case = request.clone().header("authorization", &format!("bearer {TOKEN}"));
        assert_eq!(daemon.send(&lower_case).status, 200);
        for other in ["Basic dXNlcjpwYXNz", TOKEN] {
            daemon.send(&request.clone().header("Authorization", other)).assert_problem(401);
        }
    }
    for wrong in ["Bearer", "Bearer wrong", &format!("Bearer {}", &TOKEN[1..]), &format!("Bearer {TOKEN}0")] {
        for request in &signing {
            daemon.send(&request.clone().header("Authorization", wrong)).assert_problem(401);
        }
        daemon.send(&keymanager.clone().header("Authorization", wrong)).assert_problem(403);
    }
    for health in ["/upcheck", "/healthcheck", "/health"] {
        assert_eq!(daemon.send(&Request::get(health)).status, 200, "{health}");
    }
}

#[test]
fn the_token_may_stand_in_a_file() {
    let setup = Setup::new();
    let file = private_file(&setup, "token", &format!("{TOKEN}\n"));
    let daemon = setup.args(&["--network", "minimal", "--auth-token-file", &file]).start();
    let request = Request::get("/eth/v1/keystores");
    daemon.send(&request).assert_problem(401);
    assert_eq!(daemon.send(&request.header("Authorization", &format!("Bearer {TOKEN}"))).status, 200);
}

#[test]
fn a_token_file_that_guards_nothing_ends_the_start() {
    for (content, mode) in [("", 0o600), ("\n", 0o600), (TOKEN, 0o644)] {
        let setup = Setup::new();
        let file = private_file(&setup, "token", content);
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, permissions).unwrap();
        let (status, log) = setup.args(&["--network", "minimal", "--auth-token-file", &file]).fails();
        assert!(!status.success(), "{content:?} {mode:o}");
        assert!(log.contains(&file), "the message names the file: {log}");
        assert!(!log.contains(TOKEN), "{log}");
    }
}

#[test]
fn a_thousand_wrong_tokens_open_nothing_and_shut_nothing() {
    let (daemon, _key) = guarded(&["--auth-token", TOKEN]);
    let mut connection = Connection::open(&daemon.socket());
    for number in 0..1000 {
        let guess = format!("Bearer {number:064x}");
        let request = Request::get("/api/v1/eth2/publicKeys").header("Authorization", &guess);
        connection.exchange(&request).assert_problem(401);
    }
    let right = Request::get("/api/v1/eth2/publicKeys").header("Authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(daemon.send(&right).status, 200);
}

#[test]
fn headers_that_claim_an_identity_have_no_effect() {
    let (daemon, _key) = guarded(&["--auth-token", TOKEN]);
    for (name, value) in [
        ("X-Client-Cert-DN", "CN=admin"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Client-Cert", "Subject=\"CN=admin\""),
        ("Forwarded", "for=127.0.0.1;proto=https"),
        ("X-Real-IP", "127.0.0.1"),
        ("X-Remote-User", "root"),
        ("Proxy-Authorization", "Bearer c0ffee"),
    ] {
        daemon.send(&Request::get("/eth/v1/keystores").header(name, value)).assert_problem(401);
    }
}

#[test]
fn the_token_is_never_logged() {
    let (daemon, _key) = guarded(&["--auth-token", TOKEN, "--log-level", "trace"]);
    let guess = "5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7";
    for token in [TOKEN, guess] {
        daemon.send(&Request::get("/eth/v1/keystores").header("Authorization", &format!("Bearer {token}")));
        assert!(!daemon.log().contains(token), "{}", daemon.log());
    }
}

fn on_tcp(args: &[&str]) -> (Daemon, Address) {
    let daemon = Setup::new().args(&["--network", "minimal"]).args(args).listen("all", "127.0.0.1:0").start();
    let address = daemon.tcp("all");
    (daemon, address)
}

/// With a key, imported over a connection that has the token.
fn guarded(args: &[&str]) -> (Daemon, Key) {
    let daemon = Daemon::start(&[&["--network", "minimal"], args].concat());
    let key = Key::number(1);
    let body = serde_json::json!({"keystores": [key.keystore("p")], "passwords": ["p"]}).to_string();
    let request =
        Request::post("/eth/v1/keystores", body).header("Authorization", &format!("Bearer {TOKEN}"));
    let answer = daemon.send(&request);
    assert_eq!(answer.json()["data"][0]["status"], "imported", "{answer:?}");
    (daemon, key)
}

fn private_file(setup: &Setup, name: &str, content: &str) -> String {
    let path = setup.file(name, content);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path.display().to_string()
}
