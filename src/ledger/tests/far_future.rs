//! What lies far ahead: messages that are refused, records that lock their key, and clocks that are wrong.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::ledger::Selection;
use crate::ledger::far_future::Horizon;
use crate::ledger::policy::Policy;
use crate::ledger::refusal::Recorded;
use crate::ledger::rules::Watermark;
use crate::ledger::watermarks::{Metadata, Watermarks};
use crate::network::GenesisClock;
use crate::raw_roots::RawRoots;

/// Slots in a year, at twelve seconds each.
const YEAR: u64 = 365 * 7_200;

#[test]
fn the_latest_plausible_slot_still_passes() {
    let (book, _changes) =
        Watermarks::saved(Metadata::default(), Vec::new(), Watermark::default(), None).unwrap();
    // Two years are 96 slots.
    let clock = GenesisClock {
        genesis_time: 0,
        slot_duration: Duration::from_secs(365 * 86_400 / 48),
        slots_per_epoch: 32,
    };
    let horizon = Some(Horizon::at(clock, UNIX_EPOCH));
    let policy = Policy { raw_roots: RawRoots::Allow, horizon, refuse_far_future: true };
    let judge = |request: Request, policy| book.judge(&request, &policy).map(|passed| passed.is_some());
    for late in [block(1, 97, 1), attestation(1, 0, 4, 2)] {
        assert!(matches!(judge(late, policy), Err(Refusal::FarAhead { latest: Slot(96), .. })));
    }
    for plausible in [block(1, 96, 1), attestation(1, 0, 3, 2)] {
        assert_eq!(judge(plausible, policy), Ok(true));
    }
    for late in [block(2, 97, 1), attestation(2, 0, 4, 2)] {
        assert_eq!(judge(late, Policy { refuse_far_future: false, ..policy }), Ok(true));
        assert_eq!(judge(late, Policy { horizon: None, ..policy }), Ok(true));
    }
}

#[test]
fn what_lies_more_than_two_years_ahead_is_refused_by_default() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = at_slot(directory.path(), 1_000);
    sign(&ledger, block(1, 1_000, 1));
    sign(&ledger, attestation(1, 30, 31, 1));
    for far in [2 * YEAR + 2_000, 1 << 32, 1 << 63, u64::MAX] {
        assert!(
            matches!(refuse(&ledger, block(1, far, 1)), Refusal::FarAhead { slot: Slot(s), .. } if s == far)
        );
        assert!(matches!(refuse(&ledger, attestation(1, 30, far, 2)), Refusal::FarAhead { .. }));
    }
    sign(&ledger, block(1, 1_001, 1));
    let there_is_no_clock = tempfile::tempdir().unwrap();
    sign(&open(there_is_no_clock.path()), block(1, 1 << 63, 1));
}

#[test]
fn a_slow_clock_stops_no_key_that_goes_on_from_its_own_record() {
    let directory = tempfile::tempdir().unwrap();
    let now = 10 * YEAR;
    {
        let ledger = at_slot(directory.path(), now);
        sign(&ledger, block(1, now, 1));
        sign(&ledger, attestation(1, now / 32 - 1, now / 32, 1));
    }
    let ledger = at_slot(directory.path(), 0);
    sign(&ledger, block(1, now + 1, 1));
    sign(&ledger, attestation(1, now / 32, now / 32 + 1, 1));
    // One key's records decide nothing for another key.
    assert!(matches!(refuse(&ledger, block(2, now + 1, 1)), Refusal::FarAhead { .. }));
    assert!(matches!(refuse(&ledger, block(1, now + 3 * YEAR, 1)), Refusal::FarAhead { .. }));
}

#[test]
fn with_a_slow_clock_most_records_say_what_the_present_is() {
    let directory = tempfile::tempdir().unwrap();
    let now = 10 * YEAR;
    let vote = |key| attestation(key, now / 32 - 1, now / 32, 1);
    {
        let ledger = at_slot(directory.path(), now);
        (1..=3).for_each(|key| sign(&ledger, vote(key)));
    }
    for _ in 0..2 {
        let ledger = at_slot(directory.path(), 0);
        raise(&ledger, 4, Some(1 << 60), None);
        sign(&ledger, block(1, now + 1, 1));
        sign(&ledger, vote(9));
        assert!(matches!(refuse(&ledger, block(8, 1 << 60, 1)), Refusal::FarAhead { .. }));
    }
    // With mostly records of long ago nothing is known, and each key has its own alone.
    let ledger = at_slot(directory.path(), 0);
    (20..30).for_each(|key| sign(&ledger, block(key, 5, 1)));
    assert!(matches!(refuse(&ledger, vote(10)), Refusal::FarAhead { .. }));
    sign(&ledger, attestation(1, now / 32, now / 32 + 1, 1));
}

#[test]
fn a_single_record_far_ahead_opens_the_way_for_no_other_key_and_no_other_kind() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = at_slot(directory.path(), 1_000);
    raise(&ledger, 1, Some(1 << 60), None);
    raise(&ledger, 2, None, Some(1 << 40));
    for key in [3, 4, 5] {
        sign(&ledger, block(key, 1_000, 1));
    }
    for far in [block(6, 1 << 60, 1), attestation(1, 0, 1 << 40, 1), block(2, 1 << 44, 1)] {
        assert!(matches!(refuse(&ledger, far), Refusal::FarAhead { .. }), "{far:?}");
    }
    sign(&ledger, attestation(1, 30, 31, 1));
    sign(&ledger, block(2, 1_000, 1));
}

#[test]
fn a_key_that_a_record_far_ahead_locks_is_told_so_and_named() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = at_slot(directory.path(), 1_000);
        raise(&ledger, 1, Some(1_000 + 7 * YEAR), Some((1_000 + 9 * YEAR) / 32));
        sign(&ledger, block(2, 1_000, 1));
    }
    let ledger = at_slot(directory.path(), 1_000);
    let slot = Recorded::Slot(Slot(1_000 + 7 * YEAR));
    let epoch = Recorded::Epoch(Epoch((1_000 + 9 * YEAR) / 32));
    assert_eq!(refuse(&ledger, block(1, 1_001, 1)), Refusal::RecordFarAhead { record: slot, years: 7 });
    let refused = refuse(&ledger, attestation(1, 30, 31, 1));
    assert!(
        matches!(refused, Refusal::RecordFarAhead { record, years: 8..=9 } if record == epoch),
        "{refused}"
    );
    assert!(refused.to_string().contains("years ahead of this host's clock"), "{refused}");
    // Of a record that can be right nothing is said.
    assert_eq!(refuse(&ledger, block(2, 1_000, 2)), Refusal::OtherBlockAtSlot { slot: Slot(1_000) });
    let attention = ledger.attention().far_ahead;
    assert_eq!((attention.count(), attention.to_string()), (1, public_key(1).to_string()));
    let status = wait(ledger.status(Selection::All)).unwrap();
    let years: Vec<_> = status.keys.iter().map(|key| key.years_ahead).collect();
    assert!(matches!(years[..], [Some(8..=9), None]), "{years:?}");
}

/// A ledger with a clock that shows this slot.
fn at_slot(directory: &Path, slot: u64) -> Ledger {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let clock = GenesisClock {
        genesis_time: now.saturating_sub(slot * 12),
        slot_duration: Duration::from_secs(12),
        slots_per_epoch: 32,
    };
    Ledger::open(Settings { clock: Some(clock), ..settings(directory) }).unwrap()
}

fn raise(ledger: &Ledger, key: u8, slot: Option<u64>, epoch: Option<u64>) {
    let key = Selection::Only(HashSet::from([public_key(key)]));
    wait(ledger.raise(slot.map(Slot), epoch.map(Epoch), key)).unwrap();
}
