//! Memory budget for the requests of one role: what arrives of their bodies, and what nobody has read of their
//! answers. Clients share it: when it is all taken, the next is for the one that holds the least.
//!
//! Each request has a [`Reservation`], which grows as bytes come and shrinks to its answer, until that is written. Two
//! pools keep large requests from taking the memory of small ones. Whoever waits on a client
//! [watches](Reservation::watch) it: a body or an answer that does not move within its limit is broken off, and much
//! sooner where others wait for memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::fair_semaphore::{FairSemaphore, Permits};
use crate::caller::Share;
use crate::mutex::Mutex;

/// How much memory there is, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetSize {
    /// For the first [`SMALL_REQUEST_KIB`] of each request.
    pub(crate) small: usize,
    /// For all beyond, of all requests together.
    pub(crate) large: usize,
}

/// The memory budget of one role.
pub(crate) struct MemoryBudget {
    small: Arc<FairSemaphore>,
    large: Arc<FairSemaphore>,
    waits: Mutex<Waits>,
}

impl MemoryBudget {
    pub(crate) fn new(size: BudgetSize) -> Arc<Self> {
        let pool = |kib: usize| FairSemaphore::new(kib, kib / 8);
        Arc::new(Self { small: pool(size.small), large: pool(size.large), waits: Mutex::default() })
    }

    /// Reserves memory for one more request with a head of so many bytes, which never waits longer than `max_wait`.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        head: usize,
        share: Share,
        max_wait: Duration,
    ) -> Result<Reservation, BudgetExhausted> {
        let kib = kib(head).saturating_add(REQUEST_OVERHEAD_KIB).min(SMALL_REQUEST_KIB);
        let small = self.take(&self.small, &share, kib, max_wait).await?;
        Ok(Reservation { budget: Arc::clone(self), share, small, large: None, max_wait })
    }

    /// Breaks off what has not moved for too long, and where memory runs short also what does not move now. Called
    /// every now and then.
    pub(crate) fn break_off_stalled(&self) {
        let is_short = self.small.held() > self.small.total().saturating_sub(self.small.total() / 4);
        self.waits.lock().break_off(
            Instant::now(),
            |wait, quiet| is_short || quiet >= wait.limit,
            usize::MAX,
        );
    }

    /// KiB that are taken.
    pub(crate) fn held_kib(&self) -> usize {
        self.small.held().saturating_add(self.large.held())
    }

    /// Who waits breaks off what stalls of its own share, and of those that hold as much or more.
    async fn take(
        &self,
        pool: &Arc<FairSemaphore>,
        share: &Share,
        kib: usize,
        max_wait: Duration,
    ) -> Result<Permits, BudgetExhausted> {
        if let Some(taken) = pool.try_acquire(share, kib) {
            return Ok(taken);
        }
        let taken = pool.acquire(share, kib);
        tokio::pin!(taken);
        let waiting = async {
            loop {
                let own = pool.held_by(share);
                let is_spared = |wait: &Wait, _| wait.share == *share || pool.held_by(&wait.share) >= own;
                self.waits.lock().break_off(Instant::now(), is_spared, MAX_BREAK_OFFS);
                tokio::select! {
                    taken = &mut taken => return taken,
                    () = sleep(RETRY_INTERVAL) => {}
                }
            }
        };
        timeout(max_wait, waiting).await.map_err(|_| BudgetExhausted { waited: max_wait })
    }
}

/// There was no memory for a request within the time that a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signer is overloaded: for {waited:.1?} there was no room for the request")]
pub(crate) struct BudgetExhausted {
    waited: Duration,
}

/// One request's reservation of the memory, given back when dropped.
pub(crate) struct Reservation {
    budget: Arc<MemoryBudget>,
    share: Share,
    small: Permits,
    large: Option<Permits>,
    max_wait: Duration,
}

impl Reservation {
    /// How long its request waits at most for what it needs.
    pub(crate) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Makes the reservation so large that it covers `bytes`; waits while there is no memory.
    ///
    /// # Errors
    /// When there is none in time. What is larger than what one client may have takes all of that.
    pub(crate) async fn cover(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let wanted = kib(bytes).saturating_add(REQUEST_OVERHEAD_KIB);
        let small = wanted.min(SMALL_REQUEST_KIB).saturating_sub(self.small.count());
        if small > 0 {
            self.small.merge(self.budget.take(&self.budget.small, &self.share, small, self.max_wait).await?);
        }
        let held = self.large.as_ref().map_or(0, Permits::count);
        let most = self.budget.large.most_of_one();
        let large = wanted.saturating_sub(SMALL_REQUEST_KIB).min(most).saturating_sub(held);
        if large > 0 {
            let taken = self.budget.take(&self.budget.large, &self.share, large, self.max_wait).await?;
            match &mut self.large {
                Some(held) => held.merge(taken),
                None => self.large = Some(taken),
            }
        }
        Ok(())
    }

    /// Gives back what `bytes` do not need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let needed = kib(bytes).saturating_add(REQUEST_OVERHEAD_KIB);
        self.small.give_back(self.small.count().saturating_sub(needed));
        let needed = needed.saturating_sub(SMALL_REQUEST_KIB);
        if let Some(large) = &mut self.large {
            large.give_back(large.count().saturating_sub(needed));
        }
    }

    /// Notes that from now on the client has to move: `stalled` is told when it has not for `limit`, and earlier where
    /// others wait for memory.
    pub(crate) fn watch(&self, limit: Duration, stalled: Arc<Notify>) -> Watch {
        let now = Instant::now();
        let key = self.budget.waits.lock().add(now, Wait { limit, share: self.share.clone(), stalled });
        Watch { budget: Arc::clone(&self.budget), key, moved: 0 }
    }
}

/// A body or an answer that its client has to move on, until it is dropped.
pub(crate) struct Watch {
    budget: Arc<MemoryBudget>,
    key: (Instant, u64),
    /// Bytes since the last note of them.
    moved: usize,
}

impl Watch {
    /// The client has taken or sent so many bytes. A trickle does not count: [`PROGRESS_BYTES`] bytes are progress.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
        if self.moved < PROGRESS_BYTES {
            return;
        }
        self.moved = 0;
        let now = Instant::now();
        let mut waits = self.budget.waits.lock();
        if let Some(wait) = waits.by_age.remove(&self.key) {
            self.key.0 = now;
            waits.by_age.insert(self.key, wait);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.budget.waits.lock().by_age.remove(&self.key);
    }
}

/// What clients have to move on, by the time of its last progress.
#[derive(Default)]
struct Waits {
    by_age: BTreeMap<(Instant, u64), Wait>,
}

struct Wait {
    limit: Duration,
    share: Share,
    stalled: Arc<Notify>,
}

impl Waits {
    fn add(&mut self, now: Instant, wait: Wait) -> (Instant, u64) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = (now, NEXT.fetch_add(1, Ordering::Relaxed));
        self.by_age.insert(key, wait);
        key
    }

    /// Tells the first `most`, oldest first, whose quiet is too long, and never less than [`QUIET_UNDER_PRESSURE`].
    fn break_off(&mut self, now: Instant, is_too_long: impl Fn(&Wait, Duration) -> bool, most: usize) {
        let stalled: Vec<_> = self
            .by_age
            .iter()
            .map(|(key, wait)| (key, wait, now.saturating_duration_since(key.0)))
            .take_while(|(_, _, quiet)| *quiet >= QUIET_UNDER_PRESSURE)
            .filter(|(_, wait, quiet)| is_too_long(wait, *quiet))
            .take(most)
            .map(|(key, _, _)| *key)
            .collect();
        for key in stalled {
            if let Some(wait) = self.by_age.remove(&key) {
                wait.stalled.notify_one();
            }
        }
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

/// What a request costs beside its head, body and answer.
const REQUEST_OVERHEAD_KIB: usize = 4;

/// Up to here a request takes memory from the small pool.
const SMALL_REQUEST_KIB: usize = 64;

/// So many bytes are progress, where more are to come.
const PROGRESS_BYTES: usize = 64 * 1024;

/// While others wait for memory, what has not moved for this long is broken off.
const QUIET_UNDER_PRESSURE: Duration = Duration::from_millis(250);

/// How long a request waits before it looks again for what can be broken off, and how many it then breaks off.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
const MAX_BREAK_OFFS: usize = 16;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;

    const MAX_WAIT: Duration = Duration::from_secs(4);
    const SIZE: BudgetSize = BudgetSize { small: 256, large: 1024 };

    fn free(budget: &MemoryBudget) -> (usize, usize) {
        (budget.small.total() - budget.small.held(), budget.large.total() - budget.large.held())
    }

    proptest! {
        #[test]
        fn a_share_covers_what_it_is_asked_for_and_gives_all_of_it_back(
            sizes in proptest::collection::vec((0_usize..1_100 << 10, any::<bool>()), 1..20),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let memory = MemoryBudget::new(SIZE);
                let mut reservation = memory.reserve(0, Share::Daemon, MAX_WAIT).await.unwrap();
                let held = |budget: &MemoryBudget| 1280 - free(budget).0 - free(budget).1;
                for (bytes, shrink) in sizes {
                    let needed = bytes.div_ceil(1024) + 4;
                    if shrink {
                        reservation.shrink(bytes);
                        prop_assert!(held(&memory) <= needed);
                    } else {
                        reservation.cover(bytes).await.unwrap();
                        prop_assert!(held(&memory) >= needed.min(960));
                    }
                }
                drop(reservation);
                prop_assert_eq!(free(&memory), (256, 1024));
                Ok(())
            })?;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_request_leaves_room_for_small_ones() {
        let memory = MemoryBudget::new(SIZE);
        let mut large = memory.reserve(0, Share::Daemon, MAX_WAIT).await.unwrap();
        large.cover(1 << 30).await.unwrap();
        let mut small = memory.reserve(1000, Share::Daemon, MAX_WAIT).await.unwrap();
        small.cover(10_000).await.unwrap();
        assert_eq!(small.cover(100_000).await, Err(BudgetExhausted { waited: MAX_WAIT }));
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_that_of_a_stalled_one() {
        let memory = MemoryBudget::new(SIZE);
        let mut stalled = memory.reserve(0, Share::Daemon, MAX_WAIT).await.unwrap();
        stalled.cover(1 << 20).await.unwrap();
        let told = Arc::new(Notify::new());
        let watch = stalled.watch(Duration::from_secs(3600), Arc::clone(&told));
        let breaking_off = tokio::spawn(async move {
            told.notified().await;
            drop((watch, stalled));
        });
        let mut other = memory.reserve(0, Share::Daemon, MAX_WAIT).await.unwrap();
        other.cover(1 << 20).await.unwrap();
        breaking_off.await.unwrap();
    }

    #[tokio::test]
    async fn a_trickle_is_no_progress_and_the_limit_holds_without_a_crowd() {
        let memory = MemoryBudget::new(SIZE);
        let reservation = memory.reserve(0, Share::Daemon, MAX_WAIT).await.unwrap();
        let (told, kept) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut trickle = reservation.watch(Duration::from_secs(1), Arc::clone(&told));
        let _patient = reservation.watch(Duration::from_secs(3600), Arc::clone(&kept));
        let stalled = async {
            loop {
                trickle.moved(1);
                memory.break_off_stalled();
                if timeout(Duration::from_millis(10), told.notified()).await.is_ok() {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(60), stalled).await.unwrap();
        assert!(timeout(Duration::from_millis(1), kept.notified()).await.is_err());
    }
}
