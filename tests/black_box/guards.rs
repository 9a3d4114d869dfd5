//! Who is let in: hosts, browsers, tokens, and headers that claim to be somebody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Address, Answer, Connection, Daemon, Key, Request, Setup, randao_reveal};

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
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:9000",
        "0.0.0.0",
        "[::2]",
        "",
        "localhost:80@evil.com",
        "localhost:evil.com",
        "[::1]evil.com",
        "[::1",
        "localhost:80:80",
    ] {
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
    let mut probe = Connection::open(&address);
    probe.send(b"GET /upcheck HTTP/1.0\r\n\r\n");
    let expected = b"HTTP/1.0 200";
    assert_eq!(probe.take(expected.len()), expected, "a load balancer's probe without a Host");
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
fn an_origin_that_is_listed_passes_and_no_answer_lets_a_page_read_it() {
    let origin = "http://brain.web3signer.dappnode";
    let (_daemon, address) = on_tcp(&[
        "--http-host-allowlist",
        "*",
        "--http-origin-allowlist",
        &format!("{origin},https://b.example:1"),
    ]);
    let with = |request: &Request, origin: &str| request.clone().header("Origin", origin);
    // As DappNode's StakingBrain asks.
    let upcheck = Request::bare("GET", "/upcheck")
        .header("Host", "brain.web3signer.dappnode")
        .header("Accept", "text/plain")
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("Authorization", "Bearer undefined");
    let delete = Request::new("DELETE", "/eth/v1/keystores")
        .header("Content-Type", "application/json")
        .body(r#"{"pubkeys":[]}"#);
    for request in [&upcheck, &delete] {
        for origin in [origin, "https://b.example:1"] {
            let answer = address.send(&with(request, origin));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_no_cors(&answer);
        }
        for other in [
            "http://brain.web3signer.dappnode:80",
            "https://brain.web3signer.dappnode",
            "http://brain.web3signer.dappnode.evil.example",
            "HTTP://BRAIN.WEB3SIGNER.DAPPNODE",
            "http://brain.web3signer.dappnode, https://b.example:1",
            "null",
            "",
        ] {
            let answer = address.send(&with(request, other));
            answer.assert_problem(403);
            assert_no_cors(&answer);
        }
        address.send(&with(&with(request, origin), origin)).assert_problem(403);
        // A page of that origin in a browser.
        address.send(&with(request, origin).header("Sec-Fetch-Site", "same-site")).assert_problem(403);
    }
    let preflight =
        Request::new("OPTIONS", "/eth/v1/keystores").header("Access-Control-Request-Method", "DELETE");
    let answer = address.send(&with(&preflight, origin));
    answer.assert_problem(405);
    assert_no_cors(&answer);
}

#[track_caller]
fn assert_no_cors(answer: &Answer) {
    let headers = format!("{answer:?}").to_lowercase();
    assert!(!headers.contains("access-control"), "{headers}");
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
    let wrong = ["Bearer", "Bearer wrong", &format!("Bearer {}", &TOKEN[1..]), &format!("Bearer {TOKEN}0")];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let request = &signing[number % signing.len()];
        daemon.send(&request.clone().header("Authorization", wrong)).assert_problem(401);
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
fn a_role_can_have_a_token_of_its_own() {
    let setup = Setup::new();
    let file = private_file(&setup, "token", TOKEN);
    let daemon = setup
        .args(&["--network", "minimal", "--auth-token-file", &format!("keymanager={file}")])
        .listen("signing", "unix:signer.sock")
        .listen("keymanager", "unix:keymanager.sock")
        .listen("all", "unix:all.sock")
        .start();
    let (public_keys, keystores) =
        (Request::get("/api/v1/eth2/publicKeys"), Request::get("/eth/v1/keystores"));
    for listener in ["signer.sock", "all.sock"] {
        assert_eq!(daemon.unix(listener).send(&public_keys).status, 200);
        // What nobody asked for is not judged.
        for header in ["Bearer NIL", "Bearer undefined", "Basic dXNlcjpwYXNz", "", "Bearer"] {
            let request = public_keys.clone().header("Authorization", header);
            assert_eq!(daemon.unix(listener).send(&request).status, 200, "{header}");
        }
    }
    for listener in ["keymanager.sock", "all.sock"] {
        daemon.unix(listener).send(&keystores).assert_problem(401);
        let right = keystores.clone().header("Authorization", &format!("Bearer {TOKEN}"));
        assert_eq!(daemon.unix(listener).send(&right).status, 200);
        daemon
            .unix(listener)
            .send(&keystores.clone().header("Authorization", "Bearer x"))
            .assert_problem(403);
    }
}

#[test]
fn each_role_asks_for_its_own_token_and_takes_no_other_s() {
    let setup = Setup::new();
    let other = TOKEN.replace('c', "d");
    let every = private_file(&setup, "every", TOKEN);
    let keymanager = private_file(&setup, "keymanager", &other);
    let arguments = ["--network", "minimal", "--auth-token-file", &every, "--auth-token-file"];
    let daemon = setup.args(&arguments).args(&[&format!("keymanager={keymanager}")]).start();
    for (path, right, wrong, refused) in
        [("/api/v1/eth2/publicKeys", TOKEN, other.as_str(), 401), ("/eth/v1/keystores", &other, TOKEN, 403)]
    {
        let with = |token: &str| Request::get(path).header("Authorization", &format!("Bearer {token}"));
        assert_eq!(daemon.send(&with(right)).status, 200, "{path}");
        daemon.send(&with(wrong)).assert_problem(refused);
        daemon.send(&Request::get(path)).assert_problem(401);
    }
}

#[test]
fn a_fifo_or_a_device_for_a_token_or_a_seal_does_not_hang_the_start() {
    for option in ["--auth-token-file", "--seal-file", "--tls-cert"] {
        let setup = Setup::new();
        let fifo = setup.directory().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let key = private_file(&setup, "key", "key");
        for path in [fifo.to_str().unwrap(), "/dev/zero"] {
            let setup = Setup::new();
            let setup = if option == "--tls-cert" { setup.args(&["--tls-key", &key]) } else { setup };
            let (status, log) = setup.args(&["--network", "minimal", option, path]).fails();
            assert_eq!(status.code(), Some(78), "{option} {path}: {log}");
            assert!(log.contains(path) && log.contains("not a regular file"), "{log}");
        }
    }
}

#[test]
fn a_token_file_that_guards_nothing_ends_the_start() {
    let modes = [(TOKEN, 0o644), (TOKEN, 0o602), (TOKEN, 0o622), (TOKEN, 0o660)];
    for (content, mode) in [("", 0o600), ("\n", 0o600)].into_iter().chain(modes) {
        let setup = Setup::new();
        let file = private_file(&setup, "token", content);
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, permissions).unwrap();
        let (status, log) = setup.args(&["--network", "minimal", "--auth-token-file", &file]).fails();
        assert_eq!(status.code(), Some(78), "{content:?} {mode:o}");
        assert!(log.contains(&file), "the message names the file: {log}");
        assert!(!log.contains(TOKEN), "{log}");
    }
}

#[test]
fn a_thousand_wrong_tokens_open_nothing_and_shut_nothing() {
    // Four of the sixteen connections may be held back; the other guessers go on at full speed.
    let (daemon, _key) = guarded(&["--auth-token", TOKEN, "--max-connections", "16"]);
    let socket = daemon.socket();
    let left = AtomicUsize::new(1000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = Connection::open(&socket);
                while let Some(number) = claim(&left) {
                    connection.exchange(&guess(number)).assert_problem(401);
                }
            });
        }
        while left.load(Ordering::Relaxed) > 0 {
            assert_eq!(socket.send(&with_token()).status, 200);
        }
    });
    assert_eq!(daemon.send(&with_token()).status, 200);
    let lines = wrong_token_lines(&daemon);
    assert!((1..20).contains(&lines.len()), "{lines:?}");
}

#[test]
fn each_wrong_token_waits_longer_for_its_refusal() {
    let (daemon, _key) = guarded(&["--auth-token", TOKEN]);
    let start = Instant::now();
    for number in 0..9 {
        daemon.send(&guess(number)).assert_problem(401);
    }
    // 100, 200, 400 and 800 ms after five that were free.
    assert!(start.elapsed() >= Duration::from_millis(1_500), "{:?}", start.elapsed());
}

#[test]
fn a_header_that_claims_another_address_shortens_no_wait() {
    let (daemon, _key) = guarded(&["--auth-token", TOKEN]);
    let start = Instant::now();
    for number in 0..9 {
        let claimed = format!("192.0.2.{number}");
        let guess = guess(number)
            .header("X-Forwarded-For", &claimed)
            .header("X-Real-IP", &claimed)
            .header("Forwarded", &format!("for={claimed}"));
        daemon.send(&guess).assert_problem(401);
    }
    // 100, 200, 400 and 800 ms after five that were free, as from one peer.
    assert!(start.elapsed() >= Duration::from_millis(1_500), "{:?}", start.elapsed());
    assert_eq!(wrong_token_lines(&daemon).len(), 1, "one peer: {}", daemon.log());
}

#[test]
fn refusals_that_are_held_back_stand_in_nobodys_way() {
    let setup = Setup::new();
    let arguments = ["--network=minimal", "--auth-token", TOKEN, "--max-requests=1", "--log-level=debug"];
    let daemon =
        setup.args(&arguments).listen("all", "unix:signer.sock").listen("signing", "127.0.0.1:0").start();
    let mut held: Vec<Connection> = (0..30)
        .map(|number| {
            let mut connection = Connection::open(&daemon.socket());
            connection.send(&guess(number).bytes());
            connection
        })
        .collect();
    let log = daemon.wait_for_log(|line| line.contains("wrong token"));
    assert!(log.contains("uid="), "{log}");
    // With a turn held by each of them this would fail after 4 s.
    assert_eq!(daemon.send(&with_token()).status, 200);
    // Nor does the right token wait with them: most are held back for 5 s.
    let refused = daemon.log().lines().filter(|line| line.contains("the token is wrong")).count();
    assert!(refused < held.len(), "the right token had to wait");
    // Another peer, with its own free attempts and its own line in the log.
    daemon.tcp("signing").send(&guess(0)).assert_problem(401);
    daemon.wait_for_log(|line| line.contains("wrong token") && line.contains("127.0.0.1:"));
    for connection in &mut held {
        connection.answer().assert_problem(401);
    }
    assert_eq!(wrong_token_lines(&daemon).len(), 2);
}

#[test]
fn a_stop_does_not_wait_for_refusals_that_are_held_back() {
    let (mut daemon, _key) = guarded(&["--auth-token", TOKEN, "--log-level", "debug"]);
    let mut held = Vec::new();
    for number in 0..20 {
        let mut connection = Connection::open(&daemon.socket());
        connection.send(&guess(number).bytes());
        held.push(connection);
    }
    // The free ones are answered, so the others have been read too: all were sent before.
    for connection in held.iter_mut().take(5) {
        connection.answer().assert_problem(401);
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    for connection in held.iter_mut().skip(5) {
        connection.answer().assert_problem(401);
    }
    assert!(!daemon.log().contains("cut off"), "{}", daemon.log());
}

#[test]
fn health_names_key_files_to_the_operator_alone() {
    let setup = Setup::new();
    let keys = setup.directory().join("key-config");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("hotel-validator-7.yaml"), "type: nonsense").unwrap();
    let daemon = setup
        .args(&["--network", "minimal", "--key-config-path", keys.to_str().unwrap()])
        .listen("signing", "unix:signer.sock")
        .listen("all", "127.0.0.1:0")
        .start();
    let health = |address: &Address| address.send(&Request::get("/healthcheck")).text().to_owned();
    // This test is the daemon's own user.
    assert!(health(&daemon.socket()).contains("hotel-validator-7.yaml"));
    let to_others = health(&daemon.tcp("all"));
    assert!(to_others.contains(r#""error-count":1"#) && !to_others.contains("hotel"), "{to_others}");
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
fn a_token_on_the_command_line_is_warned_about_and_one_in_a_file_or_the_environment_is_not() {
    let (daemon, _key) = guarded(&["--auth-token", TOKEN]);
    daemon.wait_for_log(|line| line.contains("WARN") && line.contains("/proc/PID/cmdline"));
    let elsewhere = Setup::new().env("BLS_SIGNER_AUTH_TOKEN", TOKEN).args(&["--network", "minimal"]).start();
    assert!(!elsewhere.log().contains("cmdline"));
    elsewhere.send(&Request::get("/eth/v1/keystores")).assert_problem(401);
}

#[test]
fn a_token_is_read_again_by_a_reload_and_the_former_one_refused_on_open_connections() {
    let setup = Setup::new();
    let file = private_file(&setup, "token", TOKEN);
    let daemon = setup.args(&["--network", "minimal", "--auth-token-file", &file]).start();
    let mut connection = Connection::open(&daemon.socket());
    assert_eq!(connection.exchange(&with_token()).status, 200);
    let sign = format!("/api/v1/eth2/sign/{}", Key::number(1).name());
    let slow = Request::post(&sign, randao_reveal(1).to_string());
    let slow =
        slow.header("Authorization", &format!("Bearer {TOKEN}")).header("Expect", "100-continue").bytes();
    let (begun, rest) = slow.split_at(slow.len() - 1);
    let mut on_its_way = Connection::open(&daemon.socket());
    on_its_way.send(begun);
    // The daemon says so when the head has passed and the body is read: the reload comes after that.
    assert!(on_its_way.take_head().starts_with(b"HTTP/1.1 100 "));

    let fresh = TOKEN.replace('c', "d");
    let request = Request::get("/api/v1/eth2/publicKeys").header("Authorization", &format!("Bearer {fresh}"));
    std::fs::write(&file, &fresh).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log(|line| line.contains("tokens and certificates read"));
    connection.exchange(&with_token()).assert_problem(401);
    assert_eq!(connection.exchange(&request).status, 200);
    on_its_way.send(rest);
    on_its_way.answer().assert_problem(401);

    // A file that is gone takes no token away: that would open the door, or shut everybody out.
    std::fs::remove_file(&file).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log(|line| line.contains("ERROR") && line.contains(&file));
    assert_eq!(connection.exchange(&request).status, 200);
    connection.exchange(&Request::get("/api/v1/eth2/publicKeys")).assert_problem(401);
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

/// A request with the token.
fn with_token() -> Request {
    Request::get("/api/v1/eth2/publicKeys").header("Authorization", &format!("Bearer {TOKEN}"))
}

/// A request with a wrong token, another one for each number.
fn guess(number: usize) -> Request {
    Request::get("/api/v1/eth2/publicKeys").header("Authorization", &format!("Bearer {number:064x}"))
}

/// One less, as long as there are any.
fn claim(left: &AtomicUsize) -> Option<usize> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()
}

fn wrong_token_lines(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    log.lines()
        .filter(|line| line.contains("WARN") && line.contains("wrong token"))
        .map(str::to_owned)
        .collect()
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
    setup.private_file(name, content).display().to_string()
}
