//! Window beyond the present in which a message, or a record, can plausibly lie.
//!
//! What must be caught is garbage: a time taken for a slot, a number that overflowed. Signing it would lock its key
//! until then. The measure is the clock. Where that is years slow, records stand in for it: the key's own of the same
//! kind, and what more than half of all keys' records reach, so that no single one decides for other keys.

use std::time::{Duration, SystemTime};

use super::rules::Watermark;
use crate::network::GenesisClock;
use crate::primitives::{Epoch, Slot};

/// The present, and how far beyond it a message can plausibly lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Horizon {
    present: Slot,
    /// In slots.
    year: u64,
    slots_per_epoch: u64,
}

impl Horizon {
    /// What is plausible at a time.
    pub(super) fn at(clock: GenesisClock, time: SystemTime) -> Self {
        Self {
            present: clock.slot_at(time),
            year: clock.slots_in(YEAR).max(1),
            slots_per_epoch: clock.slots_per_epoch,
        }
    }

    /// The clock's present, or what records say.
    pub(super) fn present(&self) -> Slot {
        self.present
    }

    /// How many years the present lies beyond a slot, if that is more than can be plausible.
    pub(super) fn years_beyond(&self, slot: Slot) -> Option<u64> {
        let years = self.present.0.saturating_sub(slot.0).checked_div(self.year).unwrap_or_default();
        (years >= YEARS).then_some(years)
    }

    /// The first slot of an epoch, or the highest slot there is.
    pub(super) fn slot_of(&self, epoch: Epoch) -> Slot {
        Slot(epoch.0.saturating_mul(self.slots_per_epoch))
    }

    /// The latest plausible slot for a key that has signed up to `own`.
    pub(super) fn latest(&self, own: Option<Slot>) -> Slot {
        let from = own.unwrap_or_default().max(self.present);
        Slot(from.0.saturating_add(self.year.saturating_mul(YEARS)))
    }

    /// How many years a slot lies ahead, if that is more than can be plausible.
    pub(super) fn years_ahead(&self, slot: Slot) -> Option<u64> {
        (slot > self.latest(None))
            .then(|| slot.0.saturating_sub(self.present.0).checked_div(self.year).unwrap_or_default())
    }

    /// The same for what is on record of a key: the further one of its block and its attestation's target.
    pub(super) fn record_ahead(&self, watermark: &Watermark) -> Option<u64> {
        self.reach(watermark).and_then(|slot| self.years_ahead(slot))
    }

    /// With the present no earlier than what more than half of the records reach, two of them at least.
    pub(super) fn with_records(self, records: impl Iterator<Item = Watermark>) -> Self {
        let mut reached: Vec<_> = records.filter_map(|watermark| self.reach(&watermark)).collect();
        reached.sort_unstable_by(|one, other| other.cmp(one));
        let half = reached.len() / 2;
        let agreed = reached.get(half).copied().filter(|_| reached.len() > 1).unwrap_or_default();
        Self { present: self.present.max(agreed), ..self }
    }

    pub(super) fn reach(&self, watermark: &Watermark) -> Option<Slot> {
        let block = watermark.block.map(|block| block.slot);
        let target = watermark.attestation.map(|attestation| self.slot_of(attestation.target));
        block.max(target)
    }
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// So many years ahead is plausible: wide, because a clock may be wrong, and because garbage lies centuries ahead.
const YEARS: u64 = 2;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::rules::{SignedAttestation, SignedBlock};
    use crate::network::Network;

    #[test]
    fn a_clock_before_1970_or_far_beyond_shows_a_slot_all_the_same() {
        let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(clock.present(early), (Slot(0), Epoch(0)));
        assert!(clock.slot_at(late) > Slot(1 << 55));
        assert!(Horizon::at(clock, late).latest(Some(Slot(u64::MAX))) == Slot(u64::MAX));
    }

    #[test]
    fn the_latest_plausible_slot_is_two_years_beyond_the_clock_or_the_key_s_own_record() {
        let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
        let at = |slot: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_606_824_023 + slot * 12);
        for (own, now, latest) in [
            (None, at(0), 5_256_000),
            (None, at(1_000), 5_257_000),
            (Some(500), at(1_000), 5_257_000),
            (Some(2_000), at(1_000), 5_258_000),
            (Some(2_000), SystemTime::UNIX_EPOCH, 5_258_000),
        ] {
            assert_eq!(Horizon::at(clock, now).latest(own.map(Slot)), Slot(latest));
        }
        let horizon = Horizon::at(clock, at(1_000));
        assert_eq!(horizon.years_ahead(Slot(5_257_000)), None);
        assert_eq!(horizon.years_ahead(Slot(5_257_001)), Some(2));
        assert_eq!(horizon.years_ahead(Slot(1_000 + 2_628_000 * 7)), Some(7));
        assert_eq!(horizon.years_ahead(horizon.slot_of(Epoch(u64::MAX))), Some(u64::MAX / 2_628_000));
    }

    #[test]
    fn of_a_single_record_nothing_follows_for_other_keys() {
        let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
        let horizon = Horizon::at(clock, SystemTime::UNIX_EPOCH);
        for (records, present) in [
            (&[][..], 0),
            (&[900], 0),
            (&[900, 800], 800),
            (&[900, 1 << 63], 900),
            (&[900, 1 << 63, 800], 900),
            (&[900, 1 << 63, 800, 1 << 62], 900),
            (&[900, 1 << 63, 1 << 62], 1 << 62),
        ] {
            let agreed = horizon.with_records(records.iter().copied().map(block));
            assert_eq!(agreed.present, Slot(present), "{records:?}");
        }
    }

    proptest! {
        /// Whatever fewer than half of the records say, the window opens no further than by the others and the clock.
        #[test]
        fn a_minority_of_garbage_opens_the_window_for_nobody(
            honest in prop::collection::vec(0u64..20_000_000, 1..30),
            garbage in prop::collection::vec(any::<u64>(), 0..30),
            now in 0u64..4_000_000_000,
        ) {
            let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
            let horizon = Horizon::at(clock, SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            let garbage = &garbage[..garbage.len().min(honest.len() - 1)];
            let records = honest.iter().map(|slot| block(*slot)).chain(garbage.iter().map(|epoch| vote(*epoch)));
            let agreed = horizon.with_records(records);
            let highest = Slot(*honest.iter().max().unwrap());
            prop_assert!(agreed.present <= horizon.present.max(highest));
            prop_assert!(agreed.present >= horizon.present);
        }

        /// Honest records of the present keep the window open, however slow the clock, and some garbage beside them.
        #[test]
        fn a_slow_clock_closes_the_window_to_nobody_while_most_records_are_of_the_present(
            honest in prop::collection::vec(10_000_000u64..10_050_000, 2..30),
            garbage in prop::collection::vec(any::<u64>(), 0..30),
            now in 0u64..1_700_000_000,
        ) {
            let clock = GenesisClock::of(&Network::by_name("mainnet").unwrap()).unwrap();
            let horizon = Horizon::at(clock, SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            let garbage = &garbage[..garbage.len().min(honest.len() - 1)];
            let records = honest.iter().map(|slot| block(*slot)).chain(garbage.iter().map(|epoch| vote(*epoch)));
            prop_assert!(horizon.with_records(records).latest(None) > Slot(10_050_000));
        }
    }

    fn block(slot: u64) -> Watermark {
        Watermark { block: Some(SignedBlock { slot: Slot(slot), signing_root: None }), attestation: None }
    }

    fn vote(target: u64) -> Watermark {
        let attestation = SignedAttestation { source: Epoch(0), target: Epoch(target), signing_root: None };
        Watermark { block: None, attestation: Some(attestation) }
    }
}
