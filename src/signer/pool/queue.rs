//! Work that waits for a core, and what one core takes of it at a time.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::key_times::KeyTimes;
use super::round_robin::RoundRobin;
use super::same_root::SameRoot;
use super::work::{Backlog, OtherWork, Work};
use crate::bls::RootState;
use crate::caller::Share;
use crate::duty::Priority;
use crate::primitives::SigningRoot;

/// What waits, by urgency, and round robin between the shares of what is equally urgent.
///
/// A share's blocks go before the votes of others [`BLOCKS_AHEAD`] times, until nothing waits any more; further ones go
/// among its own votes. So nobody is kept from voting by a client that asks for nothing but RANDAO reveals.
#[derive(Default)]
pub(super) struct Queue {
    blocks: RoundRobin<Work>,
    votes: RoundRobin<Work>,
    others: RoundRobin<Work>,
    /// How many pieces of work of each share have gone before votes since nothing waited.
    blocks_ahead: HashMap<Share, usize>,
    pub(super) key_times: KeyTimes,
    /// Threads that wait for work: only they need to be woken.
    pub(super) idle: usize,
    /// Whether it was said that all are at rest, since work was taken last.
    pub(super) has_rested: bool,
    pub(super) closed: bool,
}

/// What one thread does before it looks for more urgent work.
pub(super) struct Turn {
    pub(super) priority: Priority,
    pub(super) work: TurnWork,
    pub(super) backlog: Backlog,
}

pub(super) enum TurnWork {
    Signatures(SameRoot),
    Other(OtherWork),
}

impl Queue {
    pub(super) fn add(&mut self, share: Share, priority: Priority, work: Work) {
        let keys = work.keys();
        match priority {
            Priority::Block => {
                let ahead = self.blocks_ahead.entry(share.clone()).or_default();
                if *ahead < BLOCKS_AHEAD {
                    *ahead = ahead.saturating_add(1);
                    self.blocks.add(share, work, keys);
                } else {
                    self.votes.add(share, work, keys);
                }
            }
            Priority::Vote => self.votes.add(share, work, keys),
            Priority::Other => self.others.add(share, work, keys),
        }
    }

    /// Counts signatures of so many keys that are queued bit by bit.
    pub(super) fn announce(&mut self, share: &Share, priority: Priority, keys: usize) {
        self.announced_in(priority).announce(share, keys);
    }

    /// Counts so many of them no more.
    pub(super) fn discount(&mut self, share: &Share, priority: Priority, keys: usize) {
        self.announced_in(priority).discount(share, keys);
    }

    /// What is announced is many keys: most of such blocks go among the votes.
    fn announced_in(&mut self, priority: Priority) -> &mut RoundRobin<Work> {
        match priority {
            Priority::Block | Priority::Vote => &mut self.votes,
            Priority::Other => &mut self.others,
        }
    }

    /// For about how many keys is signed until it is for so many that a share adds now, those included.
    pub(super) fn keys_until(&self, share: &Share, priority: Priority, added: usize) -> usize {
        let (blocks, votes) = (self.blocks.weight(), self.votes.weight());
        match priority {
            Priority::Block if added <= BLOCKS_AHEAD => self.blocks.weight_until(share, added),
            Priority::Block | Priority::Vote => blocks.saturating_add(self.votes.weight_until(share, added)),
            Priority::Other => {
                blocks.saturating_add(votes).saturating_add(self.others.weight_until(share, added))
            }
        }
    }

    /// The most urgent work. Signatures of votes and others are joined by those of the same root and the same client
    /// that wait behind them, where the root has its comb; by no more keys than each thread's part. They let others of
    /// the same client go first while another thread makes what they need.
    pub(super) fn take(
        &mut self,
        threads: NonZeroUsize,
        state: impl Fn(&SigningRoot) -> RootState,
    ) -> Option<Turn> {
        let queues = [
            (Priority::Block, &mut self.blocks),
            (Priority::Vote, &mut self.votes),
            (Priority::Other, &mut self.others),
        ];
        let turn = queues.into_iter().find_map(|(priority, queue)| {
            let work = queue.turn(|first, behind| {
                let work = match (first, priority) {
                    (Work::Other(work), _) => TurnWork::Other(work),
                    (Work::Signatures(first), Priority::Block) => {
                        TurnWork::Signatures(SameRoot { signatures: vec![first], waiting: 0 })
                    }
                    (Work::Signatures(first), Priority::Vote | Priority::Other) => {
                        let part = behind.len().saturating_add(1).div_ceil(threads.get());
                        TurnWork::Signatures(SameRoot::take(first, behind, part, &state))
                    }
                };
                let keys = work.keys();
                (work, keys)
            })?;
            Some((priority, work))
        });
        let Some((priority, work)) = turn else {
            self.blocks_ahead.clear();
            return None;
        };
        self.has_rested = false;
        let is_empty = self.blocks.is_empty() && self.votes.is_empty() && self.others.is_empty();
        Some(Turn { priority, work, backlog: if is_empty { Backlog::Empty } else { Backlog::MoreWork } })
    }

    /// Everything that waits, to be dropped where the queue is not locked.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        (std::mem::take(&mut self.blocks), std::mem::take(&mut self.votes), std::mem::take(&mut self.others))
    }
}

impl TurnWork {
    pub(super) fn keys(&self) -> usize {
        match self {
            Self::Signatures(same_root) => same_root.keys(),
            Self::Other(_) => 1,
        }
    }
}

/// A validator client asks for one block in a slot, and for its parts one after the other; several may share one user
/// or address.
const BLOCKS_AHEAD: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::super::work::Presigning;
    use super::RootState::{Comb, Plain, Underway};
    use super::*;
    use crate::caller::Source;
    use crate::deadline::Deadline;
    use crate::duty::Duty;
    use crate::keys::{HeldSignature, Key, OpenedKey, SecretKey};
    use crate::ledger::{Activation, ActivationOutcome, Judged, Protection, Unprotected, Verdict};
    use crate::network::Network;
    use crate::signing_policy::SigningPolicy;
    use crate::sys::locked_memory::LockedMemory;

    static A: Share = Share::Peer(Source::User(1));
    static B: Share = Share::Peer(Source::User(2));

    #[test]
    fn whatever_one_client_asks_for_a_vote_or_block_of_another_waits_for_one_slice_of_it() {
        for (flood, urgent) in [
            (Priority::Block, Priority::Block),
            (Priority::Block, Priority::Vote),
            (Priority::Vote, Priority::Vote),
            (Priority::Other, Priority::Other),
        ] {
            let (mut queue, mut answers) = (Queue::default(), Vec::new());
            for _ in 0..100 {
                answers.push(add(&mut queue, A.clone(), flood, 1, 4));
            }
            for _ in 0..BLOCKS_AHEAD {
                assert_eq!(roots(&take(&mut queue, 1, Comb)), [1]);
            }
            for _ in 0..3 {
                answers.push(add(&mut queue, B.clone(), urgent, 2, 1));
                let turns = [take(&mut queue, 1, Comb), take(&mut queue, 1, Comb)];
                let is_before_another = turns.iter().any(|turn| roots(turn) == [2]);
                assert!(is_before_another, "{urgent:?} of one behind {flood:?} of another");
            }
        }
    }

    #[test]
    fn blocks_go_before_votes_again_once_nothing_waits() {
        let (mut queue, mut answers) = (Queue::default(), Vec::new());
        for _ in 0..3 {
            answers.push(add(&mut queue, A.clone(), Priority::Vote, 2, 1));
            for _ in 0..=BLOCKS_AHEAD {
                answers.push(add(&mut queue, A.clone(), Priority::Block, 1, 1));
            }
            for _ in 0..BLOCKS_AHEAD {
                assert_eq!(roots(&take(&mut queue, 1, Plain)), [1]);
            }
            assert_eq!([roots(&take(&mut queue, 1, Plain)), roots(&take(&mut queue, 1, Plain))], [[2], [1]]);
            assert!(queue.take(NonZeroUsize::MIN, |_| Plain).is_none());
        }
    }

    #[test]
    fn votes_of_one_root_are_taken_together_and_the_others_keep_their_order() {
        let (mut queue, mut answers) = (Queue::default(), Vec::new());
        for root in [1, 2, 1, 3, 1, 2, 1, 1] {
            answers.push(add(&mut queue, A.clone(), Priority::Vote, root, 1));
        }
        assert_eq!(roots(&take(&mut queue, 1, Comb)), [1; 4]);
        assert_eq!(roots(&take(&mut queue, 1, Comb)), [2; 2]);
        assert_eq!(roots(&take(&mut queue, 1, Comb)), [3]);
        let last = take(&mut queue, 1, Comb);
        assert_eq!((roots(&last), last.backlog), (vec![1], Backlog::Empty));
    }

    #[test]
    fn no_thread_takes_more_than_its_share_or_than_the_root_allows() {
        let (mut queue, mut answers) = (Queue::default(), Vec::new());
        for _ in 0..9 {
            answers.push(add(&mut queue, A.clone(), Priority::Vote, 1, 1));
        }
        assert_eq!(roots(&take(&mut queue, 1, Plain)).len(), 1);
        assert_eq!(roots(&take(&mut queue, 4, Comb)).len(), 2);
        assert_eq!(roots(&take(&mut queue, 4, Comb)).len(), 2);
        assert_eq!(roots(&take(&mut queue, 4, Comb)).len(), 1);
        assert_eq!(roots(&take(&mut queue, 1, Comb)).len(), 3);
    }

    #[test]
    fn a_turn_without_a_comb_is_told_how_many_keys_wait_for_the_same_root() {
        let (mut queue, mut answers) = (Queue::default(), Vec::new());
        for root in [1, 2, 1, 1] {
            answers.push(add(&mut queue, A.clone(), Priority::Vote, root, 1));
        }
        let mut waiting = || match take(&mut queue, 1, Plain).work {
            TurnWork::Signatures(same_root) => same_root.waiting,
            TurnWork::Other(_) => panic!("only signatures were queued"),
        };
        assert_eq!([waiting(), waiting(), waiting(), waiting()], [2, 0, 1, 0]);
    }

    #[test]
    fn while_a_root_s_comb_is_made_others_of_the_same_client_go_first() {
        let (mut queue, mut answers) = (Queue::default(), Vec::new());
        for root in [1, 1, 2, 3] {
            answers.push(add(&mut queue, A.clone(), Priority::Vote, root, 1));
        }
        let state = |root: &SigningRoot| if root.0[0] == 1 { Underway } else { Plain };
        let mut next = || roots(&queue.take(NonZeroUsize::MIN, state).unwrap());
        assert_eq!([next(), next()], [[2], [3]]);
        assert_eq!([next(), next()], [[1], [1]], "there is nothing else to do");
    }

    #[test]
    fn slices_are_not_exceeded_and_blocks_stay_alone() {
        let (mut queue, mut answers) = (Queue::default(), Vec::new());
        for keys in [3, 3, 1, 1, 1] {
            answers.push(add(&mut queue, A.clone(), Priority::Vote, 1, keys));
        }
        for _ in 0..2 {
            answers.push(add(&mut queue, A.clone(), Priority::Block, 1, 1));
        }
        let mut sizes = || {
            let turn = take(&mut queue, 1, Comb);
            let sizes = signatures(&turn).iter().map(|presigning| presigning.judged.len());
            (turn.priority, sizes.collect::<Vec<_>>())
        };
        assert_eq!(sizes(), (Priority::Block, vec![1]));
        assert_eq!(sizes(), (Priority::Block, vec![1]));
        assert_eq!(sizes(), (Priority::Vote, vec![3, 1]), "the slice between has no room");
        assert_eq!(sizes(), (Priority::Vote, vec![3]));
        assert_eq!(sizes(), (Priority::Vote, vec![1, 1]));
    }

    fn add(
        queue: &mut Queue,
        share: Share,
        priority: Priority,
        root: u8,
        keys: usize,
    ) -> oneshot::Receiver<Vec<HeldSignature>> {
        let (answer, result) = oneshot::channel();
        let judged: Vec<_> = (0..keys).map(|_| judged(root)).collect();
        queue.add(share, priority, Work::Signatures(Presigning { judged, answer }));
        result
    }

    fn take(queue: &mut Queue, threads: usize, state: RootState) -> Turn {
        queue.take(NonZeroUsize::new(threads).unwrap(), |_| state).unwrap()
    }

    fn roots(turn: &Turn) -> Vec<u8> {
        signatures(turn).iter().map(|presigning| presigning.signing_root().unwrap().0[0]).collect()
    }

    fn signatures(turn: &Turn) -> &[Presigning] {
        match &turn.work {
            TurnWork::Signatures(same_root) => &same_root.signatures,
            TurnWork::Other(_) => panic!("only signatures were queued"),
        }
    }

    fn judged(root: u8) -> Judged<Arc<Key>> {
        let secret = SecretKey::new(&[1; 32], &LockedMemory::new().unwrap()).unwrap();
        let activation = Activation::of(OpenedKey::new(secret, None), None);
        let Some(ActivationOutcome::Active { key: Some(activated), .. }) =
            Unprotected::accepted().activate(vec![activation]).pop()
        else {
            panic!("a ledger that is off activates every key")
        };
        let root = SigningRoot([root; 32]);
        let body = format!(r#"{{"signingRoot": "{root}", "domain_name": "randao"}}"#);
        let duty = Duty::parse(body.as_bytes(), &Network::load("mainnet").unwrap()).unwrap();
        let permitted = SigningPolicy::permit_everybody(Arc::new(Key::imported(activated)), &duty).unwrap();
        let protection = Protection::Off(Unprotected::accepted());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        match runtime.block_on(protection.submit(permitted, deadline)).unwrap() {
            Verdict::Allowed(judged) => judged,
            Verdict::Refused(refusal) => panic!("{refusal}"),
        }
    }
}
