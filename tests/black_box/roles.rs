//! A listener serves its role and nothing else; health is on every one.

use crate::support::{Daemon, Key, Request, Setup, randao_reveal};

#[test]
fn a_route_of_another_role_is_404() {
    let daemon = Setup::new()
        .args(&["--network", "minimal"])
        .listen("signing", "unix:signing.sock")
        .listen("keymanager", "unix:keymanager.sock")
        .listen("metrics", "unix:metrics.sock")
        .listen("all", "unix:signer.sock")
        .start();
    let key = Key::number(1);
    daemon.import_at(&daemon.unix("keymanager.sock"), &[&key]);

    let sign = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
    let public_keys = Request::get("/api/v1/eth2/publicKeys");
    let keystores = Request::get("/eth/v1/keystores");
    for (listener, signing, keymanager) in [
        ("signing.sock", 200, 404),
        ("keymanager.sock", 404, 200),
        ("metrics.sock", 404, 404),
        ("signer.sock", 200, 200),
    ] {
        let status = |request: &Request| daemon.unix(listener).send(request).status;
        assert_eq!(status(&sign), signing, "sign on {listener}");
        assert_eq!(status(&public_keys), signing, "publicKeys on {listener}");
        assert_eq!(status(&keystores), keymanager, "keystores on {listener}");
        for health in ["/upcheck", "/healthcheck", "/health"] {
            assert_eq!(status(&Request::get(health)), 200, "{health} on {listener}");
        }
    }
}

#[test]
fn changing_keys_over_the_signing_socket_is_404_and_changes_nothing() {
    let daemon = Setup::new()
        .args(&["--network", "minimal"])
        .listen("signing", "unix:signer.sock")
        .listen("keymanager", "unix:keymanager.sock")
        .start();
    let key = Key::number(1);
    daemon.import_at(&daemon.unix("keymanager.sock"), &[&key]);
    for method in ["POST", "DELETE", "PUT"] {
        let body = format!(r#"{{"pubkeys": ["{}"]}}"#, key.name());
        let request =
            Request::new(method, "/eth/v1/keystores").header("Content-Type", "application/json").body(body);
        daemon.send(&request).assert_problem(404);
    }
    assert_eq!(daemon.public_keys(), [key.name()]);
}

#[test]
fn host_and_port_serve_every_role_on_tcp() {
    let daemon = Setup::new().listen("all", "127.0.0.1:0").args(&["--network", "minimal"]).start();
    let address = daemon.tcp("all");
    let key = Key::number(1);
    daemon.import_at(&address, &[&key]);
    let sign = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
    assert_eq!(address.send(&sign).status, 200);
}

#[test]
fn a_keymanager_beyond_loopback_without_a_token_does_not_start() {
    for role in ["keymanager", "all"] {
        let (status, log) = Setup::new().listen(role, "0.0.0.0:0").args(&["--network", "minimal"]).fails();
        assert!(!status.success(), "{role}");
        assert!(log.contains("token"), "{log}");
    }
}

#[test]
fn what_every_local_user_can_do_is_said_once_at_the_start_and_stands_in_health() {
    let daemon = Setup::new().listen("all", "127.0.0.1:0").args(&["--network", "minimal"]).start();
    let address = daemon.tcp("all");
    let warnings = |daemon: &Daemon| {
        let log = daemon.log();
        let lines = log.lines().filter(|line| line.contains("WARN") && line.contains("every user"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let [warning] = &warnings(&daemon)[..] else { panic!("{}", daemon.log()) };
    for act in ["signed", "import and delete keys", "raise watermarks"] {
        assert!(warning.contains(act), "{warning}");
    }
    let health = address.send(&Request::get("/healthcheck"));
    assert_eq!(health.status, 200);
    assert!(health.text().contains("every user and program of this host"), "{health:?}");

    let quiet = Setup::new().listen("signing", "127.0.0.1:0").listen("all", "unix:signer.sock");
    let quiet = quiet.args(&["--network", "minimal"]).start();
    assert_eq!(warnings(&quiet), Vec::<String>::new());
    assert!(!quiet.send(&Request::get("/healthcheck")).text().contains("notes"));
}

#[test]
fn several_daemons_do_not_share_keys() {
    let (one, other) = (Daemon::start(&["--network", "minimal"]), Daemon::start(&["--network", "minimal"]));
    one.import(&[&Key::number(1)]);
    assert_eq!(other.public_keys(), Vec::<String>::new());
}
