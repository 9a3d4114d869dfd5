//! What may be configured about judging: raw roots, and how far ahead a message may lie.

use super::far_future::Horizon;
use super::refusal::{Recorded, Refusal};
use crate::primitives::{Epoch, Slot};
use crate::raw_roots::RawRoots;

/// How one request is judged, beyond the rules that hold for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) raw_roots: RawRoots,
    /// The time, where the chain's genesis is known.
    pub(super) horizon: Option<Horizon>,
    /// Whether what lies far ahead is refused.
    pub(super) refuse_far_future: bool,
}

impl Policy {
    /// Whether a message for a slot is plausible, `own` being what is on record of its kind for its key.
    pub(super) fn check(&self, slot: Slot, own: Option<Slot>) -> Result<(), Refusal> {
        let Some(horizon) = self.horizon.filter(|_| self.refuse_far_future) else { return Ok(()) };
        let latest = horizon.latest(own);
        if slot > latest { Err(Refusal::FarAhead { slot, latest }) } else { Ok(()) }
    }

    /// The same for an epoch.
    pub(super) fn check_epoch(&self, epoch: Epoch, own: Option<Epoch>) -> Result<(), Refusal> {
        let Some(horizon) = self.horizon else { return Ok(()) };
        self.check(horizon.slot_of(epoch), own.map(|epoch| horizon.slot_of(epoch)))
    }

    /// Says so if what is on record, and nothing about the message, is what cannot be right.
    pub(super) fn explained(&self, refusal: Refusal) -> Refusal {
        let (Some(horizon), Some(record)) = (self.horizon, refusal.record()) else { return refusal };
        let slot = match record {
            Recorded::Slot(slot) => slot,
            Recorded::Epoch(epoch) => horizon.slot_of(epoch),
        };
        horizon.years_ahead(slot).map_or(refusal, |years| Refusal::RecordFarAhead { record, years })
    }
}
