//! Bytes that are not the HTTP they pretend to be, and clients that take what they can get: a clear refusal, a closed
//! connection, and nobody else notices.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::{Connection, Daemon, Key, Request, Setup, attestation, randao_reveal};

#[test]
fn requests_that_two_parsers_could_read_differently_are_refused_and_the_connection_closed() {
    let daemon = signer();
    let body = "GET /upcheck HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = body.len();
    for (what, headers) in [
        ("both lengths", format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")),
        (
            "both lengths, the other way round",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {length}\r\n")),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n")),
        ("a signed length", format!("Content-Length: +{length}\r\n")),
        ("a negative length", "Content-Length: -1\r\n".to_owned()),
        ("a length in hex", "Content-Length: 0x2a\r\n".to_owned()),
        ("an empty length", "Content-Length: \r\n".to_owned()),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551616\r\n".to_owned()),
        ("an unknown encoding", "Transfer-Encoding: gzip\r\n".to_owned()),
        ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n".to_owned()),
        ("another encoding before", "Transfer-Encoding: gzip, chunked\r\n".to_owned()),
        ("chunked in two headers", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n".to_owned()),
        (
            "an encoding in a header of its own",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        ),
        ("chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n".to_owned()),
        ("a folded header", format!("Content-Length:\r\n {length}\r\n")),
        ("a space before the colon", format!("Content-Length : {length}\r\n")),
        ("a header without a name", ": 5\r\n".to_owned()),
        ("a header without a colon", "Content-Length\r\n".to_owned()),
        ("a NUL in a header", "X-Nul: a\0b\r\n".to_owned()),
        ("a bare CR in a header", "X-Cr: a\rContent-Length: 5\r\n".to_owned()),
    ] {
        let mut connection = Connection::open(&daemon.socket());
        let request = format!("POST /eth/v1/keystores HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}");
        connection.send(request.as_bytes());
        let answer = connection.answer();
        assert!([400, 411, 413, 431, 501].contains(&answer.status), "{what}: {answer:?}");
        assert!(connection.is_closed(), "{what}: what followed was read as a request");
    }
}

/// RFC 9112, 2.2 allows it; what matters is that it moves no boundary between requests.
#[test]
fn a_line_that_ends_in_lf_alone_is_a_line() {
    let daemon = signer();
    let mut connection = Connection::open(&daemon.socket());
    connection.send(
        b"GET /upcheck HTTP/1.1\nHost: localhost\nX-A: b\n\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(connection.answer().status, 200);
    assert_eq!(connection.answer().status, 404);
}

#[test]
fn malformed_chunks_are_refused_and_the_connection_closed() {
    let daemon = signer();
    for (what, chunks) in [
        ("a size in 0x notation", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a signed size", "+2\r\n{}\r\n0\r\n\r\n"),
        ("a size that is no number", "zz\r\n{}\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "10000000000000000\r\n{}\r\n0\r\n\r\n"),
        ("a chunk longer than it says", "1\r\n{}\r\n0\r\n\r\n"),
        ("no size at all", "\r\n{}\r\n0\r\n\r\n"),
    ] {
        let mut connection = Connection::open(&daemon.socket());
        let head = "POST /eth/v1/keystores HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes());
        match connection.try_answer() {
            Ok(answer) => {
                assert_eq!(answer.status, 400, "{what}: {answer:?}");
                assert!(connection.is_closed(), "{what}");
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{what}: {error}"),
        }
    }
}

#[test]
fn a_line_that_is_no_request_is_refused_and_the_connection_closed() {
    let daemon = signer();
    for line in [
        "GARBAGE",
        "GET",
        "GET /upcheck",
        "GET /upcheck HTTP/9.9",
        "GET /upcheck HTTP/1.1 extra",
        "GET  /upcheck HTTP/1.1",
        "GET /up\0check HTTP/1.1",
        "\0\0\0\0",
        "G\u{e9}T /upcheck HTTP/1.1",
        "SSH-2.0-OpenSSH_9.2",
        "\u{16}\u{3}\u{1}\u{2}\0",
    ] {
        let mut connection = Connection::open(&daemon.socket());
        connection.send(format!("{line}\r\nHost: localhost\r\n\r\n").as_bytes());
        match connection.try_answer() {
            Ok(answer) => {
                assert!([400, 404, 505].contains(&answer.status), "{line:?}: {answer:?}");
                assert!(connection.is_closed() || answer.status == 404, "{line:?}");
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{line:?}: {error}"),
        }
    }
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn a_body_beyond_the_limit_is_413_before_it_is_read() {
    let daemon = signer();
    for path in [format!("/api/v1/eth2/sign/{}", Key::number(1).name()), "/eth/v1/keystores".to_owned()] {
        let mut connection = Connection::open(&daemon.socket());
        let head = Request::new("POST", &path).header("Content-Type", "application/json");
        let request = head.header("Content-Length", "1000000000000").bytes();
        connection.send(&request);
        connection.answer().assert_problem(413);
        assert!(connection.is_closed(), "{path}");
    }
}

#[test]
fn a_body_without_a_length_ends_at_the_limit() {
    let daemon = signer();
    let path = format!("/api/v1/eth2/sign/{}", Key::number(1).name());
    let mut connection = Connection::open(&daemon.socket());
    let head = Request::new("POST", &path).header("Content-Type", "application/json");
    connection.send(&head.header("Transfer-Encoding", "chunked").bytes());
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
    let sent = (0..256).take_while(|_| connection.try_send(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 256, "the daemon took a body of 256 MiB on the sign route");
    if let Ok(answer) = connection.try_answer() {
        answer.assert_problem(413);
    }
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
    let most = daemon.status_number("VmHWM:");
    assert!(most < 160 * 1024, "a body with a limit of 32 MiB took {most} KiB");
}

#[test]
fn a_head_beyond_the_limit_is_refused() {
    let daemon = signer();
    let many = (0..10_000).fold(String::new(), |mut headers, i| {
        let _ = write!(headers, "X-{i}: 1\r\n");
        headers
    });
    let large = format!("X-Large: {}\r\n", "a".repeat(1 << 20));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20));
    let with_headers = |headers: &str| format!("GET /upcheck HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    for request in [with_headers(&many), with_headers(&large), long_path] {
        let mut connection = Connection::open(&daemon.socket());
        let sent = connection.try_send(request.as_bytes());
        // The refusal may come while we still send, and the reset that follows may overtake it.
        match connection.try_answer() {
            Ok(answer) => assert!([400, 414, 431].contains(&answer.status), "{answer:?}"),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{sent:?}"),
        }
    }
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let daemon = signer();
    let key = imported(&daemon);
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    let mut connection = Connection::open(&daemon.socket());
    let mut bytes = Vec::new();
    for epoch in 0..50 {
        bytes.extend(Request::post(&path, randao_reveal(epoch).to_string()).bytes());
    }
    connection.send(&bytes);
    let answers: Vec<_> = (0..50).map(|_| connection.answer()).collect();
    for (epoch, answer) in (0..).zip(&answers) {
        assert_eq!(answer, &daemon.sign(&key, &randao_reveal(epoch)), "epoch {epoch}");
    }
}

#[test]
fn a_client_that_leaves_before_its_answer_may_ask_again() {
    let daemon = signer();
    let key = imported(&daemon);
    let request =
        Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), attestation(8, 0, 1, 7).to_string());
    for _ in 0..20 {
        Connection::open(&daemon.socket()).send(&request.bytes());
    }
    assert_eq!(daemon.send(&request).status, 200);
}

#[test]
fn slow_and_idle_clients_are_dropped_and_do_not_stop_the_others() {
    let setup = Setup::new().args(&["--network", "minimal", "--header-timeout", "1", "--idle-timeout", "1"]);
    let daemon = setup.start();
    let key = imported(&daemon);
    let mut half_a_head: Vec<_> = (0..100).map(|_| Connection::open(&daemon.socket())).collect();
    for connection in &mut half_a_head {
        connection.send(b"POST /api/v1/eth2/sign/0x00 HTTP/1.1\r\nHost: local");
    }
    let mut silent: Vec<_> = (0..100).map(|_| Connection::open(&daemon.socket())).collect();
    let mut used = Connection::open(&daemon.socket());
    assert_eq!(used.exchange(&Request::get("/upcheck")).status, 200);

    for epoch in 0..20 {
        assert_eq!(daemon.sign(&key, &randao_reveal(epoch)).status, 200);
    }
    for connection in half_a_head.iter_mut().chain(&mut silent).chain([&mut used]) {
        let answered = connection.try_answer().map(|answer| answer.status);
        assert!(matches!(answered, Ok(408) | Err(_)), "{answered:?}");
        assert!(connection.is_closed());
    }
}

#[test]
fn a_crowd_of_silent_connections_does_not_take_the_place_of_one_that_is_used() {
    let setup = Setup::new().args(&["--network", "minimal", "--max-connections", "4"]);
    let daemon = setup.args(&["--header-timeout", "3600"]).start();
    let mut used = Connection::open(&daemon.socket());
    assert_eq!(used.exchange(&Request::get("/upcheck")).status, 200);
    let mut crowd: Vec<_> = (0..64).map(|_| Connection::open(&daemon.socket())).collect();
    for connection in &mut crowd[..32] {
        let _ = connection.try_send(b"GET /upcheck HTTP/1.1\r\nHost: loc");
    }
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
    assert_eq!(used.exchange(&Request::get("/upcheck")).status, 200);
    assert!(crowd[0].is_closed() && crowd[40].is_closed());
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let setup = Setup::new().args(&["--network", "minimal", "--max-connections", "4", "--idle-timeout", "1"]);
    let daemon = setup.start();
    let _idle: Vec<_> = (0..32).map(|_| Connection::open(&daemon.socket())).collect();
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn connections_beyond_the_open_files_take_those_of_idle_ones() {
    let script = "ulimit -n 64; exec \"$@\"";
    let setup = Setup::new().under(&["/bin/sh", "-c", script, "sh"]);
    let daemon = setup.args(&["--network", "minimal", "--header-timeout", "3600"]).start();
    let _idle: Vec<_> = (0..128).map(|_| Connection::open(&daemon.socket())).collect();
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let daemon = signer();
    let mut connection = Connection::open(&daemon.socket());
    for path in
        ["/upcheck", "/healthcheck", "/health", "/api/v1/eth2/publicKeys", "/eth/v1/keystores", "/none"]
    {
        let get = connection.exchange(&Request::get(path));
        connection.send(&Request::new("HEAD", path).bytes());
        let head = String::from_utf8(connection.take_head()).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", get.status)), "{path}: {head}");
        assert!(
            head.to_lowercase().contains(&format!("content-length: {}\r\n", get.body.len())),
            "{path}: {head}"
        );
    }
    connection.send(&Request::new("HEAD", "/api/v1/eth2/sign/0x00").bytes());
    assert!(connection.take_head().starts_with(b"HTTP/1.1 405 "));
    assert_eq!(connection.exchange(&Request::get("/upcheck")).text(), "OK");
}

#[test]
fn only_plain_json_is_taken() {
    let daemon = signer();
    let key = imported(&daemon);
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    let post = || Request::new("POST", &path).body(randao_reveal(1).to_string());
    for content_type in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(daemon.send(&post().header("Content-Type", content_type)).status, 200, "{content_type}");
    }
    assert_eq!(daemon.send(&post()).status, 200, "none at all: some clients send none");
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
    {
        daemon.send(&post().header("Content-Type", content_type)).assert_problem(415);
    }
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        daemon.send(&post().header("Content-Encoding", encoding)).assert_problem(415);
    }
    let import = Request::new("POST", "/eth/v1/keystores").header("Content-Type", "text/plain");
    daemon.send(&import.body(json!({"keystores": [], "passwords": []}).to_string())).assert_problem(415);
}

/// As in Web3Signer: clients put the path behind a base URL that ends in a slash.
#[test]
fn slashes_that_mean_nothing_are_passed_over_and_open_no_route_of_another_role() {
    let daemon = Setup::new()
        .args(&["--network", "minimal"])
        .listen("all", "unix:signer.sock")
        .listen("signing", "unix:signing.sock")
        .start();
    let key = imported(&daemon);
    let sign = |path: &str| Request::post(&format!("{path}{}", key.name()), randao_reveal(1).to_string());
    let expected = daemon.send(&sign("/api/v1/eth2/sign/"));
    assert_eq!(expected.status, 200);
    for path in ["//api/v1/eth2/sign/", "/api//v1/eth2///sign//"] {
        assert_eq!(daemon.send(&sign(path)), expected, "{path}");
    }
    let with_slash = format!("/api/v1/eth2/sign/{}/", key.name());
    let with_slash = Request::post(&with_slash, randao_reveal(1).to_string());
    assert_eq!(daemon.send(&with_slash), expected);
    for path in
        ["//upcheck", "/upcheck/", "//healthcheck", "//api/v1/eth2/publicKeys", "/api/v1//eth2/publicKeys"]
    {
        assert_eq!(daemon.send(&Request::get(path)).status, 200, "{path}");
    }
    for path in ["/eth/v1/keystores", "//eth/v1/keystores", "/eth//v1//keystores", "//reload", "/reload/"] {
        daemon.unix("signing.sock").send(&Request::get(path)).assert_problem(404);
    }
}

#[test]
fn a_path_has_one_spelling_and_never_means_another_key() {
    let daemon = signer();
    let key = imported(&daemon);
    let name = key.name();
    let body = randao_reveal(1).to_string();
    for path in [
        format!("/api/v1/eth2/sign/{name}/x"),
        format!("/api/v1/eth2/%2fsign/{name}"),
        format!("/api/v1/eth2/./sign/{name}"),
        format!("/api/v1/eth2/x/../sign/{name}"),
        format!("/api/v1/eth2/x/%2e%2e/sign/{name}"),
        format!("/api/v1/eth2/sign/{name}%00"),
        format!("/api/v1/eth2/sign/{name}00"),
        format!("/api/v1/eth2/sign/{}", &name[..96]),
        format!("/api/v1/eth2/sign/0x{name}"),
        format!("/api/v1/eth2/sign/%30x{}", &name[2..]),
        format!("/API/v1/eth2/sign/{name}"),
        format!("/api/v1/eth2/sign/{}", "f".repeat(1024)),
    ] {
        let answer = daemon.send(&Request::post(&path, body.as_str()));
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

fn signer() -> Daemon {
    Daemon::start(&["--network", "minimal"])
}

fn imported(daemon: &Daemon) -> Key {
    let key = Key::number(1);
    daemon.import(&[&key]);
    key
}
