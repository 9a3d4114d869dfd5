//! HTTP/2 without TLS and with prior knowledge, in frames of our own making: what it must do and what it must survive.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Connection, Daemon, Key, Request, Setup, randao_reveal};

#[test]
fn answers_over_http_2_as_over_http_1() {
    let daemon = signer();
    let mut connection = open(&daemon);
    connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, UPCHECK_HEADERS));
    assert_eq!(connection.body_of(1), b"OK");

    let key = Key::number(1);
    daemon.import(&[&key]);
    let expected = daemon.sign(&key, &randao_reveal(1)).body;
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    // Several at once, as that is what HTTP/2 is for.
    for stream in [3, 5, 7] {
        connection.send(&frame(HEADERS, END_HEADERS, stream, &post_headers(&path)));
        connection.send(&frame(DATA, END_STREAM, stream, randao_reveal(1).to_string().as_bytes()));
    }
    for stream in [7, 3, 5] {
        assert_eq!(connection.body_of(stream), expected, "stream {stream}");
    }
}

#[test]
fn rapid_resets_of_http_2_streams_cost_the_connection_and_no_memory() {
    let daemon = signer();
    let before = resident_kib(&daemon);
    for _ in 0..20 {
        let mut connection = open(&daemon);
        for stream in (1..20_000).step_by(2) {
            let mut burst = frame(HEADERS, END_HEADERS | END_STREAM, stream, UPCHECK_HEADERS);
            burst.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            if connection.connection.try_send(&burst).is_err() {
                break;
            }
        }
    }
    assert_stays_small(&daemon, before);
}

#[test]
fn endless_http_2_continuations_cost_the_connection_and_no_memory() {
    let daemon = signer();
    let before = resident_kib(&daemon);
    for _ in 0..4 {
        let mut connection = open(&daemon);
        connection.send(&frame(HEADERS, END_STREAM, 1, UPCHECK_HEADERS));
        // A header field of 16 KB without indexing, over and over, and never an END_HEADERS.
        let mut field = vec![0, 1, b'x', 0x7f, 0x81, 0x7c];
        field.resize(16_000, b'a');
        let taken = (0..10_000)
            .take_while(|_| connection.connection.try_send(&frame(CONTINUATION, 0, 1, &field)).is_ok())
            .count();
        assert!(taken < 10_000, "160 MB of headers were taken");
    }
    assert_stays_small(&daemon, before);
}

#[test]
fn streams_whose_bodies_do_not_come_hold_up_nobody() {
    let daemon = Daemon::start(&["--network", "minimal", "--max-requests", "1"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    let path = format!("/api/v1/eth2/sign/{}", key.name());
    let mut connection = open(&daemon);
    for stream in (1..200).step_by(2) {
        connection.send(&frame(HEADERS, END_HEADERS, stream, &post_headers(&path)));
    }
    for epoch in 0..10 {
        assert_eq!(daemon.sign(&key, &randao_reveal(epoch)).status, 200);
    }
    for stream in (1..200).step_by(2) {
        let problem: serde_json::Value = serde_json::from_slice(connection.body_of(stream)).unwrap();
        assert_eq!(problem["code"], 400, "{problem}");
    }
}

#[test]
fn answers_that_a_client_of_http_2_has_no_window_for_fill_no_memory() {
    let setup = Setup::new();
    let keys = setup.directory().join("keys");
    std::fs::create_dir(&keys).unwrap();
    for number in 1..=1_000 {
        let key = Key::number(number).secret_hex();
        let file = keys.join(format!("{number}.yaml"));
        std::fs::write(&file, format!("type: file-raw\nkeyType: BLS\nprivateKey: '{key}'\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let daemon = setup.args(&["--network", "minimal", "--key-config-path", keys.to_str().unwrap()]).start();
    assert_eq!(daemon.public_keys().len(), 1_000);
    let before = resident_kib(&daemon);
    // SETTINGS_INITIAL_WINDOW_SIZE of 0. A hundred lists of 100 kB on each of eight connections.
    let mut connections: Vec<_> = (0..8).map(|_| open_with(&daemon, &[0, 4, 0, 0, 0, 0])).collect();
    let list = [b"\x82\x86\x01\x09localhost\x04\x17".as_slice(), b"/api/v1/eth2/publicKeys"].concat();
    for connection in &mut connections {
        for stream in (1..200).step_by(2) {
            connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &list));
        }
        // What comes back are heads; the daemon has made all answers when the last of them is here.
        connection.head_of(199);
    }
    assert_stays_small(&daemon, before);
    // Whoever never has a window is cut off.
    for connection in &mut connections {
        connection.is_cut_off();
    }
}

fn signer() -> Daemon {
    Daemon::start(&["--network", "minimal"])
}

fn open(daemon: &Daemon) -> Http2 {
    open_with(daemon, &[])
}

fn open_with(daemon: &Daemon, settings: &[u8]) -> Http2 {
    let mut connection = Connection::open(&daemon.socket());
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    connection.send(&frame(SETTINGS, 0, 0, settings));
    Http2 { connection, bodies: BTreeMap::new() }
}

/// A connection, and what has come over it.
struct Http2 {
    connection: Connection,
    /// By stream: what its answer's body has so far, and whether that is all.
    bodies: BTreeMap<u32, (Vec<u8>, bool)>,
}

impl Http2 {
    fn send(&mut self, bytes: &[u8]) {
        self.connection.send(bytes);
    }

    /// Takes frames until the stream's answer is whole.
    fn body_of(&mut self, stream: u32) -> &[u8] {
        while !self.bodies.get(&stream).is_some_and(|(_, whole)| *whole) {
            self.take_frame();
        }
        &self.bodies[&stream].0
    }

    /// Takes frames until the stream's answer has begun.
    fn head_of(&mut self, stream: u32) {
        while !self.bodies.contains_key(&stream) {
            self.take_frame();
        }
    }

    /// Waits until the daemon has closed the connection.
    #[track_caller]
    fn is_cut_off(&mut self) {
        while self.connection.try_take(1).is_ok() {}
        assert!(self.connection.is_closed());
    }

    fn take_frame(&mut self) {
        let head = self.connection.take(9);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.connection.take(length as usize);
        // NO_ERROR after a whole answer says that the rest of the body is not wanted (RFC 9113, 8.1).
        let not_wanted =
            kind == RST_STREAM && payload == [0; 4] && self.bodies.get(&of).is_some_and(|(_, whole)| *whole);
        if not_wanted {
            return;
        }
        assert!(![RST_STREAM, GOAWAY].contains(&kind), "frame {kind} on stream {of}: {payload:?}");
        let (body, whole) = self.bodies.entry(of).or_default();
        if kind == DATA {
            body.extend(payload);
        }
        *whole |= [DATA, HEADERS].contains(&kind) && flags & END_STREAM != 0;
    }
}

/// HPACK: `:method POST`, `:scheme http`, `:authority localhost`, and the path with its length in front.
fn post_headers(path: &str) -> Vec<u8> {
    let mut headers = b"\x83\x86\x01\x09localhost\x04".to_vec();
    // A length below 127 is a byte; a path here has 116.
    headers.push(u8::try_from(path.len()).unwrap());
    headers.extend(path.bytes());
    headers
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[track_caller]
fn assert_stays_small(daemon: &Daemon, before_kib: u64) {
    let grown = resident_kib(daemon).saturating_sub(before_kib);
    assert!(grown < 32 * 1024, "grew by {grown} KiB");
    assert_eq!(daemon.send(&Request::get("/upcheck")).status, 200);
}

fn resident_kib(daemon: &Daemon) -> u64 {
    daemon.status_number("VmRSS:")
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// HPACK: `:method GET`, `:scheme http`, `:path /upcheck`, `:authority localhost`.
const UPCHECK_HEADERS: &[u8] = b"\x82\x86\x04\x08/upcheck\x01\x09localhost";
