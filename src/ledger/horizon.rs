//! How far ahead a message can plausibly lie.

use std::time::{Duration, SystemTime};

use crate::network::Network;
use crate::primitives::{Epoch, Slot};

/// A chain's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenesisClock {
    /// Seconds since 1970 at slot 0.
    pub(crate) genesis_time: u64,
    pub(crate) slot_duration: Duration,
    pub(crate) slots_per_epoch: u64,
}

/// The latest slot that a message can plausibly be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    pub(super) latest: Slot,
    pub(super) slots_per_epoch: u64,
}

impl GenesisClock {
    /// The network's clock, if its genesis is known.
    pub(crate) fn of(network: &Network) -> Option<Self> {
        Some(Self {
            genesis_time: network.genesis_time()?,
            slot_duration: network.slot_duration()?,
            slots_per_epoch: network.preset().slots_per_epoch().get(),
        })
    }

    /// The slot at a time; the first one before genesis.
    pub(crate) fn slot_at(self, time: SystemTime) -> Slot {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Slot(self.slots_in(since_1970.saturating_sub(Duration::from_secs(self.genesis_time))))
    }

    /// The slot and the epoch at a time.
    pub(super) fn present(self, time: SystemTime) -> (Slot, Epoch) {
        let slot = self.slot_at(time);
        (slot, Epoch(slot.0.checked_div(self.slots_per_epoch).unwrap_or_default()))
    }

    /// Two years beyond what the clock or the records say, whichever is later: a clock set back does not stop a signer
    /// that has records of today.
    pub(super) fn horizon(self, highest: Slot, now: SystemTime) -> Horizon {
        let latest = self.slot_at(now).max(highest).0.saturating_add(self.slots_in(WINDOW));
        Horizon { latest: Slot(latest), slots_per_epoch: self.slots_per_epoch }
    }

    fn slots_in(self, time: Duration) -> u64 {
        let slots = time.as_millis().checked_div(self.slot_duration.as_millis()).unwrap_or_default();
        u64::try_from(slots).unwrap_or(u64::MAX)
    }
}

/// Wide, because a clock may be wrong, and because what must be caught is garbage: a time taken for a slot, a number
/// that overflowed. Those lie centuries ahead.
const WINDOW: Duration = Duration::from_secs(2 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_at_a_time_where_the_genesis_is_known() {
        let clock = |name| GenesisClock::of(&Network::by_name(name).unwrap());
        // The Merge: https://etherscan.io/block/15537394, slot 4700013.
        let merge = SystemTime::UNIX_EPOCH + Duration::from_secs(1_663_224_179);
        assert_eq!(clock("mainnet").unwrap().slot_at(merge), Slot(4_700_013));
        assert_eq!(clock("mainnet").unwrap().slot_at(SystemTime::UNIX_EPOCH), Slot(0));
        assert_eq!(clock("minimal"), None);
    }

    #[test]
    fn the_latest_plausible_slot_is_two_years_beyond_the_clock_or_the_records() {
        let network = Network::by_name("mainnet").unwrap();
        let clock = GenesisClock::of(&network).unwrap();
        let at = |slot: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_606_824_023 + slot * 12);
        for (highest, now, latest) in [
            (0, at(0), 5_256_000),
            (0, at(1_000), 5_257_000),
            (2_000, at(1_000), 5_258_000),
            (2_000, SystemTime::UNIX_EPOCH, 5_258_000),
        ] {
            let horizon = clock.horizon(Slot(highest), now);
            assert_eq!((horizon.latest, horizon.slots_per_epoch), (Slot(latest), 32));
        }
    }
}
