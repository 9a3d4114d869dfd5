//! Connection permits of one listener: whose connection is closed when all are taken and one more comes.
//!
//! A connection keeps its permit while a request of it is worked on. Any other may be closed for a newcomer, at once
//! and without a walk through all of them: first one that has asked for nothing yet (a handshake or a head that does
//! not come), the oldest of the address or user that has most of these; then one that idles between two requests, of
//! the address or user that has most connections. So a crowd from one address closes its own connections, and a client
//! that is alone at its address keeps its permit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::caller::Source;
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
    pub(crate) async fn take(self: &Arc<Self>, source: Source) -> ConnectionPermit {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.try_take(source) {
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

    fn try_take(self: &Arc<Self>, source: Source) -> Option<ConnectionPermit> {
        let mut holders = self.holders.lock();
        let now = Instant::now();
        if holders.members.len() >= self.capacity && !holders.dismiss_one(Some(source), now) {
            return None;
        }
        let leave = Arc::new(Notify::new());
        let id = holders.enter(source, Arc::clone(&leave), now);
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

    /// Holds the permit while a request, which is here whole, is worked on.
    pub(crate) fn work(&self) -> Working<'_> {
        self.served.store(true, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::Relaxed);
        self.permits.holders.lock().begin_work(self.id);
        Working(self)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.permits.holders.lock().leave(self.id);
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
    sources: HashMap<Source, Connections>,
    /// Sources by the number of connections that have asked for nothing yet; none without such.
    by_new: BTreeSet<(usize, Source)>,
    /// Sources by the number of all their connections.
    by_size: BTreeSet<(usize, Source)>,
}

struct Member {
    source: Source,
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

/// The connections of one source.
#[derive(Default)]
struct Connections {
    size: usize,
    new: BTreeSet<(Instant, u64)>,
    idle: BTreeSet<(Instant, u64)>,
}

impl Holders {
    fn enter(&mut self, source: Source, leave: Arc<Notify>, now: Instant) -> u64 {
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.members.insert(id, Member { source, state: State::New { since: now }, leave });
        self.change(source, |connections| {
            connections.size = connections.size.saturating_add(1);
            connections.new.insert((now, id));
        });
        id
    }

    fn leave(&mut self, id: u64) {
        let Some(member) = self.members.remove(&id) else { return };
        self.change(member.source, |connections| {
            connections.size = connections.size.saturating_sub(1);
            match member.state {
                State::New { since } => connections.new.remove(&(since, id)),
                State::Working { .. } => false,
                State::Idle { since } => connections.idle.remove(&(since, id)),
            };
        });
    }

    fn begin_work(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let (source, before) = (member.source, member.state);
        let requests = match before {
            State::New { .. } | State::Idle { .. } => 1,
            State::Working { requests } => requests.saturating_add(1),
        };
        member.state = State::Working { requests };
        match before {
            State::New { since } => self.change(source, |connections| {
                connections.new.remove(&(since, id));
            }),
            State::Idle { since } => self.change(source, |connections| {
                connections.idle.remove(&(since, id));
            }),
            State::Working { .. } => {}
        }
    }

    fn end_work(&mut self, id: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let requests = match member.state {
            State::Working { requests } => requests.saturating_sub(1),
            State::New { .. } | State::Idle { .. } => return,
        };
        if requests > 0 {
            member.state = State::Working { requests };
            return;
        }
        member.state = State::Idle { since: now };
        let source = member.source;
        self.change(source, |connections| {
            connections.idle.insert((now, id));
        });
    }

    /// Changes a source's connections and keeps the orders of the sources.
    fn change(&mut self, source: Source, change: impl FnOnce(&mut Connections)) {
        let connections = self.sources.entry(source).or_default();
        let (new, size) = (connections.new.len(), connections.size);
        change(connections);
        let (new_after, size_after) = (connections.new.len(), connections.size);
        if new != new_after {
            self.by_new.remove(&(new, source));
            if new_after > 0 {
                self.by_new.insert((new_after, source));
            }
        }
        if size != size_after {
            self.by_size.remove(&(size, source));
            if size_after > 0 {
                self.by_size.insert((size_after, source));
            }
        }
        if size_after == 0 {
            self.sources.remove(&source);
        }
    }

    /// Takes the permit of the connection that can best be spared for one of `newcomer`; false if there is none.
    fn dismiss_one(&mut self, newcomer: Option<Source>, now: Instant) -> bool {
        let Some(id) = self.spared(newcomer, now) else { return false };
        if let Some(member) = self.members.get(&id) {
            member.leave.notify_one();
        }
        self.leave(id);
        true
    }

    fn spared(&self, newcomer: Option<Source>, now: Instant) -> Option<u64> {
        if let Some((_, source)) = self.by_new.last() {
            return self.sources.get(source)?.new.first().map(|(_, id)| *id);
        }
        let already =
            newcomer.and_then(|source| self.sources.get(&source)).map_or(0, |connections| connections.size);
        self.by_size.iter().rev().find_map(|(size, source)| {
            let (since, id) = self.sources.get(source)?.idle.first()?;
            // Between equals an idle connection is given the time in which a next request may be on its way.
            let is_over = already.saturating_add(1) < *size;
            (is_over || now.saturating_duration_since(*since) >= IDLE_UNDER_PRESSURE).then_some(*id)
        })
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

    const A: Source = Source::User(1);
    const B: Source = Source::User(2);

    fn is_wanted(permit: &ConnectionPermit) -> bool {
        // `notify_one` leaves a permit until it is waited for.
        let waker = std::task::Waker::noop();
        let mut wanted = Box::pin(permit.wanted());
        wanted.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn a_connection_that_asked_for_nothing_goes_first_and_the_oldest_of_them() {
        let permits = ConnectionPermits::new(3);
        let served = permits.try_take(A).unwrap();
        drop(served.work());
        let (first, second) = (permits.try_take(A).unwrap(), permits.try_take(A).unwrap());
        let third = permits.try_take(A).unwrap();
        assert!(is_wanted(&first) && !is_wanted(&second) && !is_wanted(&served) && !is_wanted(&third));
    }

    #[test]
    fn work_is_never_taken_away() {
        let permits = ConnectionPermits::new(2);
        let (one, two) = (permits.try_take(A).unwrap(), permits.try_take(A).unwrap());
        let (work, more) = (one.work(), one.work());
        let other = two.work();
        assert!(permits.try_take(B).is_none());
        drop(work);
        assert!(permits.try_take(B).is_none(), "a second request is still worked on");
        drop(other);
        assert!(permits.try_take(B).is_some(), "who has least is not made to wait");
        assert!(is_wanted(&two) && !is_wanted(&one));
        drop(more);
    }

    #[test]
    fn a_crowd_at_one_address_closes_its_own() {
        let permits = ConnectionPermits::new(8);
        let alone = permits.try_take(B).unwrap();
        drop(alone.work());
        let crowd: Vec<_> = (0..100)
            .map(|_| {
                let permit = permits.try_take(A);
                if let Some(permit) = &permit {
                    drop(permit.work());
                }
                permit
            })
            .collect();
        assert!(!is_wanted(&alone));
        assert_eq!(crowd.iter().flatten().filter(|permit| !is_wanted(permit)).count(), 7);
        let another = permits.try_take(B).unwrap();
        assert!(!is_wanted(&alone) && !is_wanted(&another));
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
                    0..=2 => taken.extend(permits.try_take(Source::User(user))),
                    3 if !taken.is_empty() => drop(taken.swap_remove(index.index(taken.len()))),
                    _ if !taken.is_empty() => drop(taken[index.index(taken.len())].work()),
                    _ => {}
                }
                let holders = permits.holders.lock();
                prop_assert!(holders.members.len() <= 4);
                let size: usize = holders.sources.values().map(|connections| connections.size).sum();
                prop_assert_eq!(size, holders.members.len());
                prop_assert_eq!(holders.by_size.len(), holders.sources.len());
            }
            taken.clear();
            let holders = permits.holders.lock();
            prop_assert!(holders.members.is_empty() && holders.sources.is_empty());
            prop_assert!(holders.by_new.is_empty() && holders.by_size.is_empty());
        }
    }
}
