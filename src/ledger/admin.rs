//! Administration: keys come and go with their history, watermarks are lifted, history is written out.
//!
//! An order has the watermarks alone and is one transaction, so that it stands at one point in the order of events:
//! whatever was judged before it is on record with it, whatever comes after meets its outcome. An order that is
//! answered is durable. What each does is in `transaction`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::Ledger;
use super::commit_queue::Task;
use super::far_future::Horizon;
use super::fault::Fault;
use super::interchange::Interchange;
use super::judge::{Reply, ReplySender};
use super::order::{
    Activated, Activation, ActivationOutcome, Deletion, DeletionReport, Exported, Foresight, ImportRefusal,
    Imported, KeystorePage, OutOfUse, Past, Raised, ResealRefusal, Selection, Status, Unmergeable,
};
use super::rules::Watermark;
use super::second_judge::{NoAnswer, SecondJudge};
use super::shared_order::{SharedOrder, SharedRecords};
use super::sqlite::{SealedChange, SealedKeystore, StoreError};
use super::transaction::{AdminTask, AdminTransaction};
use super::watermarks::HighWatermark;
use crate::bls::PublicKey;
use crate::deadline::Deadline;
use crate::primitives::{Epoch, Slot};

impl Ledger {
    /// Merges histories of the selected keys. It activates nobody.
    pub(crate) fn import(
        &self,
        interchange: Interchange,
        keys: Selection,
    ) -> impl Future<Output = Result<Result<Imported, ImportRefusal>, Fault>> + Send + use<> {
        let shared = self.shared(|| SharedOrder::import(&interchange, &keys));
        self.order(shared, move |transaction| Ok(transaction.import(interchange, &keys)))
    }

    /// Lets keys sign here, each with its history and its kept keystore, all in one transaction.
    ///
    /// Of `history` only what concerns the activations is merged. The answers are in the order of the activations.
    pub(crate) fn activate<K: Send>(
        &self,
        activations: Vec<Activation<K>>,
        history: Option<Interchange>,
    ) -> impl Future<Output = Result<Result<Vec<ActivationOutcome<K>>, ImportRefusal>, Fault>> + Send + use<K>
    {
        let mut keys = Vec::with_capacity(activations.len());
        let mut records = Vec::with_capacity(activations.len());
        for Activation { public_key, key, keystore } in activations {
            keys.push(key);
            records.push((public_key, keystore));
        }
        let shared = self.shared(|| {
            SharedOrder::activate(records.iter().map(|(public_key, _)| *public_key), history.as_ref())
        });
        let recorded = self.order(shared, move |transaction| Ok(transaction.activate(records, history)));
        async move {
            let recorded = match recorded.await? {
                Ok(recorded) => recorded,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let outcomes = keys.into_iter().zip(recorded).map(|(key, recorded)| match recorded {
                Ok(past) => active(key, past),
                Err(Unmergeable(reason)) => ActivationOutcome::Unmergeable { reason },
            });
            Ok(Ok(outcomes.collect()))
        }
    }

    /// Disables keys, forgets their kept keystores and exports their histories, all in one transaction.
    ///
    /// Once this is answered, and after every restart, their blocks and attestations are refused until
    /// [`Ledger::activate`].
    pub(crate) fn delete<D: OutOfUse>(
        &self,
        keys: &[D],
    ) -> impl Future<Output = Result<DeletionReport, Fault>> + Send + use<D> {
        let deletion = |key: &D| Deletion { public_key: key.public_key(), active: key.was_active() };
        let deletions: Vec<_> = keys.iter().map(deletion).collect();
        let shared = self.shared(|| SharedOrder::Delete { keys: deletions.clone() });
        self.order(shared, move |transaction| transaction.delete(&deletions))
    }

    /// The same on this host alone: where keys are taken out of use that another host may have taken over since.
    pub(crate) fn delete_here<D: OutOfUse>(
        &self,
        keys: &[D],
    ) -> impl Future<Output = Result<DeletionReport, Fault>> + Send + use<D> {
        let deletion = |key: &D| Deletion { public_key: key.public_key(), active: key.was_active() };
        let deletions: Vec<_> = keys.iter().map(deletion).collect();
        self.order(None, move |transaction| transaction.delete(&deletions))
    }

    /// The selected keys' histories as EIP-3076 JSON.
    pub(crate) fn export(
        &self,
        keys: Selection,
    ) -> impl Future<Output = Result<Exported, Fault>> + Send + use<> {
        let shared = self.shared(|| SharedOrder::Read { keys: keys.clone() });
        self.order(shared, move |transaction| Ok(transaction.export(|public_key| keys.contains(public_key))))
    }

    /// Lifts watermarks to a slot and an epoch (source and target): from then on only what lies above passes. Nothing
    /// is ever lowered. With [`Selection::Only`], keys unknown so far are entered.
    ///
    /// Keys with which raw roots were signed sign blocks and attestations again if both are lifted to the present, as
    /// far as that is known, or beyond: an honest client has had nothing signed for a later slot or epoch.
    pub(crate) fn raise(
        &self,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
        keys: Selection,
    ) -> impl Future<Output = Result<Raised, Fault>> + Send + use<> {
        let clock = self.judge.clock();
        let floor = Watermark::floor(slot, epoch);
        let shared = self.shared(|| SharedOrder::Raise { floor, keys: keys.clone() });
        self.order(shared, move |transaction| {
            // Not before the order has the watermarks: all raw roots so far were signed before that.
            let present = clock.map(|clock| clock.present(SystemTime::now()));
            Ok(transaction.raise(slot, epoch, present, &keys))
        })
    }

    /// Sets or removes the point at and beyond which nothing is signed.
    pub(crate) fn set_high_watermark(
        &self,
        high_watermark: HighWatermark,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        let shared = self.shared(|| SharedOrder::SetHighWatermark(high_watermark));
        self.order(shared, move |transaction| {
            transaction.watermarks.set_high_watermark(high_watermark);
            Ok(())
        })
    }

    /// The state of the ledger and of the selected keys.
    pub(crate) fn status(
        &self,
        keys: Selection,
    ) -> impl Future<Output = Result<Status, Fault>> + Send + use<> {
        let clock = self.judge.clock();
        let shared = self.shared(|| SharedOrder::Read { keys: keys.clone() });
        self.order(shared, move |transaction| {
            let horizon = clock.map(|clock| Horizon::at(clock, SystemTime::now()));
            Ok(transaction.status(horizon, &keys))
        })
    }

    /// What is on record of a key, and what would come of a block at a slot and of an attestation with a target epoch.
    /// By this ledger alone; nothing is recorded.
    pub(crate) async fn foresee(
        &self,
        public_key: PublicKey,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
    ) -> Result<Foresight, Fault> {
        self.judge.foresee(public_key, slot, epoch).await
    }

    /// Up to `limit` of the kept keystores, page by page: `start` is 0, then each page's `next`.
    pub(crate) fn keystores(
        &self,
        start: usize,
        limit: usize,
    ) -> impl Future<Output = Result<KeystorePage, Fault>> + Send + use<> {
        self.order(None, move |transaction| transaction.keystores(start, limit))
    }

    /// Keeps copies of keystores from elsewhere, for a faster start. It activates nobody. Some at a time, so that no
    /// request waits for all of them; a kill in between leaves the first ones kept.
    pub(crate) async fn keep(&self, keystores: Vec<SealedKeystore>) -> Result<(), Fault> {
        let mut keystores = keystores.into_iter();
        loop {
            let some: Vec<_> = keystores.by_ref().take(KEYSTORES_AT_A_TIME).collect();
            if some.is_empty() {
                return Ok(());
            }
            let kept = self.order(None, move |transaction| {
                some.into_iter().for_each(|keystore| transaction.keep(keystore));
                Ok(())
            });
            kept.await?;
        }
    }

    /// Forgets kept keystores, some at a time as well. Their keys' histories stay.
    pub(crate) async fn forget(&self, public_keys: Vec<PublicKey>) -> Result<(), Fault> {
        let positions = self.order(None, move |transaction| {
            let positions = public_keys.iter().filter_map(|key| transaction.watermarks.position(key));
            Ok(positions.collect::<BTreeSet<_>>())
        });
        // Neighbours lie on one page of the file.
        let positions: Vec<_> = positions.await?.into_iter().collect();
        let mut parts = positions.chunks(KEYSTORES_AT_A_TIME).peekable();
        while let Some(part) = parts.next() {
            // What was removed lives on in the log until the last of it is.
            let change = if parts.peek().is_some() { SealedChange::RemovePart } else { SealedChange::Remove };
            let changes: Vec<_> = part.iter().copied().map(change).collect();
            let forgotten = self.order(None, move |transaction| {
                transaction.sealed.extend(changes);
                Ok(())
            });
            forgotten.await?;
        }
        Ok(())
    }

    /// Replaces all kept keystores by the same keys' under a new secret. Copies that are not given are forgotten.
    pub(crate) fn reseal(
        &self,
        keystores: Vec<SealedKeystore>,
    ) -> impl Future<Output = Result<Result<(), ResealRefusal>, Fault>> + Send + use<> {
        self.order(None, move |transaction| transaction.reseal(keystores))
    }

    /// What the second judge is to do about an order, where there is one.
    fn shared(&self, order: impl FnOnce() -> SharedOrder) -> Option<SharedOrder> {
        self.judge.second_judge().map(|_| order())
    }

    /// Has ledger and second judge know the same, before anything is asked.
    pub(super) fn join(&self, records: SharedRecords) {
        // Nobody waits for it but what is asked next.
        drop(self.order(Some(SharedOrder::Join(records)), |_| Ok(())));
    }

    /// Hands an order over when it is called, not when the answer is awaited: to the second judge, if that has a part
    /// in it, and then to the writer. What the second judge cannot do is not done here. What it has on record is taken
    /// over before the order is carried out here, in the same transaction.
    ///
    /// While the second judge is away, as in the first moments of a start, the order is kept for a while by whoever
    /// awaits its answer.
    pub(super) fn order<T, O>(
        &self,
        shared: Option<SharedOrder>,
        order: O,
    ) -> impl Future<Output = Result<T, Fault>> + Send + use<T, O>
    where
        T: Send + 'static,
        O: FnOnce(&mut AdminTransaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let given = self.give(shared, order);
        async move {
            let reply = match given? {
                Given::HandedOver(reply) => reply,
                Given::Kept { second_judge, patience, hand_over } => {
                    second_judge.present_within(patience).await?;
                    hand_over()
                }
            };
            reply.wait().await
        }
    }

    fn give<T, O>(
        &self,
        shared: Option<SharedOrder>,
        order: O,
    ) -> Result<Given<T, impl FnOnce() -> Reply<T> + Send + use<T, O>>, Fault>
    where
        T: Send + 'static,
        O: FnOnce(&mut AdminTransaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, reply) = self.judge.reply()?;
        let queue = Arc::clone(self.judge.queue());
        let carry_out = move |records| queue.send(Task::AdminTask(admin_task(records, order, answer)));
        let (Some(second_judge), Some(shared)) = (self.judge.second_judge(), shared) else {
            carry_out(None);
            return Ok(Given::HandedOver(reply));
        };
        // To join is the first thing that is asked, when it comes back too.
        let is_join = matches!(shared, SharedOrder::Join(_));
        let (asked, patience) = (Arc::clone(second_judge), self.judge.order_timeout());
        let hand_over = move || {
            let (first, answered) = oneshot::channel();
            let then = move |records: Result<_, NoAnswer>| {
                let passed = records.map(|records| carry_out(Some(records))).map_err(Fault::from);
                // Whether or not somebody still waits for it.
                drop(first.send(passed));
            };
            asked.carry_out(shared, Box::new(then));
            reply.after(answered, Deadline::after(patience))
        };
        match self.judge.long_silence() {
            Some(_) if !is_join => {
                Ok(Given::Kept { second_judge: Arc::clone(second_judge), patience, hand_over })
            }
            Some(_) | None => Ok(Given::HandedOver(hand_over())),
        }
    }
}

/// Where an order is when it has been given.
enum Given<T, H> {
    /// On its way.
    HandedOver(Reply<T>),
    /// Here, until the second judge answers; no longer than its silence may last.
    Kept { second_judge: Arc<dyn SecondJudge>, patience: Duration, hand_over: H },
}

fn admin_task<T, O>(records: Option<SharedRecords>, order: O, answer: ReplySender<T>) -> AdminTask
where
    T: Send + 'static,
    O: FnOnce(&mut AdminTransaction<'_>) -> Result<T, StoreError> + Send + 'static,
{
    Box::new(move |transaction| {
        let adopted = records.map_or(Ok(()), |records| transaction.adopt(records));
        let outcome = match adopted {
            Ok(()) => Ok(order(transaction)?),
            Err(fault) => Err(fault),
        };
        // Nobody waits for an answer that cannot be sent.
        Ok(Box::new(move |saved: Result<(), Fault>| drop(answer.send(saved.and(outcome)))))
    })
}

fn active<K>(key: Option<K>, past: Past) -> ActivationOutcome<K> {
    ActivationOutcome::Active { key: key.map(Activated), past }
}

/// Keystores that are kept or forgotten in one transaction: half a millisecond's work, and some pages to sync.
const KEYSTORES_AT_A_TIME: usize = 16;
