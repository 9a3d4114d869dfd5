//! Chain from a duty to its signature: key, policy, judgement, multiplication beside the record, release.

use std::sync::Arc;

use super::Signer;
use super::error::SignError;
use super::outcome::{Latencies, Outcome, Stopwatch};
use super::pool::Backlog;
use crate::bls::{PublicKey, Signature};
use crate::caller::Caller;
use crate::duty::{self, Duty, Priority};
use crate::keys::Key;
use crate::ledger::{SyncWhen, Verdict};

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
                let result = self.sign_duty(&duty, public_key, &mut stopwatch, &mut latencies).await;
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
        // The record goes to the disk while its signature is computed; only the release must wait for it. Until a core
        // is free there is no hurry, and more records will share the sync.
        let (hashes, priority) = (Arc::clone(&self.hashes), duty.kind().priority());
        let presign = move |backlog| {
            judged.begin_to_record(sync_when(priority, backlog));
            Key::presign(judged, &mut hashes.repeated())
        };
        let held = self.pool.run(priority, presign).await?;
        latencies.multiply = stopwatch.lap();
        let signature = held.release().await?;
        latencies.wait = stopwatch.lap();
        Ok(signature)
    }
}

/// How soon a record is needed whose signature is begun.
pub(super) fn sync_when(priority: Priority, backlog: Backlog) -> SyncWhen {
    match (priority, backlog) {
        (Priority::Block, _) | (_, Backlog::Empty) => SyncWhen::Immediately,
        (Priority::Vote | Priority::Other, Backlog::MoreWork) => SyncWhen::Batched,
    }
}
