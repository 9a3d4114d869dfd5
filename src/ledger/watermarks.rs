//! Watermarks of all keys in memory, and what holds for all keys.
//!
//! Here the rules meet what surrounds them: deleted keys, the chain that is pinned, the point where signing stops,
//! raw roots. No I/O and no clock; whoever calls brings the time along in a [`Policy`].
//!
//! Any number of threads judge at a time, each under the lock of the one key that it asks about. What has changed goes
//! on the writer's list, in the order of the changes.

use std::sync::{Arc, OnceLock, mpsc};

use super::of_key::OfKey;
use super::policy::Policy;
use super::refusal::Refusal;
use super::row::{KeyState, PendingWrite, Row, Versioned};
use super::row_table::RowTable;
use super::rules::{Ruling, Watermark, judge_attestation, judge_block};
use crate::bls::PublicKey;
use crate::duty::Claim;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};
use crate::raw_roots::RawRoots;
use crate::signing_policy::Permitted;

/// What the ledger has to know about a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) public_key: PublicKey,
    pub(super) signing_root: SigningRoot,
    pub(super) claim: Claim,
    pub(super) chain: Option<Root>,
    /// An exit whose client may have one signed with each key.
    pub(super) only_once: bool,
}

impl<K: OfKey> From<&Permitted<'_, K>> for Request {
    fn from(permitted: &Permitted<'_, K>) -> Self {
        let duty = permitted.duty();
        Self {
            public_key: permitted.key().public_key(),
            signing_root: duty.signing_root(),
            claim: duty.claim(),
            chain: duty.genesis_validators_root(),
            only_once: permitted.is_only_once(),
        }
    }
}

/// Where this signer was told to stop: nothing at or beyond is signed, repeats included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HighWatermark {
    pub(crate) slot: Option<Slot>,
    pub(crate) epoch: Option<Epoch>,
}

/// What holds for the ledger as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The genesis validators root of the one chain that this ledger protects, once known.
    pub(super) chain: Option<Root>,
    pub(super) high_watermark: HighWatermark,
}

/// Two genesis validators roots where only one can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct OtherChain {
    pub(super) pinned: Root,
    pub(super) configured: Root,
}

/// Something that is not on disk yet.
#[derive(Debug)]
pub(super) enum Change {
    Metadata(Metadata),
    Row(Arc<Row>),
}

/// All that the ledger knows.
#[derive(Debug)]
pub(super) struct Watermarks {
    /// The pinned chain.
    chain: Arc<OnceLock<Root>>,
    /// The configured one, which the first history pins: a ledger without one can still serve another.
    configured: Option<Root>,
    high_watermark: HighWatermark,
    /// What a key begins with that has no row: its row may have been lost.
    floor: Watermark,
    rows: Arc<RowTable>,
    changes: mpsc::Sender<Change>,
}

/// How a message passes.
enum Passing {
    /// It cannot be slashed.
    Unrecorded,
    /// It is on record already.
    Repeat,
    /// Once this watermark is on record.
    Message(Watermark),
    /// Once it is on record that a raw root was signed with the key.
    FirstRawRoot,
    /// Once it is on record as the key's exit.
    FirstExit,
}

/// What must be on disk before a signature may leave.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) record: PendingWrite,
    /// Whether it marks its key as one with which a raw root was signed.
    pub(super) is_first_raw_root: bool,
}

impl Watermarks {
    /// What was read from disk, entries in the order of their positions; and where the changes come out.
    ///
    /// # Errors
    /// Another chain is pinned than the configured one.
    pub(super) fn saved(
        head: Metadata,
        entries: Vec<KeyState>,
        floor: Watermark,
        configured: Option<Root>,
    ) -> Result<(Self, mpsc::Receiver<Change>), OtherChain> {
        match (head.chain, configured) {
            (Some(pinned), Some(configured)) if pinned != configured => {
                return Err(OtherChain { pinned, configured });
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        let (changes, changed) = mpsc::channel();
        let watermarks = Self {
            chain: Arc::new(head.chain.map(OnceLock::from).unwrap_or_default()),
            configured,
            high_watermark: head.high_watermark,
            floor,
            rows: Arc::default(),
            changes,
        };
        Ok((Self { rows: Arc::new(RowTable::saved(entries)), ..watermarks }, changed))
    }

    /// Judges one message and, if it passes and needs a record, takes it into memory. `None`: no record is needed.
    pub(super) fn judge(&self, request: &Request, policy: &Policy) -> Result<Option<Passed>, Refusal> {
        let public_key = request.public_key;
        let row = match self.row(&public_key) {
            Some(row) => row,
            // What is refused, or needs no record, leaves no trace of a key that was not known.
            None => match self.rule(&self.first_entry(public_key), request, policy)? {
                Passing::Unrecorded => return Ok(None),
                Passing::Repeat | Passing::Message(_) | Passing::FirstRawRoot | Passing::FirstExit => {
                    self.open(public_key)
                }
            },
        };
        let mut versioned = row.lock();
        let before = *versioned.entry();
        let mut is_first_raw_root = false;
        match self.rule(&before, request, policy)? {
            Passing::Unrecorded => return Ok(None),
            Passing::Repeat => {}
            Passing::Message(watermark) => {
                self.pin(request.chain)?;
                self.write(&row, &mut versioned, KeyState { watermark, ..before });
            }
            Passing::FirstRawRoot => {
                is_first_raw_root = true;
                self.write(&row, &mut versioned, KeyState { raw_root_signed: true, ..before });
            }
            Passing::FirstExit => {
                let exit = Some(request.signing_root);
                self.write(&row, &mut versioned, KeyState { exit, ..before });
            }
        }
        Ok(Some(Passed { record: versioned.record(&row), is_first_raw_root }))
    }

    /// What the rules would say of a message. Nothing changes.
    pub(super) fn foresee(&self, request: &Request, policy: &Policy) -> Result<(), Refusal> {
        let public_key = request.public_key;
        let entry = self.entry(&public_key).unwrap_or_else(|| self.first_entry(public_key));
        self.rule(&entry, request, policy).map(drop)
    }

    /// All rows, for those who only look: they need not wait for an order.
    pub(super) fn rows(&self) -> &Arc<RowTable> {
        &self.rows
    }

    pub(super) fn head(&self) -> Metadata {
        Metadata { chain: self.chain(), high_watermark: self.high_watermark }
    }

    pub(super) fn set_high_watermark(&mut self, high_watermark: HighWatermark) {
        if self.high_watermark != high_watermark {
            self.high_watermark = high_watermark;
            self.list(Change::Metadata(self.head()));
        }
    }

    /// The one chain whose messages pass, once it is known.
    pub(super) fn chain(&self) -> Option<Root> {
        self.chain.get().copied().or(self.configured)
    }

    /// The pinned chain, for those who only look.
    pub(super) fn pinned_chain(&self) -> &Arc<OnceLock<Root>> {
        &self.chain
    }

    /// Pins the chain, or confirms that it is the pinned one.
    ///
    /// # Errors
    /// Another chain is pinned or configured: its genesis validators root.
    pub(super) fn pin_chain(&self, chain: Root) -> Result<(), Root> {
        if let Some(configured) = self.configured.filter(|configured| *configured != chain) {
            return Err(configured);
        }
        // On the list before anybody can see it, so that no row of this chain is written without it.
        let pinned = self.chain.get_or_init(|| {
            self.list(Change::Metadata(Metadata { chain: Some(chain), high_watermark: self.high_watermark }));
            chain
        });
        if *pinned == chain { Ok(()) } else { Err(*pinned) }
    }

    pub(super) fn entry(&self, public_key: &PublicKey) -> Option<KeyState> {
        self.row(public_key).map(|row| row.entry())
    }

    /// What a key begins with.
    pub(super) fn first_entry(&self, public_key: PublicKey) -> KeyState {
        KeyState { public_key, watermark: self.floor, deleted: false, raw_root_signed: false, exit: None }
    }

    /// Where a known key stands; this never changes.
    pub(super) fn position(&self, public_key: &PublicKey) -> Option<usize> {
        self.row(public_key).map(|row| row.position())
    }

    /// All entries in the order of their positions.
    pub(super) fn entries(&self) -> Vec<KeyState> {
        self.rows.entries()
    }

    /// Adds or replaces a key's entry.
    pub(super) fn put(&mut self, entry: KeyState) {
        // A key without history is none to protect: as long as there are only such, another network can be configured.
        if let Some(configured) = self.configured.filter(|_| !entry.watermark.is_empty()) {
            // It cannot be another one than the pinned one: that was checked at the start.
            let _ = self.pin_chain(configured);
        }
        let row = self.row(&entry.public_key).unwrap_or_else(|| self.open(entry.public_key));
        let mut versioned = row.lock();
        if *versioned.entry() != entry {
            self.write(&row, &mut versioned, entry);
        }
    }

    fn row(&self, public_key: &PublicKey) -> Option<Arc<Row>> {
        self.rows.find(public_key)
    }

    /// A new row for a key that had none. It is on the list from the beginning, so that the file has no gap before the
    /// next new one.
    fn open(&self, public_key: PublicKey) -> Arc<Row> {
        let entry = self.first_entry(public_key);
        self.rows.open(entry, |row| self.write(row, &mut row.lock(), entry))
    }

    /// Changes what a locked row says, and sees to it that the writer will find it.
    fn write(&self, row: &Arc<Row>, versioned: &mut Versioned, entry: KeyState) {
        if row.write(versioned, entry) {
            self.list(Change::Row(Arc::clone(row)));
        }
    }

    fn list(&self, change: Change) {
        // If the writer has ended nothing becomes durable any more, which is what whoever waits for it is told.
        drop(self.changes.send(change));
    }

    /// What the rules say of a message by a key with this entry.
    fn rule(&self, entry: &KeyState, request: &Request, policy: &Policy) -> Result<Passing, Refusal> {
        let KeyState { public_key, watermark: before, deleted, .. } = *entry;
        if deleted {
            return Err(Refusal::Deleted { public_key });
        }
        match request.claim {
            Claim::Unslashable if request.only_once => {
                self.check_chain(request.chain)?;
                match entry.exit {
                    None => Ok(Passing::FirstExit),
                    Some(signed) if signed == request.signing_root => Ok(Passing::Repeat),
                    Some(_) => Err(Refusal::OtherExitSigned { public_key }),
                }
            }
            Claim::Unslashable => Ok(Passing::Unrecorded),
            Claim::RawRoot => self.rule_raw_root(entry, policy.raw_roots),
            Claim::Block { slot } => {
                self.check_chain(request.chain)?;
                self.check_slot(slot)?;
                check_mark(entry)?;
                policy.check(slot, before.block.map(|block| block.slot))?;
                let ruling = judge_block(&before, slot, request.signing_root);
                ruling.map(Passing::from).map_err(|refusal| policy.explained(refusal))
            }
            Claim::Attestation { source, target } => {
                self.check_chain(request.chain)?;
                self.check_epoch(target)?;
                check_mark(entry)?;
                policy.check_epoch(target, before.attestation.map(|attestation| attestation.target))?;
                let ruling = judge_attestation(&before, source, target, request.signing_root);
                ruling.map(Passing::from).map_err(|refusal| policy.explained(refusal))
            }
        }
    }

    /// A raw root is signed where nothing is protected and no end is set: it may say anything.
    fn rule_raw_root(&self, entry: &KeyState, raw_roots: RawRoots) -> Result<Passing, Refusal> {
        let KeyState { public_key, watermark, raw_root_signed, .. } = *entry;
        if self.high_watermark.is_set() {
            return Err(Refusal::StoppedRawRoots);
        }
        match raw_roots {
            // Under `refuse` none gets as far as here (`SigningPolicy`).
            RawRoots::UnprotectedKeys | RawRoots::Refuse if !watermark.is_empty() => {
                Err(Refusal::RawRootOfProtectedKey { public_key })
            }
            RawRoots::UnprotectedKeys | RawRoots::Refuse | RawRoots::Allow if raw_root_signed => {
                Ok(Passing::Repeat)
            }
            RawRoots::UnprotectedKeys | RawRoots::Refuse | RawRoots::Allow => Ok(Passing::FirstRawRoot),
        }
    }

    /// Pins a message's chain, which [`Watermarks::check_chain`] found to be there and no other. Of two first messages
    /// of two chains one comes too late here.
    fn pin(&self, chain: Option<Root>) -> Result<(), Refusal> {
        let requested = chain.ok_or(Refusal::NoChain)?;
        self.pin_chain(requested).map_err(|pinned| Refusal::OtherChain { requested, pinned })
    }

    fn check_chain(&self, requested: Option<Root>) -> Result<(), Refusal> {
        match (requested, self.chain()) {
            (None, _) => Err(Refusal::NoChain),
            (Some(requested), Some(pinned)) if requested != pinned => {
                Err(Refusal::OtherChain { requested, pinned })
            }
            (Some(_), Some(_) | None) => Ok(()),
        }
    }

    fn check_slot(&self, slot: Slot) -> Result<(), Refusal> {
        match self.high_watermark.slot {
            Some(stop) if slot >= stop => Err(Refusal::StoppedAtSlot { slot, stop }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_epoch(&self, epoch: Epoch) -> Result<(), Refusal> {
        match self.high_watermark.epoch {
            Some(stop) if epoch >= stop => Err(Refusal::StoppedAtEpoch { epoch, stop }),
            Some(_) | None => Ok(()),
        }
    }
}

impl HighWatermark {
    fn is_set(self) -> bool {
        self.slot.is_some() || self.epoch.is_some()
    }
}

impl From<Ruling> for Passing {
    fn from(ruling: Ruling) -> Self {
        match ruling {
            Ruling::Repeat => Self::Repeat,
            Ruling::Record(watermark) => Self::Message(watermark),
        }
    }
}

/// A raw root may have said anything, so nothing that could contradict it passes, repeats included.
fn check_mark(entry: &KeyState) -> Result<(), Refusal> {
    let KeyState { public_key, raw_root_signed, .. } = *entry;
    if raw_root_signed { Err(Refusal::RawRootSigned { public_key }) } else { Ok(()) }
}
