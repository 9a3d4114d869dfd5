//! Clients that keep a number of connections busy, light enough to run beside what they measure.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::support::{Address, Daemon, Request};

/// What is asked for in a slot.
pub struct Requests {
    /// Sent over all connections, each the next one as soon as it has its answer.
    pub queue: Vec<Vec<u8>>,
    /// Sent over a connection of its own when half of the queue has been answered.
    pub in_the_midst: Option<Vec<u8>>,
    /// How many signatures all of that asks for.
    pub signatures: usize,
}

/// How one slot went.
pub struct Slot {
    /// From the first request to the last answer.
    pub duration: Duration,
    /// Of each request of the queue, from the first byte sent to the last byte of the answer.
    pub latencies: Vec<Duration>,
    /// The same of the request in the midst.
    pub in_the_midst: Option<Duration>,
    /// So many requests were sent and their answers not yet read, at most.
    pub most_in_flight: usize,
    pub signatures: usize,
    /// The last answer of each connection that had one.
    pub answers: Vec<Vec<u8>>,
}

/// Connections that are open before the slot begins, as a validator client's are.
pub struct Clients {
    streams: Vec<UnixStream>,
    aside: UnixStream,
}

impl Clients {
    /// So many connections for the queue, and one more for what comes in the midst.
    pub async fn connect(daemon: &Daemon, connections: usize) -> Self {
        let Address::Unix(socket) = daemon.socket() else { panic!("the daemon listens on a Unix socket") };
        let mut streams: Vec<_> = (0..=connections).map(|_| open(&socket)).collect();
        let aside = streams.pop().unwrap();
        let mut clients = Self { streams, aside };
        // The first exchange on a connection is not what is measured.
        let hello = || Request::get("/upcheck").bytes();
        let hellos =
            Requests { queue: vec![hello(); connections], in_the_midst: Some(hello()), signatures: 0 };
        clients.send(hellos).await;
        clients
    }

    /// Sends the requests. Every answer must be a 200.
    pub async fn send(&mut self, requests: Requests) -> Slot {
        timeout(PATIENCE, self.exchange_all(requests)).await.expect("a slot without an end")
    }

    async fn exchange_all(&mut self, requests: Requests) -> Slot {
        let Requests { queue, in_the_midst, signatures } = requests;
        let shared = Rc::new(Shared {
            half: queue.len() / 2,
            queue: RefCell::new(queue.into_iter()),
            in_flight: Cell::new(0),
            most_in_flight: Cell::new(0),
            answered: Cell::new(0),
            midst: Notify::new(),
        });
        if shared.half == 0 {
            shared.midst.notify_one();
        }
        let local = LocalSet::new();
        let start = Instant::now();
        let busy: Vec<_> = self
            .streams
            .drain(..)
            .map(|stream| local.spawn_local(drain(stream, Rc::clone(&shared))))
            .collect();
        let aside = async {
            match in_the_midst {
                None => None,
                Some(request) => {
                    shared.midst.notified().await;
                    Some(exchange(&mut self.aside, &request, &mut Vec::with_capacity(ANSWER)).await)
                }
            }
        };
        let in_the_midst = local.run_until(aside).await;
        local.await;
        let duration = start.elapsed();
        let (mut latencies, mut answers) = (Vec::new(), Vec::new());
        for task in busy {
            let (stream, taken, answer) = task.await.unwrap();
            self.streams.push(stream);
            latencies.extend(taken);
            answers.extend((!answer.is_empty()).then_some(answer));
        }
        let most_in_flight = shared.most_in_flight.get();
        Slot { duration, latencies, in_the_midst, most_in_flight, signatures, answers }
    }
}

/// What the connections of a slot share.
struct Shared {
    queue: RefCell<std::vec::IntoIter<Vec<u8>>>,
    half: usize,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
    answered: Cell<usize>,
    midst: Notify,
}

impl Shared {
    fn next(&self) -> Option<Vec<u8>> {
        let next = self.queue.borrow_mut().next()?;
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight.set(self.most_in_flight.get().max(self.in_flight.get()));
        Some(next)
    }

    fn has_answer(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.answered.set(self.answered.get() + 1);
        if self.answered.get() >= self.half {
            self.midst.notify_one();
        }
    }
}

async fn drain(mut stream: UnixStream, shared: Rc<Shared>) -> (UnixStream, Vec<Duration>, Vec<u8>) {
    let (mut latencies, mut answer) = (Vec::new(), Vec::with_capacity(ANSWER));
    while let Some(request) = shared.next() {
        latencies.push(exchange(&mut stream, &request, &mut answer).await);
        shared.has_answer();
    }
    (stream, latencies, answer)
}

async fn exchange(stream: &mut UnixStream, request: &[u8], answer: &mut Vec<u8>) -> Duration {
    let start = Instant::now();
    stream.write_all(request).await.unwrap();
    answer.clear();
    while !is_whole(answer) {
        assert_ne!(stream.read_buf(answer).await.unwrap(), 0, "the daemon closed a connection");
    }
    let taken = start.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
    taken
}

/// What follows the head of an answer.
pub fn body(answer: &[u8]) -> &[u8] {
    &answer[head_length(answer).expect("a whole answer")..]
}

/// Whether an answer has come to its end; every answer states its length.
fn is_whole(received: &[u8]) -> bool {
    let Some(head) = head_length(received) else { return false };
    let text = std::str::from_utf8(&received[..head]).unwrap();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    received.len() >= head + length.expect("an answer without a length")
}

fn head_length(received: &[u8]) -> Option<usize> {
    Some(received.windows(4).position(|window| window == b"\r\n\r\n")? + 4)
}

/// Waits while the daemon has more connections to accept than its socket's queue holds.
fn open(socket: &Path) -> UnixStream {
    let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// Room for an answer, in bytes; a larger one takes more reads.
const ANSWER: usize = 16 * 1024;

/// For a whole slot, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
