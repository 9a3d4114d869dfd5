//! A bounded queue of log records, and the one thread that writes them.
//!
//! To log is to put a record into memory: whoever signs, starts or stops never waits for the reader of the log, be it a
//! pipe that nobody empties or a journal that is stopped. What does not fit is dropped and counted.
//!
//! To wake a thread for each record would cost more than the record does. So the thread that writes leaves those that
//! come one upon the other some milliseconds to be many, and writes as many at once as its outlet takes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Where records go. A write may take as long as it likes.
pub(super) trait Outlet: Send + 'static {
    /// Records may be written at once that are no longer than this together, in bytes; 0: each is written alone.
    const BYTES_AT_ONCE: usize;

    /// Writes one record, or several, one after the other.
    fn write(&mut self, records: &[u8]) -> io::Result<()>;
}

/// Records on their way out.
pub(super) struct Queue {
    state: Mutex<State>,
    /// For the writing thread: there is something to do.
    arrived: Condvar,
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    records: Records,
    writer: Writer,
    /// Of the records that wait and of those in the writer's hands: see [`cost`].
    bytes: usize,
    /// Somebody waits until all is written.
    flushing: bool,
}

/// What the writing thread does.
#[derive(Clone, Copy, Default)]
enum Writer {
    #[default]
    Writes,
    /// It waits for a first record.
    Idles,
    /// It has records, and waits a little for more.
    Gathers,
}

/// Records, one after the other.
#[derive(Default)]
struct Records {
    text: Vec<u8>,
    lengths: Vec<usize>,
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
    pub(super) fn push(&self, record: &[u8]) {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(cost(record.len()));
        if bytes > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes = bytes;
        state.records.text.extend_from_slice(record);
        state.records.lengths.push(record.len());
        let is_awaited = match state.writer {
            Writer::Writes => false,
            Writer::Idles => {
                state.writer = Writer::Gathers;
                true
            }
            Writer::Gathers => state.is_enough(),
        };
        drop(state);
        if is_awaited {
            self.arrived.notify_one();
        }
    }

    /// The number of records that were never written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all is written, and no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let mut state = self.lock();
        state.flushing = true;
        self.arrived.notify_one();
        let waited = self.emptied.wait_timeout_while(state, patience, |state| state.bytes > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
    }

    fn write_out<O: Outlet>(&self, outlet: &mut O, tell_dropped: fn(u64)) {
        let mut told = 0;
        let mut records = Records::default();
        loop {
            self.take(&mut records);
            for Run { text, count } in records.runs(O::BYTES_AT_ONCE) {
                let written = outlet.write(text);
                let has_room = self.done(text.len(), count);
                if written.is_err() {
                    self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
                    continue;
                }
                let dropped = self.dropped();
                if has_room && dropped > told {
                    tell_dropped(dropped.saturating_sub(told));
                    told = dropped;
                }
            }
            records.clear();
        }
    }

    /// Waits for records, and exchanges them for these, which are empty.
    fn take(&self, records: &mut Records) {
        let mut state = self.lock();
        state.writer = Writer::Idles;
        let waited = self.arrived.wait_while(state, |state| state.records.lengths.is_empty());
        state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writer = Writer::Gathers;
        let waited = self.arrived.wait_timeout_while(state, GATHER_WINDOW, |state| !state.is_enough());
        (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.writer = Writer::Writes;
        std::mem::swap(&mut state.records, records);
    }

    /// Gives the place of written records free. Says whether at least half of all room is free then.
    fn done(&self, bytes: usize, count: usize) -> bool {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes.saturating_add(count.saturating_mul(RECORD_OVERHEAD)));
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

impl State {
    /// Whether the records are worth a write, or cannot wait.
    fn is_enough(&self) -> bool {
        self.flushing || self.records.text.len() >= WORTH_A_WRITE
    }
}

/// Records that are written at once.
struct Run<'a> {
    text: &'a [u8],
    count: usize,
}

impl Records {
    /// In runs of so many bytes at most; a record that is longer is a run.
    fn runs(&self, most: usize) -> impl Iterator<Item = Run<'_>> {
        let (mut rest, mut lengths) = (self.text.as_slice(), self.lengths.iter().copied().peekable());
        std::iter::from_fn(move || {
            let (mut length, mut count) = (lengths.next()?, 1_usize);
            while let Some(more) = lengths.next_if(|more| length.saturating_add(*more) <= most) {
                length = length.saturating_add(more);
                count = count.saturating_add(1);
            }
            let (text, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(Run { text, count })
        })
    }

    /// What a burst has taken of memory is given back.
    fn clear(&mut self) {
        if self.text.capacity() > KEPT {
            *self = Self::default();
        }
        self.text.clear();
        self.lengths.clear();
    }
}

/// What a record of this length takes of the room.
fn cost(length: usize) -> usize {
    length.saturating_add(RECORD_OVERHEAD)
}

/// In bytes: some 2000 lines of the audit.
const CAPACITY: usize = 1 << 20;
/// In bytes, for a record's place in memory beside its text.
const RECORD_OVERHEAD: usize = 64;
/// How long records wait for others at most.
const GATHER_WINDOW: Duration = Duration::from_millis(5);
/// So many bytes of records wait for no more.
const WORTH_A_WRITE: usize = 32 * 1024;
/// So many bytes of room are kept for records to come.
const KEPT: usize = 64 * 1024;

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
        const BYTES_AT_ONCE: usize = 0;

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
            queue.push(&record(number));
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
            queue.push(b"x");
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
        queue.push(b"x");
        queue.flush(Duration::from_millis(10));
        assert!(queue.lock().bytes > 0);
    }

    #[test]
    fn records_are_written_together_as_far_as_the_outlet_takes_them_and_never_in_parts() {
        let mut records = Records::default();
        for length in [3, 4, 2, 9, 1] {
            records.text.extend(std::iter::repeat_n(b'x', length));
            records.lengths.push(length);
        }
        let runs = |most| records.runs(most).map(|run| (run.text.len(), run.count)).collect::<Vec<_>>();
        assert_eq!(runs(8), [(7, 2), (2, 1), (9, 1), (1, 1)]);
        assert_eq!(runs(0), [(3, 1), (4, 1), (2, 1), (9, 1), (1, 1)]);
        assert_eq!(runs(usize::MAX), [(19, 5)]);
    }
}
