//! A second judge beside the ledger: what it refuses, what it does not say, and what happens while it is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::memory_judge::{MemoryJudge, Way};
use super::*;
use crate::ledger::full_history::{History, Message};
use crate::ledger::refusal::Recorded;
use crate::ledger::{Activation, Health, HighWatermark, Selection};
use crate::raw_roots::RawRoots;

#[test]
fn what_one_host_has_signed_another_is_refused_and_the_identical_message_passes_on_both() {
    let (shared, directories) =
        (MemoryJudge::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let [one, two] = directories.each_ref().map(|directory| host(directory.path(), &shared));
    sign(&one, block(1, 10, 1));
    sign(&one, block(2, 10, 1));
    let refused = Refusal::SignedElsewhere { record: Recorded::Slot(Slot(10)) };
    assert_eq!(refuse(&two, block(2, 10, 2)), refused);
    sign(&two, block(1, 10, 1));
    sign(&two, attestation(1, 2, 3, 1));
    assert!(matches!(refuse(&one, attestation(1, 1, 4, 1)), Refusal::SignedElsewhere { .. }));
}

#[test]
fn a_late_refusal_in_a_batch_is_that_keys_alone_and_the_batch_is_asked_at_once() {
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    let ledger = host(directory.path(), &shared);
    shared.refuse(public_key(2));
    let votes = [1, 2, 3].map(|key| attestation(key, 0, 1, 1));
    let verdicts = wait(ledger.judge_all(&votes)).unwrap();
    let cleared = verdicts.into_iter().map(|verdict| match verdict {
        Verdict::Allowed(judged) => cleared_or_refused(wait(judged.cleared())).unwrap().is_ok(),
        Verdict::Refused(refusal) => panic!("{refusal}"),
    });
    assert_eq!(cleared.collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(shared.batches(), [3]);
}

#[test]
fn a_repeat_that_needs_no_write_here_is_asked_of_the_second_judge() {
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    let ledger = host(directory.path(), &shared);
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, block(1, 10, 1));
    assert_eq!(shared.batches(), [1, 1]);
    shared.refuse(public_key(1));
    refuse(&ledger, block(1, 10, 1));
}

#[test]
fn what_is_foreseen_without_the_second_judge_says_so() {
    let (shared, directories) =
        (MemoryJudge::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let [one, two] = directories.each_ref().map(|directory| host(directory.path(), &shared));
    sign(&one, block(1, 10, 1));
    let asked = shared.batches();
    let foresight = wait(two.foresee(public_key(1), Some(Slot(10)), None)).unwrap();
    assert!(
        foresight.second_judge_not_asked && foresight.refusals.iter().all(|(_, refusal)| refusal.is_none())
    );
    assert_eq!(shared.batches(), asked);
}

#[test]
fn while_the_second_judge_is_away_nothing_is_recorded_and_no_order_carried_out() {
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    let ledger = host(directory.path(), &shared);
    sign(&ledger, block(1, 10, 1));
    shared.set(Way::Away);
    until_away(&ledger);
    for late in [block(1, 11, 1), attestation(1, 0, 1, 1), raw_root(2, 1)] {
        assert!(matches!(fail(&ledger, late), Fault::SecondJudgeAway { .. }));
    }
    sign(&ledger, request(1, 1, Claim::Unslashable));
    let stop = HighWatermark { slot: Some(Slot(11)), epoch: None };
    assert!(matches!(wait(ledger.set_high_watermark(stop)), Err(Fault::SecondJudgeAway { .. })));
    let deletion = Deletion { public_key: public_key(1), active: true };
    assert!(matches!(wait(ledger.delete(&[deletion])), Err(Fault::SecondJudgeAway { .. })));
    assert!(wait(ledger.status(Selection::All)).is_err() && wait(ledger.export(Selection::All)).is_err());
    assert_eq!(wait(ledger.keystores(0, 1)).unwrap().next(), None);

    shared.set(Way::Open);
    assert!(matches!(ledger.health(), Health::Working));
    // Other messages than those that were not recorded.
    sign(&ledger, block(1, 11, 9));
    sign(&ledger, attestation(1, 0, 1, 9));
    let status = wait(ledger.status(Selection::All)).unwrap();
    assert_eq!((status.high_watermark, status.keys.len()), (HighWatermark::default(), 1));
}

#[test]
fn a_request_that_waits_for_the_second_judge_goes_on_when_that_answers() {
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    let patient = Settings { second_judge: Some(shared.clone()), ..settings(directory.path()) };
    let ledger = Ledger::open(patient).unwrap();
    shared.set(Way::Delayed);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sign(&ledger, block(1, 11, 1)));
        until_away(&ledger);
        let second = scope.spawn(|| sign(&ledger, block(2, 11, 1)));
        assert!(!first.is_finished() && !second.is_finished());
        shared.set(Way::Open);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn an_order_of_the_first_moments_waits_until_this_host_has_joined() {
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    shared.set(Way::Delayed);
    let patient = Duration::from_secs(60);
    let ledger =
        Ledger::open(Settings { order_timeout: patient, ..beside(directory.path(), &shared) }).unwrap();
    until_away(&ledger);
    std::thread::scope(|scope| {
        let imported = scope.spawn(|| wait(ledger.activate(vec![Activation::of(public_key(1), None)], None)));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!imported.is_finished(), "{:?}", imported.join());
        shared.set(Way::Open);
        imported.join().unwrap().unwrap().unwrap();
    });
    assert_eq!(wait(ledger.status(Selection::All)).unwrap().keys.len(), 1);
}

#[test]
fn of_an_unknown_outcome_the_same_message_passes_when_asked_again_and_another_does_not() {
    for way in [Way::Breaks, Way::LosesAnswers] {
        let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
        let ledger = host(directory.path(), &shared);
        shared.set(way);
        assert!(matches!(fail(&ledger, block(1, 10, 1)), Fault::SecondJudgeUnknown { .. }), "{way:?}");
        shared.set(Way::Open);
        refuse(&ledger, block(1, 10, 2));
        sign(&ledger, block(1, 10, 1));
    }
}

#[test]
fn an_order_of_unknown_outcome_is_a_fault_and_can_be_given_again() {
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    let ledger = host(directory.path(), &shared);
    sign(&ledger, block(1, 10, 1));
    shared.set(Way::Breaks);
    let deletion = Deletion { public_key: public_key(1), active: true };
    assert!(matches!(wait(ledger.delete(&[deletion])), Err(Fault::SecondJudgeUnknown { .. })));
    shared.set(Way::Open);
    wait(ledger.delete(&[deletion])).unwrap();
    assert_eq!(refuse(&ledger, block(1, 11, 1)), Refusal::Deleted { public_key: public_key(1) });
}

#[test]
fn an_order_on_one_host_is_in_force_on_the_other() {
    let (shared, directories) =
        (MemoryJudge::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let [one, two] = directories.each_ref().map(|directory| host(directory.path(), &shared));
    sign(&one, block(1, 10, 1));
    sign(&two, block(1, 20, 1));
    let report = wait(one.delete(&[Deletion { public_key: public_key(1), active: true }])).unwrap();
    assert!(report.interchange.contains("\"20\""), "what the other host signed: {}", report.interchange);
    assert_eq!(refuse(&two, block(1, 21, 1)), Refusal::Deleted { public_key: public_key(1) });
    wait(two.activate(vec![Activation::of(public_key(1), None)], None)).unwrap().unwrap();
    sign(&two, block(1, 22, 1));

    let stop = HighWatermark { slot: Some(Slot(30)), epoch: None };
    wait(one.set_high_watermark(stop)).unwrap();
    assert_eq!(refuse(&two, block(1, 30, 1)), Refusal::StoppedAtSlot { slot: Slot(30), stop: Slot(30) });
    assert_eq!(wait(two.status(Selection::All)).unwrap().high_watermark, stop);
}

#[test]
fn a_ledger_with_history_brings_it_in_and_a_new_one_takes_it_over() {
    let (shared, directories) =
        (MemoryJudge::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    sign(&open(directories[0].path()), block(1, 10, 1));
    let [_one, two] = directories.each_ref().map(|directory| host(directory.path(), &shared));
    assert_eq!(wait(two.status(Selection::All)).unwrap().keys.len(), 1);
    refuse(&two, block(1, 10, 2));
}

#[test]
fn raw_roots_are_refused_beside_a_second_judge_unless_they_are_always_allowed() {
    for raw_roots in [RawRoots::UnprotectedKeys, RawRoots::Refuse] {
        let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
        let ledger = Ledger::open(Settings { raw_roots, ..beside(directory.path(), &shared) }).unwrap();
        let refused = Refusal::RawRootOfSharedKey { public_key: public_key(1) };
        assert_eq!(refuse(&ledger, raw_root(1, 1)), refused);
        sign(&ledger, block(1, 10, 1));
    }
    let (shared, directory) = (MemoryJudge::new(), tempfile::tempdir().unwrap());
    let allow = Settings { raw_roots: RawRoots::Allow, ..beside(directory.path(), &shared) };
    sign(&Ledger::open(allow).unwrap(), raw_root(1, 1));
}

#[test]
fn of_two_hosts_that_ask_for_contradictions_at_once_one_gets_each() {
    let (shared, directories) =
        (MemoryJudge::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let settings = directories
        .each_ref()
        .map(|directory| Settings { second_judge: Some(shared.clone()), ..settings(directory.path()) });
    let hosts = settings.map(|settings| Ledger::open(settings).unwrap());
    for slot in 1..40 {
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (host, root) in hosts.iter().zip([1, 2]) {
                let passed = &passed;
                scope.spawn(move || {
                    if ask(host, block(1, slot, root)).unwrap().is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1, "slot {slot}");
    }
}

fn step() -> impl Strategy<Value = (usize, Way, Request)> {
    let way = prop_oneof![
        6 => Just(Way::Open),
        1 => Just(Way::Delayed),
        1 => Just(Way::LosesQuestions),
        1 => Just(Way::LosesAnswers),
        1 => Just(Way::Breaks),
        1 => Just(Way::Away),
    ];
    let message = prop_oneof![
        (1..3u8, 1..6u64, 1..4u8).prop_map(|(key, slot, root)| block(key, slot, root)),
        (1..3u8, 0..4u64, 0..6u64, 1..4u8)
            .prop_map(|(key, source, target, root)| { attestation(key, source, target, root) }),
    ];
    (0..2usize, way, message)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is lost or late on the way: what both hosts sign together is never slashable.
    #[test]
    fn two_hosts_never_sign_a_contradiction(steps in prop::collection::vec(step(), 1..40)) {
        let shared = MemoryJudge::new();
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let hosts = directories.each_ref().map(|directory| {
            let hasty = Duration::from_millis(10);
            Ledger::open(Settings { order_timeout: hasty, ..beside(directory.path(), &shared) }).unwrap()
        });
        let mut history = History::default();
        for (host, way, request) in steps {
            shared.set(way);
            if let Ok(Ok(_)) = ask(&hosts[host], request) {
                let (key, root) = (request.public_key.0, request.signing_root.0);
                let message = match request.claim {
                    Claim::Block { slot } => Message::Block { slot: slot.0, root },
                    Claim::Attestation { source, target } => {
                        Message::Attestation { source: source.0, target: target.0, root }
                    }
                    Claim::RawRoot | Claim::Unslashable => panic!("no step asks for it"),
                };
                prop_assert_eq!(history.contradiction(key, message), None);
                history.sign(key, message);
            }
            // What was delayed arrives now, when nobody waits for it any more.
            shared.set(Way::Open);
        }
    }
}

/// A host that does not wait for long.
fn host(directory: &Path, shared: &Arc<MemoryJudge>) -> Ledger {
    Ledger::open(beside(directory, shared)).unwrap()
}

fn beside(directory: &Path, shared: &Arc<MemoryJudge>) -> Settings {
    Settings {
        second_judge: Some(shared.clone()),
        order_timeout: Duration::from_secs(2),
        ..settings(directory)
    }
}

fn until_away(ledger: &Ledger) {
    let end = Instant::now() + Duration::from_secs(20);
    while !matches!(ledger.health(), Health::SecondJudgeAway(_)) {
        assert!(Instant::now() < end, "the silence is not noticed");
        std::thread::sleep(Duration::from_millis(5));
    }
}
