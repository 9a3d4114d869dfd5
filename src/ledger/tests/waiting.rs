//! Who waits for what, and for how long: a disk that hangs, an order that takes its time.

use std::pin::Pin;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::fault_vfs::FaultVfs;
use super::power_loss::{open_on, scratch};
use super::*;
use crate::ledger::{HighWatermark, SyncWhen};

#[test]
fn while_a_sync_hangs_what_waits_for_it_is_a_fault_and_what_comes_later_is_not_recorded() {
    let (directory, vfs) = (scratch(), FaultVfs::new(None));
    let ledger = open_on(impatient(directory.path()), vfs);
    sign(&ledger, block(1, 10, 1));

    let hangs = vfs.hang();
    assert!(matches!(fail(&ledger, block(1, 11, 1)), Fault::WaitedTooLong { .. }));
    let came = Instant::now();
    for late in [block(1, 12, 1), block(2, 10, 1), attestation(3, 0, 1, 1)] {
        assert!(matches!(fail(&ledger, late), Fault::WaitedTooLong { .. }));
    }
    assert!(came.elapsed() >= 3 * PATIENCE, "they are to wait: the disk may come back");
    sign(&ledger, request(1, 1, Claim::Unslashable));
    drop(hangs);

    wait(ledger.ping()).unwrap();
    assert_eq!(refuse(&ledger, block(1, 11, 9)), Refusal::OtherBlockAtSlot { slot: Slot(11) });
    sign(&ledger, block(1, 11, 1));
    // Other messages than those that were not recorded.
    for other in [block(1, 12, 9), block(2, 10, 9), attestation(3, 0, 1, 9)] {
        sign(&ledger, other);
    }
}

#[test]
fn while_moving_the_log_hangs_nothing_is_recorded_either() {
    // Long enough for the hang to come first.
    let quiet = Duration::from_secs(3);
    let (directory, vfs) = (scratch(), FaultVfs::new(None));
    let ledger = open_on(Settings { wal_limit_commits: 3, quiet, ..impatient(directory.path()) }, vfs);
    for slot in 10..13 {
        sign(&ledger, block(1, slot, 1));
    }
    let hangs = vfs.hang();
    let queue = ledger.judge.queue();
    let end = Instant::now() + 10 * quiet;
    while !queue.is_stalled() {
        assert!(Instant::now() < end, "the log is not moved");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(fail(&ledger, block(1, 13, 1)), Fault::WaitedTooLong { .. }));
    drop(hangs);
    wait(ledger.ping()).unwrap();
    sign(&ledger, block(1, 13, 9));
}

#[test]
fn where_signing_stops_is_known_while_the_disk_hangs_and_closing_takes_seconds_at_most() {
    let (directory, vfs) = (scratch(), FaultVfs::new(None));
    let ledger = open_on(impatient(directory.path()), vfs);
    let high_watermark = HighWatermark { slot: Some(Slot(20)), epoch: None };
    wait(ledger.set_high_watermark(high_watermark)).unwrap();
    let hangs = vfs.hang();
    assert!(matches!(fail(&ledger, block(1, 10, 1)), Fault::WaitedTooLong { .. }));
    assert_eq!(wait(ledger.high_watermark()).unwrap(), high_watermark);
    let closing = std::thread::spawn(move || drop(ledger));
    while !closing.is_finished() {
        std::thread::sleep(PATIENCE);
    }
    drop(hangs);
}

#[test]
fn a_request_that_waits_for_a_hanging_disk_goes_on_when_the_disk_does() {
    let (directory, vfs) = (scratch(), FaultVfs::new(None));
    let ledger = open_on(settings(directory.path()), vfs);
    sign(&ledger, block(1, 10, 1));
    let hangs = vfs.hang();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| sign(&ledger, block(1, 11, 1)));
        // Long enough for it to be judged after the disk was found to hang.
        std::thread::sleep(PATIENCE);
        let second = scope.spawn(|| sign(&ledger, block(2, 11, 1)));
        std::thread::sleep(PATIENCE);
        assert!(!first.is_finished() && !second.is_finished());
        drop(hangs);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_repeat_waits_for_the_record_of_the_first() {
    let (directory, vfs) = (scratch(), FaultVfs::new(None));
    let ledger = open_on(impatient(directory.path()), vfs);
    let hangs = vfs.hang();
    let verdicts = wait(ledger.judge_all(&[block(1, 10, 1), block(1, 10, 1)])).unwrap();
    for verdict in verdicts {
        let Verdict::Allowed(judged) = verdict else { panic!("{verdict:?}") };
        assert!(matches!(wait(judged.cleared()), Err(Withheld::Fault(Fault::WaitedTooLong { .. }))));
    }
    drop(hangs);
    sign(&ledger, block(1, 10, 1));
}

#[test]
fn what_is_judged_while_a_commit_runs_is_in_the_next_one() {
    let (directory, vfs) = (scratch(), FaultVfs::new(None));
    {
        let ledger = open_on(settings(directory.path()), vfs);
        let hangs = vfs.hang();
        let during: Vec<_> = [block(1, 10, 1), block(1, 11, 1), attestation(1, 0, 1, 1), block(2, 10, 1)]
            .into_iter()
            .map(|request| match wait(ledger.judge(&request)).unwrap() {
                Verdict::Allowed(judged) => {
                    judged.begin_to_record(SyncWhen::Immediately);
                    judged
                }
                Verdict::Refused(refusal) => panic!("{refusal}"),
            })
            .collect();
        assert_eq!(refuse(&ledger, block(2, 10, 9)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
        drop(hangs);
        for judged in during {
            wait(judged.cleared()).unwrap();
        }
    }
    let ledger = open(directory.path());
    assert_eq!(refuse(&ledger, block(1, 11, 9)), Refusal::OtherBlockAtSlot { slot: Slot(11) });
    assert_eq!(
        refuse(&ledger, attestation(1, 0, 1, 9)),
        Refusal::OtherVoteForTarget { target_epoch: Epoch(1) }
    );
    assert_eq!(refuse(&ledger, block(2, 10, 9)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
}

#[test]
fn a_request_that_waited_too_long_for_an_order_is_not_recorded() {
    let directory = scratch();
    let ledger = Ledger::open(impatient(directory.path())).unwrap();
    let busy = Busy::begin(&ledger);
    assert!(matches!(fail(&ledger, block(1, 10, 1)), Fault::WaitedTooLong { .. }));
    busy.end();
    sign(&ledger, block(1, 10, 2));
}

#[test]
fn when_all_places_are_taken_who_comes_next_is_told() {
    let directory = scratch();
    let ledger = Ledger::open(Settings { queue: 1, ..settings(directory.path()) }).unwrap();
    let busy = Busy::begin(&ledger);
    assert!(matches!(fail(&ledger, block(1, 2, 1)), Fault::QueueFull));
    assert!(matches!(wait(ledger.ping()), Err(Fault::QueueFull)));
    sign(&ledger, request(1, 1, Claim::Unslashable));
    busy.end();
    sign(&ledger, block(1, 2, 1));
}

/// An order in the middle of its work.
struct Busy {
    end: mpsc::Sender<()>,
    answer: Pin<Box<dyn Future<Output = Result<(), Fault>>>>,
}

impl Busy {
    fn begin(ledger: &Ledger) -> Self {
        let ((begun, is_begun), (end, ended)) = (mpsc::channel(), mpsc::channel());
        let answer = ledger.order(None, move |_| {
            begun.send(()).unwrap();
            ended.recv().unwrap();
            Ok(())
        });
        is_begun.recv().unwrap();
        Self { end, answer: Box::pin(answer) }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        wait(self.answer).unwrap();
    }
}

fn impatient(directory: &Path) -> Settings {
    Settings { order_timeout: PATIENCE, ..settings(directory) }
}

/// Longer than a commit may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_millis(250);
