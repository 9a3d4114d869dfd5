//! Signer: one duty signed with one key or with many, and what came of it. It knows no HTTP, no JSON and no status.
//!
//! `sign` is the chain from a duty to its signature; `pool` has the threads that compute signatures; each request ends
//! in an [`Outcome`], which is noted in one place.

mod counts;
mod duty_group;
mod error;
mod ledger_admin;
mod newer_forks;
mod outcome;
mod outcomes;
pub(crate) mod pool;
mod sign;
mod sign_many;

use std::sync::Arc;

use crate::bls::PublicKey;
use crate::keymanager::Keystores;
use crate::keys::Key;
use crate::ledger::Protection;
use crate::network::Network;
use crate::signing_policy::SigningPolicy;

pub(crate) use self::counts::{Protected, SigningCounts};
pub(crate) use self::error::{SignError, SignFault, SignRefusal};
pub(crate) use self::ledger_admin::{AdminError, LedgerAdmin};
pub(crate) use self::outcome::OutcomeKind;
pub(crate) use self::outcomes::Outcomes;

use self::pool::SigningPool;

/// What signs: made once by the daemon and shared by all requests. No key has to wait for another's lock.
pub(crate) struct Signer {
    pub(crate) network: Network,
    pub(crate) policy: SigningPolicy,
    pub(crate) protection: Protection,
    pub(crate) keystores: Arc<Keystores>,
    pub(crate) pool: SigningPool,
    pub(crate) outcomes: Outcomes,
}

impl Signer {
    /// The key of this name. `None`: what named it is no public key, so that no key can have it.
    fn key(&self, public_key: Option<PublicKey>) -> Result<Arc<Key>, SignError> {
        let public_key = public_key.ok_or(SignRefusal::NoPublicKey)?;
        let key = self.keystores.ring().key(&public_key);
        key.ok_or_else(|| SignRefusal::UnknownKey { public_key }.into())
    }
}
