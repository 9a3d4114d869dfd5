//! Order, sharing, hand-over and end of the work.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::bls::RootTables;
use crate::caller::Source;
use crate::duty::Duty;
use crate::keys::{OpenedKey, SecretKey};
use crate::ledger::{Activation, ActivationOutcome, Ledger, Missing, Settings, Unprotected, Verdict};
use crate::network::Network;
use crate::signing_policy::SigningPolicy;
use crate::sys::locked_memory::LockedMemory;

static A: Share = Share::Peer(Source::User(1));
static B: Share = Share::Peer(Source::User(2));

#[test]
fn all_threads_share_the_work_and_every_result_comes_back() {
    let pool = pool(4);
    let results: Vec<_> = (0..500_u32).map(|i| pool.run(A.clone(), Priority::Vote, move |_| i * 2)).collect();
    for (i, result) in (0..).zip(results) {
        assert_eq!(wait(result), Ok(i * 2));
    }
}

#[test]
fn a_block_goes_before_votes_and_votes_before_the_rest() {
    let (pool, gate) = occupied();
    let (order, seen) = mpsc::channel();
    let waiting = [
        (Priority::Other, "other"),
        (Priority::Vote, "vote 1"),
        (Priority::Vote, "vote 2"),
        (Priority::Block, "block"),
    ]
    .map(|(priority, name)| {
        let order = order.clone();
        pool.run(A.clone(), priority, move |_| order.send(name).unwrap())
    });
    gate.send(()).unwrap();
    for result in waiting {
        wait(result).unwrap();
    }
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["block", "vote 1", "vote 2", "other"]);
}

#[test]
fn anothers_vote_waits_for_one_piece_of_a_batch() {
    let (pool, gate) = occupied();
    let (order, seen) = mpsc::channel();
    let run = |share, name| {
        let order = order.clone();
        pool.run(share, Priority::Vote, move |_| order.send(name).unwrap())
    };
    let waiting = [
        run(A.clone(), "a"),
        run(A.clone(), "a"),
        run(A.clone(), "a"),
        run(B.clone(), "b"),
        run(B.clone(), "b"),
    ];
    gate.send(()).unwrap();
    for result in waiting {
        wait(result).unwrap();
    }
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["a", "b", "a", "b", "a"]);
}

#[test]
fn a_block_is_handed_over_before_more_work_begins() {
    let (pool, gate) = occupied();
    let (go_on, stopped) = mpsc::channel::<()>();
    let block = pool.run(A.clone(), Priority::Block, |backlog| backlog);
    let vote = pool.run(A.clone(), Priority::Vote, move |backlog| {
        stopped.recv().unwrap();
        backlog
    });
    gate.send(()).unwrap();
    // Would never come if it was kept for the vote's result.
    assert_eq!(wait(block), Ok(Backlog::MoreWork));
    go_on.send(()).unwrap();
    assert_eq!(wait(vote), Ok(Backlog::Empty));
}

#[test]
fn a_vote_s_result_is_not_kept_while_another_s_batch_is_computed() {
    let (pool, gate) = occupied();
    let (go_on, stopped) = mpsc::channel::<()>();
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let vote = pool.presign(B.clone(), Priority::Vote, vec![judged_block(&ledger)]);
    let part = (0..8).map(|_| judged_block(&ledger)).collect();
    let part = pool.presign(A.clone(), Priority::Vote, part);
    let next = pool.run(A.clone(), Priority::Vote, move |_| stopped.recv().unwrap());
    gate.send(()).unwrap();
    // Would never come if it was kept until the next of the batch is done.
    assert_eq!(wait(vote).unwrap().len(), 1);
    go_on.send(()).unwrap();
    assert_eq!(wait(part).unwrap().len(), 8);
    wait(next).unwrap();
}

#[test]
fn a_block_s_record_is_made_while_it_waits_for_a_core() {
    let (pool, gate) = occupied();
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let judged = judged_block(&ledger);
    let records = || ledger.commits().records.sum();
    let before = records();
    let block = pool.presign(A.clone(), Priority::Block, vec![judged]);
    let deadline = Deadline::after(Duration::from_secs(60));
    while records() == before {
        assert!(!deadline.left().is_zero(), "the record waits for the multiplication");
        thread::yield_now();
    }
    gate.send(()).unwrap();
    assert_eq!(wait(block).unwrap().len(), 1);
}

#[test]
fn each_time_that_all_threads_come_to_rest_the_last_says_so() {
    let (rest, rests) = mpsc::channel();
    let at_rest = move || rest.send(()).unwrap_or_default();
    let pool =
        SigningPool::with_threads(NonZeroUsize::new(3).unwrap(), HashCache::new(RootTables::On), at_rest)
            .unwrap();
    for _ in 0..100 {
        let results: Vec<_> = (0..10).map(|i| pool.run(A.clone(), Priority::Vote, move |_| i)).collect();
        assert!(results.into_iter().all(|result| wait(result).is_ok()));
        rests.recv().unwrap();
    }
}

#[test]
fn work_that_nobody_waits_for_any_more_is_not_begun() {
    let (pool, gate) = occupied();
    let begun = Arc::new(AtomicUsize::new(0));
    let count = || {
        let begun = Arc::clone(&begun);
        pool.run(A.clone(), Priority::Vote, move |_| begun.fetch_add(1, Ordering::Relaxed))
    };
    let (wanted, unwanted) = (count(), count());
    drop(unwanted);
    let last = count();
    gate.send(()).unwrap();
    wait(wanted).unwrap();
    wait(last).unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

#[test]
fn who_waits_when_the_workers_go_is_told() {
    let (pool, gate) = occupied();
    let never = pool.run(A.clone(), Priority::Vote, |_| ());
    let closing = thread::spawn(move || drop(pool));
    assert_eq!(wait(never), Err(PoolClosed));
    gate.send(()).unwrap();
    closing.join().unwrap();
}

#[test]
fn what_cannot_be_signed_in_time_is_refused_and_anothers_few_keys_are_not() {
    let (pool, gate) = occupied();
    let waiting: Vec<_> = (0..1_000).map(|_| pool.run(A.clone(), Priority::Vote, |_| ())).collect();
    let vote = |share: &Share, keys| {
        pool.refuse_late(share, Priority::Vote, keys, Deadline::after(Duration::from_secs(600)))
    };
    assert_eq!(vote(&A, 1_000_000), Ok(()), "nothing is known yet of how long it takes");
    for _ in 0..100 {
        pool.shared.queue().key_times.note(Duration::from_secs(1));
    }
    let busy = vote(&A, 1).unwrap_err();
    assert_eq!(busy.needed, Duration::from_secs(1_001));
    assert!(busy.to_string().contains("Nothing was recorded"), "{busy}");
    assert_eq!(vote(&B, 1), Ok(()), "it has its turn after one of the others");
    assert_eq!(vote(&B, 200), Ok(()));
    assert_eq!(vote(&B, 400).map_err(|busy| busy.needed), Err(Duration::from_secs(800)));
    let late = pool.refuse_late(&A, Priority::Block, 1, Deadline::after(Duration::ZERO));
    assert_eq!(late.map_err(|busy| busy.needed), Err(Duration::from_secs(1)), "a block goes before votes");
    gate.send(()).unwrap();
    waiting.into_iter().for_each(|result| wait(result).unwrap());
}

#[test]
fn what_is_announced_counts_until_it_is_queued_or_given_up() {
    let (pool, gate) = occupied();
    for _ in 0..100 {
        pool.shared.queue().key_times.note(Duration::from_secs(1));
    }
    let needed = |share: &Share, keys| {
        let late = pool.refuse_late(share, Priority::Vote, keys, Deadline::after(Duration::ZERO));
        late.unwrap_err().needed.as_secs()
    };
    let announce =
        |keys| pool.announce(A.clone(), Priority::Vote, keys, Deadline::after(Duration::from_secs(600)));
    let mut announced = announce(400).unwrap();
    assert_eq!((needed(&A, 1), needed(&B, 1), needed(&B, 300)), (401, 2, 600));
    assert_eq!(announce(400).map(drop).map_err(|busy| busy.needed), Err(Duration::from_secs(800)));

    let waiting: Vec<_> = (0..100).map(|_| pool.run(A.clone(), Priority::Vote, |_| ())).collect();
    announced.discount(100);
    assert_eq!((needed(&A, 1), needed(&B, 1)), (401, 2), "as much as before");
    drop(announced);
    assert_eq!((needed(&A, 1), needed(&B, 1)), (101, 2));
    gate.send(()).unwrap();
    waiting.into_iter().for_each(|result| wait(result).unwrap());
    assert_eq!(needed(&A, 1), 1);
}

/// One thread, busy until the sender is used.
fn occupied() -> (SigningPool, mpsc::Sender<()>) {
    let (pool, (gate, opened), (begun, is_begun)) = (pool(1), mpsc::channel(), mpsc::channel());
    drop(pool.run(A.clone(), Priority::Block, |_| ())); // wakes nobody up for nothing
    let occupied = pool.run(A.clone(), Priority::Block, move |_| {
        begun.send(()).unwrap();
        opened.recv().unwrap();
    });
    is_begun.recv().unwrap();
    drop(occupied);
    (pool, gate)
}

fn ledger(directory: &Path) -> Ledger {
    let settings = Settings { missing: Missing::Create, ..Settings::new(directory.join("state")) };
    Ledger::open(settings).unwrap()
}

fn judged_block(ledger: &Ledger) -> Judged<Arc<Key>> {
    let secret = SecretKey::new(&[1; 32], &LockedMemory::new().unwrap()).unwrap();
    let activation = Activation::of(OpenedKey::new(secret, None), None);
    let Some(ActivationOutcome::Active { key: Some(activated), .. }) =
        Unprotected::accepted().activate(vec![activation]).pop()
    else {
        panic!("a ledger that is off activates every key")
    };
    let (zero, chain) = ("00".repeat(32), "4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95");
    let body = format!(
        r#"{{"type": "BLOCK_V2", "fork_info": {{"fork": {{"previous_version": "0x04000000",
            "current_version": "0x05000000", "epoch": "364032"}}, "genesis_validators_root": "0x{chain}"}},
            "beacon_block": {{"version": "ELECTRA", "block_header": {{"slot": "12000000", "proposer_index": "1",
            "parent_root": "0x{zero}", "state_root": "0x{zero}", "body_root": "0x{zero}"}}}}}}"#
    );
    let duty = Duty::parse(body.as_bytes(), &Network::load("mainnet").unwrap()).unwrap();
    let permitted = SigningPolicy::permit_everybody(Arc::new(Key::imported(activated)), &duty).unwrap();
    match wait(ledger.submit(permitted, Deadline::after(Duration::from_secs(60)))).unwrap() {
        Verdict::Allowed(judged) => judged,
        Verdict::Refused(refusal) => panic!("{refusal}"),
    }
}

fn pool(threads: usize) -> SigningPool {
    SigningPool::with_threads(NonZeroUsize::new(threads).unwrap(), HashCache::new(RootTables::On), || ())
        .unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
