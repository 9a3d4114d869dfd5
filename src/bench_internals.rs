//! Single steps of a signature's way for the benchmarks `steps` and `shared_ledger`, which are `pub(crate)` otherwise.
//!
//! No interface: nothing else may use it, and it changes when a step does. No signature leaves through it. A
//! multiplication needs the ledger's judgement here as anywhere, and what it gives is never released.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::bls::{self, HashedRoot, PublicKey, RootTables};
use crate::caller::{Caller, Peer};
use crate::clients::{Clients, Requester};
use crate::config::{Durability, Role, SharedLedgerSettings};
use crate::deadline::Deadline;
use crate::duty::Duty;
use crate::keys::{HeldSignature, Key, OpenedKey, SecretKey};
use crate::ledger::postgres::SharedLedger;
use crate::ledger::{
    self, Activation, ActivationOutcome, Judged, Missing, Protection, Settings, Unprotected, Verdict,
};
use crate::primitives::SigningRoot;
use crate::raw_roots::RawRoots;
use crate::signing_policy::SigningPolicy;
use crate::sys::locked_memory::LockedMemory;

/// The cache of hashes to the curve.
pub struct HashCache(bls::HashCache);

impl HashCache {
    /// An empty one that makes tables for roots.
    pub fn with_tables() -> Self {
        Self(bls::HashCache::new(RootTables::On))
    }

    /// An empty one: all multiplications are the curve library's.
    pub fn without_tables() -> Self {
        Self(bls::HashCache::new(RootTables::Off))
    }

    /// The root's hash, computed if it is not there.
    pub fn hashed(&self, root: &SigningRoot) -> HashedRoot {
        self.0.hashed(root, 1, 0)
    }
}

/// Named clients, the last of which asks.
pub struct Permissions {
    policy: SigningPolicy,
    caller: Caller,
}

impl Permissions {
    /// So many clients, each with all of these keys in its list.
    pub fn new(clients: u32, keys: &[PublicKey]) -> Self {
        let peer = Peer::Unix { uid: clients.saturating_sub(1), gid: 0, pid: None };
        let caller = Caller { role: Role::Signing, peer, groups: Arc::default(), certificate: None };
        let clients = Clients::of_users(clients, keys);
        Self {
            policy: SigningPolicy { raw_roots: RawRoots::Refuse, clients, ..SigningPolicy::default() },
            caller,
        }
    }

    /// Whether the last one may have the duty signed with this key: who it is, the key, the duty.
    pub fn decide(&self, public_key: PublicKey, duty: &Duty) -> bool {
        let client = self.policy.client_of(&Requester { caller: &self.caller, token: None });
        client.is_ok_and(|client| self.policy.permit(client, public_key, duty, |key| Some(*key)).is_ok())
    }
}

/// A key in locked memory and a duty that it may sign.
pub struct Signatory {
    key: Arc<Key>,
    duty: Duty,
}

/// Leave to multiply once, given by a ledger that is off.
pub struct Permission {
    judged: Judged<Arc<Key>>,
}

/// What a multiplication gave. There is no way to the signature in it.
#[must_use]
pub struct Held {
    _signatures: Vec<HeldSignature>,
}

impl Signatory {
    /// The key of a secret (32 bytes big endian).
    pub async fn new(secret: &[u8; 32], duty: Duty) -> Result<Self, Box<dyn Error>> {
        let opened = OpenedKey::new(SecretKey::new(secret, &LockedMemory::new()?)?, None);
        let activation = Activation::of(opened, None);
        let active = Unprotected::accepted().activate(vec![activation]).pop();
        let Some(ActivationOutcome::Active { key: Some(activated), .. }) = active else {
            return Err("the key was not activated".into());
        };
        Ok(Self { key: Arc::new(Key::imported(activated)), duty })
    }

    /// Has the duty judged.
    pub async fn permission(&self) -> Result<Permission, Box<dyn Error>> {
        let permitted = SigningPolicy::permit_everybody(Arc::clone(&self.key), &self.duty)?;
        Ok(Permission {
            judged: allowed(Protection::Off(Unprotected::accepted()).submit(permitted, deadline()).await?)?,
        })
    }
}

impl Permission {
    /// The half of a signature that each key has to do for itself, if the duty's root is in the cache.
    pub fn multiply(self, cache: &HashCache) -> Held {
        Held { _signatures: Key::presign(vec![self.judged], 0, &cache.0) }
    }
}

/// The slashing protection ledger.
pub struct Ledger(ledger::Ledger);

impl Ledger {
    /// A new one in this directory.
    pub fn create(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let settings = Settings { missing: Missing::Create, ..Settings::new(directory.to_owned()) };
        Ok(Self(ledger::Ledger::open(settings)?))
    }

    /// The same, or the one that is there, beside the ledger of several hosts at this address.
    pub fn create_beside(directory: &Path, address: &str) -> Result<Self, Box<dyn Error>> {
        std::fs::create_dir_all(directory)?;
        let shared = SharedLedgerSettings::new(address.parse()?, Durability::Replicated, None, None)?;
        let shared = SharedLedger::start(&shared, None, directory)?;
        let settings = Settings { missing: Missing::Create, ..Settings::new(directory.to_owned()) };
        Ok(Self(ledger::Ledger::open(Settings { second_judge: Some(shared), ..settings })?))
    }

    /// Has the duty judged and recorded for each key, all at once, and waits until every record is durable.
    pub async fn clear(&self, public_keys: &[PublicKey], duty: &Duty) -> Result<(), Box<dyn Error>> {
        let permit = |public_key: &PublicKey| SigningPolicy::permit_everybody(*public_key, duty);
        let permits = public_keys.iter().map(permit).collect::<Result<Vec<_>, _>>()?;
        for verdict in self.0.submit_all(permits, deadline()).await? {
            allowed(verdict)?.cleared().await?;
        }
        Ok(())
    }
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn allowed<K>(verdict: Verdict<K>) -> Result<Judged<K>, Box<dyn Error>> {
    match verdict {
        Verdict::Allowed(judged) => Ok(judged),
        Verdict::Refused(refusal) => Err(refusal.into()),
    }
}
