//! What the routes do: one file a family of endpoints.

pub(crate) mod health;
pub(crate) mod high_watermark;
pub(crate) mod keystores;
pub(crate) mod public_keys;
pub(crate) mod sign;

use tokio::sync::Mutex;

use crate::bls::HashCache;
use crate::keys::{Importer, Ring};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::permit::Permits;

/// What the endpoints work on: made once by the daemon and shared by all requests. Signing takes no lock in it.
pub(crate) struct Signer {
    pub(crate) network: Network,
    pub(crate) ring: Ring,
    pub(crate) ledger: Ledger,
    pub(crate) permits: Permits,
    pub(crate) hashes: HashCache,
    pub(crate) importer: Importer,
    /// Held while the set of keys changes, so that what was decided about a key still holds when it is done.
    pub(crate) key_changes: Mutex<()>,
}

impl Signer {
    pub(crate) fn new(network: Network, ledger: Ledger, permits: Permits, importer: Importer) -> Self {
        Self {
            network,
            ring: Ring::new(),
            ledger,
            permits,
            hashes: HashCache::new(),
            importer,
            key_changes: Mutex::new(()),
        }
    }
}
