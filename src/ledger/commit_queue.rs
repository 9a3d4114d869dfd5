//! Queue between request tasks, which wait for the disk, and the writer thread.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::fault::Fault;
use super::row::PendingWrite;
use super::sqlite::StoreError;
use super::transaction::AdminTask;
use crate::deadline::Deadline;
use crate::metrics::Histogram;

/// What the writer is asked to do.
pub(super) enum Task {
    /// Put all that has changed on the disk: somebody needs it there.
    Save(SyncWhen),
    /// Administration.
    AdminTask(AdminTask),
    /// Answer when everything asked before is done: a sign of life.
    Ping(oneshot::Sender<Result<(), Fault>>),
    /// Have the session counted, and answer.
    Count(oneshot::Sender<Result<(), Fault>>),
    /// Save and come to an end.
    Close,
}

/// How urgently a record is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SyncWhen {
    /// Within a few milliseconds, or when there are enough to share a sync: there is other work meanwhile, which the
    /// sync would take its time from.
    Batched,
    /// At once.
    Immediately,
}

/// The request tasks' end of the queue.
#[derive(Debug)]
pub(super) struct CommitQueue {
    tasks: mpsc::Sender<Task>,
    /// The most urgent `Save` among the tasks: 0 for none, or as [`SyncWhen::level`] has it.
    asked: AtomicU8,
    /// So many records wait for the next commit.
    waiting: AtomicUsize,
    commits: watch::Receiver<Commits>,
    broken: watch::Receiver<Option<Arc<StoreError>>>,
    pub(super) counts: CommitCounts,
}

/// What is counted of commits.
#[derive(Debug)]
pub(crate) struct CommitCounts {
    /// The time that the transaction and its sync took.
    pub(crate) durations: Histogram,
    /// How many records shared it.
    pub(crate) records: Histogram,
}

impl Default for CommitCounts {
    fn default() -> Self {
        Self { durations: Histogram::new(COMMIT_NANOSECONDS), records: Histogram::new(COMMIT_RECORDS) }
    }
}

/// The writer thread's end of the queue.
pub(super) struct WriterEnd {
    pub(super) tasks: mpsc::Receiver<Task>,
    commits: watch::Sender<Commits>,
    /// The first error; it is for good.
    pub(super) broken: watch::Sender<Option<Arc<StoreError>>>,
}

/// Those who wait are woken when a commit has ended.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Since when the writer is at the files, for a commit or for moving the log.
    running_since: Option<Instant>,
}

impl CommitQueue {
    pub(super) fn new() -> (Arc<Self>, WriterEnd) {
        let (tasks, tasks_end) = mpsc::channel();
        let (commits_end, commits) = watch::channel(Commits::default());
        let (broken_end, broken) = watch::channel(None);
        let queue = Arc::new(Self {
            tasks,
            asked: AtomicU8::new(0),
            waiting: AtomicUsize::new(0),
            commits,
            broken,
            counts: CommitCounts::default(),
        });
        (queue, WriterEnd { tasks: tasks_end, commits: commits_end, broken: broken_end })
    }

    /// Hands a task over. Dropped by a writer that has ended or that met a fault, which its sender notices.
    pub(super) fn send(&self, task: Task) {
        drop(self.tasks.send(task));
    }

    /// Asks for a commit, if none is asked for that urgently.
    fn ask_to_save(&self, sync_when: SyncWhen) {
        // What was listed before this is seen by the writer after its `begin_to_save`: both are read-modify-writes.
        if self.asked.fetch_max(sync_when.level(), Ordering::AcqRel) < sync_when.level() {
            self.send(Task::Save(sync_when));
        }
    }

    /// The writer's side of it: from now on a new commit has to be asked for.
    pub(super) fn begin_to_save(&self) {
        self.asked.swap(0, Ordering::AcqRel);
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// One more record waits for the next commit.
    pub(super) fn note_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records wait for the next commit.
    pub(super) fn waiting_records(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What was wanted soon is wanted now: there is nothing else to do.
    pub(super) fn hurry(&self) {
        if self.asked.load(Ordering::Acquire) == SyncWhen::Batched.level() {
            self.ask_to_save(SyncWhen::Immediately);
        }
    }

    /// The cause, if the ledger is broken.
    pub(super) fn cause(&self) -> Option<Arc<StoreError>> {
        self.broken.borrow().clone()
    }

    /// Resolves with the cause when the ledger breaks.
    pub(super) fn broken(&self) -> impl Future<Output = Option<Arc<StoreError>>> + Send + use<> {
        let mut broken = self.broken.clone();
        async move { broken.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone()) }
    }

    /// Why there is no answer where one had to be.
    pub(super) fn fault(&self) -> Fault {
        self.cause().map_or(Fault::Stopped, Fault::Broken)
    }

    /// Waits until the disk has the record. Ready at once if it has.
    pub(super) async fn durable(&self, record: &PendingWrite, deadline: Deadline) -> Result<(), Fault> {
        if record.is_durable() {
            return Ok(());
        }
        self.hasten(record, SyncWhen::Batched);
        let mut commits = self.commits.clone();
        let ended = commits.wait_for(|_| record.is_durable() || self.broken.borrow().is_some());
        match deadline.limit(ended).await? {
            Ok(_) if record.is_durable() => Ok(()),
            Ok(_) | Err(_) => Err(self.fault()),
        }
    }

    /// Sees to it that the record's commit begins.
    pub(super) fn hasten(&self, record: &PendingWrite, sync_when: SyncWhen) {
        if !record.is_underway() {
            let are_enough = self.waiting.load(Ordering::Relaxed) >= RECORDS_WORTH_A_SYNC;
            self.ask_to_save(if are_enough { SyncWhen::Immediately } else { sync_when });
        }
    }

    /// Whether the writer is at the files for so long that nothing new should be taken into memory before it is back.
    pub(super) fn is_stalled(&self) -> bool {
        self.commits.borrow().is_stalled()
    }

    pub(super) async fn until_not_stalled(&self) {
        let mut commits = self.commits.clone();
        // A queue that has ended is for whoever looks next to find.
        drop(commits.wait_for(|commits| !commits.is_stalled()).await);
    }
}

impl WriterEnd {
    /// Since when the writer is at the files. Nobody is woken by that.
    pub(super) fn set_running_since(&self, since: Option<Instant>) {
        self.commits.send_if_modified(|commits| {
            commits.running_since = since;
            false
        });
    }

    /// Whoever waits looks again: for a record, for a fault, or for the writer to come back from the files.
    pub(super) fn wake(&self) {
        self.commits.send_modify(|_| {});
    }
}

impl SyncWhen {
    fn level(self) -> u8 {
        match self {
            Self::Batched => 1,
            Self::Immediately => 2,
        }
    }
}

impl Commits {
    fn is_stalled(&self) -> bool {
        self.running_since.is_some_and(is_stalled)
    }
}

/// Whether what began then has gone on for so long that nothing new should be judged before it ends.
pub(super) fn is_stalled(since: Instant) -> bool {
    since.elapsed() > STALLED_AFTER
}

/// A commit takes a few milliseconds on a slow disk, moving the log or a second judge's answer not much more. What
/// takes longer may never end; what is judged meanwhile would be on record without a signature.
const STALLED_AFTER: Duration = Duration::from_millis(100);

/// So many records are worth a sync. It takes as much of a core as a signature does, so more of them would save little.
const RECORDS_WORTH_A_SYNC: usize = 16;

/// From a disk with a battery behind its cache to one that hangs.
const COMMIT_NANOSECONDS: &[u64] = &[
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    4_000_000_000,
];
const COMMIT_RECORDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16_384];
