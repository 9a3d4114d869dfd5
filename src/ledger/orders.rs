//! Administration: keys come and go with their history, watermarks are lifted, history is written out.
//!
//! An order has the book alone and is one transaction, so that it stands at one point in the order of events: whatever
//! was judged before it is on record with it, whatever comes after meets its outcome. An order that is answered is
//! durable.

use std::collections::{HashMap, HashSet};

use super::Ledger;
use super::book::{Book, Head, HighWatermark};
use super::clearance::Fault;
use super::desk;
use super::interchange::{self, Interchange};
use super::line::Task;
use super::page::Entry;
use super::rules::{SignedAttestation, SignedBlock, Watermark};
use super::store::{SealedChange, SealedKeystore, Store, StoreError};
use crate::bls::PublicKey;
use crate::primitives::{Epoch, Root, Slot};

/// The keys that an order is about.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    All,
    Only(HashSet<PublicKey>),
}

impl Selection {
    fn contains(&self, public_key: &PublicKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(public_key),
        }
    }
}

/// A key that is to be signed with here from now on.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) public_key: PublicKey,
    /// What to keep of it over a restart, if there is a seal secret.
    pub(crate) keystore: Option<SealedKeystore>,
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// It may sign; key and history are durable.
    Active {
        /// It had been deleted here. Its earlier watermarks are still in force.
        deleted_before: bool,
    },
    /// Its history cannot be merged, so nothing of it was taken.
    Unmergeable { reason: String },
}

/// A key that is not to be signed with here any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) public_key: PublicKey,
    /// Whether the caller can sign with it now.
    pub(crate) active: bool,
}

/// What became of a departure; the Keymanager API's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departed {
    /// It was active and is disabled for good.
    Deleted,
    /// It was not active; there is history of it.
    NotActive,
    /// Nothing is known of it.
    NotFound,
}

/// The answer to departures.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    /// In the order of the request.
    pub(crate) keys: Vec<Departed>,
    /// EIP-3076 JSON of those that were deleted or not active.
    pub(crate) interchange: String,
}

/// What an import of history did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// So many keys' histories are merged.
    pub(crate) merged: usize,
    /// These could not be read, each with the reason.
    pub(crate) failed: Vec<(PublicKey, String)>,
}

/// Why a history cannot be taken at all: the caller's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImportRefusal {
    #[error(
        "the slashing protection data is of the chain with genesis validators root {theirs}, but this signer protects \
         the chain with {pinned}; nothing was imported"
    )]
    OtherChain { theirs: Root, pinned: Root },
}

/// Why new seals are not taken: the caller's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResealRefusal {
    #[error(
        "the kept keystores changed meanwhile ({kept} kept, {given} given); nothing was resealed, try again"
    )]
    Changed { kept: usize, given: usize },
}

/// The ledger's state, for a human or a health route.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// The pinned chain, once known.
    pub(crate) genesis_validators_root: Option<Root>,
    pub(crate) high_watermark: HighWatermark,
    pub(crate) keys: Vec<KeyStatus>,
}

/// One key's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyStatus {
    pub(crate) public_key: PublicKey,
    pub(crate) watermark: Watermark,
    pub(crate) deleted: bool,
}

/// Some of the kept keystores.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) keystores: Vec<SealedKeystore>,
    /// Where the next page starts; none after the last.
    pub(crate) next: Option<usize>,
}

impl Ledger {
    /// Merges histories of the selected keys. It activates nobody.
    pub(crate) fn import(
        &self,
        interchange: Interchange,
        keys: Selection,
    ) -> impl Future<Output = Result<Result<Imported, ImportRefusal>, Fault>> + Send + use<> {
        self.order(move |office| Ok(office.import(interchange, &keys))).wait()
    }

    /// Lets keys sign here, each with its history and its kept keystore, all in one transaction.
    ///
    /// Of `history` only what concerns the arrivals is merged. The answers are in the order of the arrivals.
    pub(crate) fn activate(
        &self,
        arrivals: Vec<Arrival>,
        history: Option<Interchange>,
    ) -> impl Future<Output = Result<Result<Vec<Arrived>, ImportRefusal>, Fault>> + Send + use<> {
        self.order(move |office| Ok(office.activate(arrivals, history))).wait()
    }

    /// Disables keys, forgets their kept keystores and exports their histories, all in one transaction.
    ///
    /// Once this is answered, and after every restart, their blocks and attestations are refused until
    /// [`Ledger::activate`].
    pub(crate) fn delete(
        &self,
        departures: Vec<Departure>,
    ) -> impl Future<Output = Result<Farewell, Fault>> + Send + use<> {
        self.order(move |office| office.delete(&departures)).wait()
    }

    /// The selected keys' histories as EIP-3076 JSON.
    pub(crate) fn export(
        &self,
        keys: Selection,
    ) -> impl Future<Output = Result<String, Fault>> + Send + use<> {
        self.order(move |office| Ok(office.export(|public_key| keys.contains(public_key)))).wait()
    }

    /// Lifts watermarks to a slot and an epoch (source and target): from then on only what lies above passes. Nothing
    /// is ever lowered. With [`Selection::Only`], keys unknown so far are entered. Says how many keys changed.
    pub(crate) fn raise(
        &self,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
        keys: Selection,
    ) -> impl Future<Output = Result<usize, Fault>> + Send + use<> {
        self.order(move |office| Ok(office.raise(slot, epoch, &keys))).wait()
    }

    /// Sets or removes the point at and beyond which nothing is signed.
    pub(crate) fn set_high_watermark(
        &self,
        high_watermark: HighWatermark,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.order(move |office| {
            office.book.set_high_watermark(high_watermark);
            Ok(())
        })
        .wait()
    }

    /// The state of the ledger and of the selected keys.
    pub(crate) fn status(
        &self,
        keys: Selection,
    ) -> impl Future<Output = Result<Status, Fault>> + Send + use<> {
        self.order(move |office| Ok(office.status(&keys))).wait()
    }

    /// Up to `limit` of the kept keystores, page by page: `start` is 0, then each page's `next`.
    pub(crate) fn keystores(
        &self,
        start: usize,
        limit: usize,
    ) -> impl Future<Output = Result<Page, Fault>> + Send + use<> {
        self.order(move |office| office.keystores(start, limit)).wait()
    }

    /// Keeps copies of keystores from elsewhere, for a faster start. It activates nobody.
    pub(crate) fn keep(
        &self,
        keystores: Vec<SealedKeystore>,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.order(move |office| {
            keystores.into_iter().for_each(|keystore| office.keep(keystore));
            Ok(())
        })
        .wait()
    }

    /// Forgets kept keystores. Their keys' histories stay.
    pub(crate) fn forget(
        &self,
        public_keys: Vec<PublicKey>,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.order(move |office| {
            let positions = public_keys.iter().filter_map(|key| office.book.position(key));
            office.sealed.extend(positions.map(SealedChange::Remove));
            Ok(())
        })
        .wait()
    }

    /// Replaces all kept keystores by the same keys' under a new secret. Copies that are not given are forgotten.
    pub(crate) fn reseal(
        &self,
        keystores: Vec<SealedKeystore>,
    ) -> impl Future<Output = Result<Result<(), ResealRefusal>, Fault>> + Send + use<> {
        self.order(move |office| office.reseal(keystores)).wait()
    }

    pub(super) fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Office<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let Some(desk) = &self.desk else { return Answer::Now(Fault::Off) };
        let reply = desk.send(|answer| {
            Task::Order(Box::new(move |office| {
                let outcome = order(office)?;
                // Nobody waits for an answer that cannot be sent.
                Ok(Box::new(move |saved: Result<(), Fault>| drop(answer.send(saved.map(|()| outcome)))))
            }))
        });
        reply.map_or(Answer::Now(Fault::QueueFull), Answer::Later)
    }
}

/// An answer that is here, or one to wait for.
pub(super) enum Answer<T> {
    Now(Fault),
    Later(desk::Reply<T>),
}

impl<T> Answer<T> {
    pub(super) async fn wait(self) -> Result<T, Fault> {
        match self {
            Self::Now(fault) => Err(fault),
            Self::Later(reply) => reply.wait().await,
        }
    }
}

/// An order as the writer carries it out: it changes memory and says what else to write. The writer saves, and then
/// calls what the order gave back.
pub(super) type Order = Box<dyn FnOnce(&mut Office<'_>) -> Result<Reply, StoreError> + Send>;
pub(super) type Reply = Box<dyn FnOnce(Result<(), Fault>) + Send>;

/// What an order works on.
pub(super) struct Office<'a> {
    pub(super) book: &'a mut Book,
    pub(super) store: &'a Store,
    pub(super) sealed: Vec<SealedChange>,
}

impl Office<'_> {
    fn import(&mut self, interchange: Interchange, keys: &Selection) -> Result<Imported, ImportRefusal> {
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

    fn activate(
        &mut self,
        arrivals: Vec<Arrival>,
        history: Option<Interchange>,
    ) -> Result<Vec<Arrived>, ImportRefusal> {
        if let Some(interchange) = &history {
            self.check_chain(interchange)?;
        }
        Ok(arrivals.into_iter().map(|arrival| self.welcome(arrival, history.as_ref())).collect())
    }

    fn welcome(&mut self, arrival: Arrival, history: Option<&Interchange>) -> Arrived {
        let Arrival { public_key, keystore } = arrival;
        let before = self.entry(public_key);
        let entry = Entry { deleted: false, ..before };
        let theirs = history.and_then(|interchange| {
            Some((interchange.histories.get(&public_key)?, interchange.genesis_validators_root))
        });
        match theirs {
            Some((Err(reason), _)) => return Arrived::Unmergeable { reason: reason.clone() },
            Some((Ok(watermark), chain)) => self.merge(entry, *watermark, chain),
            None => self.book.put(entry),
        }
        if let Some(keystore) = keystore {
            self.keep(keystore);
        }
        Arrived::Active { deleted_before: before.deleted }
    }

    fn delete(&mut self, departures: &[Departure]) -> Result<Farewell, StoreError> {
        let mut statuses = HashMap::<PublicKey, Departed>::new();
        let mut keys = Vec::with_capacity(departures.len());
        for Departure { public_key, active } in departures {
            let known = self.book.entry(public_key);
            let kept = match self.book.position(public_key) {
                Some(position) => self.store.has_sealed_keystore(position)?,
                None => false,
            };
            let status = if (*active || kept) && !statuses.contains_key(public_key) {
                self.book.put(Entry { deleted: true, ..self.entry(*public_key) });
                self.sealed.extend(self.book.position(public_key).map(SealedChange::Remove));
                Departed::Deleted
            } else if known.is_some_and(|entry| !entry.watermark.is_empty()) {
                Departed::NotActive
            } else {
                Departed::NotFound
            };
            statuses.entry(*public_key).or_insert(status);
            keys.push(status);
        }
        let interchange = self.export(|public_key| statuses.contains_key(public_key));
        Ok(Farewell { keys, interchange })
    }

    fn export(&self, selected: impl Fn(&PublicKey) -> bool) -> String {
        let entries = self.book.entries();
        let keys = entries.iter().filter(|entry| selected(&entry.public_key));
        interchange::write(self.book.chain(), keys.map(|entry| (entry.public_key, entry.watermark)))
    }

    fn raise(&mut self, slot: Option<Slot>, epoch: Option<Epoch>, keys: &Selection) -> usize {
        let raised = Watermark {
            block: slot.map(|slot| SignedBlock { slot, signing_root: None }),
            attestation: epoch.map(|epoch| SignedAttestation {
                source: epoch,
                target: epoch,
                signing_root: None,
            }),
        };
        let keys = match keys {
            Selection::All => {
                self.book.entries().into_iter().map(|entry| entry.public_key).collect::<Vec<_>>()
            }
            Selection::Only(keys) => keys.iter().copied().collect(),
        };
        let mut changed = 0usize;
        for public_key in keys {
            let entry = self.entry(public_key);
            let watermark = entry.watermark.merged(raised);
            if watermark != entry.watermark {
                self.book.put(Entry { watermark, ..entry });
                changed = changed.saturating_add(1);
            }
        }
        changed
    }

    fn status(&self, keys: &Selection) -> Status {
        let Head { chain, high_watermark } = self.book.head();
        let entries = self.book.entries();
        let keys = entries.iter().filter(|entry| keys.contains(&entry.public_key));
        Status {
            genesis_validators_root: chain,
            high_watermark,
            keys: keys
                .map(|Entry { public_key, watermark, deleted }| KeyStatus {
                    public_key: *public_key,
                    watermark: *watermark,
                    deleted: *deleted,
                })
                .collect(),
        }
    }

    fn keystores(&self, start: usize, limit: usize) -> Result<Page, StoreError> {
        let found = self.store.sealed_keystores(start, limit)?;
        let next = match found.last() {
            Some((position, _)) if found.len() == limit => Some(position.saturating_add(1)),
            Some(_) | None => None,
        };
        Ok(Page { keystores: found.into_iter().map(|(_, keystore)| keystore).collect(), next })
    }

    fn reseal(&mut self, keystores: Vec<SealedKeystore>) -> Result<Result<(), ResealRefusal>, StoreError> {
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

    fn keep(&mut self, keystore: SealedKeystore) {
        let entry = self.entry(keystore.public_key);
        self.book.put(entry);
        let position = self.book.position(&keystore.public_key);
        self.sealed.extend(position.map(|position| SealedChange::Put(position, keystore)));
    }

    fn merge(&mut self, entry: Entry, theirs: Watermark, chain: Root) {
        self.book.put(Entry { watermark: entry.watermark.merged(theirs), ..entry });
        if !theirs.is_empty() {
            // It is no other chain than the pinned one, that was checked. A file without history pins nothing.
            let _ = self.book.pin_chain(chain);
        }
    }

    fn check_chain(&self, interchange: &Interchange) -> Result<(), ImportRefusal> {
        let theirs = interchange.genesis_validators_root;
        match self.book.chain() {
            Some(pinned) if pinned != theirs => Err(ImportRefusal::OtherChain { theirs, pinned }),
            Some(_) | None => Ok(()),
        }
    }

    /// The key's entry, or the one that it would begin with.
    fn entry(&self, public_key: PublicKey) -> Entry {
        self.book.entry(&public_key).unwrap_or(Entry::new(public_key))
    }
}
