//! Writer thread: the only one that touches the files once the ledger is open.
//!
//! ```text
//! somebody needs a record on disk -> take all that has changed -> one transaction, one fsync -> tell all who wait
//! ```
//!
//! Nobody waits for the disk who need not: a request is judged in memory at once, its multiplication begins, and asks
//! for the commit as it does. While a commit runs, further requests are judged, and what they change waits for the next
//! one. While more work waits for a core, the commit waits for more records, a little and as long as they come. So the
//! more there is to do, the more share a sync, and no core waits for a sync that could have run meanwhile.

use std::mem;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;

use super::commit_queue::{CommitQueue, SyncWhen, Task, WriterEnd};
use super::fault::Fault;
use super::row::DirtyRow;
use super::sqlite::{SealedChange, Store, StoreError};
use super::transaction::{AdminTask, AdminTransaction};
use super::watermarks::{Change, Metadata, Watermarks};

/// The thread's state.
pub(super) struct Writer {
    pub(super) watermarks: Arc<RwLock<Watermarks>>,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) store: Store,
    pub(super) queue: Arc<CommitQueue>,
    pub(super) writer_end: WriterEnd,
    pub(super) wal_limit_bytes: u64,
    pub(super) wal_limit_commits: usize,
    pub(super) quiet: Duration,
}

impl Writer {
    /// Serves until it is told to close.
    pub(super) fn run(mut self) {
        let mut next = None;
        while let Some(task) = next.take().or_else(|| self.next()) {
            match task {
                // Whoever waits for it is told by the commit.
                Task::Save(SyncWhen::Immediately) => drop(self.save(&[])),
                Task::Save(SyncWhen::Batched) => {
                    next = self.gather();
                    drop(self.save(&[]));
                }
                Task::AdminTask(order) => self.carry_out(order),
                Task::Ping(answer) => {
                    let saved = self.save(&[]);
                    self.store.refresh_anchors();
                    // Nobody waits for an answer that cannot be sent.
                    drop(answer.send(saved.map_err(Fault::Broken)));
                }
                Task::Count(answer) => {
                    let counted = self.count();
                    drop(answer.send(counted.map_err(Fault::Broken)));
                }
                Task::Close => break,
            }
            if self.store.wal_length() > self.wal_limit_bytes {
                self.tidy(Store::truncate_wal);
            }
        }
        if self.save(&[]).is_err() {
            return; // What is in the file has to be found out by the next start.
        }
        if let Err(error) = self.store.close() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "closing the slashing protection ledger failed"
            );
        }
    }

    /// Waits for something to do. Moving the log costs several syncs, so that is left for a moment in which nobody
    /// asks.
    fn next(&mut self) -> Option<Task> {
        if self.store.commits_in_wal() >= self.wal_limit_commits {
            match self.writer_end.tasks.recv_timeout(self.quiet) {
                Ok(task) => return Some(task),
                Err(mpsc::RecvTimeoutError::Timeout) => self.tidy(Store::restart_wal),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
        self.writer_end.tasks.recv().ok()
    }

    /// Gives others the time to add their records, for as long as they do. What ends it early is done after the commit.
    fn gather(&self) -> Option<Task> {
        let begun = Instant::now();
        let mut waiting = self.queue.waiting_records();
        while begun.elapsed() < GATHER_WINDOW {
            match self.writer_end.tasks.recv_timeout(GATHER_PAUSE) {
                Ok(task) => return Some(task),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let waited = mem::replace(&mut waiting, self.queue.waiting_records());
            if waited == waiting {
                return None;
            }
        }
        None
    }

    fn tidy(&mut self, tidy: impl Fn(&mut Store) -> Result<(), StoreError>) {
        if self.queue.cause().is_none() {
            let tidied = self.on_disk(|writer| tidy(&mut writer.store));
            // Whoever comes next is told.
            drop(self.note(tidied));
            self.writer_end.wake();
        }
    }

    /// One order, one transaction. An order that meets a broken ledger is dropped, which its caller notices.
    fn carry_out(&mut self, order: AdminTask) {
        if self.queue.cause().is_some() {
            return;
        }
        let watermarks = Arc::clone(&self.watermarks);
        // Requests wait for the order, not for its sync: they meet its outcome in memory.
        let mut watermarks = watermarks.blocking_write();
        let mut transaction =
            AdminTransaction { watermarks: &mut watermarks, store: &self.store, sealed: Vec::new() };
        let ordered = order(&mut transaction);
        let sealed = transaction.sealed;
        drop(watermarks);
        match ordered {
            Ok(reply) => reply(self.save(&sealed).map_err(Fault::Broken)),
            Err(error) => drop(self.note(Err(error))),
        }
    }

    /// Puts all that has changed on the disk, and tells those who wait for it.
    fn save(&mut self, sealed: &[SealedChange]) -> Result<(), Arc<StoreError>> {
        if let Some(cause) = self.queue.cause() {
            return Err(cause);
        }
        self.queue.begin_to_save();
        let batch = Batch::of(&self.changes);
        if batch.is_empty() && sealed.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let written = self.on_disk(|writer| writer.write(&batch, sealed));
        let saved = self.note(written);
        if saved.is_ok() {
            self.queue.counts.durations.record_duration(begun.elapsed());
            self.queue.counts.records.record(u64::try_from(batch.rows.len()).unwrap_or(u64::MAX));
            batch.rows.iter().for_each(DirtyRow::mark_saved);
        }
        self.writer_end.wake();
        saved
    }

    fn count(&mut self) -> Result<(), Arc<StoreError>> {
        if let Some(cause) = self.queue.cause() {
            return Err(cause);
        }
        let counted = self.on_disk(|writer| writer.store.count());
        self.note(counted)
    }

    /// Works on the files. If that takes unduly long, nothing is judged meanwhile.
    fn on_disk<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.writer_end.set_running_since(Some(Instant::now()));
        let outcome = work(self);
        self.writer_end.set_running_since(None);
        outcome
    }

    fn write(&mut self, batch: &Batch, sealed: &[SealedChange]) -> Result<(), StoreError> {
        let entries = batch.rows.iter().map(|row| (row.position(), &row.entry));
        self.store.save(batch.head.as_ref(), entries, sealed)?;
        if sealed.iter().any(SealedChange::removes) {
            self.store.truncate_wal()?;
        }
        Ok(())
    }

    /// The first error breaks the ledger for good.
    fn note(&mut self, outcome: Result<(), StoreError>) -> Result<(), Arc<StoreError>> {
        outcome.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "slashing protection is broken: no block, no attestation and no raw root is signed until a restart"
            );
            let cause = Arc::new(error);
            self.writer_end.broken.send_replace(Some(Arc::clone(&cause)));
            self.writer_end.wake();
            cause
        })
    }
}

/// What shares a transaction.
#[derive(Default)]
struct Batch {
    head: Option<Metadata>,
    rows: Vec<DirtyRow>,
}

impl Batch {
    /// All that is on the list, in its order: of a row that comes twice the later state counts.
    fn of(changes: &mpsc::Receiver<Change>) -> Self {
        let mut batch = Self::default();
        for change in changes.try_iter() {
            match change {
                Change::Metadata(head) => batch.head = Some(head),
                Change::Row(row) => batch.rows.push(row.take()),
            }
        }
        batch
    }

    fn is_empty(&self) -> bool {
        self.head.is_none() && self.rows.is_empty()
    }
}

/// How long records that are not needed at once wait for others, which come one after the other.
const GATHER_WINDOW: Duration = Duration::from_millis(2);

/// When none has come for so long, no more are waited for: the cores are busy with work that needs no record. Where it
/// needs one, each signature that is ready lets its client ask for the next, on two cores at least one in this time.
const GATHER_PAUSE: Duration = Duration::from_micros(300);
