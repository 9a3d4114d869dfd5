//! What passes, what is refused, and what a restart remembers.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

#[test]
fn refuses_contradictions_and_signs_repeats_again() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(1, 2, 3, 2));
    sign(&ledger, attestation(1, 2, 3, 2));
    assert_eq!(refuse(&ledger, block(1, 10, 9)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    assert_eq!(
        refuse(&ledger, attestation(1, 2, 3, 9)),
        Refusal::OtherVoteForTarget { target_epoch: Epoch(3) }
    );
    sign(&ledger, block(2, 10, 9));
}

#[test]
fn a_restart_remembers_everything() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        sign(&ledger, attestation(1, 2, 3, 2));
        sign(&ledger, attestation(2, u64::MAX - 1, u64::MAX, 3));
    }
    let ledger = Ledger::open(Settings { missing: Missing::Refuse, ..settings(directory.path()) }).unwrap();
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(1, 2, 3, 2));
    sign(&ledger, attestation(2, u64::MAX - 1, u64::MAX, 3));
    assert_eq!(refuse(&ledger, block(1, 10, 9)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    assert_eq!(
        refuse(&ledger, attestation(1, 1, 9, 9)),
        Refusal::SourceBelow { source_epoch: Epoch(1), highest: Epoch(2) }
    );
    assert_eq!(
        refuse(&ledger, attestation(2, u64::MAX - 1, u64::MAX - 1, 4)),
        Refusal::TargetNotAbove { target_epoch: Epoch(u64::MAX - 1), highest: Epoch(u64::MAX) }
    );
}

#[test]
fn exactly_one_of_two_contradictions_in_one_batch_passes() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let requests = vec![block(1, 5, 1), block(1, 5, 2), block(1, 5, 1), attestation(1, 0, 1, 3)];
    let verdicts = wait(ledger.judge_all(&requests)).unwrap();
    assert!(
        matches!(
            verdicts.as_slice(),
            [
                Verdict::Allowed(_),
                Verdict::Refused(Refusal::OtherBlockAtSlot { slot: Slot(5) }),
                Verdict::Allowed(_),
                Verdict::Allowed(_)
            ]
        ),
        "{verdicts:?}"
    );
    for verdict in verdicts {
        if let Verdict::Allowed(judged) = verdict {
            wait(judged.cleared()).unwrap();
        }
    }
}

#[test]
fn of_a_thousand_contradictions_on_as_many_threads_one_passes() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let (barrier, passed) = (Barrier::new(1_000), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..1_000u64 {
            let (ledger, barrier, passed) = (&ledger, &barrier, &passed);
            scope.spawn(move || {
                let mut contradiction = attestation(1, 3, 4, 0);
                contradiction.signing_root.0[..8].copy_from_slice(&number.to_be_bytes());
                barrier.wait();
                match ask(ledger, contradiction).unwrap() {
                    Ok(_) => drop(passed.fetch_add(1, Ordering::Relaxed)),
                    Err(refusal) => {
                        assert_eq!(refusal, Refusal::OtherVoteForTarget { target_epoch: Epoch(4) });
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 1);
}

#[test]
fn the_first_request_pins_the_chain_and_another_chain_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let other = Root([0xEE; 32]);
    let stray = Request { chain: Some(other), ..block(1, 99, 1) };
    {
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        assert_eq!(refuse(&ledger, stray), Refusal::OtherChain { requested: other, pinned: CHAIN });
    }
    let ledger = open(directory.path());
    assert_eq!(refuse(&ledger, stray), Refusal::OtherChain { requested: other, pinned: CHAIN });
    assert_eq!(refuse(&ledger, Request { chain: None, ..block(1, 99, 1) }), Refusal::NoChain);
    sign(&ledger, block(1, 11, 1));
}

#[test]
fn that_the_chain_is_another_one_is_told_before_anything_else() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(1, 2, 3, 2));
    let other = Root([0xEE; 32]);
    for known in [block(1, 10, 1), block(1, 9, 9), attestation(1, 2, 3, 2), attestation(1, 1, 2, 9)] {
        let stray = Request { chain: Some(other), ..known };
        assert_eq!(refuse(&ledger, stray), Refusal::OtherChain { requested: other, pinned: CHAIN });
        assert_eq!(refuse(&ledger, Request { chain: None, ..known }), Refusal::NoChain);
    }
}

#[test]
fn duties_that_cannot_be_slashed_need_no_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let ledger =
        Ledger::open(Settings { order_timeout: Duration::ZERO, ..settings(directory.path()) }).unwrap();
    sign(&ledger, request(1, 1, Claim::Unslashable));
}

#[test]
fn a_ping_comes_back_when_all_before_it_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let judged = wait(ledger.judge(&block(1, 10, 1))).unwrap();
    wait(ledger.ping()).unwrap();
    assert!(matches!(judged, Verdict::Allowed(_)));
    drop(ledger);
    let ledger = open(directory.path());
    assert_eq!(refuse(&ledger, block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
}

#[test]
fn ten_thousand_keys_stay_below_four_megabytes() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    for epoch in 1..=8u8 {
        let votes = (0..10_000u64).map(|key| {
            let mut vote = attestation(0, u64::from(epoch) - 1, u64::from(epoch), epoch);
            vote.public_key.0[..8].copy_from_slice(&key.to_be_bytes());
            vote
        });
        for verdict in wait(ledger.judge_all(&votes.collect::<Vec<_>>())).unwrap() {
            let Verdict::Allowed(judged) = verdict else { panic!("{verdict:?}") };
            wait(judged.cleared()).unwrap();
        }
        wait(ledger.ping()).unwrap();
        let size = |name| std::fs::metadata(directory.path().join("state").join(name)).unwrap().len();
        let (database, log) = (size("ledger.sqlite"), size("ledger.sqlite-wal"));
        assert!(database + log < 4_000_000, "epoch {epoch}: {database} bytes and {log} bytes of log");
    }
    // The next process needs no log.
    drop(ledger);
    assert_eq!(std::fs::metadata(directory.path().join("state/ledger.sqlite-wal")).unwrap().len(), 0);
}

#[test]
fn one_exit_a_key_is_signed_where_no_more_may_be_and_that_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let exit = |key, root| Request { only_once: true, ..request(key, root, Claim::Unslashable) };
    for _ in 0..2 {
        let ledger = open(directory.path());
        sign(&ledger, exit(1, 1));
        assert_eq!(refuse(&ledger, exit(1, 2)), Refusal::OtherExitSigned { public_key: public_key(1) });
        sign(&ledger, request(1, 2, Claim::Unslashable));
        sign(&ledger, exit(2, 2));
    }
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    drop(ledger);
    let ledger = open(directory.path());
    assert_eq!(refuse(&ledger, exit(1, 2)), Refusal::OtherExitSigned { public_key: public_key(1) });
    refuse(&ledger, block(1, 10, 2));
    let stray = Request { chain: Some(Root([0xAB; 32])), ..exit(3, 1) };
    assert!(matches!(refuse(&ledger, stray), Refusal::OtherChain { .. }));
}
