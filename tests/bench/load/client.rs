//! Clients that keep a number of connections busy, light enough to run beside what they measure.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::LocalSet;

use crate::support::Request;

/// How one slot went.
pub struct Slot {
    /// From the first request to the last answer.
    pub duration: Duration,
    /// Of each request, from the first byte sent to the last byte of the answer.
    pub latencies: Vec<Duration>,
}

/// Connections that are open before the slot begins, as a validator client's are.
pub struct Clients {
    streams: Vec<UnixStream>,
}

impl Clients {
    pub async fn connect(socket: &Path, connections: usize) -> Self {
        let mut clients = Self { streams: Vec::new() };
        for _ in 0..connections {
            clients.streams.push(UnixStream::connect(socket).await.unwrap());
        }
        // The first exchange on a connection is not what is measured.
        let hello = vec![Request::get("/upcheck").bytes(); connections];
        clients.send(hello).await;
        clients
    }

    /// Sends the requests, each connection the next one as soon as it has its answer. Every answer must be a 200.
    pub async fn send(&mut self, requests: Vec<Vec<u8>>) -> Slot {
        let queue = Rc::new(std::cell::RefCell::new(requests.into_iter()));
        let local = LocalSet::new();
        let start = Instant::now();
        let busy: Vec<_> = self
            .streams
            .drain(..)
            .map(|stream| local.spawn_local(drain(stream, Rc::clone(&queue))))
            .collect();
        local.await;
        let duration = start.elapsed();
        let mut latencies = Vec::new();
        for task in busy {
            let (stream, taken) = task.await.unwrap();
            self.streams.push(stream);
            latencies.extend(taken);
        }
        Slot { duration, latencies }
    }
}

type Queue = Rc<std::cell::RefCell<std::vec::IntoIter<Vec<u8>>>>;

async fn drain(mut stream: UnixStream, queue: Queue) -> (UnixStream, Vec<Duration>) {
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(64 * 1024);
    loop {
        let Some(request) = queue.borrow_mut().next() else { return (stream, latencies) };
        let start = Instant::now();
        stream.write_all(&request).await.unwrap();
        buffer.clear();
        while !is_whole(&buffer) {
            assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0, "the daemon closed a connection");
        }
        latencies.push(start.elapsed());
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer));
    }
}

/// Whether an answer has come to its end; every answer states its length.
fn is_whole(received: &[u8]) -> bool {
    let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&received[..head]).unwrap();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    received.len() >= head + 4 + length.expect("an answer without a length")
}
