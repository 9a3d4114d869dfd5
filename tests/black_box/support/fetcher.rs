//! A fetcher, line by line as the protocol says.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::keys::Key;

/// A connection to the fetch socket.
pub struct Fetcher {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Fetcher {
    /// Connects to the socket `fetch.sock` in the daemon's directory.
    #[track_caller]
    pub fn connect(daemon: &Daemon) -> Self {
        let stream = UnixStream::connect(daemon.directory().join("fetch.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    #[track_caller]
    pub fn say(&mut self, line: &Value) {
        self.say_bytes(format!("{line}\n").as_bytes());
    }

    #[track_caller]
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends it and does not mind where the daemon has left.
    pub fn say_to_whom_may_have_left(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next line of the daemon's; `None` where it has left.
    #[track_caller]
    pub fn hears(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    pub fn begin(&mut self, source: &str, sealed: &str) {
        self.say(&json!({"begin": {"protocol": 1, "source": source, "sealed": sealed}}));
    }

    #[track_caller]
    pub fn key(&mut self, key: &Key) {
        self.say(&json!({"key": {"name": "k", "public_key": key.name(), "secret": key.secret_hex()}}));
    }

    /// A whole delivery of these keys; answers what came of it.
    #[track_caller]
    pub fn deliver(&mut self, source: &str, sealed: &str, keys: &[&Key]) -> Value {
        self.begin(source, sealed);
        keys.iter().for_each(|key| self.key(key));
        self.end(keys.len())
    }

    #[track_caller]
    pub fn end(&mut self, entries: usize) -> Value {
        self.say(&json!({"end": {"entries": entries}}));
        self.hears().unwrap()["delivered"].clone()
    }
}

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
