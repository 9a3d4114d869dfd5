//! Pool of the memory and threads that key derivation may take, shared by all who open keystores at one time.
//!
//! One standard scrypt keystore takes 256 MiB and most of a second. A hundred in one request must neither take 25 GiB
//! nor keep a signature waiting, so each derivation first waits for its share of the memory, in the order of arrival,
//! and runs on a thread that lets signing go first.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::metrics::Counter;
use crate::sys::hardening::lower_priority;

/// The bounds of a [`KdfPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KdfLimits {
    /// Bytes that all derivations together may use at one time.
    pub(crate) memory: u64,
    /// Derivations that may run at one time.
    pub(crate) threads: NonZeroUsize,
    /// How far the threads step back for others where that is asked for: 0 (not at all) to 19.
    pub(crate) nice: u8,
}

/// Whether others have to go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Nothing is served yet: at the start.
    Start,
    /// Signing goes on meanwhile and goes first.
    Background,
}

impl Default for KdfLimits {
    /// 1 GiB, one thread for each processor, behind signing, but not so far that a busy host never gets to it.
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            nice: 10,
        }
    }
}

/// Where key derivations run. Blocks the caller: async code calls it from `spawn_blocking`.
#[derive(Debug)]
pub(crate) struct KdfPool {
    limits: KdfLimits,
    free: Mutex<Free>,
    changed: Condvar,
    derivations: Counter,
}

#[derive(Debug)]
struct Free {
    memory: u64,
    threads: usize,
    /// The number of the next to wait.
    next: u64,
    /// Whose turn it is. A large derivation is not overtaken for ever by small ones.
    turn: u64,
}

impl KdfPool {
    pub(crate) fn new(limits: KdfLimits) -> Self {
        let free = Free { memory: limits.memory, threads: limits.threads.get(), next: 0, turn: 0 };
        Self { limits, free: Mutex::new(free), changed: Condvar::new(), derivations: Counter::default() }
    }

    /// Applies `work` to all items on threads of this call's own. Results come in the order of the items.
    ///
    /// The threads only become as many as the pool allows at one time; what is expensive inside `work` goes through
    /// [`KdfPool::with_memory`].
    pub(crate) fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        urgency: Urgency,
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let run = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { return done };
                done.push((index, work(item)));
            }
        };
        let run_apart = || {
            match urgency {
                Urgency::Start => {}
                Urgency::Background => lower_priority(i32::from(self.limits.nice)),
            }
            run()
        };
        let mut done = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.limits.threads.get().min(items.len()))
                .map_while(|_| thread::Builder::new().name("kdf".into()).spawn_scoped(scope, run_apart).ok())
                .collect();
            // Whatever no thread could be made for is done here; with threads there is nothing left to take.
            let mut done = if threads.is_empty() { run() } else { Vec::new() };
            for thread in threads {
                done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        done.sort_unstable_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Runs `work`, which needs `bytes` of memory, when they and a thread's share are free.
    ///
    /// # Errors
    /// At once, without running anything, when it can never fit.
    pub(crate) fn with_memory<R>(&self, bytes: u64, work: impl FnOnce() -> R) -> Result<R, OverBudget> {
        if bytes > self.limits.memory {
            return Err(OverBudget { needed: bytes, budget: self.limits.memory });
        }
        let _share = self.take(bytes);
        self.derivations.increment();
        Ok(work())
    }

    /// How many derivations were begun since the start.
    pub(crate) fn derivations(&self) -> u64 {
        self.derivations.value()
    }

    /// Bytes that the derivations of this moment have taken.
    pub(crate) fn memory_in_use(&self) -> u64 {
        self.limits.memory.saturating_sub(self.free().memory)
    }

    fn take(&self, bytes: u64) -> Share<'_> {
        let mut free = self.free();
        let number = free.next;
        free.next = number.wrapping_add(1);
        let mut free = self
            .changed
            .wait_while(free, |free| free.turn != number || free.threads == 0 || free.memory < bytes)
            .unwrap_or_else(PoisonError::into_inner);
        free.turn = number.wrapping_add(1);
        free.threads = free.threads.saturating_sub(1);
        free.memory = free.memory.saturating_sub(bytes);
        // The next in turn may fit beside this one.
        self.changed.notify_all();
        Share { pool: self, bytes }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing that can panic runs while the lock is held.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Needs more than the pool ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "opening the keystore takes {needed} bytes of memory, and all keystores together may use {budget}: raise kdf_memory"
)]
pub(crate) struct OverBudget {
    /// Bytes it would take.
    pub(crate) needed: u64,
    /// Bytes there are.
    pub(crate) budget: u64,
}

/// Taken memory and thread; given back when dropped.
struct Share<'a> {
    pool: &'a KdfPool,
    bytes: u64,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut free = self.pool.free();
        free.threads = free.threads.saturating_add(1);
        free.memory = free.memory.saturating_add(self.bytes);
        self.pool.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::*;

    #[test]
    fn keeps_memory_and_threads_within_the_budget_across_requests() {
        let pool = pool(100, 3);
        let (memory, threads) = (Peak::default(), Peak::default());
        thread::scope(|scope| {
            for request in 0..4u64 {
                let (pool, memory, threads) = (&pool, &memory, &threads);
                scope.spawn(move || {
                    let items: Vec<u64> = (0..25).map(|i| 10 + (i * 7 + request * 13) % 60).collect();
                    let done = pool.map(&items, Urgency::Background, |bytes| {
                        pool.with_memory(*bytes, || {
                            memory.add(*bytes);
                            threads.add(1);
                            thread::sleep(Duration::from_micros(200));
                            threads.subtract(1);
                            memory.subtract(*bytes);
                            *bytes
                        })
                        .unwrap()
                    });
                    assert_eq!(done, items);
                });
            }
        });
        assert!(memory.peak() <= 100, "{} bytes at one time", memory.peak());
        assert!(threads.peak() <= 3, "{} threads at one time", threads.peak());
        assert!(threads.peak() >= 2, "nothing ran beside anything else");
        let free = pool.free();
        assert_eq!((free.memory, free.threads), (100, 3));
    }

    #[test]
    fn refuses_at_once_what_can_never_fit() {
        let mut ran = false;
        let refused = pool(100, 1).with_memory(101, || ran = true);
        assert_eq!(refused, Err(OverBudget { needed: 101, budget: 100 }));
        assert!(!ran);
    }

    #[test]
    fn a_large_one_is_not_overtaken_by_small_ones_that_come_later() {
        let pool = pool(100, 8);
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let first = pool.take(60);
            for (place, bytes) in [(1, 100), (2, 1), (3, 1)] {
                let (pool, order) = (&pool, &order);
                scope.spawn(move || pool.with_memory(bytes, || order.lock().unwrap().push(place)));
                while pool.free().next < place + 1 {
                    thread::yield_now();
                }
            }
            assert!(order.lock().unwrap().is_empty(), "a small one overtook");
            drop(first);
        });
        assert_eq!(order.into_inner().unwrap().first(), Some(&1));
    }

    #[derive(Default)]
    struct Peak {
        now: AtomicU64,
        most: AtomicU64,
    }

    impl Peak {
        fn add(&self, amount: u64) {
            let now = self.now.fetch_add(amount, Ordering::SeqCst).saturating_add(amount);
            self.most.fetch_max(now, Ordering::SeqCst);
        }

        fn subtract(&self, amount: u64) {
            self.now.fetch_sub(amount, Ordering::SeqCst);
        }

        fn peak(&self) -> u64 {
            self.most.load(Ordering::SeqCst)
        }
    }

    fn pool(memory: u64, threads: usize) -> KdfPool {
        KdfPool::new(KdfLimits { memory, threads: NonZeroUsize::new(threads).unwrap(), nice: 0 })
    }
}
