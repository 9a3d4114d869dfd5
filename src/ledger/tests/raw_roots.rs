//! Raw roots: what the first one does to its key, and what undoes it.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::ledger::{Activated, Activation, ActivationOutcome, HighWatermark, Interchange, Past, Selection};
use crate::network::GenesisClock;
use crate::raw_roots::RawRoots;

#[test]
fn after_a_raw_root_blocks_and_attestations_are_refused_and_raw_roots_signed() {
    let directory = tempfile::tempdir().unwrap();
    let refused = Refusal::RawRootSigned { public_key: public_key(1) };
    {
        let ledger = open(directory.path());
        sign(&ledger, raw_root(1, 1));
        assert_eq!(refuse(&ledger, block(1, 10, 2)), refused);
    }
    let ledger = open(directory.path());
    assert_eq!(refuse(&ledger, block(1, 10, 2)), refused);
    assert_eq!(refuse(&ledger, attestation(1, 0, 1, 2)), refused);
    sign(&ledger, raw_root(1, 1));
    sign(&ledger, raw_root(1, 2));
    sign(&ledger, request(1, 3, Claim::Unslashable));
    sign(&ledger, block(2, 10, 1));
    let said = refused.to_string();
    assert!(said.contains("raise --slot SLOT --epoch EPOCH --key 0x0101"), "{said}");
    let attention = ledger.attention().raw_roots;
    assert_eq!((attention.count(), attention.to_string()), (1, public_key(1).to_string()));
}

#[test]
fn after_a_block_or_an_attestation_raw_roots_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(2, 0, 1, 1));
    for key in [1, 2] {
        let refused = Refusal::RawRootOfProtectedKey { public_key: public_key(key) };
        assert_eq!(refuse(&ledger, raw_root(key, 1)), refused);
    }
    assert!(ledger.attention().raw_roots.is_empty());
    sign(&ledger, block(1, 11, 1));
}

#[test]
fn where_raw_roots_are_always_allowed_they_mark_a_key_with_history_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Settings { raw_roots: RawRoots::Allow, ..settings(directory.path()) }).unwrap();
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, raw_root(1, 1));
    for request in [block(1, 11, 1), block(1, 10, 1), attestation(1, 0, 1, 1)] {
        assert_eq!(refuse(&ledger, request), Refusal::RawRootSigned { public_key: public_key(1) });
    }
    sign(&ledger, raw_root(1, 1));
}

#[test]
fn both_watermarks_lifted_together_let_blocks_and_attestations_be_signed_again() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, raw_root(1, 1));
    for (slot, epoch) in [(Some(Slot(320)), None), (None, Some(Epoch(10)))] {
        let raised = wait(ledger.raise(slot, epoch, Selection::All)).unwrap();
        assert_eq!((raised.raised, raised.still_refused.count()), (1, 1));
        refuse(&ledger, block(1, 400, 1));
    }
    let raised = wait(ledger.raise(Some(Slot(320)), Some(Epoch(10)), Selection::All)).unwrap();
    assert_eq!((raised.raised, raised.still_refused.is_empty()), (1, true));
    refuse(&ledger, block(1, 320, 1));
    refuse(&ledger, attestation(1, 9, 11, 1));
    refuse(&ledger, attestation(1, 10, 10, 1));
    sign(&ledger, block(1, 321, 1));
    sign(&ledger, attestation(1, 10, 11, 1));
    refuse(&ledger, raw_root(1, 2));
    drop(ledger);
    sign(&open(directory.path()), block(1, 322, 1));
}

#[test]
fn watermarks_below_the_present_do_not_let_blocks_and_attestations_be_signed_again() {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Slot 1,000, epoch 31, and a slot lasts as long as the test can take.
    let clock = GenesisClock {
        genesis_time: now - 1_000_000 - 500,
        slot_duration: Duration::from_secs(1_000),
        slots_per_epoch: 32,
    };
    let ledger = Ledger::open(Settings { clock: Some(clock), ..settings(directory.path()) }).unwrap();
    sign(&ledger, raw_root(1, 1));
    for (slot, epoch) in [(999, 31), (1_000, 30), (0, 0)] {
        let raised = wait(ledger.raise(Some(Slot(slot)), Some(Epoch(epoch)), Selection::All)).unwrap();
        assert_eq!(raised.present, Some((Slot(1_000), Epoch(31))));
        assert_eq!(raised.still_refused.count(), 1);
        refuse(&ledger, attestation(1, 31, 32, 1));
    }
    wait(ledger.raise(Some(Slot(1_000)), Some(Epoch(31)), Selection::All)).unwrap();
    sign(&ledger, attestation(1, 31, 32, 1));
}

#[test]
fn a_deletion_an_import_and_a_history_do_not_take_the_mark_off() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, raw_root(1, 1));
    let report = wait(ledger.delete(&[Deletion { public_key: public_key(1), active: true }])).unwrap();
    assert_eq!(report.raw_root_signed, HashSet::from([public_key(1)]));
    assert!(ledger.attention().raw_roots.is_empty(), "a deleted key signs nothing at all");
    let activations = || vec![Activation::of(public_key(1), None)];
    let history = format!(
        r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}},
            "data": [{{"pubkey": "{}", "signed_blocks": [{{"slot": "5"}}],
                "signed_attestations": [{{"source_epoch": "2", "target_epoch": "3"}}]}}]}}"#,
        public_key(1)
    );
    let history = Interchange::parse(history.as_bytes()).unwrap();
    let activated = wait(ledger.activate(activations(), Some(history))).unwrap().unwrap();
    let past = Past { deleted: true, raw_root_signed: true };
    assert_eq!(activated, [ActivationOutcome::Active { key: Some(Activated(public_key(1))), past }]);
    assert_eq!(refuse(&ledger, block(1, 10, 1)), Refusal::RawRootSigned { public_key: public_key(1) });
    // It has a history now, so nothing unprotected is added to it.
    refuse(&ledger, raw_root(1, 1));
    let exported = wait(ledger.export(Selection::All)).unwrap();
    assert_eq!(exported.raw_roots.count(), 1);
    let status = wait(ledger.status(Selection::All)).unwrap();
    assert!(status.keys[0].raw_root_signed);
}

#[test]
fn any_high_watermark_stops_raw_roots_under_every_policy() {
    for raw_roots in [RawRoots::UnprotectedKeys, RawRoots::Allow] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(Settings { raw_roots, ..settings(directory.path()) }).unwrap();
        sign(&ledger, raw_root(1, 1));
        for stop in [
            HighWatermark { slot: Some(Slot(u64::MAX)), epoch: None },
            HighWatermark { slot: None, epoch: Some(Epoch(u64::MAX)) },
        ] {
            wait(ledger.set_high_watermark(stop)).unwrap();
            for key in [1, 2] {
                assert_eq!(refuse(&ledger, raw_root(key, 1)), Refusal::StoppedRawRoots);
            }
        }
        wait(ledger.set_high_watermark(HighWatermark::default())).unwrap();
        sign(&ledger, raw_root(1, 1));
    }
}

/// Thirty-two at once ask for one key, raw roots and messages, alone and several in one request.
#[test]
fn of_raw_roots_and_messages_at_once_only_one_sort_is_signed() {
    const THREADS: u8 = 32;
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let (mut raw, mut typed) = (0, 0);
    for key in 1..=40 {
        let barrier = Barrier::new(usize::from(THREADS));
        let signed = thread::scope(|scope| {
            let ask_for = |number: u8| {
                let (ledger, barrier) = (&ledger, &barrier);
                scope.spawn(move || {
                    let requests = match number % 4 {
                        0 => vec![raw_root(key, number)],
                        1 => vec![block(key, 10 + u64::from(number), number)],
                        2 => vec![attestation(key, 0, 10 + u64::from(number), number), raw_root(key, number)],
                        _ => vec![raw_root(key, number), block(key, 10 + u64::from(number), number)],
                    };
                    barrier.wait();
                    let verdicts = wait(ledger.judge_all(&requests)).unwrap();
                    let pass = requests.into_iter().zip(verdicts).filter_map(|(request, verdict)| {
                        let Verdict::Allowed(judged) = verdict else { return None };
                        wait(judged.cleared()).unwrap();
                        Some(matches!(request.claim, Claim::RawRoot))
                    });
                    pass.collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = (0..THREADS).map(ask_for).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<HashSet<_>>()
        });
        assert_eq!(signed.len(), 1, "key {key}: raw roots and messages were signed");
        if signed.contains(&true) { raw += 1 } else { typed += 1 }
    }
    println!("{raw} keys signed raw roots, {typed} blocks and attestations");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    RawRoot(u8),
    Block(u64),
    Attestation(u64),
    Raise { slot: bool, epoch: bool },
    DeleteAndActivate,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::RawRoot),
        (1u64..50).prop_map(Step::Block),
        (1u64..50).prop_map(Step::Attestation),
        (any::<bool>(), any::<bool>()).prop_map(|(slot, epoch)| Step::Raise { slot, epoch }),
        Just(Step::DeleteAndActivate),
        Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Between two liftings of both watermarks a key signs raw roots or messages, and never both.
    #[test]
    fn a_key_never_signs_both_sorts(steps in prop::collection::vec(step(), 1..25)) {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Some(open(directory.path()));
        let (mut raw_signed, mut has_history) = (false, false);
        for step in steps {
            let here = ledger.as_ref().unwrap();
            match step {
                Step::RawRoot(root) => {
                    let signed = ask(here, raw_root(1, root)).unwrap().is_ok();
                    prop_assert_eq!(signed, !has_history);
                    raw_signed |= signed;
                }
                Step::Block(slot) => {
                    let signed = ask(here, block(1, slot, 1)).unwrap().is_ok();
                    prop_assert!(!(signed && raw_signed));
                    has_history |= signed;
                }
                Step::Attestation(target) => {
                    let signed = ask(here, attestation(1, 0, target, 1)).unwrap().is_ok();
                    prop_assert!(!(signed && raw_signed));
                    has_history |= signed;
                }
                Step::Raise { slot, epoch } => {
                    let key = Selection::Only(HashSet::from([public_key(1)]));
                    let (slot, epoch) = (slot.then_some(Slot(0)), epoch.then_some(Epoch(0)));
                    wait(here.raise(slot, epoch, key)).unwrap();
                    has_history |= slot.is_some() || epoch.is_some();
                    raw_signed &= slot.is_none() || epoch.is_none();
                }
                Step::DeleteAndActivate => {
                    let deletion = Deletion { public_key: public_key(1), active: true };
                    wait(here.delete(&[deletion])).unwrap();
                    let activation = Activation::of(public_key(1), None);
                    wait(here.activate(vec![activation], None)).unwrap().unwrap();
                }
                Step::Restart => {
                    drop(ledger.take());
                    ledger = Some(open(directory.path()));
                }
            }
        }
    }
}
