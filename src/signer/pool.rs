//! Signing threads: one a core, the most urgent work first, and what is equally urgent round robin between clients.
//!
//! Signatures are computed here and not where connections are served, so that however many wait, connections are
//! accepted and requests read meanwhile, and a block has at most one signature a core before it.
//!
//! To hand over a result means to wake another thread, which on busy cores costs a tenth of a signature. So while more
//! work waits, a few results are handed over together. And keys that sign the same root are multiplied a few at a time.

mod finished;
mod key_times;
mod queue;
mod round_robin;
mod same_root;
mod work;

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::finished::{ENOUGH_KEYS, Finished};
use self::queue::{Queue, Turn, TurnWork};
use self::same_root::SameRoot;
use self::work::{Backlog, Deliver, Presigning, Work};
use crate::bls::HashCache;
use crate::caller::Share;
use crate::deadline::Deadline;
use crate::duty::Priority;
use crate::keys::{HeldSignature, Key};
use crate::ledger::{Judged, SyncWhen};

pub(super) use self::same_root::KEYS_AT_A_TIME;

/// The threads and what waits for them. Dropping it waits for what has begun; what has not is not done any more.
pub(crate) struct SigningPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl SigningPool {
    /// Starts one thread for each core that this process may use. When all of them have found nothing to do, the last
    /// calls `at_rest`.
    pub(crate) fn start(hashes: HashCache, at_rest: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Self::with_threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN), hashes, at_rest)
    }

    /// Refuses signatures of so many keys that are not to be expected in time, by what waits before them and by how
    /// long the last ones took. Ask before they are judged: what is judged is on record.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn refuse_late(
        &self,
        share: &Share,
        priority: Priority,
        keys: usize,
        deadline: Deadline,
    ) -> Result<(), PoolBusy> {
        self.shared.refuse_late(&self.shared.queue(), share, priority, keys, deadline)
    }

    /// Announces signatures of so many keys, which are then queued bit by bit: until they are, or what is returned is
    /// dropped, they count among those that wait. Ask before any is judged.
    ///
    /// # Errors
    /// They are not to be expected in time, as above.
    pub(crate) fn announce(
        &self,
        share: Share,
        priority: Priority,
        keys: usize,
        deadline: Deadline,
    ) -> Result<Announced, PoolBusy> {
        let mut queue = self.shared.queue();
        self.shared.refuse_late(&queue, &share, priority, keys, deadline)?;
        queue.announce(&share, priority, keys);
        drop(queue);
        Ok(Announced { shared: Arc::clone(&self.shared), share, priority, keys })
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.shared.threads
    }

    /// Queues the signatures of what was judged, all of one root, at once, in this share; the future is those
    /// signatures, in the same order. Dropped before they have begun, they are not computed.
    ///
    /// Keep them few: no other work is looked at in between. The records of what was judged are begun with the
    /// signatures; those of blocks at once, as a block that waits for a core need not wait for the disk after that.
    ///
    /// # Errors
    /// A thread panicked, or the pool was dropped.
    pub(crate) fn presign(
        &self,
        share: Share,
        priority: Priority,
        judged: Vec<Judged<Arc<Key>>>,
    ) -> impl Future<Output = Result<Vec<HeldSignature>, PoolClosed>> + Send + use<> {
        if priority == Priority::Block {
            judged.iter().for_each(|judged| judged.begin_to_record(SyncWhen::Immediately));
        }
        let (answer, result) = oneshot::channel();
        self.shared.add(share, priority, Work::Signatures(Presigning { judged, answer }));
        async { result.await.map_err(|_| PoolClosed) }
    }

    /// Queues the check of signatures of one root, in this share; the future is those signatures, all of them right.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn examine(
        &self,
        share: Share,
        priority: Priority,
        held: Vec<HeldSignature>,
    ) -> impl Future<Output = Result<Vec<HeldSignature>, PoolClosed>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        self.run(share, priority, move |_| HeldSignature::examined(held, &shared.hashes))
    }

    /// Queues `work` at once, in this share; the future is its result. Dropped before the work has begun, the work is
    /// not done.
    ///
    /// The work is told what waits behind it.
    ///
    /// # Errors
    /// The work panicked, or the pool was dropped.
    pub(crate) fn run<T, W>(
        &self,
        share: Share,
        priority: Priority,
        work: W,
    ) -> impl Future<Output = Result<T, PoolClosed>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(Backlog) -> T + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.shared.add(
            share,
            priority,
            Work::Other(Box::new(move |backlog| {
                if answer.is_closed() {
                    return None;
                }
                let outcome = work(backlog);
                // The caller was cancelled: the result is dropped.
                Some(Box::new(move || drop(answer.send(outcome))) as Deliver)
            })),
        );
        async { result.await.map_err(|_| PoolClosed) }
    }

    /// The hashes of the roots that are signed.
    pub(crate) fn hashes(&self) -> &HashCache {
        &self.shared.hashes
    }

    fn with_threads(
        threads: NonZeroUsize,
        hashes: HashCache,
        at_rest: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (queue, added, at_rest) = (Mutex::default(), Condvar::new(), Box::new(at_rest));
        let shared = Shared { threads, hashes, queue, added, at_rest };
        let mut pool = Self { shared: Arc::new(shared), threads: Vec::new() };
        for _ in 0..threads.get() {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name("signing".to_owned()).spawn(move || shared.work())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

impl Drop for SigningPool {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A panic in the thread has been reported by its hook; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

/// Signatures that were announced and are not queued yet.
pub(crate) struct Announced {
    shared: Arc<Shared>,
    share: Share,
    priority: Priority,
    keys: usize,
}

impl Announced {
    /// So many of them are queued now, or not wanted any more.
    pub(crate) fn discount(&mut self, keys: usize) {
        let keys = keys.min(self.keys);
        self.keys = self.keys.saturating_sub(keys);
        self.shared.queue().discount(&self.share, self.priority, keys);
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.discount(self.keys);
    }
}

/// The signatures would come too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signer is overloaded: with what waits for its cores, the signatures would take about {needed:.1?}, and are of \
     use for {left:.1?}. Nothing was recorded: ask again, or for fewer keys at a time"
)]
pub(crate) struct PoolBusy {
    needed: Duration,
    left: Duration,
}

/// There is no result: the work panicked, or the pool was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing threads have ended")]
pub(crate) struct PoolClosed;

struct Shared {
    threads: NonZeroUsize,
    hashes: HashCache,
    queue: Mutex<Queue>,
    added: Condvar,
    at_rest: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    fn refuse_late(
        &self,
        queue: &Queue,
        share: &Share,
        priority: Priority,
        keys: usize,
        deadline: Deadline,
    ) -> Result<(), PoolBusy> {
        let Some(time) = queue.key_times.typical() else { return Ok(()) };
        let keys = queue.keys_until(share, priority, keys).div_ceil(self.threads.get());
        let (needed, left) = (time.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX)), deadline.left());
        if needed <= left { Ok(()) } else { Err(PoolBusy { needed, left }) }
    }

    fn add(&self, share: Share, priority: Priority, work: Work) {
        let mut queue = self.queue();
        queue.add(share, priority, work);
        let someone_waits = queue.idle > 0;
        drop(queue);
        if someone_waits {
            self.added.notify_one();
        }
    }

    /// One thread's life.
    fn work(&self) {
        let mut finished = Finished::default();
        let mut timed = None;
        loop {
            let Some(Turn { priority, work, backlog }) = self.try_next(&mut timed).or_else(|| {
                finished.hand_over();
                self.next()
            }) else {
                return;
            };
            match work {
                TurnWork::Signatures(signatures) => {
                    let keys = signatures.keys();
                    let results;
                    (results, timed) = self.presign_all(signatures, sync_when(priority, backlog));
                    finished.add(results, keys);
                }
                // Takes as long as many keys.
                TurnWork::Other(work) => finished.add(work(backlog), ENOUGH_KEYS),
            }
            if priority == Priority::Block || finished.are_enough() {
                finished.hand_over();
            }
        }
    }

    /// The record goes to the disk while its signature is computed; only the release must wait for it. Gives the
    /// results and the time that each key took; none where nobody waited for any.
    fn presign_all(
        &self,
        SameRoot { signatures, waiting }: SameRoot,
        sync_when: SyncWhen,
    ) -> (Vec<Deliver>, Option<Duration>) {
        let begun = Instant::now();
        let (mut answers, mut all) =
            (Vec::with_capacity(signatures.len()), Vec::with_capacity(signatures.len()));
        for Presigning { mut judged, answer } in signatures.into_iter().filter(Presigning::is_wanted) {
            judged.iter().for_each(|judged| judged.begin_to_record(sync_when));
            answers.push((answer, judged.len()));
            all.append(&mut judged);
        }
        let keys = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let mut held = Key::presign(all, waiting, &self.hashes).into_iter();
        let time = begun.elapsed().checked_div(keys);
        let result = |(answer, count): (oneshot::Sender<_>, usize)| {
            let held: Vec<_> = held.by_ref().take(count).collect();
            // The caller was cancelled: the signatures are dropped.
            Box::new(move || drop(answer.send(held))) as Deliver
        };
        (answers.into_iter().map(result).collect(), time)
    }

    /// `timed`: how long each of the signatures of the turn before took.
    fn try_next(&self, timed: &mut Option<Duration>) -> Option<Turn> {
        let mut queue = self.queue();
        if let Some(time) = timed.take() {
            queue.key_times.note(time);
        }
        if queue.closed { None } else { self.take(&mut queue) }
    }

    fn take(&self, queue: &mut Queue) -> Option<Turn> {
        queue.take(self.threads, |signing_root| self.hashes.state(signing_root))
    }

    /// Waits for work; `None` when there will be no more.
    fn next(&self) -> Option<Turn> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(turn) = self.take(&mut queue) {
                return Some(turn);
            }
            if !queue.has_rested && queue.idle.saturating_add(1) == self.threads.get() {
                queue.has_rested = true;
                drop(queue);
                (self.at_rest)();
                // Others may have worked and come to rest meanwhile.
                queue = self.queue();
                continue;
            }
            queue.idle = queue.idle.saturating_add(1);
            queue = self.added.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle = queue.idle.saturating_sub(1);
        }
    }

    fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        let dropped = queue.clear();
        drop(queue);
        self.added.notify_all();
        drop(dropped);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs while the lock is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How soon a record is needed whose signature is begun. Until a core is free there is no hurry, and more records will
/// share the sync.
fn sync_when(priority: Priority, backlog: Backlog) -> SyncWhen {
    match (priority, backlog) {
        (Priority::Block, _) | (_, Backlog::Empty) => SyncWhen::Immediately,
        (Priority::Vote | Priority::Other, Backlog::MoreWork) => SyncWhen::Batched,
    }
}

#[cfg(test)]
mod tests;
