//! Clients that begin a request or an answer and do not go on with it: they hold up nobody and fill no memory.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{Address, Connection, Daemon, Key, Request, Setup, randao_reveal};

#[test]
fn bodies_that_do_not_come_take_no_turn_from_those_that_are_here() {
    let daemon = roles(&["--max-requests", "1"]);
    let key = Key::number(1);
    daemon.import_at(&daemon.unix("keymanager.sock"), &[&key]);
    let sign = |epoch| {
        let path = format!("/api/v1/eth2/sign/{}", key.name());
        daemon.unix("signing.sock").send(&Request::post(&path, randao_reveal(epoch).to_string()))
    };
    for (listener, path) in [
        ("signing.sock", format!("/api/v1/eth2/sign/{}", key.name())),
        ("signing.sock", "/api/v1/eth2/sign".to_owned()),
        ("keymanager.sock", "/eth/v1/keystores".to_owned()),
    ] {
        let mut stalled = stall(&daemon.unix(listener), &path, 32, 1_000);
        for epoch in 0..5 {
            assert_eq!(sign(epoch).status, 200, "{listener} {path}");
        }
        let keystores = daemon.unix("keymanager.sock").send(&Request::get("/eth/v1/keystores"));
        assert_eq!(keystores.status, 200, "{listener} {path}");
        for connection in &mut stalled {
            connection.answer().assert_problem(400);
        }
    }
}

#[test]
fn announced_bodies_take_no_room_from_those_that_are_here() {
    let daemon = roles(&[]);
    let batch = batch_of(4_000);
    assert!(batch.len() > 256 * 1024);
    let batch = Request::post("/api/v1/eth2/sign", batch);
    // More than could be let go one after the other while a client waits.
    let _signing = stall(&daemon.unix("signing.sock"), "/api/v1/eth2/sign", 64, 32 << 20);
    let _keymanager = stall(&daemon.unix("keymanager.sock"), "/eth/v1/keystores", 32, 128 << 20);
    assert_eq!(daemon.unix("signing.sock").send(&batch).status, 200);
    let import = json!({"keystores": ["x".repeat(256 * 1024)], "passwords": [""]}).to_string();
    let import = Request::post("/eth/v1/keystores", import);
    assert_eq!(daemon.unix("keymanager.sock").send(&import).status, 200);
}

#[test]
fn a_body_that_stops_coming_is_400_and_a_head_without_one_is_not_waited_for() {
    let daemon = roles(&[]);
    let path = format!("/api/v1/eth2/sign/{}", Key::number(1).name());
    for length in [1_000, 1 << 20] {
        let mut stalled = stall(&daemon.unix("signing.sock"), &path, 1, length);
        let reason = stalled[0].answer().assert_problem(400);
        assert!(reason.contains("stopped coming"), "{reason}");
        assert!(stalled[0].is_closed());
    }
}

#[test]
fn a_body_that_trickles_is_400() {
    let daemon = roles(&[]);
    let path = format!("/api/v1/eth2/sign/{}", Key::number(1).name());
    let mut trickling = stall(&daemon.unix("signing.sock"), &path, 1, 1 << 20).remove(0);
    let mut sent = 0;
    while trickling.try_send(b" ").is_ok() {
        sent += 1;
        std::thread::sleep(Duration::from_millis(20));
        assert!(sent < 3_000, "it was let go on for a minute");
    }
    // The reset that follows may overtake the refusal.
    if let Ok(answer) = trickling.try_answer() {
        answer.assert_problem(400);
    }
    assert_eq!(daemon.unix("signing.sock").send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn a_body_costs_its_size_however_small_the_chunks_are() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let before = most_memory_kib(&daemon);
    let mut connection = Connection::open(&daemon.socket());
    let head = Request::post_head(&format!("/api/v1/eth2/sign/{}", Key::number(1).name()));
    connection.send(&head.header("Transfer-Encoding", "chunked").bytes());
    let chunks = b"1\r\n \r\n".repeat(64 * 1024);
    for _ in 0..16 {
        connection.send(&chunks);
    }
    connection.send(b"0\r\n\r\n");
    connection.answer().assert_problem(400);
    let grown = most_memory_kib(&daemon) - before;
    assert!(grown < 16 * 1024, "1 MiB in chunks of one byte took {grown} KiB");
}

#[test]
fn answers_that_nobody_reads_fill_no_memory_and_hold_up_nobody() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let before = most_memory_kib(&daemon);
    // A megabyte and a half each.
    let request = Request::post("/api/v1/eth2/sign", batch_of(4_000)).bytes();
    let mut unread: Vec<_> = (0..160).map(|_| Connection::open(&daemon.socket())).collect();
    for connection in &mut unread {
        // The daemon may have closed the first already.
        let _ = connection.try_send(&request);
    }
    assert_eq!(daemon.sign(&Key::number(1), &randao_reveal(1)).status, 404);
    // Behind hundreds of others a batch may be told to come again.
    daemon.wait_until(|daemon| {
        let read = daemon.send(&Request::post("/api/v1/eth2/sign", batch_of(4_000)));
        read.status == 200 && read.body.len() > 1 << 20
    });
    let grown = most_memory_kib(&daemon) - before;
    assert!(grown < 280 * 1024, "unread answers took {grown} KiB");
    drop(unread);
    daemon.wait_until(|daemon| daemon.status_number("VmRSS:") < before + 64 * 1024);
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

#[test]
fn a_client_that_has_said_all_and_stops_sending_is_answered() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let sign = Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), randao_reveal(1).to_string());
    for request in [sign, Request::get("/upcheck")] {
        let Address::Unix(path) = daemon.socket() else { panic!("a Unix socket") };
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&request.bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut connection = Connection::over(stream);
        assert_eq!(connection.answer().status, 200);
        assert!(connection.is_closed());
    }
}

#[test]
fn imports_beyond_their_turns_wait_and_take_neither_threads_nor_signing_s_turns() {
    let daemon = Daemon::start(&["--network", "minimal", "--max-requests", "64"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    // Some milliseconds of work; that the password is then wrong is as good as any outcome.
    let mut slow = key.keystore_value("p");
    slow["crypto"]["kdf"]["params"]["c"] = 20_000.into();
    let import = json!({"keystores": [slow.to_string()], "passwords": ["p"]}).to_string();
    let import = Request::post("/eth/v1/keystores", import).bytes();
    let mut imports: Vec<_> = (0..150).map(|_| Connection::open(&daemon.socket())).collect();
    for connection in &mut imports {
        connection.send(&import);
    }
    for epoch in 0..20 {
        let threads = daemon.status_number("Threads:");
        assert!(threads < 100, "{threads} threads");
        assert_eq!(daemon.sign(&key, &randao_reveal(epoch)).status, 200);
    }
    for connection in &mut imports {
        assert_eq!(connection.answer().status, 200);
    }
}

fn roles(args: &[&str]) -> Daemon {
    let setup = Setup::new().args(&["--network", "minimal"]).args(args);
    setup.listen("signing", "unix:signing.sock").listen("keymanager", "unix:keymanager.sock").start()
}

/// Connections that announce a body of so many bytes and send the first alone.
fn stall(address: &Address, path: &str, count: usize, length: usize) -> Vec<Connection> {
    let head = Request::post_head(path).header("Content-Length", &length.to_string());
    let request = [head.bytes().as_slice(), b"{"].concat();
    let mut connections: Vec<_> = (0..count).map(|_| Connection::open(address)).collect();
    connections.iter_mut().for_each(|connection| connection.send(&request));
    connections
}

/// A batch for keys that the daemon does not have: each has an error in its answer.
fn batch_of(keys: usize) -> String {
    let identifiers: Vec<_> = (0..keys).map(|key| format!("0x{key:096x}")).collect();
    json!({"identifiers": identifiers, "signing_request": randao_reveal(1)}).to_string()
}

/// What the daemon has ever had in memory.
fn most_memory_kib(daemon: &Daemon) -> u64 {
    daemon.status_number("VmHWM:")
}
