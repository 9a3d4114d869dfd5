//! Single steps of a signature's way for the benchmark `steps`, which are `pub(crate)` otherwise.
//!
//! No interface: nothing else may use it, and it changes when a step does. No signature leaves through it. A
//! multiplication needs the ledger's judgement here as anywhere, and what it gives is never released.

use std::error::Error;
use std::path::Path;

use crate::bls::{self, HashedRoot, PublicKey};
use crate::duty::Duty;
use crate::keys::{HeldSignature, Key, OpenedKey, SecretKey};
use crate::ledger::{self, Activation, ActivationOutcome, Judged, Missing, Settings, Verdict};
use crate::primitives::SigningRoot;
use crate::signing_policy::{Permitted, SigningPolicy};
use crate::sys::locked_memory::LockedMemory;

/// The cache of hashes to the curve.
pub struct HashCache(bls::HashCache);

impl HashCache {
    /// An empty one.
    #[allow(clippy::new_without_default, reason = "only a measurement makes one")]
    pub fn new() -> Self {
        Self(bls::HashCache::new())
    }

    /// The root's hash, computed if it is not there.
    pub fn hashed(&self, root: &SigningRoot) -> HashedRoot {
        self.0.hashed(root)
    }
}

/// A key in locked memory, allowed to multiply: judged by a ledger that is off.
pub struct Multiplier {
    key: Key,
    judged: Judged,
}

/// What a multiplication gave. There is no way to the signature in it.
#[must_use]
pub struct Held {
    _signature: HeldSignature,
}

impl Multiplier {
    /// The key of a secret (32 bytes big endian) and a duty that it is allowed to sign.
    pub async fn new(secret: &[u8; 32], duty: &Duty) -> Result<Self, Box<dyn Error>> {
        let opened = OpenedKey::new(SecretKey::new(secret, &LockedMemory::new()?)?, None);
        let off = ledger::Ledger::off();
        let active = off.activate(vec![Activation::of(opened, None)], None).await??.pop();
        let Some(ActivationOutcome::Active { key: Some(activated), .. }) = active else {
            return Err("the key was not activated".into());
        };
        let key = Key::imported(activated);
        let permitted = SigningPolicy::default().permit(key.public_key(), duty.clone())?;
        let judged = allowed(off.submit(&permitted).await?)?;
        Ok(Self { key, judged })
    }

    /// The half of a signature that each key has to do for itself.
    pub fn multiply(&self, hashed: &HashedRoot) -> Held {
        Held { _signature: self.key.presign(hashed, &self.judged) }
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

    /// Has the duty judged and recorded for each key, all at once, and waits until every record is durable.
    pub async fn clear(&self, public_keys: &[PublicKey], duty: &Duty) -> Result<(), Box<dyn Error>> {
        let permit = |public_key: &PublicKey| SigningPolicy::default().permit(*public_key, duty.clone());
        let permits = public_keys.iter().map(permit).collect::<Result<Vec<Permitted>, _>>()?;
        for verdict in self.0.submit_all(&permits).await? {
            allowed(verdict)?.cleared().await?;
        }
        Ok(())
    }
}

fn allowed(verdict: Verdict) -> Result<Judged, Box<dyn Error>> {
    match verdict {
        Verdict::Allowed(judged) => Ok(judged),
        Verdict::Refused(refusal) => Err(refusal.into()),
    }
}
