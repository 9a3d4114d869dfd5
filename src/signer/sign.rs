//! Chain from a duty to its signature: key, policy, judgement, multiplication beside the record, release.

use std::pin::pin;
use std::time::Instant;

use super::error::SignError;
use super::outcome::{Latencies, Outcome, Stopwatch};
use super::pool::PoolClosed;
use super::{Grant, Signer};
use crate::bls::{PublicKey, Signature};
use crate::deadline::Deadline;
use crate::duty::{self, Duty};
use crate::ledger::Verdict;

impl Signer {
    /// Signs the duty that `read` gives with this key, for this client, and notes what came of it. `arrived`: when the
    /// request was here whole, from which its deadline counts.
    pub(crate) async fn sign(
        &self,
        grant: &Grant<'_>,
        arrived: Instant,
        public_key: Option<PublicKey>,
        read: impl FnOnce() -> Result<Duty, duty::Refusal>,
    ) -> Result<Signature, SignError> {
        let mut stopwatch = Stopwatch::start();
        let mut latencies = Latencies::default();
        let read = read();
        latencies.parse = stopwatch.lap();
        let (duty, result) = match read {
            Ok(duty) => {
                let deadline = self.deadline(arrived, &duty);
                // Pinned where it is made: to await it itself would copy all its room, two kilobytes.
                let result =
                    pin!(self.sign_duty(grant, &duty, deadline, public_key, &mut stopwatch, &mut latencies))
                        .await;
                (Some(duty), result)
            }
            Err(refusal) => (None, Err(refusal.into())),
        };
        let (duty, error) = (duty.as_ref(), result.as_ref().err());
        self.outcomes.note(&Outcome { grant, public_key, duty, error, latencies }, &self.network);
        result
    }

    async fn sign_duty(
        &self,
        grant: &Grant<'_>,
        duty: &Duty,
        deadline: Deadline,
        public_key: Option<PublicKey>,
        stopwatch: &mut Stopwatch,
        latencies: &mut Latencies,
    ) -> Result<Signature, SignError> {
        let permitted = self.permitted(grant, public_key, duty)?;
        let (share, priority) = (grant.share(), duty.kind().priority());
        self.pool.refuse_late(&share, priority, 1, deadline)?;
        let judged = match self.protection.submit(permitted, deadline).await? {
            Verdict::Allowed(judged) => judged,
            Verdict::Refused(refusal) => return Err(refusal.into()),
        };
        latencies.judge = stopwatch.lap();
        let held = deadline.limit(self.pool.presign(share, priority, vec![judged])).await?;
        let held = held?.pop().ok_or(PoolClosed)?;
        latencies.multiply = stopwatch.lap();
        let signature = held.release().await?;
        latencies.wait = stopwatch.lap();
        self.still_permitted(grant, public_key, duty)?;
        Ok(signature)
    }
}
