//! Signer: one duty signed with one key or with many, and what came of it. It knows no HTTP, no JSON and no status.
//!
//! `sign` is the chain from a duty to its signature; `pool` has the threads that compute signatures; each request ends
//! in an [`Outcome`], which is noted in one place.

mod counts;
mod error;
mod ledger_admin;
mod newer_forks;
mod outcome;
mod outcomes;
pub(crate) mod pool;
mod recent_duties;
mod recent_refusals;
mod sign;
mod sign_many;
mod sign_proof;
mod way_out;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::bls::PublicKey;
use crate::caller::Share;
use crate::clients::{Client, ClientName, Requester};
use crate::deadline::Deadline;
use crate::duty::{Duty, least_time_limit};
use crate::keymanager::Keystores;
use crate::keys::Key;
use crate::ledger::Protection;
use crate::network::{GenesisClock, Network};
use crate::primitives::Epoch;
use crate::signing_policy::{self, Permitted, SigningPolicy};

pub(crate) use self::counts::SigningCounts;
pub(crate) use self::error::{SignError, SignFault, SignRefusal};
pub(crate) use self::ledger_admin::{AdminError, LedgerAdmin};
pub(crate) use self::outcome::OutcomeKind;
pub(crate) use self::outcomes::Outcomes;
pub(crate) use self::recent_duties::RecentDuties;
pub(crate) use self::recent_refusals::RecentRefusal;
pub(crate) use self::way_out::way_out;

use self::pool::SigningPool;

/// What signs: made once by the daemon and shared by all requests. No key has to wait for another's lock.
pub(crate) struct Signer {
    pub(crate) network: Network,
    /// For how long a request is of use; none: for as long as its duty says.
    pub(crate) timeout: Option<Duration>,
    /// Replaced on a reload.
    pub(crate) policy: ArcSwap<SigningPolicy>,
    pub(crate) protection: Protection,
    pub(crate) keystores: Arc<Keystores>,
    pub(crate) pool: SigningPool,
    pub(crate) outcomes: Outcomes,
    pub(crate) recent_duties: RecentDuties,
    /// Whose turn it is to have a proof of validation signed.
    pub(crate) proof_turns: tokio::sync::Mutex<()>,
}

impl Signer {
    /// The client that asks, by the policy of this moment.
    ///
    /// # Errors
    /// It is none; the log is told.
    pub(crate) fn grant<'a>(&self, requester: Requester<'a>) -> Result<Grant<'a>, signing_policy::Refusal> {
        let policy = self.policy.load_full();
        let client = match policy.client_of(&requester) {
            Ok(client) => Arc::clone(client),
            Err(refusal) => {
                self.outcomes.note_stranger(requester.caller);
                return Err(refusal);
            }
        };
        Ok(Grant { requester, policy, client })
    }

    /// For how long a request is of use, as far as it can be told before its duty is known.
    pub(crate) fn least_time_limit(&self) -> Duration {
        self.timeout.unwrap_or_else(|| {
            let epoch =
                GenesisClock::of(&self.network).map_or(Epoch(0), |clock| clock.present(SystemTime::now()).1);
            least_time_limit(&self.network, self.network.forks().at(epoch))
        })
    }

    /// Until when an answer is of use.
    fn deadline(&self, arrived: Instant, duty: &Duty) -> Deadline {
        Deadline::new(arrived, self.timeout.unwrap_or_else(|| duty.time_limit(&self.network)))
    }

    /// The key of this name, if the client may have the duty signed with it. `None`: what named it is no public key, so
    /// that no key can have it.
    fn permitted<'a>(
        &self,
        grant: &Grant<'_>,
        public_key: Option<PublicKey>,
        duty: &'a Duty,
    ) -> Result<Permitted<'a, Arc<Key>>, SignError> {
        let public_key = public_key.ok_or(SignRefusal::NoPublicKey)?;
        let find = |public_key: &PublicKey| self.keystores.ring().key(public_key);
        Ok(grant.policy.permit(&grant.client, public_key, duty, find)?)
    }

    /// Asks again, before a signature is given away, if the clients have been read again since it was permitted. What
    /// is refused then may be on record, and is not sent.
    fn still_permitted(
        &self,
        grant: &Grant<'_>,
        public_key: Option<PublicKey>,
        duty: &Duty,
    ) -> Result<(), SignError> {
        if Arc::ptr_eq(&self.policy.load(), &grant.policy) {
            return Ok(());
        }
        self.permitted(&self.grant(grant.requester)?, public_key, duty).map(drop)
    }
}

/// Who asks, as one reading of the clients has it.
pub(crate) struct Grant<'a> {
    requester: Requester<'a>,
    policy: Arc<SigningPolicy>,
    client: Arc<Client>,
}

impl Grant<'_> {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// In whose share its work is done.
    pub(crate) fn share(&self) -> Share {
        self.client_name().map_or_else(|| self.requester.caller.share(), ClientName::share)
    }

    fn client_name(&self) -> Option<&ClientName> {
        self.client.name()
    }
}
