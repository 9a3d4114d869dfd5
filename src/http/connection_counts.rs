//! Counts of connections, by the role of their listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Role;
use crate::metrics::{Counter, Family};

/// What is counted of the connections of every listener.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts(Family<Role, OfRole>);

/// What is counted of the listeners of one role.
#[derive(Debug, Default)]
pub(crate) struct OfRole {
    /// Connections since the start.
    pub(crate) accepted: Counter,
    open: AtomicU64,
}

impl ConnectionCounts {
    /// Counts a connection as open until the guard is dropped.
    pub(super) fn open(self: &Arc<Self>, role: Role) -> OpenConnection {
        if let Some(of_role) = self.0.of(role) {
            of_role.accepted.increment();
            of_role.open.fetch_add(1, Ordering::Relaxed);
        }
        OpenConnection { counts: Arc::clone(self), role }
    }

    pub(crate) fn by_role(&self) -> impl Iterator<Item = (Role, &OfRole)> {
        self.0.iter()
    }
}

impl OfRole {
    /// Connections at this moment.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}

/// A connection that is counted as open.
pub(super) struct OpenConnection {
    counts: Arc<ConnectionCounts>,
    role: Role,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(of_role) = self.counts.0.of(self.role) {
            of_role.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
