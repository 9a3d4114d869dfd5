//! Semaphore whose permits clients share: when all are taken, the next is for the client that holds the least, and no
//! client takes the last ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::caller::Share;
use crate::mutex::Mutex;

/// A number of permits, and who holds and who wants them.
pub(crate) struct FairSemaphore {
    total: usize,
    /// The most that one share has.
    most_of_one: usize,
    state: Mutex<State>,
}

impl FairSemaphore {
    /// So many of them, `reserved` of which nobody has who has all others: they are left for another share.
    pub(crate) fn new(total: usize, reserved: usize) -> Arc<Self> {
        let state = State { free: total, held: HashMap::new(), waiting: HashMap::new(), arrivals: 0 };
        Arc::new(Self { total, most_of_one: total.saturating_sub(reserved), state: Mutex::new(state) })
    }

    /// So many permits at once, for this share. Who holds least is served first, and of those who hold as much who came
    /// first; a share's own requests are in their order. More than one share may have are as good as those.
    pub(crate) async fn acquire(self: &Arc<Self>, share: &Share, count: usize) -> Permits {
        if let Some(permits) = self.try_acquire(share, count) {
            return permits;
        }
        // Whoever does not wait any more may have stood before others.
        let _settle = Settle(self);
        let (grant, granted) = oneshot::channel();
        self.with(|state| state.wait(share.clone(), count.min(self.most_of_one), grant));
        match granted.await {
            Ok(permits) => permits,
            // Its sender is dropped for one who waits no more, and with the semaphore, which we hold.
            Err(_) => std::future::pending().await,
        }
    }

    /// As [`FairSemaphore::acquire`], if nobody waits before.
    pub(crate) fn try_acquire(self: &Arc<Self>, share: &Share, count: usize) -> Option<Permits> {
        let count = count.min(self.most_of_one);
        let mut state = self.state.lock();
        let is_free = state.waiting.is_empty() && state.may_hold(share, count, self.most_of_one);
        (is_free && state.free >= count).then(|| {
            state.take(share, count);
            Permits { semaphore: Arc::clone(self), share: share.clone(), count }
        })
    }

    /// How many are held.
    pub(crate) fn held(&self) -> usize {
        self.total.saturating_sub(self.state.lock().free)
    }

    /// How many this share holds.
    pub(crate) fn held_by(&self, share: &Share) -> usize {
        self.state.lock().held_by(share)
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many one share has at most.
    pub(crate) fn most_of_one(&self) -> usize {
        self.most_of_one
    }

    fn settle(self: &Arc<Self>) {
        self.with(|_| ());
    }

    /// Changes the state and gives away what is free then.
    fn with(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let mut granted = Vec::new();
        while let Some((share, request)) = state.next(self.most_of_one) {
            state.take(&share, request.count);
            let permits = Permits { semaphore: Arc::clone(self), share, count: request.count };
            granted.push((request.grant, permits));
        }
        drop(state);
        // Those for one who has just gone come back by their drop.
        for (grant, permits) in granted {
            drop(grant.send(permits));
        }
    }
}

/// Permits of one share, given back when dropped.
pub(crate) struct Permits {
    semaphore: Arc<FairSemaphore>,
    share: Share,
    count: usize,
}

impl Permits {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes in more of the same share and semaphore.
    pub(crate) fn merge(&mut self, mut more: Self) {
        self.count = self.count.saturating_add(std::mem::take(&mut more.count));
    }

    /// Gives so many back.
    pub(crate) fn give_back(&mut self, count: usize) {
        let count = count.min(self.count);
        self.count = self.count.saturating_sub(count);
        if count > 0 {
            self.semaphore.with(|state| state.give_back(&self.share, count));
        }
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        self.give_back(self.count);
    }
}

struct Settle<'a>(&'a Arc<FairSemaphore>);

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

struct State {
    free: usize,
    /// What each share holds; none that holds nothing.
    held: HashMap<Share, usize>,
    /// Requests of each share, the oldest first; none without any.
    waiting: HashMap<Share, VecDeque<Request>>,
    arrivals: u64,
}

struct Request {
    arrival: u64,
    count: usize,
    grant: oneshot::Sender<Permits>,
}

impl State {
    fn wait(&mut self, share: Share, count: usize, grant: oneshot::Sender<Permits>) {
        let arrival = self.arrivals;
        self.arrivals = arrival.wrapping_add(1);
        self.waiting.entry(share).or_default().push_back(Request { arrival, count, grant });
    }

    /// The request that is next, if there is room for it.
    fn next(&mut self, most_of_one: usize) -> Option<(Share, Request)> {
        self.waiting.retain(|_, requests| {
            requests.retain(|request| !request.grant.is_closed());
            !requests.is_empty()
        });
        let first = |share: &Share| self.waiting.get(share).and_then(VecDeque::front);
        let eligible = self.waiting.keys().filter_map(|share| {
            let request = first(share)?;
            self.may_hold(share, request.count, most_of_one).then_some((
                self.held_by(share),
                request.arrival,
                request.count,
                share,
            ))
        });
        let (_, _, count, share) = eligible.min_by_key(|(held, arrival, ..)| (*held, *arrival))?;
        // Nobody goes before: who wants much would wait for ever.
        if count > self.free {
            return None;
        }
        let share = share.clone();
        let request = self.waiting.get_mut(&share)?.pop_front()?;
        Some((share, request))
    }

    fn may_hold(&self, share: &Share, count: usize, most_of_one: usize) -> bool {
        self.held_by(share).saturating_add(count) <= most_of_one
    }

    fn held_by(&self, share: &Share) -> usize {
        self.held.get(share).copied().unwrap_or_default()
    }

    fn take(&mut self, share: &Share, count: usize) {
        self.free = self.free.saturating_sub(count);
        let held = self.held.entry(share.clone()).or_default();
        *held = held.saturating_add(count);
    }

    fn give_back(&mut self, share: &Share, count: usize) {
        self.free = self.free.saturating_add(count);
        let Some(held) = self.held.get_mut(share) else { return };
        *held = held.saturating_sub(count);
        if *held == 0 {
            self.held.remove(share);
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;
    use crate::caller::Source;

    type Acquiring = Pin<Box<dyn Future<Output = Permits>>>;

    #[test]
    fn a_client_that_holds_much_waits_for_one_that_holds_little_and_leaves_it_the_last() {
        let semaphore = FairSemaphore::new(4, 1);
        let held: Vec<_> = (0..3).map(|_| granted(&mut acquire(&semaphore, 1, 1)).unwrap()).collect();
        let mut more: Vec<_> = (0..3).map(|_| acquire(&semaphore, 1, 1)).collect();
        assert!(more.iter_mut().all(|more| granted(more).is_none()), "the last one is for others");
        let other = granted(&mut acquire(&semaphore, 2, 1)).unwrap();
        let mut another = acquire(&semaphore, 3, 1);
        assert!(granted(&mut another).is_none());
        drop(held);
        let another = granted(&mut another).expect("who holds nothing is first, though it came last");
        assert!(granted(&mut more[0]).is_some() && granted(&mut more[1]).is_some());
        drop((other, another));
        assert!(granted(&mut more[2]).is_some());
    }

    #[test]
    fn one_client_alone_has_all_but_the_reserve() {
        let semaphore = FairSemaphore::new(8, 1);
        let mut all = granted(&mut acquire(&semaphore, 1, 100)).unwrap();
        assert_eq!((all.count(), semaphore.held()), (7, 7));
        let mut waiting = acquire(&semaphore, 2, 2);
        assert!(granted(&mut waiting).is_none());
        all.give_back(1);
        assert!(granted(&mut waiting).is_some());
    }

    #[test]
    fn one_that_waits_no_more_stands_before_nobody() {
        let semaphore = FairSemaphore::new(4, 0);
        let _held = granted(&mut acquire(&semaphore, 1, 2)).unwrap();
        let mut large = acquire(&semaphore, 2, 4);
        let mut small = acquire(&semaphore, 3, 1);
        assert!(granted(&mut large).is_none() && granted(&mut small).is_none());
        drop(large);
        assert!(granted(&mut small).is_some());
    }

    proptest! {
        #[test]
        fn all_permits_come_back_and_never_more_are_held_than_there_are(
            steps in prop::collection::vec((0_u8..4, 0_u32..4, 1_usize..6, any::<prop::sample::Index>()), 0..200),
        ) {
            let semaphore = FairSemaphore::new(8, 2);
            let (mut waiting, mut held): (Vec<Acquiring>, Vec<Permits>) = (Vec::new(), Vec::new());
            for (step, user, count, index) in steps {
                match step {
                    0 | 1 => waiting.push(acquire(&semaphore, user, count)),
                    2 if !waiting.is_empty() => drop(waiting.swap_remove(index.index(waiting.len()))),
                    3 if !held.is_empty() => drop(held.swap_remove(index.index(held.len()))),
                    _ => held.extend(semaphore.try_acquire(&Share::Peer(Source::User(user)), count)),
                }
                waiting.retain_mut(|one| granted(one).map(|permits| held.push(permits)).is_none());
                let sum: usize = held.iter().map(Permits::count).sum();
                prop_assert_eq!(sum, semaphore.held());
                prop_assert!(sum <= 8);
            }
            drop((waiting, held));
            let state = semaphore.state.lock();
            prop_assert!(state.free == 8 && state.held.is_empty() && state.waiting.is_empty());
        }
    }

    fn acquire(semaphore: &Arc<FairSemaphore>, user: u32, count: usize) -> Acquiring {
        let semaphore = Arc::clone(semaphore);
        let mut acquiring: Acquiring =
            Box::pin(async move { semaphore.acquire(&Share::Peer(Source::User(user)), count).await });
        // So that it stands in line; what it is given at once it keeps until it is asked again.
        if let Poll::Ready(permits) = poll(&mut acquiring) {
            return Box::pin(std::future::ready(permits));
        }
        acquiring
    }

    fn granted(acquiring: &mut Acquiring) -> Option<Permits> {
        match poll(acquiring) {
            Poll::Ready(permits) => Some(permits),
            Poll::Pending => None,
        }
    }

    fn poll(acquiring: &mut Acquiring) -> Poll<Permits> {
        acquiring.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}
