//! A raw HTTP/1.1 client: what a test hands it goes out byte for byte, so that it can also be wrong on purpose.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    /// One request on a connection of its own.
    pub fn send(&self, request: &Request) -> Answer {
        Connection::open(self).exchange(request)
    }
}

/// A request as bytes, put together in the ordinary way: `Host` and, with a body, `Content-Length` are filled in.
#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n"), body: None }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str, json: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).header("Content-Type", "application/json").body(json)
    }

    /// With a body of JSON that the caller sends in a way of its own.
    pub fn post_head(path: &str) -> Self {
        Self::new("POST", path).header("Content-Type", "application/json")
    }

    /// Without the `Host` and everything else but the request line.
    pub fn bare(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\n"), body: None }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone().into_bytes();
        let body = self.body.as_deref();
        if let Some(body) = body {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body.unwrap_or_default());
        bytes
    }
}

/// One connection; what comes back is read with a time limit, so that a daemon that hangs fails the test.
pub struct Connection {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
}

/// A byte stream in both directions.
pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Connection {
    pub fn open(address: &Address) -> Self {
        Self::try_open(address).unwrap_or_else(|error| panic!("cannot connect to {address:?}: {error}"))
    }

    pub fn try_open(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Self::over(stream)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Self::over(stream)
            }
        })
    }

    /// Over a stream that is there already, such as a TLS session.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), received: Vec::new() }
    }

    pub fn exchange(&mut self, request: &Request) -> Answer {
        self.send(&request.bytes());
        self.answer()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Fails where the daemon has closed the connection already.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap_or_else(|error| panic!("no answer: {error}; received {:?}", self.received()))
    }

    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let head = String::from_utf8(self.try_take_head()?).map_err(io::Error::other)?;
        let mut answer = Answer::from_head(&head)?;
        if answer.header("transfer-encoding").is_some() {
            return Err(io::Error::other(
                "a chunked answer: every answer of the daemon should state its length",
            ));
        }
        let length = match answer.header("content-length") {
            Some(length) => length.parse().map_err(io::Error::other)?,
            None => 0,
        };
        while self.received.len() < length {
            self.receive()?;
        }
        answer.body = self.received.drain(..length).collect();
        Ok(answer)
    }

    /// The next answer's head, for one that has no body.
    pub fn take_head(&mut self) -> Vec<u8> {
        self.try_take_head().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    fn try_take_head(&mut self) -> io::Result<Vec<u8>> {
        let end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            self.receive()?;
        };
        Ok(self.received.drain(..end).collect())
    }

    /// The next bytes, whatever they are.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        self.try_take(length).unwrap_or_else(|error| panic!("no more bytes: {error}"))
    }

    pub fn try_take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            self.receive()?;
        }
        Ok(self.received.drain(..length).collect())
    }

    /// Whether the daemon closes the connection without a further byte.
    pub fn is_closed(&mut self) -> bool {
        if !self.received.is_empty() {
            return false;
        }
        match self.receive() {
            Ok(()) => false,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Whether the daemon closes the connection, whatever it still says before.
    pub fn ends(&mut self) -> bool {
        loop {
            self.received.clear();
            if !self.is_closed() && self.received.is_empty() {
                return false;
            }
            if self.received.is_empty() {
                return true;
            }
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        // A socket with a timeout is interrupted when the process is stopped and goes on, as debuggers do; signal(7).
        let length = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                length => break length?,
            }
        };
        match length {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.received.extend(&piece[..length]);
                Ok(())
            }
        }
    }

    fn received(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// A whole answer. Two are equal if they differ in nothing but their date.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Demands an error in the form of all errors: the status, and a JSON body that repeats it and gives a reason,
    /// which stands under `error` too.
    #[track_caller]
    pub fn assert_problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        assert_eq!(json["code"], status, "{self:?}");
        let message = json["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "an error without a reason: {self:?}");
        assert_eq!(json["error"], message, "{self:?}");
        message.to_owned()
    }

    fn from_head(head: &str) -> io::Result<Self> {
        let malformed = || io::Error::other(format!("a malformed answer: {head:?}"));
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().ok_or_else(malformed)?;
        let status =
            status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or_else(malformed)?;
        let headers = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(malformed)?;
        Ok(Self { status: status.parse().map_err(|_| malformed())?, headers, body: Vec::new() })
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        fn undated(answer: &Answer) -> impl Iterator<Item = &(String, String)> {
            answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"))
        }
        self.status == other.status && self.body == other.body && undated(self).eq(undated(other))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Longer than anything takes on a slow machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
