//! How much of the machine the requests of each role may have at one time: turns to be worked on, and room in memory.
//!
//! Every listener role has its own, and on a listener for all roles signing and keymanager requests have theirs: none can
//! take another's. The sum is the bound of the memory that requests take (docs/performance.md).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::room::{Room, Size};
use crate::api::problem::Problem;
use crate::api::routes::Endpoint;
use crate::config::Role;

/// The capacity for all listeners.
pub(crate) struct Capacity {
    signing: OfRole,
    keymanager: OfRole,
    metrics: OfRole,
    all: OfRole,
}

impl Capacity {
    /// `requests` is how many may be signed for at one time.
    pub(crate) fn new(requests: usize) -> Self {
        let of_role = || OfRole::new(requests);
        Self { signing: of_role(), keymanager: of_role(), metrics: of_role(), all: of_role() }
    }

    /// What listeners of this role have.
    pub(crate) fn of(&self, listener: Role) -> &OfRole {
        match listener {
            Role::Signing => &self.signing,
            Role::Keymanager => &self.keymanager,
            Role::Metrics => &self.metrics,
            Role::All => &self.all,
        }
    }

    /// Breaks off bodies and answers that their clients have not moved for too long.
    pub(crate) fn break_off_stalled(&self) {
        self.rooms().for_each(|room| room.break_off_stalled());
    }

    /// KiB that are taken of all rooms.
    pub(crate) fn held_kib(&self) -> usize {
        self.rooms().map(|room| room.held_kib()).sum()
    }

    fn rooms(&self) -> impl Iterator<Item = &Room> {
        [&self.signing, &self.keymanager, &self.metrics, &self.all]
            .into_iter()
            .flat_map(|of_role| [&of_role.signing_room, &of_role.keymanager_room, &of_role.open_room])
            .map(Arc::as_ref)
    }
}

/// The capacity for the listeners of one role.
pub(crate) struct OfRole {
    signing_room: Arc<Room>,
    keymanager_room: Arc<Room>,
    open_room: Arc<Room>,
    signatures: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    administration: Arc<Semaphore>,
    imports: Arc<Semaphore>,
}

impl OfRole {
    fn new(requests: usize) -> Self {
        Self {
            signing_room: Room::new(SIGNING_ROOM),
            keymanager_room: Room::new(KEYMANAGER_ROOM),
            open_room: Room::new(OPEN_ROOM),
            signatures: Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))),
            batches: Arc::new(Semaphore::new(BATCHES)),
            administration: Arc::new(Semaphore::new(ADMINISTRATION)),
            imports: Arc::new(Semaphore::new(IMPORTS)),
        }
    }

    /// The room for requests of a route of this role; `None` for what every listener answers, refusals included.
    pub(crate) fn room(&self, route: Option<Role>) -> &Arc<Room> {
        match route {
            Some(Role::Signing) => &self.signing_room,
            Some(Role::Keymanager) => &self.keymanager_room,
            Some(Role::Metrics | Role::All) | None => &self.open_room,
        }
    }

    /// Waits for a request's turn. It is to be here whole: a turn is for work alone.
    pub(crate) async fn turn(&self, endpoint: Endpoint) -> Result<Turn, Problem> {
        let (turns, longest_wait) = match endpoint {
            // Monitoring is answered also when too much waits, and then most of all.
            Endpoint::Upcheck | Endpoint::Healthcheck | Endpoint::Health => return Ok(Turn(None)),
            Endpoint::Sign | Endpoint::PublicKeys | Endpoint::HighWatermark => {
                (&self.signatures, LONGEST_WAIT)
            }
            Endpoint::SignBatch => (&self.batches, LONGEST_WAIT),
            Endpoint::ListKeystores
            | Endpoint::DeleteKeystores
            | Endpoint::SlashingProtection
            | Endpoint::ReloadStatus
            | Endpoint::Reload => (&self.administration, LONGEST_WAIT),
            // Decrypting takes what it takes, and more of it at one time would only be slower.
            Endpoint::ImportKeystores => (&self.imports, LONGEST_WAIT_TO_IMPORT),
        };
        match timeout(longest_wait, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Turn(Some(turn))),
            Ok(Err(_)) | Err(_) => Err(Problem::overloaded(longest_wait)),
        }
    }
}

/// A request's turn, given back when dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// Room for signing requests: a batch of 16,384 keys is 1.6 MB and its answer up to 7, a full block a few MB at most.
const SIGNING_ROOM: Size = Size { small: 64 * 1024, large: 128 * 1024 };

/// Room for keymanager requests: one of the largest imports and some ordinary ones.
const KEYMANAGER_ROOM: Size = Size { small: 16 * 1024, large: 192 * 1024 };

/// Room for health and for refusals that need no route.
const OPEN_ROOM: Size = Size { small: 16 * 1024, large: 1024 };

/// Batches signed at one time: one keeps every core busy, and each may take 20 MB while it is answered.
const BATCHES: usize = 4;

/// Lists, deletions and orders to the ledger at one time.
const ADMINISTRATION: usize = 16;

/// Imports at one time: each takes a thread that waits for its decryptions.
const IMPORTS: usize = 2;

/// How long a request waits for its turn. Validator clients give up after about 5 s.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// How long an import waits for the ones before it: thousands of heavy keystores take half an hour.
const LONGEST_WAIT_TO_IMPORT: Duration = Duration::from_secs(3600);
