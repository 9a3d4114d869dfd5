//! Signatures of one duty with many keys: it is hashed to the curve once, its records share one transaction of the
//! ledger, and the signatures are spread over all cores.

use std::sync::Arc;
use std::time::Instant;

use super::error::SignError;
use super::outcome::{Latencies, Outcome, Stopwatch};
use super::pool::{KEYS_AT_A_TIME, PoolClosed};
use super::{Grant, Signer};
use crate::blocking;
use crate::bls::{PublicKey, Signature};
use crate::caller::Share;
use crate::deadline::Deadline;
use crate::duty::{self, Duty, Priority};
use crate::keys::{HeldSignature, Key};
use crate::ledger::{Judged, Verdict, Withheld};

impl Signer {
    /// Signs the duty that `read` gives with each of these keys, for this client, and notes what came of it. The
    /// results are in the order of the keys; what is refused for one key does not concern the others.
    ///
    /// # Errors
    /// There is no duty, or something failed, or its time is over: then none is signed.
    pub(crate) async fn sign_many(
        &self,
        grant: &Grant<'_>,
        arrived: Instant,
        public_keys: &[Option<PublicKey>],
        read: impl FnOnce() -> Result<Duty, duty::Refusal>,
    ) -> Result<Vec<Result<Signature, SignError>>, SignError> {
        let mut stopwatch = Stopwatch::start();
        let mut latencies = Latencies::default();
        let read = read();
        latencies.parse = stopwatch.lap();
        let (duty, results) = match read {
            Ok(duty) => {
                let deadline = self.deadline(arrived, &duty);
                let signing =
                    self.sign_with_all(grant, &duty, deadline, public_keys, &mut stopwatch, &mut latencies);
                let results = signing.await;
                (Some(duty), results)
            }
            Err(refusal) => (None, Err(refusal.into())),
        };
        let duty = duty.as_ref();
        let results = results.inspect_err(|error| {
            let error = Some(error);
            self.outcomes.note(&Outcome { grant, public_key: None, duty, error, latencies }, &self.network);
        })?;
        Ok(in_place_if_many(public_keys, || {
            let noted = public_keys.iter().zip(results).map(|(public_key, (result, latencies))| {
                let (public_key, error) = (*public_key, result.as_ref().err());
                self.outcomes.note(&Outcome { grant, public_key, duty, error, latencies }, &self.network);
                result
            });
            noted.collect()
        }))
    }

    async fn sign_with_all(
        &self,
        grant: &Grant<'_>,
        duty: &Duty,
        deadline: Deadline,
        public_keys: &[Option<PublicKey>],
        stopwatch: &mut Stopwatch,
        latencies: &mut Latencies,
    ) -> Result<Vec<(Result<Signature, SignError>, Latencies)>, SignError> {
        let mut results = Vec::with_capacity(public_keys.len());
        let mut positions = Vec::new();
        let mut permits = Vec::new();
        in_place_if_many(public_keys, || {
            for (at, public_key) in public_keys.iter().enumerate() {
                match self.permitted(grant, *public_key, duty) {
                    Ok(permitted) => {
                        positions.push(at);
                        permits.push(permitted);
                    }
                    Err(error) => results.push((at, Err(error), *latencies)),
                }
            }
        });
        let (mut allowed, mut judged) = (Vec::with_capacity(positions.len()), Vec::new());
        let (share, priority) = (grant.share(), duty.kind().priority());
        self.pool.refuse_late(&share, priority, permits.len(), deadline)?;
        let verdicts = self.protection.submit_all(permits, deadline).await?;
        latencies.judge = stopwatch.lap();
        for (at, verdict) in positions.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Allowed(one) => {
                    allowed.push(at);
                    judged.push(one);
                }
                Verdict::Refused(refusal) => results.push((at, Err(refusal.into()), *latencies)),
            }
        }
        let held = deadline.limit(self.presign_all(share, priority, judged)).await??;
        latencies.multiply = stopwatch.lap();
        for (at, held) in allowed.into_iter().zip(held) {
            let result = match held.release().await {
                Ok(signature) => Ok(signature),
                Err(Withheld::Refused(refusal)) => Err(refusal.into()),
                Err(Withheld::Fault(fault)) => return Err(fault.into()),
            };
            latencies.wait = latencies.wait.saturating_add(stopwatch.lap());
            results.push((at, result, *latencies));
        }
        results.sort_unstable_by_key(|(at, ..)| *at);
        // When all are there, so that none is given away that was taken away while the others were waited for.
        let results = public_keys.iter().zip(results).map(|(public_key, (_, result, latencies))| {
            let still = |signature| self.still_permitted(grant, *public_key, duty).map(|()| signature);
            (result.and_then(still), latencies)
        });
        Ok(in_place_if_many(public_keys, || results.collect()))
    }

    /// Signatures in the order of what was judged. All of it is queued before the first result is waited for.
    async fn presign_all(
        &self,
        share: Share,
        priority: Priority,
        judged: Vec<Judged<Arc<Key>>>,
    ) -> Result<Vec<HeldSignature>, PoolClosed> {
        let count = judged.len();
        let slices: Vec<_> = sliced(judged, KEYS_AT_A_TIME)
            .map(|slice| self.pool.presign(share.clone(), priority, slice))
            .collect();
        let mut held = Vec::with_capacity(count);
        for slice in slices {
            held.append(&mut slice.await?);
        }
        if count < EXAMINED_KEYS {
            return Ok(held);
        }
        let examined: Vec<_> = sliced(held, EXAMINED_KEYS)
            .map(|slice| self.pool.examine(share.clone(), priority, slice))
            .collect();
        let mut held = Vec::with_capacity(count);
        for slice in examined {
            held.append(&mut slice.await?);
        }
        Ok(held)
    }
}

/// The items in their order, so many at a time; the last slice may be smaller.
fn sliced<T>(items: Vec<T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        items.peek()?;
        Some(items.by_ref().take(size).collect())
    })
}

/// Does work that takes the longer the more keys there are, without keeping other tasks from this thread.
fn in_place_if_many<T>(public_keys: &[Option<PublicKey>], work: impl FnOnce() -> T) -> T {
    blocking::in_place_if_large(public_keys.len().saturating_mul(BYTES_PER_KEY), work)
}

/// From so many signatures on they are checked together before they are given out, so many at a time: it takes about as
/// long as two signatures.
const EXAMINED_KEYS: usize = 100;

/// About what a key takes in a request.
const BYTES_PER_KEY: usize = 100;
