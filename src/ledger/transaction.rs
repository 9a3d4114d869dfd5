//! Steps of the administrative orders, on the writer's thread: they change memory and say what else to write.

use std::collections::{HashMap, HashSet};

use super::far_future::Horizon;
use super::fault::Fault;
use super::interchange::{self, Interchange};
use super::order::{
    Deletion, DeletionReport, DeletionStatus, Exported, ImportRefusal, Imported, KeyStatus, KeystorePage,
    Past, Raised, ResealRefusal, Selection, Status, Unmergeable,
};
use super::row::KeyState;
use super::rules::Watermark;
use super::shared_order::{SharedRecord, SharedRecords};
use super::sqlite::{SealedChange, SealedKeystore, Store, StoreError};
use super::watermarks::{Metadata, Watermarks};
use crate::bls::PublicKey;
use crate::primitives::{Epoch, Root, Slot};

/// An order as the writer carries it out: it changes memory and says what else to write. The writer saves, and then
/// calls what the order gave back.
pub(super) type AdminTask =
    Box<dyn FnOnce(&mut AdminTransaction<'_>) -> Result<Completion, StoreError> + Send>;
pub(super) type Completion = Box<dyn FnOnce(Result<(), Fault>) + Send>;

/// What an order works on.
pub(super) struct AdminTransaction<'a> {
    pub(super) watermarks: &'a mut Watermarks,
    pub(super) store: &'a Store,
    pub(super) sealed: Vec<SealedChange>,
}

impl AdminTransaction<'_> {
    /// Takes over what the second judge has on record: watermarks go up, and what was deleted there is deleted here.
    ///
    /// # Errors
    /// It is of another chain; then nothing is changed.
    pub(super) fn adopt(&mut self, records: SharedRecords) -> Result<(), Fault> {
        let SharedRecords { head: Metadata { chain, high_watermark }, keys } = records;
        if let Some(theirs) = chain {
            let pinned = |pinned| Fault::SecondJudgeOfOtherChain { theirs, pinned };
            self.watermarks.pin_chain(theirs).map_err(pinned)?;
        }
        self.watermarks.set_high_watermark(high_watermark);
        for SharedRecord { public_key, watermark, deleted } in keys {
            let ours = self.entry(public_key);
            let watermark = ours.watermark.merged(watermark);
            self.watermarks.put(KeyState { watermark, deleted: ours.deleted || deleted, ..ours });
        }
        Ok(())
    }

    pub(super) fn import(
        &mut self,
        interchange: Interchange,
        keys: &Selection,
    ) -> Result<Imported, ImportRefusal> {
        self.check_chain(&interchange)?;
        let mut imported = Imported::default();
        let mut histories: Vec<_> =
            interchange.histories.into_iter().filter(|(public_key, _)| keys.contains(public_key)).collect();
        // The order of the rows is that of the keys, and not another one each time.
        histories.sort_unstable_by_key(|(public_key, _)| *public_key);
        for (public_key, history) in histories {
            match history {
                Ok(watermark) => {
                    let entry = self.entry(public_key);
                    self.merge(entry, watermark, interchange.genesis_validators_root);
                    imported.merged = imported.merged.saturating_add(1);
                }
                Err(reason) => imported.failed.push((public_key, reason)),
            }
        }
        imported.failed.sort();
        Ok(imported)
    }

    pub(super) fn activate(
        &mut self,
        keys: Vec<(PublicKey, Option<SealedKeystore>)>,
        history: Option<Interchange>,
    ) -> Result<Vec<Result<Past, Unmergeable>>, ImportRefusal> {
        if let Some(interchange) = &history {
            self.check_chain(interchange)?;
        }
        let activated = keys.into_iter().map(|(public_key, keystore)| {
            let past = self.activate_one(public_key, history.as_ref())?;
            if let Some(keystore) = keystore {
                self.keep(keystore);
            }
            Ok(past)
        });
        Ok(activated.collect())
    }

    fn activate_one(
        &mut self,
        public_key: PublicKey,
        history: Option<&Interchange>,
    ) -> Result<Past, Unmergeable> {
        let before = self.entry(public_key);
        let entry = KeyState { deleted: false, ..before };
        let theirs = history.and_then(|interchange| {
            Some((interchange.histories.get(&public_key)?, interchange.genesis_validators_root))
        });
        match theirs {
            Some((Err(reason), _)) => return Err(Unmergeable(reason.clone())),
            Some((Ok(watermark), chain)) => self.merge(entry, *watermark, chain),
            None => self.watermarks.put(entry),
        }
        Ok(Past { deleted: before.deleted, raw_root_signed: before.raw_root_signed })
    }

    pub(super) fn delete(&mut self, deletions: &[Deletion]) -> Result<DeletionReport, StoreError> {
        let mut statuses = HashMap::<PublicKey, DeletionStatus>::new();
        let mut keys = Vec::with_capacity(deletions.len());
        for Deletion { public_key, active } in deletions {
            let known = self.watermarks.entry(public_key);
            let kept = match self.watermarks.position(public_key) {
                Some(position) => self.store.has_sealed_keystore(position)?,
                None => false,
            };
            let status = if (*active || kept) && !statuses.contains_key(public_key) {
                self.watermarks.put(KeyState { deleted: true, ..self.entry(*public_key) });
                self.sealed.extend(self.watermarks.position(public_key).map(SealedChange::Remove));
                DeletionStatus::Deleted
            } else if known.is_some_and(|entry| !entry.watermark.is_empty()) {
                DeletionStatus::NotActive
            } else {
                DeletionStatus::NotFound
            };
            statuses.entry(*public_key).or_insert(status);
            keys.push(status);
        }
        let Exported { interchange, .. } = self.export(|public_key| statuses.contains_key(public_key));
        let marked = |key: &&PublicKey| self.entry(**key).raw_root_signed;
        let raw_root_signed = statuses.keys().filter(marked).copied().collect();
        Ok(DeletionReport { keys, raw_root_signed, interchange })
    }

    pub(super) fn export(&self, selected: impl Fn(&PublicKey) -> bool) -> Exported {
        let mut entries = self.watermarks.entries();
        entries.retain(|entry| selected(&entry.public_key));
        let marked = entries.iter().filter(|entry| entry.raw_root_signed);
        let with_history = entries.iter().filter(|entry| !entry.watermark.is_empty());
        Exported {
            raw_roots: marked.map(|entry| entry.public_key).collect(),
            interchange: interchange::write(
                self.watermarks.chain(),
                with_history.map(|entry| (entry.public_key, entry.watermark)),
            ),
        }
    }

    pub(super) fn raise(
        &mut self,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
        present: Option<(Slot, Epoch)>,
        keys: &Selection,
    ) -> Raised {
        let floor = Watermark::floor(slot, epoch);
        let (present_slot, present_epoch) = present.unwrap_or_default();
        let reaches_present = slot.is_some_and(|slot| slot >= present_slot)
            && epoch.is_some_and(|epoch| epoch >= present_epoch);
        let keys = match keys {
            Selection::All => {
                self.watermarks.entries().into_iter().map(|entry| entry.public_key).collect::<Vec<_>>()
            }
            Selection::Only(keys) => keys.iter().copied().collect(),
        };
        let mut raised = 0usize;
        let mut still_refused = Vec::new();
        for public_key in keys {
            let before = self.entry(public_key);
            let entry = KeyState {
                watermark: before.watermark.merged(floor),
                raw_root_signed: before.raw_root_signed && !reaches_present,
                ..before
            };
            if entry != before {
                self.watermarks.put(entry);
                raised = raised.saturating_add(1);
            }
            still_refused.extend(entry.raw_root_signed.then_some(public_key));
        }
        still_refused.sort_unstable();
        Raised { raised, still_refused: still_refused.into_iter().collect(), present }
    }

    pub(super) fn status(&self, horizon: Option<Horizon>, keys: &Selection) -> Status {
        let Metadata { chain, high_watermark } = self.watermarks.head();
        let entries = self.watermarks.entries();
        let keys = entries.iter().filter(|entry| keys.contains(&entry.public_key));
        Status {
            genesis_validators_root: chain,
            high_watermark,
            keys: keys.map(|entry| KeyStatus::of(entry, horizon)).collect(),
        }
    }

    pub(super) fn keystores(&self, start: usize, limit: usize) -> Result<KeystorePage, StoreError> {
        let found = self.store.sealed_keystores(start, limit)?;
        let next = match found.last() {
            Some((position, _)) if found.len() == limit => Some(position.saturating_add(1)),
            Some(_) | None => None,
        };
        Ok(KeystorePage { keystores: found.into_iter().map(|(_, keystore)| keystore).collect(), next })
    }

    pub(super) fn reseal(
        &mut self,
        keystores: Vec<SealedKeystore>,
    ) -> Result<Result<(), ResealRefusal>, StoreError> {
        let kept = self.store.sealed_keystores(0, usize::MAX)?;
        let imported = |keystore: &SealedKeystore| keystore.copy_of.is_none().then_some(keystore.public_key);
        let kept = kept.iter().filter_map(|(_, keystore)| imported(keystore)).collect::<HashSet<_>>();
        let given = keystores.iter().filter_map(imported).collect::<HashSet<_>>();
        if kept != given {
            return Ok(Err(ResealRefusal::Changed { kept: kept.len(), given: given.len() }));
        }
        self.sealed.push(SealedChange::RemoveAll);
        keystores.into_iter().for_each(|keystore| self.keep(keystore));
        Ok(Ok(()))
    }

    pub(super) fn keep(&mut self, keystore: SealedKeystore) {
        let entry = self.entry(keystore.public_key);
        self.watermarks.put(entry);
        let position = self.watermarks.position(&keystore.public_key);
        self.sealed.extend(position.map(|position| SealedChange::Put(position, keystore)));
    }

    fn merge(&mut self, entry: KeyState, theirs: Watermark, chain: Root) {
        self.watermarks.put(KeyState { watermark: entry.watermark.merged(theirs), ..entry });
        if !theirs.is_empty() {
            // It is no other chain than the pinned one, that was checked. A file without history pins nothing.
            let _ = self.watermarks.pin_chain(chain);
        }
    }

    fn check_chain(&self, interchange: &Interchange) -> Result<(), ImportRefusal> {
        let theirs = interchange.genesis_validators_root;
        match self.watermarks.chain() {
            Some(pinned) if pinned != theirs => Err(ImportRefusal::OtherChain { theirs, pinned }),
            Some(_) | None => Ok(()),
        }
    }

    /// The key's entry, or the one that it would begin with.
    pub(super) fn entry(&self, public_key: PublicKey) -> KeyState {
        self.watermarks.entry(&public_key).unwrap_or(self.watermarks.first_entry(public_key))
    }
}
