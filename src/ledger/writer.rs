//! The order of events: one thread that owns memory and file, and everything it does to a batch of requests.
//!
//! ```text
//! take all that waits -> judge each against memory, answer at once -> one transaction, one fsync -> clear all allowed
//! ```
//!
//! A refusal needs no disk. An allowed message may be signed while the fsync runs, but the signature is only released
//! after it ([`super::Judged::cleared`]). Two contradicting messages of one batch meet in memory: the first passes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::book::{Book, Horizon, RawRoots, Record, Request};
use super::clearance::{Commit, Fault, Judged, Stage, Verdict};
use super::orders::{Office, Order};
use super::store::{SealedChange, Store, StoreError};
use crate::network::Network;
use crate::primitives::Slot;

/// What the writer is asked to do.
pub(super) enum Task {
    /// Judge one message.
    Judge { request: Request, arrived: Instant, answer: oneshot::Sender<Result<Verdict, Fault>> },
    /// Judge several, in order, in one transaction.
    JudgeAll {
        requests: Vec<Request>,
        arrived: Instant,
        answer: oneshot::Sender<Result<Vec<Verdict>, Fault>>,
    },
    /// Administration.
    Order(Order),
    /// Answer when everything asked before is done: a sign of life.
    Ping { answer: oneshot::Sender<Result<(), Fault>> },
}

/// A chain's clock, for telling how far ahead a message can plausibly lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenesisClock {
    /// Seconds since 1970 at slot 0.
    pub(crate) genesis_time: u64,
    pub(crate) slot_duration: Duration,
    pub(crate) slots_per_epoch: u64,
}

impl GenesisClock {
    /// The network's clock, if its genesis is known.
    pub(crate) fn of(network: &Network) -> Option<Self> {
        Some(Self {
            genesis_time: network.genesis_time()?,
            slot_duration: network.slot_duration()?,
            slots_per_epoch: network.preset().slots_per_epoch().get(),
        })
    }

    /// Two years beyond what the clock or the records say, whichever is later: a clock set back does not stop a signer
    /// that has records of today.
    fn horizon(self, highest: Slot, now: SystemTime) -> Horizon {
        let Self { genesis_time, slot_duration, slots_per_epoch } = self;
        let slots = |time: Duration| {
            let slots = time.as_millis().checked_div(slot_duration.as_millis()).unwrap_or_default();
            u64::try_from(slots).unwrap_or(u64::MAX)
        };
        let unix = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let current = slots(unix.saturating_sub(Duration::from_secs(genesis_time)));
        let latest = Slot(current.max(highest.0).saturating_add(slots(WINDOW)));
        Horizon { latest, slots_per_epoch }
    }
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) book: Book,
    pub(super) store: Store,
    pub(super) raw_roots: RawRoots,
    pub(super) longest_wait: Duration,
    pub(super) log_limit: u64,
    /// For waiting with a time limit; nothing else runs on it.
    pub(super) timer: Runtime,
    pub(super) clock: Option<GenesisClock>,
    pub(super) broken: watch::Sender<Option<Arc<StoreError>>>,
}

impl Writer {
    /// Serves the queue until its last sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Task>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while self.take(&mut queue, &mut waiting) > 0 {
            self.serve(waiting.drain(..));
            if self.store.log_length() > self.log_limit.saturating_mul(URGENT) {
                self.tidy();
            }
        }
        if self.cause().is_some() {
            return; // What is in the file has to be found out by the next start.
        }
        if let Err(error) = self.store.close() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "closing the slashing protection ledger failed"
            );
        }
    }

    /// Takes all that waits, or waits for something. Emptying the log costs several syncs, so that is left for a moment
    /// in which nobody asks.
    fn take(&mut self, queue: &mut mpsc::Receiver<Task>, waiting: &mut Vec<Task>) -> usize {
        if self.store.log_length() > self.log_limit {
            let soon = async { tokio::time::timeout(QUIET, queue.recv_many(waiting, BATCH)).await };
            match self.timer.block_on(soon) {
                Ok(taken) => return taken,
                Err(_) => self.tidy(),
            }
        }
        queue.blocking_recv_many(waiting, BATCH)
    }

    fn tidy(&mut self) {
        if self.cause().is_none() {
            let emptied = self.store.empty_log();
            self.note(emptied);
        }
    }

    fn serve(&mut self, tasks: impl Iterator<Item = Task>) {
        let mut batch = Batch::new(self.horizon());
        for task in tasks {
            match task {
                // Nobody waits for an answer that cannot be sent.
                Task::Judge { request, arrived, answer } => {
                    let verdict = self.admit(arrived).map(|()| self.judge(&request, &mut batch));
                    drop(answer.send(verdict));
                }
                Task::JudgeAll { requests, arrived, answer } => {
                    let verdicts = self
                        .admit(arrived)
                        .map(|()| requests.iter().map(|request| self.judge(request, &mut batch)).collect());
                    drop(answer.send(verdicts));
                }
                Task::Order(order) => {
                    self.finish(&mut batch);
                    self.carry_out(order);
                }
                Task::Ping { answer } => {
                    self.finish(&mut batch);
                    drop(answer.send(self.cause().map_or(Ok(()), |cause| Err(Fault::Broken(cause)))));
                }
            }
        }
        self.finish(&mut batch);
    }

    /// Turns away what comes too late to be of use, or after a fault.
    fn admit(&self, arrived: Instant) -> Result<(), Fault> {
        if let Some(cause) = self.cause() {
            return Err(Fault::Broken(cause));
        }
        let waited = arrived.elapsed();
        if waited > self.longest_wait {
            return Err(Fault::WaitedTooLong { waited, limit: self.longest_wait });
        }
        Ok(())
    }

    fn judge(&mut self, request: &Request, batch: &mut Batch) -> Verdict {
        match self.book.judge(request, self.raw_roots, batch.horizon) {
            Ok(Record::Durable) => Verdict::Allowed(Judged::new(request, Commit::Durable)),
            Ok(Record::Unsaved) => Verdict::Allowed(Judged::new(request, batch.commit())),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Makes all that was judged durable and tells those who wait for it.
    fn finish(&mut self, batch: &mut Batch) {
        if self.cause().is_some() {
            return;
        }
        let saved = self.save(&[]);
        match self.note(saved) {
            None => batch.tell(Stage::Durable),
            Some(cause) => batch.tell(Stage::Failed(cause)),
        }
    }

    /// One order, one transaction. An order that meets a broken ledger is dropped, which its caller notices.
    fn carry_out(&mut self, order: Order) {
        if self.cause().is_some() {
            return;
        }
        let mut office = Office { book: &mut self.book, store: &self.store, sealed: Vec::new() };
        let ordered = order(&mut office);
        let sealed = office.sealed;
        let (reply, saved) = match ordered {
            Ok(reply) => (Some(reply), self.save(&sealed)),
            Err(error) => (None, Err(error)),
        };
        let outcome = self.note(saved).map_or(Ok(()), |cause| Err(Fault::Broken(cause)));
        if let Some(reply) = reply {
            reply(outcome);
        }
    }

    fn save(&mut self, sealed: &[SealedChange]) -> Result<(), StoreError> {
        if self.book.is_saved() && sealed.is_empty() {
            return Ok(());
        }
        self.store.save(&self.book, sealed)?;
        self.book.mark_saved();
        if sealed.iter().any(SealedChange::removes) {
            self.store.empty_log()?;
        }
        Ok(())
    }

    /// The first error breaks the ledger for good.
    fn note(&mut self, outcome: Result<(), StoreError>) -> Option<Arc<StoreError>> {
        let error = outcome.err()?;
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "slashing protection is broken; blocks and attestations are not signed until a restart"
        );
        let cause = Arc::new(error);
        self.broken.send_replace(Some(Arc::clone(&cause)));
        Some(cause)
    }

    fn cause(&self) -> Option<Arc<StoreError>> {
        self.broken.borrow().clone()
    }

    fn horizon(&self) -> Option<Horizon> {
        let clock = self.clock?;
        Some(clock.horizon(self.book.highest_slot(clock.slots_per_epoch), SystemTime::now()))
    }
}

/// The requests that share a transaction.
struct Batch {
    horizon: Option<Horizon>,
    stage: Option<watch::Sender<Stage>>,
}

impl Batch {
    fn new(horizon: Option<Horizon>) -> Self {
        Self { horizon, stage: None }
    }

    fn commit(&mut self) -> Commit {
        let stage = self.stage.get_or_insert_with(|| watch::channel(Stage::Syncing).0);
        Commit::Pending(stage.subscribe())
    }

    /// Ends the transaction for those who wait for it; who comes now waits for the next one.
    fn tell(&mut self, outcome: Stage) {
        if let Some(stage) = self.stage.take() {
            stage.send_replace(outcome);
        }
    }
}

/// Nobody asks, if nobody has for this long.
const QUIET: Duration = Duration::from_millis(200);

/// A log that is so many times longer than its limit is emptied even while others wait.
const URGENT: u64 = 4;

/// So many tasks share a transaction at most.
const BATCH: usize = 1_000;

/// Wide, because a clock may be wrong, and because what must be caught is garbage: a time taken for a slot, a number
/// that overflowed. Those lie centuries ahead.
const WINDOW: Duration = Duration::from_secs(2 * 365 * 86_400);
