//! A bounded queue of log records, and the one thread that writes them.
//!
//! To log is to put a record into memory: whoever signs, starts or stops never waits for the reader of the log, be it a
//! pipe that nobody empties or a journal that is stopped. What does not fit is dropped and counted.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Where records go. A write may take as long as it likes.
pub(super) trait Outlet: Send + 'static {
    fn write(&mut self, record: &[u8]) -> io::Result<()>;
}

/// Records on their way out.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    records: VecDeque<Vec<u8>>,
    /// Of the records that wait and of the one being written.
    bytes: usize,
}

impl Queue {
    /// Starts the writing thread. It hands the number of records that were dropped to `tell_dropped` as soon as the
    /// outlet takes records again.
    pub(super) fn start(mut outlet: impl Outlet, tell_dropped: fn(u64)) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let written = Arc::clone(&queue);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || written.write_out(&mut outlet, tell_dropped))?;
        Ok(queue)
    }

    /// Takes a record without waiting; one that does not fit is dropped and counted.
    pub(super) fn push(&self, record: Vec<u8>) {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(cost(&record));
        if bytes > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes = bytes;
        state.records.push_back(record);
        drop(state);
        self.arrived.notify_one();
    }

    /// The number of records that were never written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all is written, and no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let waited = self.emptied.wait_timeout_while(self.lock(), patience, |state| state.bytes > 0);
        drop(waited);
    }

    fn write_out(&self, outlet: &mut impl Outlet, tell_dropped: fn(u64)) {
        let mut told = 0;
        loop {
            let record = self.next();
            let written = outlet.write(&record);
            let has_room = self.done(&record);
            if written.is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let dropped = self.dropped();
            if has_room && dropped > told {
                tell_dropped(dropped.saturating_sub(told));
                told = dropped;
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(record) = state.records.pop_front() {
                return record;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a record's place free. Says whether at least half of all room is free then.
    fn done(&self, record: &[u8]) -> bool {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(cost(record));
        if state.bytes == 0 {
            self.emptied.notify_all();
        }
        state.bytes <= CAPACITY / 2
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only whole records are ever in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(record: &[u8]) -> usize {
    record.len().saturating_add(RECORD_OVERHEAD)
}

/// In bytes: some 5000 lines of usual length.
const CAPACITY: usize = 1 << 20;
/// In bytes, for a record's place in memory beside its text.
const RECORD_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes only as often as it is allowed to; fails where it is told to.
    struct Reader {
        allowed: Receiver<bool>,
        written: Sender<Vec<u8>>,
    }

    impl Outlet for Reader {
        fn write(&mut self, record: &[u8]) -> io::Result<()> {
            match self.allowed.recv() {
                Ok(true) => {
                    let _ = self.written.send(record.to_owned());
                    Ok(())
                }
                Ok(false) => Err(io::Error::other("the reader is gone")),
                Err(_) => {
                    thread::park();
                    Ok(())
                }
            }
        }
    }

    fn stalled(tell_dropped: fn(u64)) -> (Arc<Queue>, Sender<bool>, Receiver<Vec<u8>>) {
        let (allow, allowed) = channel();
        let (written, out) = channel();
        (Queue::start(Reader { allowed, written }, tell_dropped).unwrap(), allow, out)
    }

    #[test]
    fn records_that_do_not_fit_are_dropped_and_counted_and_the_first_ones_kept() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let (queue, allow, out) = stalled(|dropped| {
            TOLD.fetch_add(dropped, Ordering::Relaxed);
        });
        let record = |number: u32| [&number.to_be_bytes()[..], &[b'x'; 1000]].concat();
        let sent = 3000;
        for number in 0..sent {
            queue.push(record(number));
        }
        let dropped = u32::try_from(queue.dropped()).unwrap();
        assert!(dropped > sent / 2, "{dropped}");
        queue.flush(Duration::from_millis(1));

        let kept = sent - dropped;
        for number in 0..kept {
            allow.send(true).unwrap();
            assert_eq!(out.recv().unwrap(), record(number));
        }
        queue.flush(Duration::from_secs(60));
        assert_eq!(TOLD.load(Ordering::Relaxed), u64::from(dropped), "told once there is room");
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn what_cannot_be_written_counts_as_dropped_and_is_no_endless_talk() {
        let (queue, allow, out) = stalled(|_| panic!("nobody would read it"));
        for outcome in [false, false] {
            queue.push(b"x".to_vec());
            allow.send(outcome).unwrap();
        }
        queue.flush(Duration::from_secs(60));
        while queue.dropped() < 2 {
            thread::yield_now();
        }
        assert!(out.try_recv().is_err());
    }

    #[test]
    fn a_flush_ends_though_nobody_reads() {
        let (queue, _allow, _out) = stalled(|_| {});
        queue.push(b"x".to_vec());
        queue.flush(Duration::from_millis(10));
        assert!(queue.lock().bytes > 0);
    }
}
