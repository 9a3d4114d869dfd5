//! Connection permits of one listener: whose connection is closed when all are taken and one more comes.
//!
//! A connection keeps its permit while a request of it is worked on. Any other may be closed for a newcomer, at once
//! and without a walk through all of them: first one that has asked for nothing yet (a handshake or a head that does
//! not come), the oldest of the client, address or user that has most of these; then one that idles between two
//! requests, of the one that has most connections. Nobody makes room for one who has more. So a crowd from one address
//! closes its own connections, and a client that is alone at its address keeps its permit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::caller::Share;
use crate::mutex::Mutex;

/// The permits of one listener.
pub(crate) struct ConnectionPermits {
    capacity: usize,
    holders: Mutex<Holders>,
    freed: Notify,
}

impl ConnectionPermits {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, holders: Mutex::default(), freed: Notify::new() })
    }

    /// A permit for one more connection. Waits while every other one is being worked for.
    pub(crate) async fn take(self: &Arc<Self>, share: &Share) -> ConnectionPermit {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.try_take(share) {
                return permit;
            }
            // A connection that is too young to go now will be old enough in a moment.
            let _ = timeout(RETRY_INTERVAL, freed).await;
        }
    }

    /// Closes one connection that can be spared, for the sake of its file descriptor.
    pub(crate) fn close_one(&self) {
        self.holders.lock().dismiss_one(None, Instant::now());
    }

    /// As [`ConnectionPermits::take`], if there is one now.
    pub(crate) fn try_take(self: &Arc<Self>, share: &Share) -> Option<ConnectionPermit> {
        let mut holders = self.holders.lock();
        let now = Instant::now();
        if holders.members.len() >= self.capacity && !holders.dismiss_one(Some(share), now) {
            return None;
        }
        let leave = Arc::new(Notify::new());
        let id = holders.enter(share.clone(), Arc::clone(&leave), now);
        Some(ConnectionPermit {
            permits: Arc::clone(self),
            id,
            leave,
            served: AtomicBool::new(false),
            working: AtomicUsize::new(0),
        })
    }
}

/// A connection's permit, given back when dropped.
pub(crate) struct ConnectionPermit {
    permits: Arc<ConnectionPermits>,
    id: u64,
    leave: Arc<Notify>,
    served: AtomicBool,
    working: AtomicUsize,
}

impl ConnectionPermit {
    /// Resolves when the permit is wanted for another connection.
    pub(crate) async fn wanted(&self) {
        self.leave.notified().await;
    }

    /// Whether a request of this connection has ever been worked on.
    pub(crate) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Whether a request of this connection is being worked on.
    pub(crate) fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }

    /// Holds the permit while a request of this share, which is here whole, is worked on. From then on the connection
    /// is the share's.
    pub(crate) fn work(&self, share: &Share) -> Working<'_> {
        self.served.store(true, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::Relaxed);
        self.permits.holders.lock().begin_work(self.id, share);
        Working(self)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.permits.holders.lock().remove(self.id);
        self.permits.freed.notify_one();
    }
}

/// A request being worked on, until it is dropped; also when its connection breaks first.
pub(crate) struct Working<'a>(&'a ConnectionPermit);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
        self.0.permits.holders.lock().end_work(self.0.id, Instant::now());
    }
}

/// The connections that have a permit.
#[derive(Default)]
struct Holders {
    next: u64,
    members: HashMap<u64, Member>,
    shares: HashMap<Share, Connections>,
    /// Shares by the number of connections that have asked for nothing yet; none without such.
    by_new: BTreeSet<(usize, Share)>,
    /// Shares by the number of all their connections.
    by_size: BTreeSet<(usize, Share)>,
}

struct Member {
    share: Share,
    state: State,
    leave: Arc<Notify>,
}

#[derive(Clone, Copy)]
enum State {
    /// No request has been worked on.
    New { since: Instant },
    /// So many requests are worked on.
    Working { requests: usize },
    /// None is, and some were.
    Idle { since: Instant },
}

/// The connections of one share.
#[derive(Default)]
struct Connections {
    size: usize,
    new: BTreeSet<(Instant, u64)>,
    idle: BTreeSet<(Instant, u64)>,
}

impl Holders {
    fn enter(&mut self, share: Share, leave: Arc<Notify>, now: Instant) -> u64 {
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.insert(id, Member { share, state: State::New { since: now }, leave });
        id
    }

    fn begin_work(&mut self, id: u64, share: &Share) {
        let Some(member) = self.remove(id) else { return };
        let requests = match member.state {
            State::New { .. } | State::Idle { .. } => 1,
            State::Working { requests } => requests.saturating_add(1),
        };
        self.insert(id, Member { share: share.clone(), state: State::Working { requests }, ..member });
    }

    fn end_work(&mut self, id: u64, now: Instant) {
        let Some(member) = self.remove(id) else { return };
        let state = match member.state {
            State::Working { requests } if requests > 1 => {
                State::Working { requests: requests.saturating_sub(1) }
            }
            State::Working { .. } => State::Idle { since: now },
            State::New { .. } | State::Idle { .. } => member.state,
        };
        self.insert(id, Member { state, ..member });
    }

    fn insert(&mut self, id: u64, member: Member) {
        self.change(&member.share, |connections| {
            connections.size = connections.size.saturating_add(1);
            match member.state {
                State::New { since } => connections.new.insert((since, id)),
                State::Working { .. } => false,
                State::Idle { since } => connections.idle.insert((since, id)),
            };
        });
        self.members.insert(id, member);
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.members.remove(&id)?;
        self.change(&member.share, |connections| {
            connections.size = connections.size.saturating_sub(1);
            match member.state {
                State::New { since } => connections.new.remove(&(since, id)),
                State::Working { .. } => false,
                State::Idle { since } => connections.idle.remove(&(since, id)),
            };
        });
        Some(member)
    }

    /// Changes a share's connections and keeps the orders of the shares.
    fn change(&mut self, share: &Share, change: impl FnOnce(&mut Connections)) {
        let connections = self.shares.entry(share.clone()).or_default();
        let (new, size) = (connections.new.len(), connections.size);
        change(connections);
        let (new_after, size_after) = (connections.new.len(), connections.size);
        reorder(&mut self.by_new, share, new, new_after);
        reorder(&mut self.by_size, share, size, size_after);
        if size_after == 0 {
            self.shares.remove(share);
        }
    }

    /// Takes the permit of the connection that can best be spared for one of `newcomer`; false if there is none.
    fn dismiss_one(&mut self, newcomer: Option<&Share>, now: Instant) -> bool {
        let Some(id) = self.spared(newcomer, now) else { return false };
        if let Some(member) = self.remove(id) {
            member.leave.notify_one();
        }
        true
    }

    fn spared(&self, newcomer: Option<&Share>, now: Instant) -> Option<u64> {
        let size = |share: &Share| self.shares.get(share).map_or(0, |connections| connections.size);
        let already = newcomer.map_or(0, size);
        // Nobody makes room for one who has more.
        let gives_way = |share: &Share| size(share) >= already;
        if let Some((_, share)) = self.by_new.iter().rev().find(|(_, share)| gives_way(share)) {
            return self.shares.get(share)?.new.first().map(|(_, id)| *id);
        }
        self.by_size.iter().rev().filter(|(_, share)| gives_way(share)).find_map(|(size, share)| {
            let (since, id) = self.shares.get(share)?.idle.first()?;
            // Between equals an idle connection is given the time in which a next request may be on its way.
            let is_over = already.saturating_add(1) < *size;
            (is_over || now.saturating_duration_since(*since) >= IDLE_UNDER_PRESSURE).then_some(*id)
        })
    }
}

/// Puts a share where its number of connections has it, and away where it has none.
fn reorder(order: &mut BTreeSet<(usize, Share)>, share: &Share, before: usize, after: usize) {
    if before != after {
        order.remove(&(before, share.clone()));
        if after > 0 {
            order.insert((after, share.clone()));
        }
    }
}

/// While others wait for a permit, a connection that has been idle for this long makes room.
const IDLE_UNDER_PRESSURE: Duration = Duration::from_secs(1);

/// How long a newcomer waits before it looks again whether a connection can be spared.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::caller::Source;

    const A: Share = Share::Peer(Source::User(1));
    const B: Share = Share::Peer(Source::User(2));

    fn share(user: u32) -> Share {
        Share::Peer(Source::User(user))
    }

    fn is_wanted(permit: &ConnectionPermit) -> bool {
        // `notify_one` leaves a permit until it is waited for.
        let waker = std::task::Waker::noop();
        let mut wanted = Box::pin(permit.wanted());
        wanted.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn a_connection_that_asked_for_nothing_goes_first_and_the_oldest_of_them() {
        let permits = ConnectionPermits::new(3);
        let served = permits.try_take(&A).unwrap();
        drop(served.work(&A));
        let (first, second) = (permits.try_take(&A).unwrap(), permits.try_take(&A).unwrap());
        let third = permits.try_take(&A).unwrap();
        assert!(is_wanted(&first) && !is_wanted(&second) && !is_wanted(&served) && !is_wanted(&third));
    }

    #[test]
    fn work_is_never_taken_away() {
        let permits = ConnectionPermits::new(2);
        let (one, two) = (permits.try_take(&A).unwrap(), permits.try_take(&A).unwrap());
        let (work, more) = (one.work(&A), one.work(&A));
        let other = two.work(&A);
        assert!(permits.try_take(&B).is_none());
        drop(work);
        assert!(permits.try_take(&B).is_none(), "a second request is still worked on");
        drop(other);
        assert!(permits.try_take(&B).is_some(), "who has least is not made to wait");
        assert!(is_wanted(&two) && !is_wanted(&one));
        drop(more);
    }

    #[test]
    fn a_crowd_at_one_address_closes_its_own() {
        let permits = ConnectionPermits::new(8);
        let alone = permits.try_take(&B).unwrap();
        drop(alone.work(&B));
        let crowd: Vec<_> = (0..100)
            .map(|_| {
                let permit = permits.try_take(&A);
                if let Some(permit) = &permit {
                    drop(permit.work(&A));
                }
                permit
            })
            .collect();
        assert!(!is_wanted(&alone));
        assert_eq!(crowd.iter().flatten().filter(|permit| !is_wanted(permit)).count(), 7);
        let another = permits.try_take(&B).unwrap();
        assert!(!is_wanted(&alone) && !is_wanted(&another));
    }

    #[test]
    fn nobody_makes_room_for_one_who_has_more() {
        let permits = ConnectionPermits::new(4);
        let idle = permits.try_take(&B).unwrap();
        drop(idle.work(&B));
        let silent = permits.try_take(&B).unwrap();
        let crowd = [permits.try_take(&A).unwrap(), permits.try_take(&A).unwrap()];
        let work = crowd.each_ref().map(|permit| permit.work(&A));
        let long_ago = Instant::now().checked_sub(IDLE_UNDER_PRESSURE).unwrap();
        permits.holders.lock().begin_work(idle.id, &B);
        permits.holders.lock().end_work(idle.id, long_ago);
        let third = permits.try_take(&A).expect("it has no more than the other");
        assert!(is_wanted(&silent));
        let more = third.work(&A);
        assert!(permits.try_take(&A).is_none() && !is_wanted(&idle));
        drop(more);
        drop(work);
    }

    #[test]
    fn a_connection_belongs_to_the_client_that_asks_on_it() {
        let permits = ConnectionPermits::new(4);
        let named = Share::Client("vc1".into());
        let crowd: Vec<_> = (0..3).map(|_| permits.try_take(&A).unwrap()).collect();
        crowd.iter().for_each(|permit| drop(permit.work(&named)));
        let alone = permits.try_take(&A).unwrap();
        drop(alone.work(&A));
        let newcomer = permits.try_take(&A).unwrap();
        assert!(!is_wanted(&alone), "the named client has most of them");
        assert_eq!(crowd.iter().filter(|permit| is_wanted(permit)).count(), 1);
        drop(newcomer);
    }

    proptest! {
        #[test]
        fn places_are_never_more_than_there_are_and_all_come_back(
            steps in proptest::collection::vec((0_u8..5, 0_u32..4, any::<prop::sample::Index>()), 0..200),
        ) {
            let permits = ConnectionPermits::new(4);
            let mut taken: Vec<ConnectionPermit> = Vec::new();
            for (step, user, index) in steps {
                match step {
                    0..=2 => taken.extend(permits.try_take(&share(user))),
                    3 if !taken.is_empty() => drop(taken.swap_remove(index.index(taken.len()))),
                    _ if !taken.is_empty() => drop(taken[index.index(taken.len())].work(&share(user))),
                    _ => {}
                }
                let holders = permits.holders.lock();
                prop_assert!(holders.members.len() <= 4);
                let size: usize = holders.shares.values().map(|connections| connections.size).sum();
                prop_assert_eq!(size, holders.members.len());
                prop_assert_eq!(holders.by_size.len(), holders.shares.len());
            }
            taken.clear();
            let holders = permits.holders.lock();
            prop_assert!(holders.members.is_empty() && holders.shares.is_empty());
            prop_assert!(holders.by_new.is_empty() && holders.by_size.is_empty());
        }
    }
}
