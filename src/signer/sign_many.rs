//! Signatures of one duty with many keys: it is hashed to the curve once, its records share transactions of the ledger,
//! and the signatures are spread over all cores.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::yield_now;

use super::error::SignError;
use super::outcome::{Latencies, Outcome, Stopwatch};
use super::pool::{KEYS_AT_A_TIME, PoolClosed};
use super::{Grant, Signer};
use crate::bls::{PublicKey, Signature};
use crate::caller::Share;
use crate::deadline::Deadline;
use crate::duty::{self, Duty, Priority};
use crate::keys::{HeldSignature, Key};
use crate::ledger::{Judged, Verdict, Withheld};
use crate::signing_policy::Permitted;

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
        let (mut noted, mut results) = (Vec::with_capacity(results.len()), results.into_iter());
        for slice in public_keys.chunks(SLICE_KEYS) {
            for (public_key, result) in slice.iter().zip(results.by_ref()) {
                let (public_key, error) = (*public_key, result.as_ref().err());
                self.outcomes.note(&Outcome { grant, public_key, duty, error, latencies }, &self.network);
                noted.push(result);
            }
            yield_now().await;
        }
        Ok(noted)
    }

    /// A slice after the other: while some are multiplied the next ones are judged, so that neither this thread nor the
    /// ledger works on all of them at one time while others wait, and nothing is on record long before it is signed.
    async fn sign_with_all(
        &self,
        grant: &Grant<'_>,
        duty: &Duty,
        deadline: Deadline,
        public_keys: &[Option<PublicKey>],
        stopwatch: &mut Stopwatch,
        latencies: &mut Latencies,
    ) -> Result<Vec<Result<Signature, SignError>>, SignError> {
        let mut results = Vec::with_capacity(public_keys.len());
        let (mut permits, mut places) = (Vec::with_capacity(public_keys.len()), 0_usize..);
        for slice in public_keys.chunks(SLICE_KEYS) {
            for (public_key, at) in slice.iter().zip(places.by_ref()) {
                match self.permitted(grant, *public_key, duty) {
                    Ok(permitted) => permits.push((at, permitted)),
                    Err(error) => results.push((at, Err(error))),
                }
            }
            yield_now().await;
        }
        let (count, share, priority) = (permits.len(), grant.share(), duty.kind().priority());
        let mut announced = self.pool.announce(share.clone(), priority, count, deadline)?;
        let (mut permits, mut multiplying) = (sliced(permits, SLICE_KEYS), VecDeque::new());
        let mut examining = Vec::new();
        loop {
            // One more than there are threads, so that none of them waits for this one.
            while multiplying.len() <= self.pool.threads().get() {
                let Some(slice) = permits.next() else { break };
                let (allowed, judged) = self.judge(slice, deadline, &mut results).await?;
                announced.discount(SLICE_KEYS);
                latencies.judge = latencies.judge.saturating_add(stopwatch.lap());
                let presign = |judged| self.pool.presign(share.clone(), priority, judged);
                let part = judged.len().div_ceil(self.pool.threads().get()).clamp(KEYS_AT_A_TIME, PART_KEYS);
                let parts: Vec<_> = sliced(judged, part).map(presign).collect();
                multiplying.push_back((allowed, parts));
                yield_now().await;
            }
            let Some((allowed, parts)) = multiplying.pop_front() else { break };
            let held = deadline.limit(async {
                let mut held = Vec::with_capacity(parts.len());
                // The last part is the last to be done: whoever waits for that one first is woken once for all.
                for part in parts.into_iter().rev() {
                    held.push(part.await?);
                }
                Ok::<_, PoolClosed>(held.into_iter().rev().flatten().collect())
            });
            let held = held.await??;
            examining.push((allowed, self.examine(share.clone(), priority, held, count)));
            latencies.multiply = latencies.multiply.saturating_add(stopwatch.lap());
        }
        for (allowed, examined) in examining {
            let held = deadline.limit(examined).await??;
            latencies.multiply = latencies.multiply.saturating_add(stopwatch.lap());
            for (at, held) in allowed.into_iter().zip(held) {
                let result = match held.release().await {
                    Ok(signature) => Ok(signature),
                    Err(Withheld::Refused(refusal)) => Err(refusal.into()),
                    Err(Withheld::Fault(fault)) => return Err(fault.into()),
                };
                results.push((at, result));
            }
            latencies.wait = latencies.wait.saturating_add(stopwatch.lap());
            yield_now().await;
        }
        results.sort_unstable_by_key(|(at, _)| *at);
        let (mut results, mut checked) = (results.into_iter(), Vec::with_capacity(public_keys.len()));
        // When all are there, so that none is given away that was taken away while the others were waited for.
        for slice in public_keys.chunks(SLICE_KEYS) {
            for (public_key, (_, result)) in slice.iter().zip(results.by_ref()) {
                checked.push(result.and_then(|signature| {
                    self.still_permitted(grant, *public_key, duty).map(|()| signature)
                }));
            }
            yield_now().await;
        }
        Ok(checked)
    }

    /// Judges what was permitted, together. Gives what is allowed, with its places; what is refused is a result.
    async fn judge(
        &self,
        permits: Vec<(usize, Permitted<'_, Arc<Key>>)>,
        deadline: Deadline,
        results: &mut Vec<(usize, Result<Signature, SignError>)>,
    ) -> Result<(Vec<usize>, Vec<Judged<Arc<Key>>>), SignError> {
        let (places, permits): (Vec<_>, Vec<_>) = permits.into_iter().unzip();
        let (mut allowed, mut judged) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
        for (at, verdict) in places.into_iter().zip(self.protection.submit_all(permits, deadline).await?) {
            match verdict {
                Verdict::Allowed(one) => {
                    allowed.push(at);
                    judged.push(one);
                }
                Verdict::Refused(refusal) => results.push((at, Err(refusal.into()))),
            }
        }
        Ok((allowed, judged))
    }

    /// Queues the check of signatures of a request for so many keys, where they are many. Few come as they are.
    fn examine(
        &self,
        share: Share,
        priority: Priority,
        held: Vec<HeldSignature>,
        keys: usize,
    ) -> impl Future<Output = Result<Vec<HeldSignature>, PoolClosed>> + Send + use<> {
        let (held, examined) = if keys < EXAMINED_KEYS || held.is_empty() {
            (held, None)
        } else {
            (Vec::new(), Some(self.pool.examine(share, priority, held)))
        };
        async {
            match examined {
                Some(examined) => examined.await,
                None => Ok(held),
            }
        }
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

/// So many keys are judged together, and checked together when they are signed: in a tenth of a millisecond, and in
/// about as long as two signatures take.
const SLICE_KEYS: usize = 128;

/// So many keys are multiplied together at most, where each thread has its part. Others wait for them for half as long
/// as for the check of a slice.
const PART_KEYS: usize = 8;

/// From so many signatures on they are checked before they are given out.
const EXAMINED_KEYS: usize = 100;
