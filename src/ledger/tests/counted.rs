//! Sessions that a TPM counts: what it proves, what it refuses, and that no power cut takes an honest ledger for an old
//! one.

use rusqlite::Connection;

use super::counted_place::Place;
use super::power_loss::scratch;
use super::rollback::{copy, replace};
use super::tpm_double::Cut;
use super::*;
use crate::ledger::counter::{CounterFault, CounterLoss};
use crate::ledger::unproven::Doubt;
use crate::ledger::{CounterChange, Counting, Loss, OpenError, ShownCounter, Unproven};

#[test]
fn a_ledger_that_was_closed_is_proven_without_any_anchor() {
    let place = Place::counted();
    for slot in 1..4 {
        sign(&place.start(), block(1, slot, 1));
        place.lose_anchors();
    }
    let ledger = place.start();
    assert!(is_newest(&ledger), "{:?}", ledger.opened());
    refuse(&ledger, block(1, 3, 2));
    sign(&ledger, block(1, 4, 1));
}

#[test]
fn after_a_kill_the_anchors_decide_as_they_do_without_a_counter() {
    let place = Place::counted();
    let ledger = place.start();
    sign(&ledger, block(1, 10, 1));
    place.snapshot("killed");
    drop(ledger);
    place.put_back("killed");
    place.tpm_said(place.tpm.value() - 1);
    // As in a reboot, within the time that a note on the disk is fresh.
    drop(place.start());
    place.put_back("killed");
    place.lose_anchors();
    let refused = place.try_start();
    assert!(matches!(refused, Err(OpenError::Unproven { doubt: Doubt::NoAnchor, .. })), "{refused:?}");
}

/// In memory, as in the runtime directory: the host has not been started since.
#[test]
fn a_process_that_was_killed_goes_on_with_its_session_and_wears_nothing_out() {
    let place = Place { directory: scratch(), ..Place::new() };
    drop(Ledger::open(place.settings(Counting::Off)).unwrap());
    place.make();
    sign(&place.start(), block(1, 1, 1));
    let value = place.tpm.value();
    for slot in 2..6 {
        let ledger = place.start();
        sign(&ledger, block(1, slot, 1));
        assert_eq!(place.tpm.value(), value + 1);
        place.snapshot("killed");
        drop(ledger);
        place.put_back("killed");
        place.tpm_said(value + 1);
    }
    sign(&place.start(), block(1, 6, 1));
    assert_eq!(place.tpm.value(), if Path::new("/dev/shm").is_dir() { value + 2 } else { value + 3 });
}

#[test]
fn a_start_that_records_nothing_and_a_look_are_not_counted() {
    let place = Place::counted();
    sign(&place.start(), block(1, 1, 1));
    let value = place.tpm.value();
    for _ in 0..3 {
        drop(place.start());
        drop(Ledger::open(place.looking()).unwrap());
    }
    assert_eq!(place.tpm.value(), value);
    sign(&place.start(), block(1, 2, 1));
    assert_eq!(place.tpm.value(), value + 2);
    let ledger = place.start();
    wait(ledger.count()).unwrap();
    assert_eq!(place.tpm.value(), value + 3);
    sign(&ledger, block(1, 3, 1));
    assert_eq!(place.tpm.value(), value + 3);
}

#[test]
fn what_is_put_back_with_all_of_its_disk_is_refused_once_a_session_has_begun_or_ended_since() {
    let place = Place::counted();
    sign(&place.start(), block(1, 1, 1));
    place.snapshot("closed");
    let ledger = place.start();
    sign(&ledger, block(1, 2, 1));
    place.snapshot("open");
    sign(&ledger, block(1, 3, 1));
    place.snapshot("killed");
    drop(ledger);
    for (older, newer) in [("open", 1), ("closed", 2)] {
        place.put_back(older);
        let refused = place.try_start();
        let Err(error @ OpenError::CounterLoss { loss: CounterLoss::Older { recorded, counted }, .. }) =
            refused
        else {
            panic!("{older}: {refused:?}")
        };
        assert_eq!(counted - recorded, newer, "{error}");
        assert!(error.to_string().contains("is rolled back") && error.to_string().contains("--accept-loss"));
    }
    // Beside the session that was killed, the older copy of the same session is not told from it: what is left to the
    // anchors.
    place.tpm_said(place.tpm.value() - 1);
    place.put_back("open");
    drop(place.start());
}

#[test]
fn an_accepted_loss_takes_the_counter_as_it_is() {
    let place = Place::counted();
    sign(&place.start(), block(1, 10, 1));
    place.snapshot("older");
    sign(&place.start(), block(1, 20, 1));
    place.snapshot("newest");
    place.put_back("older");
    place.lose_anchors();
    place.accept_loss(place.tpm.on());
    place.lose_anchors();
    let ledger = place.start();
    assert!(is_newest(&ledger));
    refuse(&ledger, block(1, 20, 2));
    refuse(&ledger, block(1, 100, 2));
    sign(&ledger, block(1, 101, 2));
    drop(ledger);
    // What was the newest is not any more.
    place.put_back("newest");
    assert!(matches!(place.try_start(), Err(OpenError::CounterLoss { .. })));
}

/// A new mainboard, a TPM that was cleared, another machine.
#[test]
fn without_its_counter_a_ledger_is_refused_until_its_loss_is_accepted_and_a_new_one_made() {
    let place = Place::counted();
    sign(&place.start(), block(1, 10, 1));
    place.tpm.clear();
    for _ in 0..2 {
        let refused = place.try_start();
        assert!(
            matches!(refused, Err(OpenError::CounterLoss { loss: CounterLoss::Gone, .. })),
            "{refused:?}"
        );
    }
    let refused = place.change(CounterChange::Make);
    assert!(matches!(refused, Err(OpenError::CounterLoss { loss: CounterLoss::Gone, .. })), "{refused:?}");
    place.accept_loss(place.tpm.on());
    assert!(matches!(fault(place.try_start()), CounterFault::NotMade { .. }));
    place.make();
    let ledger = place.start();
    refuse(&ledger, block(1, 100, 2));
    sign(&ledger, block(1, 101, 2));
}

#[test]
fn a_ledger_that_is_counted_is_not_opened_without_its_counter_being_named() {
    let place = Place::counted();
    sign(&place.start(), block(1, 10, 1));
    for settings in [place.settings(Counting::Off), Settings { counting: Counting::Off, ..place.looking() }] {
        let refused = Ledger::open(settings);
        assert!(
            matches!(refused, Err(OpenError::CounterLoss { loss: CounterLoss::Unnamed, .. })),
            "{refused:?}"
        );
    }
    // Where the TPM is gone for good.
    place.accept_loss(Counting::Off);
    let ledger = Ledger::open(place.settings(Counting::Off)).unwrap();
    assert_eq!(ledger.opened().counter, None);
    sign(&ledger, block(1, 101, 1));
    drop(ledger);
    // It is not this counter's any more.
    let refused = place.try_start();
    assert!(
        matches!(refused, Err(OpenError::CounterLoss { loss: CounterLoss::Unrecorded, .. })),
        "{refused:?}"
    );
}

#[test]
fn a_counter_counts_for_one_ledger() {
    let place = Place::counted();
    sign(&place.start(), block(1, 10, 1));
    let other = tempfile::tempdir().unwrap();
    let settings =
        || Settings { counting: place.tpm.on(), unproven: Unproven::Refuse, ..settings(other.path()) };
    let of_another = fault(Ledger::open(settings()));
    assert!(matches!(of_another, CounterFault::OfAnother { .. }), "{of_another:?}");
    // It can be made, looked at and filled before its counter is.
    let looking = Settings { unproven: Unproven::Leave, ..settings() };
    let ledger = Ledger::open(looking.clone()).unwrap();
    assert!(matches!(ledger.opened().counter, Some(ShownCounter::NotYet(_))));
    sign(&ledger, block(1, 1, 1));
    drop(ledger);
    let counting = |change| Counting::Change(change, place.tpm.clone());
    let refused = Ledger::open(Settings { counting: counting(CounterChange::Make), ..looking.clone() });
    assert!(matches!(fault(refused), CounterFault::OfAnother { .. }));
    drop(Ledger::open(Settings { counting: counting(CounterChange::Remove), ..looking.clone() }).unwrap());
    drop(Ledger::open(Settings { counting: counting(CounterChange::Make), ..looking }).unwrap());
    sign(&Ledger::open(settings()).unwrap(), block(1, 2, 1));
}

#[test]
fn a_counter_that_is_taken_away_and_made_again_proves_no_copy_from_before() {
    let place = Place::counted();
    sign(&place.start(), block(1, 10, 1));
    place.snapshot("counted");
    place.change(CounterChange::Remove).unwrap();
    let refused = place.try_start();
    assert!(matches!(fault(refused), CounterFault::NotMade { .. }));
    let uncounted = || Ledger::open(place.settings(Counting::Off)).unwrap();
    sign(&uncounted(), block(1, 11, 1));
    place.snapshot("uncounted");
    place.make();
    sign(&place.start(), block(1, 12, 1));
    for (older, expected) in [("counted", CounterLoss::Replaced), ("uncounted", CounterLoss::Unrecorded)] {
        place.put_back(older);
        let refused = place.try_start();
        assert!(
            matches!(refused, Err(OpenError::CounterLoss { loss, .. }) if loss == expected),
            "{older}: {refused:?}"
        );
    }
}

/// A virtual machine's own TPM, which came back with an older disk of its own.
#[test]
fn a_counter_that_went_back_is_no_witness() {
    let place = Place::counted();
    for slot in 1..5 {
        sign(&place.start(), block(1, slot, 1));
    }
    place.tpm_said(place.tpm.value() - 4);
    assert!(matches!(fault(place.try_start()), CounterFault::Behind { .. }));
    let loss = Loss::Lift { slot: Slot(100), epoch: Epoch(12) };
    let refused = Ledger::open(Settings { loss, ..place.looking() });
    assert!(matches!(fault(refused), CounterFault::Behind { .. }));
    place.change(CounterChange::Remove).unwrap();
    place.make();
    sign(&place.start(), block(1, 6, 1));
}

#[test]
fn a_command_that_changes_a_proven_ledger_is_counted_and_one_in_doubt_leaves_it_in_doubt() {
    let place = Place::counted();
    sign(&place.start(), block(1, 10, 1));
    place.snapshot("before");
    sign(&Ledger::open(place.looking()).unwrap(), block(1, 11, 1));
    place.snapshot("after");
    place.put_back("before");
    assert!(matches!(place.try_start(), Err(OpenError::CounterLoss { .. })));
    place.put_back("after");

    let ledger = place.start();
    sign(&ledger, block(1, 12, 1));
    place.snapshot("killed");
    drop(ledger);
    place.tpm_said(place.tpm.value() - 1);
    place.put_back("killed");
    place.lose_anchors();
    let ledger = Ledger::open(place.looking()).unwrap();
    assert_eq!(ledger.opened().doubt, Some(Doubt::NoAnchor));
    let value = place.tpm.value();
    sign(&ledger, block(1, 13, 1));
    drop(ledger);
    assert_eq!(place.tpm.value(), value);
    assert!(matches!(place.try_start(), Err(OpenError::Unproven { .. })));
}

/// The power goes at each command to the TPM, before and after it took effect, in a story of several sessions. From
/// what is left then the next start goes on: never refused as old, and never lifted while an anchor is fresh.
#[test]
fn no_cut_at_a_command_to_the_tpm_takes_an_honest_ledger_for_an_old_one() {
    let mut cuts = 0;
    for done in [false, true] {
        for at in 1.. {
            let place = Place::counted();
            sign(&place.start(), block(1, 1, 1));
            let directory = place.directory.path().to_owned();
            let then = Box::new(move || {
                for name in ["state", "run"] {
                    copy(&directory, name, &format!("cut-{name}"));
                }
            });
            place.tpm.cut(Some(Cut { at, done, then }));
            let mut signed = 1;
            for slot in 2..5 {
                let Ok(ledger) = place.try_start() else { break };
                if ask(&ledger, block(1, slot, 1)).is_err() {
                    break;
                }
                if !place.tpm.was_cut() {
                    signed = slot;
                }
            }
            if !place.tpm.was_cut() {
                break;
            }
            cuts += 1;
            place.tpm.cut(None);
            for name in ["state", "run"] {
                replace(place.directory.path(), name, &format!("cut-{name}"));
            }
            // Each session that was counted as begun had put nothing on record yet, and each that ended had all.
            for _ in 0..2 {
                let ledger = place.start();
                refuse(&ledger, block(1, signed, 2));
                sign(&ledger, block(1, signed + 1, 1));
                signed += 1;
                drop(ledger);
                place.lose_anchors();
            }
        }
    }
    assert_eq!(cuts, 2 * 6);
}

#[test]
fn a_counter_whose_making_was_cut_off_is_made_to_the_end() {
    for remove in [false, true] {
        for (at, done) in [(1, false), (1, true), (2, false), (2, true)] {
            let place = if remove { Place::counted() } else { Place::new() };
            let change = if remove { CounterChange::Remove } else { CounterChange::Make };
            place.tpm.cut(Some(Cut { at, done, then: Box::new(|| {}) }));
            let cut_off = place.change(change).is_err();
            assert_eq!(cut_off, !remove || at == 1, "{at} {done} {remove}");
            place.tpm.cut(None);
            if cut_off {
                assert!(fault(place.try_start()).is_configuration(), "{at} {done} {remove}");
            }
            place.change(change).unwrap();
            if remove {
                assert_eq!(place.tpm.counter(), None);
                drop(Ledger::open(place.settings(Counting::Off)).unwrap());
            } else {
                sign(&place.start(), block(1, 1, 1));
            }
        }
    }
}

#[test]
fn a_tpm_that_fails_at_the_first_record_breaks_the_ledger_and_at_the_end_nothing() {
    let place = Place::counted();
    sign(&place.start(), block(1, 1, 1));
    let ledger = place.start();
    place.tpm.cut(Some(Cut { at: 1, done: false, then: Box::new(|| {}) }));
    assert!(matches!(fail(&ledger, block(1, 2, 1)), Fault::Broken(_)));
    drop(ledger);
    place.tpm.cut(Some(Cut { at: 2, done: false, then: Box::new(|| {}) }));
    sign(&place.start(), block(1, 2, 1));
    assert!(place.tpm.was_cut());
    place.tpm.cut(None);
    place.lose_anchors();
    assert!(is_newest(&place.start()));
}

#[test]
fn a_counter_that_another_program_raises_is_noticed() {
    let place = Place::counted();
    sign(&place.start(), block(1, 1, 1));
    let ledger = place.start();
    place.tpm_said(place.tpm.value() + 1);
    assert!(matches!(fail(&ledger, block(1, 2, 1)), Fault::Broken(_)));
}

#[test]
fn a_flipped_bit_in_what_is_on_record_of_the_counter_is_noticed() {
    for flip in ["value = value + 1", "is_closed = 1 - is_closed", "mark = zeroblob(32)", "value = NULL"] {
        let place = Place::counted();
        sign(&place.start(), block(1, 1, 1));
        let file = place.directory.path().join("state/ledger.sqlite");
        Connection::open(file).unwrap().execute(&format!("UPDATE counter SET {flip}"), ()).unwrap();
        let refused = place.try_start();
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{flip}: {refused:?}");
    }
}

fn is_newest(ledger: &Ledger) -> bool {
    matches!(ledger.opened().counter, Some(ShownCounter::Counts { is_newest: true, .. }))
}

fn fault(opened: Result<Ledger, OpenError>) -> CounterFault {
    match opened {
        Err(OpenError::Counter(fault)) => *fault,
        other => panic!("{other:?}"),
    }
}
