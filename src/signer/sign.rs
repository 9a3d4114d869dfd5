//! Chain from a duty to its signature: key, policy, judgement, multiplication beside the record, release.

use super::Signer;
use super::error::SignError;
use super::outcome::{Latencies, Outcome, Stopwatch};
use super::pool::PoolClosed;
use crate::bls::{PublicKey, Signature};
use crate::caller::Caller;
use crate::duty::{self, Duty};
use crate::ledger::Verdict;

impl Signer {
    /// Signs the duty that `read` gives with this key, for this caller, and notes what came of it.
    pub(crate) async fn sign(
        &self,
        caller: &Caller,
        public_key: Option<PublicKey>,
        read: impl FnOnce() -> Result<Duty, duty::Refusal>,
    ) -> Result<Signature, SignError> {
        let mut stopwatch = Stopwatch::start();
        let mut latencies = Latencies::default();
        let read = read();
        latencies.parse = stopwatch.lap();
        let (duty, result) = match read {
            Ok(duty) => {
                let result = self.sign_duty(caller, &duty, public_key, &mut stopwatch, &mut latencies).await;
                (Some(duty), result)
            }
            Err(refusal) => (None, Err(refusal.into())),
        };
        let (duty, error) = (duty.as_ref(), result.as_ref().err());
        self.outcomes.note(&Outcome { caller, public_key, duty, error, latencies }, &self.network);
        result
    }

    async fn sign_duty(
        &self,
        caller: &Caller,
        duty: &Duty,
        public_key: Option<PublicKey>,
        stopwatch: &mut Stopwatch,
        latencies: &mut Latencies,
    ) -> Result<Signature, SignError> {
        let key = self.key(public_key)?;
        let permitted = self.policy.permit(key, duty)?;
        let judged = match self.protection.submit(permitted).await? {
            Verdict::Allowed(judged) => judged,
            Verdict::Refused(refusal) => return Err(refusal.into()),
        };
        latencies.judge = stopwatch.lap();
        let (priority, signing_root) = (duty.kind().priority(), judged.signing_root());
        let held = self.pool.presign(caller.share(), priority, signing_root, vec![judged]);
        let held = held.await?.pop().ok_or(PoolClosed)?;
        latencies.multiply = stopwatch.lap();
        let signature = held.release().await?;
        latencies.wait = stopwatch.lap();
        Ok(signature)
    }
}
