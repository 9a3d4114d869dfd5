//! What a Prometheus does to a daemon: a request for all metrics every second.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::support::{Address, Connection, Request};

/// Scrapes until it is dropped, on a thread and a connection of its own.
pub struct Scraper(#[expect(dead_code, reason = "its drop ends the thread")] Sender<()>);

impl Scraper {
    pub fn of(daemon: Address) -> Self {
        let (alive, ended) = channel();
        thread::spawn(move || scrape(&daemon, &ended));
        Self(alive)
    }
}

fn scrape(daemon: &Address, ended: &Receiver<()>) {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let request = Request::get("/metrics").header("Accept", accept);
    let mut connection = Connection::open(daemon);
    while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let answer = connection.exchange(&request);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
