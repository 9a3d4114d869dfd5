//! Connection permits of one listener: whose connection is closed when all are taken and one more comes.
//!
//! A connection keeps its permit while a request of it is worked on. Any other may be closed for a newcomer, at once
//! and without a walk through all of them: first one that has asked for nothing yet (a handshake or a head that does
//! not come), the oldest of the client, address or user that has most of these; then one that idles between two
//! requests, of the one that has most connections. Nobody makes room for one who has more. So a crowd from one address
//! closes its own connections, and a client that is alone at its address keeps its permit.

use std::collections::{BTreeSet, HashMap};
use std::mem;
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

impl Connections {
    fn enter(&mut self, id: u64, state: State) {
        self.size = self.size.saturating_add(1);
        match state {
            State::New { since } => self.new.insert((since, id)),
            State::Working { .. } => false,
            State::Idle { since } => self.idle.insert((since, id)),
        };
    }

    fn leave(&mut self, id: u64, state: State) {
        self.size = self.size.saturating_sub(1);
        match state {
            State::New { since } => self.new.remove(&(since, id)),
            State::Working { .. } => false,
            State::Idle { since } => self.idle.remove(&(since, id)),
        };
    }

    /// From one state to another.
    fn turn(&mut self, id: u64, before: State, after: State) {
        self.leave(id, before);
        self.enter(id, after);
    }
}

impl Holders {
    fn enter(&mut self, share: Share, leave: Arc<Notify>, now: Instant) -> u64 {
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.insert(id, Member { share, state: State::New { since: now }, leave });
        id
    }

    fn begin_work(&mut self, id: u64, share: &Share) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let requests = match member.state {
            State::New { .. } | State::Idle { .. } => 1,
            State::Working { requests } => requests.saturating_add(1),
        };
        let (before, state) = (member.state, State::Working { requests });
        member.state = state;
        if member.share == *share {
            return self.change(share, |connections| connections.turn(id, before, state));
        }
        let former = mem::replace(&mut member.share, share.clone());
        self.change(&former, |connections| connections.leave(id, before));
        self.change(share, |connections| connections.enter(id, state));
    }

    fn end_work(&mut self, id: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let before = member.state;
        let state = match before {
            State::Working { requests } if requests > 1 => {
                State::Working { requests: requests.saturating_sub(1) }
            }
            State::Working { .. } => State::Idle { since: now },
            State::New { .. } | State::Idle { .. } => before,
        };
        member.state = state;
        let share = member.share.clone();
        self.change(&share, |connections| connections.turn(id, before, state));
    }

    fn insert(&mut self, id: u64, member: Member) {
        self.change(&member.share, |connections| connections.enter(id, member.state));
        self.members.insert(id, member);
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.members.remove(&id)?;
        self.change(&member.share, |connections| connections.leave(id, member.state));
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
mod tests;
