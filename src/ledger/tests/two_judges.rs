//! A second judge beside the ledger: what it refuses, does not say, or is not there to say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, prop_assert, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::memory_judge::{MemoryJudge, Way};
use super::*;
use crate::ledger::order::{Activation, ActivationOutcome, Selection};
use crate::ledger::rules::{Watermark, judge_attestation, judge_block};
use crate::ledger::shared_order::SharedOrder;
use crate::ledger::{Health, HighWatermark};
use crate::raw_roots::RawRoots;

#[test]
fn of_two_hosts_that_share_a_judge_one_signs_and_the_other_is_refused_with_the_number() {
    let hosts = Hosts::new();
    let [one, two] = &hosts.ledgers;
    sign(one, block(1, 10, 1));
    let refusal = refuse(two, block(1, 10, 2));
    assert!(matches!(refusal, Refusal::SignedElsewhere { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("slot 10"), "{refusal}");
    sign(two, block(1, 11, 1));
    sign(one, block(1, 11, 1));
    sign(one, attestation(1, 2, 3, 1));
    assert!(matches!(refuse(two, attestation(1, 1, 4, 2)), Refusal::SignedElsewhere { .. }));
}

#[test]
fn a_batch_is_asked_at_once_and_a_refusal_in_it_is_that_keys_alone() {
    let hosts = Hosts::new();
    let [one, _] = &hosts.ledgers;
    hosts.judge.refuse(public_key(2));
    let requests = [block(1, 10, 1), block(2, 10, 1), block(3, 10, 1)];
    let verdicts = wait(one.judge_all(&requests)).unwrap();
    assert_eq!(hosts.judge.batches(), [3]);
    let outcomes: Vec<_> = verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Allowed(judged) => cleared_or_refused(wait(judged.cleared())).unwrap().is_ok(),
            Verdict::Refused(refusal) => panic!("{refusal}"),
        })
        .collect();
    assert_eq!(outcomes, [true, false, true]);
}

#[test]
fn an_identical_repeat_is_asked_again() {
    let hosts = Hosts::new();
    let [one, _] = &hosts.ledgers;
    sign(one, block(1, 10, 1));
    sign(one, block(1, 10, 1));
    assert_eq!(hosts.judge.batches(), [1, 1]);
}

#[test]
fn duties_that_cannot_be_slashed_are_signed_without_a_second_judge() {
    let hosts = Hosts::new();
    hosts.judge.set(Way::Away);
    sign(&hosts.ledgers[0], request(1, 1, Claim::Unslashable));
    assert!(hosts.judge.batches().is_empty());
}

#[test]
fn raw_roots_beside_a_second_judge_need_the_policy_that_allows_them() {
    for policy in [RawRoots::UnprotectedKeys, RawRoots::Refuse] {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { raw_roots: policy, ..beside(directory.path(), &MemoryJudge::new()) };
        let ledger = Ledger::open(settings).unwrap();
        assert!(matches!(refuse(&ledger, raw_root(1, 1)), Refusal::RawRootOfSharedKey { .. }), "{policy:?}");
    }
    sign(&Hosts::new().ledgers[0], raw_root(1, 1));
}

#[test]
fn while_the_second_judge_is_away_nothing_is_recorded_and_nothing_is_broken() {
    let hosts = Hosts::new();
    let [one, two] = &hosts.ledgers;
    sign(one, block(1, 10, 1));
    hosts.judge.set(Way::Away);
    until_away(one);
    assert!(matches!(fail(one, block(1, 11, 1)), Fault::SecondJudgeAway { .. }));
    let order = wait(one.raise(Some(Slot(20)), None, Selection::All));
    assert!(matches!(order, Err(Fault::SecondJudgeAway { .. })), "{order:?}");

    hosts.judge.set(Way::Open);
    // Neither the message nor the order has left a trace, here or there.
    sign(two, block(1, 11, 2));
    assert!(matches!(refuse(one, block(1, 11, 1)), Refusal::SignedElsewhere { .. }));
    sign(one, block(1, 12, 1));
    assert!(matches!(one.health(), Health::Working));
}

#[test]
fn what_may_be_on_record_there_is_asked_for_again_and_nothing_else_is_signed() {
    for way in [Way::Breaks, Way::LosesAnswers] {
        let hosts = Hosts::new();
        let [one, two] = &hosts.ledgers;
        hosts.judge.set(way);
        assert!(matches!(fail(one, block(1, 10, 1)), Fault::SecondJudgeUnknown { .. }), "{way:?}");
        hosts.judge.set(Way::Open);
        assert!(matches!(refuse(two, block(1, 10, 2)), Refusal::SignedElsewhere { .. }), "{way:?}");
        assert!(ask(one, block(1, 10, 2)).unwrap().is_err(), "{way:?}");
        sign(one, block(1, 10, 1));
    }
}

#[test]
fn a_question_that_is_lost_leaves_the_message_to_be_asked_for_again() {
    let hosts = Hosts::new();
    let [one, two] = &hosts.ledgers;
    hosts.judge.set(Way::LosesQuestions);
    assert!(matches!(fail(one, block(1, 10, 1)), Fault::SecondJudgeUnknown { .. }));
    hosts.judge.set(Way::Open);
    sign(one, block(1, 10, 1));
    assert!(matches!(refuse(two, block(1, 10, 2)), Refusal::SignedElsewhere { .. }));
}

#[test]
fn an_answer_that_is_late_but_in_time_lets_the_signature_out() {
    let hosts = Hosts::new();
    let [one, _] = &hosts.ledgers;
    hosts.judge.set(Way::Delayed);
    let Verdict::Allowed(judged) = wait(one.judge(&block(1, 10, 1))).unwrap() else { panic!() };
    hosts.judge.set(Way::Open);
    wait(judged.cleared()).unwrap();
}

#[test]
fn orders_go_to_the_second_judge_first_and_hold_for_all_hosts() {
    let hosts = Hosts::new();
    let [one, two] = &hosts.ledgers;
    sign(one, block(1, 10, 1));
    wait(one.delete(&[Deletion { public_key: public_key(1), active: true }])).unwrap();
    assert!(matches!(refuse(two, block(1, 11, 1)), Refusal::Deleted { .. }));
    let outcome = wait(two.activate(vec![Activation::of(public_key(1), None)], None)).unwrap().unwrap();
    assert!(matches!(&outcome[..], [ActivationOutcome::Active { past, .. }] if past.deleted), "{outcome:?}");
    assert!(ask(two, block(1, 10, 2)).unwrap().is_err());
    sign(two, block(1, 11, 1));

    wait(one.raise(Some(Slot(50)), None, Selection::Only([public_key(1)].into()))).unwrap();
    assert!(matches!(refuse(two, block(1, 50, 1)), Refusal::SignedElsewhere { .. }));
    let stop = HighWatermark { slot: Some(Slot(100)), epoch: None };
    wait(one.set_high_watermark(stop)).unwrap();
    assert!(matches!(refuse(two, block(1, 100, 1)), Refusal::StoppedAtSlot { .. }));
    let exported = wait(one.export(Selection::All)).unwrap().interchange;
    assert!(exported.contains(r#""slot":"50""#), "{exported}");
    let kinds: Vec<_> = hosts.judge.orders().iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 5);
    assert!(matches!(hosts.judge.orders().last(), Some(SharedOrder::Read { .. })));
}

#[test]
fn an_order_of_which_nobody_knows_what_became_changes_nothing_here() {
    let hosts = Hosts::new();
    let [one, _] = &hosts.ledgers;
    sign(one, block(1, 10, 1));
    hosts.judge.set(Way::Breaks);
    let raised = wait(one.raise(Some(Slot(50)), None, Selection::Only([public_key(1)].into())));
    assert!(matches!(raised, Err(Fault::SecondJudgeUnknown { .. })), "{raised:?}");
    hosts.judge.set(Way::Open);
    // It had arrived there, so it holds; a status asked now takes it over.
    assert!(matches!(refuse(one, block(1, 50, 1)), Refusal::SignedElsewhere { .. }));
    let status = wait(one.status(Selection::All)).unwrap();
    assert_eq!(status.keys[0].watermark.block.unwrap().slot, Slot(50));
}

#[test]
fn a_host_that_joins_brings_its_history_and_its_deletions() {
    let directory = tempfile::tempdir().unwrap();
    let alone = open(directory.path());
    sign(&alone, block(1, 10, 1));
    wait(alone.delete(&[Deletion { public_key: public_key(2), active: true }])).unwrap();
    drop(alone);
    let hosts = Hosts::new();
    let joined = Ledger::open(beside(directory.path(), &hosts.judge)).unwrap();
    let [other, _] = &hosts.ledgers;
    assert!(matches!(refuse(other, block(1, 10, 2)), Refusal::SignedElsewhere { .. }));
    assert!(matches!(refuse(other, block(2, 10, 1)), Refusal::Deleted { .. }));
    sign(&joined, block(1, 10, 1));
}

#[test]
fn a_second_judge_of_another_chain_carries_nothing_over() {
    let hosts = Hosts::new();
    let directory = tempfile::tempdir().unwrap();
    let settings = beside(directory.path(), &hosts.judge);
    let other = Root([0xC5; 32]);
    let stranger = Ledger::open(Settings { genesis_validators_root: Some(other), ..settings }).unwrap();
    sign(&hosts.ledgers[0], block(1, 10, 1));
    let status = wait(stranger.status(Selection::All));
    assert!(matches!(status, Err(Fault::SecondJudgeOfOtherChain { .. })), "{status:?}");
    let request = Request { chain: Some(other), ..block(1, 11, 1) };
    assert!(matches!(refuse(&stranger, request), Refusal::OtherChain { .. }));
}

/// Whatever is asked of which host, and whatever is lost on the way: what was let out contradicts nothing that was.
#[test]
fn no_two_hosts_ever_contradict_each_other() {
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let step = (0..2_usize, 0..2_u8, message(), way());
    let steps = proptest::collection::vec(step, 1..40);
    let outcome = runner.run(&steps, |steps| {
        let hosts = Hosts::with_longest_wait(Duration::from_millis(20));
        let mut signed: HashMap<PublicKey, Vec<Request>> = HashMap::new();
        for (host, key, (claim, root), way) in steps {
            hosts.judge.set(way);
            let request = request(key, root, claim);
            if let Ok(Ok(_)) = ask(&hosts.ledgers[host], request) {
                signed.entry(request.public_key).or_default().push(request);
            }
            hosts.judge.set(Way::Open);
        }
        for requests in signed.values() {
            for (at, later) in requests.iter().enumerate() {
                for earlier in &requests[..at] {
                    prop_assert!(!contradicts(earlier, later), "{earlier:?} {later:?}");
                }
            }
        }
        Ok(())
    });
    outcome.unwrap();
}

fn message() -> impl Strategy<Value = (Claim, u8)> {
    let block = (0..4_u64).prop_map(|slot| Claim::Block { slot: Slot(slot) });
    let attestation = (0..4_u64, 0..4_u64).prop_map(|(source, more)| Claim::Attestation {
        source: Epoch(source),
        target: Epoch(source + more),
    });
    (prop_oneof![block, attestation], 0..2_u8)
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        6 => Just(Way::Open),
        1 => Just(Way::LosesQuestions),
        1 => Just(Way::LosesAnswers),
        2 => Just(Way::Breaks),
        1 => Just(Way::Away),
    ]
}

/// Whether the rules for one key forbid one of the two after the other, whichever came first.
fn contradicts(one: &Request, two: &Request) -> bool {
    match (one.claim, two.claim) {
        (Claim::Block { slot: first }, Claim::Block { slot: second }) => {
            first == second && one.signing_root != two.signing_root
        }
        (Claim::Attestation { source: s1, target: t1 }, Claim::Attestation { source: s2, target: t2 }) => {
            (t1 == t2 && one.signing_root != two.signing_root) || (s1 < s2 && t2 < t1) || (s2 < s1 && t1 < t2)
        }
        _ => false,
    }
}

#[test]
fn the_contradictions_that_are_looked_for_are_those_of_the_rules() {
    let (one, two) = (block(1, 3, 1), block(1, 3, 2));
    assert!(contradicts(&one, &two) && !contradicts(&one, &block(1, 4, 2)));
    assert!(judge_block(&Watermark::floor(Some(Slot(3)), None), Slot(3), two.signing_root).is_err());
    let (outer, inner) = (attestation(1, 1, 4, 1), attestation(1, 2, 3, 1));
    assert!(contradicts(&outer, &inner) && contradicts(&inner, &outer));
    let floor = Watermark::floor(None, Some(Epoch(4)));
    assert!(judge_attestation(&floor, Epoch(2), Epoch(3), inner.signing_root).is_err());
}

/// Two hosts' ledgers beside one judge.
struct Hosts {
    judge: Arc<MemoryJudge>,
    ledgers: [Ledger; 2],
    _directories: [tempfile::TempDir; 2],
}

impl Hosts {
    fn new() -> Self {
        Self::with_longest_wait(Duration::from_millis(400))
    }

    fn with_longest_wait(longest_wait: Duration) -> Self {
        let judge = MemoryJudge::new();
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let ledgers = directories.each_ref().map(|directory| {
            Ledger::open(Settings { longest_wait, ..beside(directory.path(), &judge) }).unwrap()
        });
        Self { judge, ledgers, _directories: directories }
    }
}

fn beside(directory: &Path, judge: &Arc<MemoryJudge>) -> Settings {
    let second_judge: Arc<dyn crate::ledger::SecondJudge> = Arc::<MemoryJudge>::clone(judge);
    Settings { second_judge: Some(second_judge), raw_roots: RawRoots::Allow, ..settings(directory) }
}

/// Waits until the silence is long enough to count.
fn until_away(ledger: &Ledger) {
    while !matches!(ledger.health(), Health::SecondJudgeAway(_)) {
        std::thread::yield_now();
    }
}
