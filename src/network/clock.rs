//! Clock of a chain: which slot and which epoch a time falls into.

use std::time::{Duration, SystemTime};

use super::Network;
use crate::primitives::{Epoch, Slot};

/// A chain's clock, where its genesis is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenesisClock {
    /// Seconds since 1970 at slot 0.
    pub(crate) genesis_time: u64,
    pub(crate) slot_duration: Duration,
    pub(crate) slots_per_epoch: u64,
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
    pub(crate) fn present(self, time: SystemTime) -> (Slot, Epoch) {
        let slot = self.slot_at(time);
        (slot, Epoch(slot.0.checked_div(self.slots_per_epoch).unwrap_or_default()))
    }

    /// The time since the slot that a time falls into began; `None` before genesis.
    pub(crate) fn into_slot(self, time: SystemTime) -> Option<Duration> {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let since_genesis = since_1970.checked_sub(Duration::from_secs(self.genesis_time))?;
        let nanoseconds = since_genesis.as_nanos().checked_rem(self.slot_duration.as_nanos())?;
        u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
    }

    /// When a slot begins, as text; `None` beyond the year 9999.
    pub(crate) fn begin_of(self, slot: Slot) -> Option<String> {
        let nanoseconds = self.slot_duration.as_nanos().checked_mul(u128::from(slot.0))?;
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?.checked_add(self.genesis_time)?;
        let begin = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        (seconds < YEAR_10000).then(|| humantime::format_rfc3339_seconds(begin).to_string())
    }

    /// The same for an epoch.
    pub(crate) fn begin_of_epoch(self, epoch: Epoch) -> Option<String> {
        self.begin_of(Slot(epoch.0.checked_mul(self.slots_per_epoch)?))
    }

    /// So many whole slots last so long.
    pub(crate) fn slots_in(self, time: Duration) -> u64 {
        let slots = time.as_millis().checked_div(self.slot_duration.as_millis()).unwrap_or_default();
        u64::try_from(slots).unwrap_or(u64::MAX)
    }
}

/// In seconds since 1970: humantime knows no later time.
const YEAR_10000: u64 = 253_402_300_800;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
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
    fn a_time_lies_so_far_in_its_slot() {
        let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
        let genesis = SystemTime::UNIX_EPOCH + Duration::from_secs(1_606_824_023);
        let into_slot = |since_genesis| clock.into_slot(genesis + since_genesis);
        assert_eq!(into_slot(Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(
            into_slot(Duration::from_millis(12 * 7 * 1000 + 3_250)),
            Some(Duration::from_millis(3_250))
        );
        assert_eq!(into_slot(Duration::from_millis(11_999)), Some(Duration::from_millis(11_999)));
        assert_eq!(clock.into_slot(genesis - Duration::from_secs(1)), None);
    }
}
