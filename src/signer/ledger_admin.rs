//! Administration of the ledger: history in and out, watermarks by hand.

use std::time::{Duration, SystemTime};

use crate::bls::PublicKey;
use crate::ledger::{
    Exported, Fault, Foresight, HighWatermark, ImportRefusal, Imported, Interchange, Ledger, Raised,
    Selection, Status,
};
use crate::network::{GenesisClock, Network};
use crate::primitives::{Epoch, Slot};

/// The ledger of this network's validators. What is answered is durable.
pub(crate) struct LedgerAdmin<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) network: &'a Network,
}

impl LedgerAdmin<'_> {
    /// Merges a history; watermarks only go up.
    pub(crate) async fn import(
        &self,
        interchange: Interchange,
        keys: Selection,
    ) -> Result<Imported, AdminError> {
        Ok(self.ledger.import(interchange, keys).await??)
    }

    /// Writes history out.
    pub(crate) async fn export(&self, keys: Selection) -> Result<Exported, AdminError> {
        Ok(self.ledger.export(keys).await?)
    }

    /// Says what is on record.
    pub(crate) async fn status(&self, keys: Selection) -> Result<Status, AdminError> {
        Ok(self.ledger.status(keys).await?)
    }

    /// Says what is on record of a key, and what would come of a block at the slot and an attestation with the target
    /// epoch; of the present ones, where neither is given and the network's clock is known.
    pub(crate) async fn foresee(
        &self,
        public_key: PublicKey,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
    ) -> Result<Foresight, AdminError> {
        let present = GenesisClock::of(self.network).map(|clock| clock.present(SystemTime::now()));
        let (slot, epoch) = match (slot, epoch, present) {
            (None, None, Some((slot, epoch))) => (Some(slot), Some(epoch)),
            (slot, epoch, _) => (slot, epoch),
        };
        Ok(self.ledger.foresee(public_key, slot, epoch).await?)
    }

    /// Lifts watermarks; `far_ahead`: far beyond the present is meant.
    pub(crate) async fn raise(
        &self,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
        keys: Selection,
        far_ahead: bool,
    ) -> Result<Raised, AdminError> {
        if !far_ahead {
            refuse_far_ahead(self.network, SystemTime::now(), slot, epoch)?;
        }
        if matches!(keys, Selection::All) && self.ledger.status(Selection::All).await?.keys.is_empty() {
            return Err(AdminError::NoKeys);
        }
        Ok(self.ledger.raise(slot, epoch, keys).await?)
    }

    /// Sets where signing stops, or removes the stop.
    pub(crate) async fn set_high_watermark(&self, high_watermark: HighWatermark) -> Result<(), AdminError> {
        Ok(self.ledger.set_high_watermark(high_watermark).await?)
    }
}

/// Nothing lowers a watermark again: a slot that was given for an epoch would lock the keys for decades.
fn refuse_far_ahead(
    network: &Network,
    now: SystemTime,
    slot: Option<Slot>,
    epoch: Option<Epoch>,
) -> Result<(), AdminError> {
    let (Some(clock), Some(then)) = (GenesisClock::of(network), now.checked_add(MAX_RAISE_AHEAD)) else {
        return Ok(());
    };
    let (present, horizon) = (clock.slot_at(now), clock.slot_at(then));
    let refused = |what, number| AdminError::FarAhead {
        what,
        number,
        network: network.name().to_owned(),
        slot: present,
        epoch: network.epoch_at(present),
    };
    match (slot, epoch) {
        (Some(slot), _) if slot > horizon => Err(refused("slot", slot.0)),
        (_, Some(epoch)) if epoch > network.epoch_at(horizon) => Err(refused("epoch", epoch.0)),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// Why the ledger was not changed or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    #[error(
        "{what} {number} is far ahead: on {network} it is slot {slot}, epoch {epoch} now. Until then the keys \
         could not sign, and nothing lowers a watermark again; if that is meant, say --yes"
    )]
    FarAhead { what: &'static str, number: u64, network: String, slot: Slot, epoch: Epoch },
    #[error("the ledger knows no key yet, so nothing was raised: name the keys, or import their history")]
    NoKeys,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Room for a hand-over that is planned ahead.
const MAX_RAISE_AHEAD: Duration = Duration::from_secs(7 * 86_400);
