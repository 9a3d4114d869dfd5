//! Capacity of each listener role: how many of its requests are worked on at one time, and how much memory they take.
//!
//! Every listener role has its own, and on a listener for all roles signing and keymanager requests have theirs: none
//! can take another's. The sum is the bound of the memory that requests take (docs/performance.md).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::fair_semaphore::{FairSemaphore, Permits};
use super::memory_budget::{BudgetSize, MemoryBudget};
use crate::caller::Share;
use crate::config::Role;

/// The capacity for all listeners.
pub(crate) struct Capacity {
    signing: RoleCapacity,
    keymanager: RoleCapacity,
    metrics: RoleCapacity,
    all: RoleCapacity,
}

impl Capacity {
    /// `requests` is how many may be signed for at one time.
    pub(crate) fn new(requests: usize) -> Self {
        let capacity = || RoleCapacity::new(requests);
        Self { signing: capacity(), keymanager: capacity(), metrics: capacity(), all: capacity() }
    }

    /// What listeners of this role have.
    pub(crate) fn of(&self, listener: Role) -> &RoleCapacity {
        match listener {
            Role::Signing => &self.signing,
            Role::Keymanager => &self.keymanager,
            Role::Metrics => &self.metrics,
            Role::All => &self.all,
        }
    }

    /// Breaks off bodies and answers that their clients have not moved for too long.
    pub(crate) fn break_off_stalled(&self) {
        self.budgets().for_each(|budget| budget.break_off_stalled());
    }

    /// KiB that requests have reserved.
    pub(crate) fn held_kib(&self) -> usize {
        self.budgets().map(|budget| budget.held_kib()).sum()
    }

    fn budgets(&self) -> impl Iterator<Item = &MemoryBudget> {
        [&self.signing, &self.keymanager, &self.metrics, &self.all]
            .into_iter()
            .flat_map(|capacity| {
                [&capacity.signing_memory, &capacity.keymanager_memory, &capacity.open_memory]
            })
            .map(Arc::as_ref)
    }
}

/// The capacity for the listeners of one role.
pub(crate) struct RoleCapacity {
    signing_memory: Arc<MemoryBudget>,
    keymanager_memory: Arc<MemoryBudget>,
    open_memory: Arc<MemoryBudget>,
    signatures: Arc<FairSemaphore>,
    batches: Arc<FairSemaphore>,
    administration: Arc<FairSemaphore>,
    imports: Arc<FairSemaphore>,
}

impl RoleCapacity {
    fn new(requests: usize) -> Self {
        Self {
            signing_memory: MemoryBudget::new(SIGNING_MEMORY),
            keymanager_memory: MemoryBudget::new(KEYMANAGER_MEMORY),
            open_memory: MemoryBudget::new(OPEN_MEMORY),
            signatures: FairSemaphore::new(requests, requests / 8),
            batches: FairSemaphore::new(MAX_BATCHES, 1),
            administration: FairSemaphore::new(MAX_ADMIN_REQUESTS, 0),
            imports: FairSemaphore::new(MAX_IMPORTS, 0),
        }
    }

    /// The memory for requests of a route of this role; `None` for what every listener answers, refusals included.
    pub(crate) fn memory(&self, route: Option<Role>) -> &Arc<MemoryBudget> {
        match route {
            Some(Role::Signing) => &self.signing_memory,
            Some(Role::Keymanager) => &self.keymanager_memory,
            Some(Role::Metrics | Role::All) | None => &self.open_memory,
        }
    }

    /// Waits for the permit to work on a request, which is to be here whole: a permit is for work alone.
    /// `max_wait`: for as long as a request to sign is of use. The next permit is for the share that holds the least.
    pub(crate) async fn in_flight_permit(
        &self,
        workload: Workload,
        share: &Share,
        max_wait: Duration,
    ) -> Result<InFlightPermit, Overloaded> {
        let (permits, max_wait) = match workload {
            Workload::Monitoring => return Ok(InFlightPermit(None)),
            Workload::Signature => (&self.signatures, max_wait),
            Workload::Batch => (&self.batches, max_wait),
            Workload::Administration => (&self.administration, MAX_ADMIN_WAIT),
            Workload::Import => (&self.imports, MAX_IMPORT_WAIT),
        };
        let permit = timeout(max_wait, permits.acquire(share, 1)).await;
        permit.map(|permit| InFlightPermit(Some(permit))).map_err(|_| Overloaded { waited: max_wait })
    }
}

/// What a request is worked on for, which says how many of its like there may be at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Answered also when too much waits, and then most of all.
    Monitoring,
    Signature,
    Batch,
    Administration,
    /// Decrypting takes what it takes, and more of it at one time would only be slower.
    Import,
}

/// The permit to work on a request, given back when dropped.
pub(crate) struct InFlightPermit(#[expect(dead_code, reason = "held for its drop")] Option<Permits>);

/// There was no permit for a request within the time that a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signer is overloaded: the request waited {waited:.1?} for its turn")]
pub(crate) struct Overloaded {
    waited: Duration,
}

/// Memory for signing requests: a batch of 16,384 keys is 1.6 MB and its answer up to 7, a full block a few MB at most.
const SIGNING_MEMORY: BudgetSize = BudgetSize { small: 64 * 1024, large: 128 * 1024 };

/// Memory for keymanager requests: one of the largest imports and some ordinary ones.
const KEYMANAGER_MEMORY: BudgetSize = BudgetSize { small: 16 * 1024, large: 192 * 1024 };

/// Memory for health and for refusals that need no route.
const OPEN_MEMORY: BudgetSize = BudgetSize { small: 16 * 1024, large: 1024 };

/// Batches signed at one time: one keeps every core busy, and each may take 20 MB while it is answered. The last is for
/// another client than that of the others.
const MAX_BATCHES: usize = 4;

/// Lists, deletions and orders to the ledger at one time.
const MAX_ADMIN_REQUESTS: usize = 16;

/// Imports at one time: each takes a thread that waits for its decryptions.
const MAX_IMPORTS: usize = 2;

/// How long an order waits for its permit.
const MAX_ADMIN_WAIT: Duration = Duration::from_secs(4);

/// How long an import waits for the ones before it: thousands of heavy keystores take half an hour.
const MAX_IMPORT_WAIT: Duration = Duration::from_secs(3600);
