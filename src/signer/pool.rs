//! Signing threads: one a core, the most urgent work first.
//!
//! Signatures are computed here and not where connections are served, so that however many wait, connections are
//! accepted and requests read meanwhile, and a block has at most one signature a core before it.
//!
//! To hand over a result means to wake another thread, which on busy cores costs a tenth of a signature. So while more
//! work waits, a few results are handed over together.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::duty::Priority;

/// The threads and what waits for them. Dropping it waits for what has begun; what has not is not done any more.
pub(crate) struct SigningPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl SigningPool {
    /// Starts one thread for each core that this process may use. When all of them have found nothing to do, the last
    /// calls `at_rest`.
    pub(crate) fn start(at_rest: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Self::with_threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN), at_rest)
    }

    /// Queues `work` at once; the future is its result. Dropped before the work has begun, the work is not done.
    ///
    /// The work is told what waits behind it.
    ///
    /// # Errors
    /// The work panicked, or the pool was dropped.
    pub(crate) fn run<T, W>(
        &self,
        priority: Priority,
        work: W,
    ) -> impl Future<Output = Result<T, PoolClosed>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(Backlog) -> T + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.shared.add(
            priority,
            Box::new(move |backlog| {
                if answer.is_closed() {
                    return None;
                }
                let outcome = work(backlog);
                // The caller was cancelled: the result is dropped.
                Some(Box::new(move || drop(answer.send(outcome))) as Deliver)
            }),
        );
        async { result.await.map_err(|_| PoolClosed) }
    }

    fn with_threads(threads: NonZeroUsize, at_rest: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let shared =
            Shared { threads, queue: Mutex::default(), added: Condvar::new(), at_rest: Box::new(at_rest) };
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

/// What waits for a core while some work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    Empty,
    MoreWork,
}

/// There is no result: the work panicked, or the pool was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing threads have ended")]
pub(crate) struct PoolClosed;

struct Shared {
    threads: NonZeroUsize,
    queue: Mutex<Queue>,
    added: Condvar,
    at_rest: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    blocks: VecDeque<Work>,
    votes: VecDeque<Work>,
    others: VecDeque<Work>,
    /// Threads that wait for work: only they need to be woken.
    idle: usize,
    /// Whether it was said that all are at rest, since work was taken last.
    has_rested: bool,
    closed: bool,
}

/// Does the work; nothing comes of it if nobody waits for it any more.
type Work = Box<dyn FnOnce(Backlog) -> Option<Deliver> + Send>;

/// Gives a result to whoever waits for it.
type Deliver = Box<dyn FnOnce()>;

impl Shared {
    fn add(&self, priority: Priority, work: Work) {
        let mut queue = self.queue();
        match priority {
            Priority::Block => queue.blocks.push_back(work),
            Priority::Vote => queue.votes.push_back(work),
            Priority::Other => queue.others.push_back(work),
        }
        let someone_waits = queue.idle > 0;
        drop(queue);
        if someone_waits {
            self.added.notify_one();
        }
    }

    /// One thread's life.
    fn work(&self) {
        let mut finished = Vec::with_capacity(RESULT_BATCH);
        loop {
            let Some(Taken { priority, work, backlog }) = self.try_next().or_else(|| {
                deliver(&mut finished);
                self.next()
            }) else {
                return;
            };
            finished.extend(work(backlog));
            if priority == Priority::Block || finished.len() >= RESULT_BATCH {
                deliver(&mut finished);
            }
        }
    }

    fn try_next(&self) -> Option<Taken> {
        let mut queue = self.queue();
        if queue.closed { None } else { queue.take() }
    }

    /// Waits for work; `None` when there will be no more.
    fn next(&self) -> Option<Taken> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(taken) = queue.take() {
                return Some(taken);
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
        let dropped = (
            std::mem::take(&mut queue.blocks),
            std::mem::take(&mut queue.votes),
            std::mem::take(&mut queue.others),
        );
        drop(queue);
        self.added.notify_all();
        drop(dropped);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs while the lock is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work taken from the queue.
struct Taken {
    priority: Priority,
    work: Work,
    backlog: Backlog,
}

impl Queue {
    fn take(&mut self) -> Option<Taken> {
        let queues = [
            (Priority::Block, &mut self.blocks),
            (Priority::Vote, &mut self.votes),
            (Priority::Other, &mut self.others),
        ];
        let (priority, work) =
            queues.into_iter().find_map(|(priority, queue)| Some((priority, queue.pop_front()?)))?;
        self.has_rested = false;
        let is_empty = self.blocks.is_empty() && self.votes.is_empty() && self.others.is_empty();
        Some(Taken { priority, work, backlog: if is_empty { Backlog::Empty } else { Backlog::MoreWork } })
    }
}

fn deliver(finished: &mut Vec<Deliver>) {
    if finished.is_empty() {
        return;
    }
    finished.drain(..).for_each(|deliver| deliver());
    // Who was woken shall not have to wait until our time slice ends.
    thread::yield_now();
}

/// So many results are handed over together at most while there is more to do: the first of them waits for as many
/// signatures less one, half a millisecond.
const RESULT_BATCH: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn all_threads_share_the_work_and_every_result_comes_back() {
        let pool = pool(4);
        let results: Vec<_> = (0..500_u32).map(|i| pool.run(Priority::Vote, move |_| i * 2)).collect();
        for (i, result) in (0..).zip(results) {
            assert_eq!(wait(result), Ok(i * 2));
        }
    }

    #[test]
    fn a_block_goes_before_votes_and_votes_before_the_rest() {
        let (pool, gate) = occupied();
        let (order, seen) = mpsc::channel();
        let waiting = [
            (Priority::Other, "other"),
            (Priority::Vote, "vote 1"),
            (Priority::Vote, "vote 2"),
            (Priority::Block, "block"),
        ]
        .map(|(priority, name)| {
            let order = order.clone();
            pool.run(priority, move |_| order.send(name).unwrap())
        });
        gate.send(()).unwrap();
        for result in waiting {
            wait(result).unwrap();
        }
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["block", "vote 1", "vote 2", "other"]);
    }

    #[test]
    fn a_block_is_handed_over_before_more_work_begins() {
        let (pool, gate) = occupied();
        let (go_on, stopped) = mpsc::channel::<()>();
        let block = pool.run(Priority::Block, |backlog| backlog);
        let vote = pool.run(Priority::Vote, move |backlog| {
            stopped.recv().unwrap();
            backlog
        });
        gate.send(()).unwrap();
        // Would never come if it was kept for the vote's result.
        assert_eq!(wait(block), Ok(Backlog::MoreWork));
        go_on.send(()).unwrap();
        assert_eq!(wait(vote), Ok(Backlog::Empty));
    }

    #[test]
    fn each_time_that_all_threads_come_to_rest_the_last_says_so() {
        let (rest, rests) = mpsc::channel();
        let at_rest = move || rest.send(()).unwrap_or_default();
        let pool = SigningPool::with_threads(NonZeroUsize::new(3).unwrap(), at_rest).unwrap();
        for _ in 0..100 {
            let results: Vec<_> = (0..10).map(|i| pool.run(Priority::Vote, move |_| i)).collect();
            assert!(results.into_iter().all(|result| wait(result).is_ok()));
            rests.recv().unwrap();
        }
    }

    #[test]
    fn work_that_nobody_waits_for_any_more_is_not_begun() {
        let (pool, gate) = occupied();
        let begun = Arc::new(AtomicUsize::new(0));
        let count = || {
            let begun = Arc::clone(&begun);
            pool.run(Priority::Vote, move |_| begun.fetch_add(1, Ordering::Relaxed))
        };
        let (wanted, unwanted) = (count(), count());
        drop(unwanted);
        let last = count();
        gate.send(()).unwrap();
        wait(wanted).unwrap();
        wait(last).unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_waits_when_the_workers_go_is_told() {
        let (pool, gate) = occupied();
        let never = pool.run(Priority::Vote, |_| ());
        let closing = thread::spawn(move || drop(pool));
        assert_eq!(wait(never), Err(PoolClosed));
        gate.send(()).unwrap();
        closing.join().unwrap();
    }

    /// One thread, busy until the sender is used.
    fn occupied() -> (SigningPool, mpsc::Sender<()>) {
        let (pool, (gate, opened), (begun, is_begun)) = (pool(1), mpsc::channel(), mpsc::channel());
        drop(pool.run(Priority::Block, |_| ())); // wakes nobody up for nothing
        let occupied = pool.run(Priority::Block, move |_| {
            begun.send(()).unwrap();
            opened.recv().unwrap();
        });
        is_begun.recv().unwrap();
        drop(occupied);
        (pool, gate)
    }

    fn pool(threads: usize) -> SigningPool {
        SigningPool::with_threads(NonZeroUsize::new(threads).unwrap(), || ()).unwrap()
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }
}
