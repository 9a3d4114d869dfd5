//! The ledger's memory: every key's standing, and which of it is not on disk yet.
//!
//! Here the rules meet what surrounds them: deleted keys, the chain that is pinned, the point where signing stops,
//! raw roots. No I/O and no clock; whoever calls brings the time along as a [`Horizon`].

use std::collections::HashMap;

use super::rules::{Refusal, Ruling, Watermark, judge_attestation, judge_block};
use crate::bls::PublicKey;
use crate::duty::Claim;
use crate::permit::Permitted;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};

/// What the ledger has to know about a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) public_key: PublicKey,
    pub(super) signing_root: SigningRoot,
    pub(super) claim: Claim,
    pub(super) chain: Option<Root>,
}

impl From<&Permitted> for Request {
    fn from(permitted: &Permitted) -> Self {
        let duty = permitted.duty();
        Self {
            public_key: permitted.public_key(),
            signing_root: duty.signing_root(),
            claim: duty.claim(),
            chain: duty.genesis_validators_root(),
        }
    }
}

/// When raw roots, which cannot be checked, are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RawRoots {
    /// As long as the key has no slashing protection history.
    #[default]
    UnprotectedKeys,
    /// Always.
    Allow,
}

/// Where this signer was told to stop: nothing at or beyond is signed, repeats included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HighWatermark {
    pub(crate) slot: Option<Slot>,
    pub(crate) epoch: Option<Epoch>,
}

/// The latest slot that a message can plausibly be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    pub(super) latest: Slot,
    pub(super) slots_per_epoch: u64,
}

/// Where the record of an allowed message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// No record is needed, or it is on disk already.
    Durable,
    /// In memory; the next save puts it on disk.
    Unsaved,
}

/// One key's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) public_key: PublicKey,
    pub(super) watermark: Watermark,
    /// Deleted here by command: it may be in use elsewhere, so nothing is signed until it is imported again.
    pub(super) deleted: bool,
}

/// All that the ledger knows.
#[derive(Debug, Default)]
pub(super) struct Book {
    head: Head,
    entries: Vec<Entry>,
    index: HashMap<PublicKey, usize>,
    head_unsaved: bool,
    /// Positions in `entries`, each at most once: `is_unsaved` has the same content.
    unsaved: Vec<usize>,
    is_unsaved: Vec<bool>,
    highest_slot: Slot,
    highest_epoch: Epoch,
}

/// What holds for the ledger as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The genesis validators root of the one chain that this ledger protects, once known.
    pub(super) chain: Option<Root>,
    pub(super) high_watermark: HighWatermark,
}

impl Book {
    /// What was read from disk.
    pub(super) fn saved(head: Head, entries: Vec<Entry>) -> Self {
        let mut book = Self {
            head,
            index: entries.iter().enumerate().map(|(at, entry)| (entry.public_key, at)).collect(),
            is_unsaved: vec![false; entries.len()],
            entries,
            ..Self::default()
        };
        let watermarks = book.entries.iter().map(|entry| entry.watermark).collect::<Vec<_>>();
        watermarks.iter().for_each(|watermark| book.note_highest(watermark));
        book
    }

    /// Judges one message and, if it passes, takes it into memory.
    pub(super) fn judge(
        &mut self,
        request: &Request,
        raw_roots: RawRoots,
        horizon: Option<Horizon>,
    ) -> Result<Record, Refusal> {
        let public_key = request.public_key;
        let known = self.entry(&public_key).copied();
        if known.is_some_and(|entry| entry.deleted) {
            return Err(Refusal::Deleted { public_key });
        }
        let before = known.map(|entry| entry.watermark).unwrap_or_default();
        let ruling = match request.claim {
            Claim::Unslashable => return Ok(Record::Durable),
            Claim::RawRoot => {
                return match raw_roots {
                    RawRoots::UnprotectedKeys if !before.is_empty() => {
                        Err(Refusal::RawRootOfProtectedKey { public_key })
                    }
                    RawRoots::UnprotectedKeys | RawRoots::Allow => Ok(Record::Durable),
                };
            }
            Claim::Block { slot } => {
                self.check_chain(request.chain)?;
                self.check_slot(slot, horizon)?;
                judge_block(&before, slot, request.signing_root)?
            }
            Claim::Attestation { source, target } => {
                self.check_chain(request.chain)?;
                self.check_epoch(target, horizon)?;
                judge_attestation(&before, source, target, request.signing_root)?
            }
        };
        match ruling {
            Ruling::Repeat if self.has_unsaved(&public_key) => Ok(Record::Unsaved),
            Ruling::Repeat => Ok(Record::Durable),
            Ruling::Record(watermark) => {
                self.put(Entry { public_key, watermark, deleted: false });
                if self.head.chain.is_none() {
                    self.head.chain = request.chain;
                    self.head_unsaved = true;
                }
                Ok(Record::Unsaved)
            }
        }
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn set_head(&mut self, head: Head) {
        self.head_unsaved |= head != self.head;
        self.head = head;
    }

    /// Pins the chain, or confirms that it is the pinned one.
    ///
    /// # Errors
    /// Another chain is pinned: its genesis validators root.
    pub(super) fn pin_chain(&mut self, chain: Root) -> Result<(), Root> {
        match self.head.chain {
            Some(pinned) if pinned != chain => Err(pinned),
            Some(_) => Ok(()),
            None => {
                self.set_head(Head { chain: Some(chain), ..self.head });
                Ok(())
            }
        }
    }

    /// The highest slot that any key's record reaches.
    pub(super) fn highest_slot(&self, slots_per_epoch: u64) -> Slot {
        let of_epoch = Slot(self.highest_epoch.0.saturating_mul(slots_per_epoch));
        self.highest_slot.max(of_epoch)
    }

    pub(super) fn entry(&self, public_key: &PublicKey) -> Option<&Entry> {
        self.entries.get(*self.index.get(public_key)?)
    }

    /// Where a known key stands; this never changes.
    pub(super) fn position(&self, public_key: &PublicKey) -> Option<usize> {
        self.index.get(public_key).copied()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds or replaces a key's entry.
    pub(super) fn put(&mut self, entry: Entry) {
        self.note_highest(&entry.watermark);
        let at = *self.index.entry(entry.public_key).or_insert(self.entries.len());
        match self.entries.get_mut(at) {
            Some(present) if *present == entry => return,
            Some(present) => *present = entry,
            None => {
                self.entries.push(entry);
                self.is_unsaved.push(false);
            }
        }
        if let Some(flag @ false) = self.is_unsaved.get_mut(at) {
            *flag = true;
            self.unsaved.push(at);
        }
    }

    /// The head, if it has changed since the last save.
    pub(super) fn unsaved_head(&self) -> Option<&Head> {
        self.head_unsaved.then_some(&self.head)
    }

    /// The entries that changed since the last save, each with its position, which never changes.
    pub(super) fn unsaved_entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.unsaved.iter().filter_map(|at| Some((*at, self.entries.get(*at)?)))
    }

    pub(super) fn is_saved(&self) -> bool {
        !self.head_unsaved && self.unsaved.is_empty()
    }

    /// Everything in memory is on disk now.
    pub(super) fn mark_saved(&mut self) {
        self.head_unsaved = false;
        for at in self.unsaved.drain(..) {
            if let Some(flag) = self.is_unsaved.get_mut(at) {
                *flag = false;
            }
        }
    }

    fn has_unsaved(&self, public_key: &PublicKey) -> bool {
        self.index.get(public_key).and_then(|at| self.is_unsaved.get(*at)) == Some(&true)
    }

    fn note_highest(&mut self, watermark: &Watermark) {
        if let Some(block) = watermark.block {
            self.highest_slot = self.highest_slot.max(block.slot);
        }
        if let Some(attestation) = watermark.attestation {
            self.highest_epoch = self.highest_epoch.max(attestation.target);
        }
    }

    fn check_chain(&self, requested: Option<Root>) -> Result<(), Refusal> {
        match (requested, self.head.chain) {
            (None, _) => Err(Refusal::NoChain),
            (Some(requested), Some(pinned)) if requested != pinned => {
                Err(Refusal::OtherChain { requested, pinned })
            }
            (Some(_), Some(_) | None) => Ok(()),
        }
    }

    fn check_slot(&self, slot: Slot, horizon: Option<Horizon>) -> Result<(), Refusal> {
        match (self.head.high_watermark.slot, horizon) {
            (Some(stop), _) if slot >= stop => Err(Refusal::StoppedAtSlot { slot, stop }),
            (_, Some(Horizon { latest, .. })) if slot > latest => Err(Refusal::FarAhead { slot, latest }),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn check_epoch(&self, epoch: Epoch, horizon: Option<Horizon>) -> Result<(), Refusal> {
        if let Some(stop) = self.head.high_watermark.epoch.filter(|stop| epoch >= *stop) {
            return Err(Refusal::StoppedAtEpoch { epoch, stop });
        }
        let Some(Horizon { latest, slots_per_epoch }) = horizon else { return Ok(()) };
        let slot = Slot(epoch.0.saturating_mul(slots_per_epoch));
        if slot > latest { Err(Refusal::FarAhead { slot, latest }) } else { Ok(()) }
    }
}
