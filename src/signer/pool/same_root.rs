//! Signatures of one root that are computed in one turn, out of those that wait.

use std::collections::VecDeque;

use super::work::{Presigning, Work};
use crate::bls::RootState;
use crate::primitives::SigningRoot;

/// Signatures of one root that callers wait for.
pub(super) struct SameRoot {
    pub(super) signatures: Vec<Presigning>,
    /// How many more keys of the root were seen behind them, where it has no comb yet.
    pub(super) waiting: usize,
}

impl SameRoot {
    /// `first`, or what stands behind it while its root is under way; with those of the same root that are moved out of
    /// the queue to join it, if keys multiply the root several at a time: no more than `part`.
    pub(super) fn take(
        first: Presigning,
        behind: &mut VecDeque<Work>,
        part: usize,
        state: impl Fn(&SigningRoot) -> RootState,
    ) -> Self {
        let known = |one: &Presigning| one.signing_root().map(|root| (root, state(&root)));
        let (first, of_first) = match known(&first) {
            underway @ Some((_, RootState::Underway)) => what_need_not_wait(behind, known, (first, underway)),
            of_first => (first, of_first),
        };
        match of_first {
            None => Self { signatures: vec![first], waiting: 0 },
            Some((root, RootState::Comb)) => {
                Self { signatures: joined(first, root, behind, KEYS_AT_A_TIME.min(part)), waiting: 0 }
            }
            Some((root, RootState::Plain | RootState::Underway)) => {
                let near = behind.iter().take(LOOK_AHEAD).filter(|work| work.is_of(root));
                let waiting = near.fold(0_usize, |keys, work| keys.saturating_add(work.keys()));
                Self { signatures: vec![first], waiting }
            }
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.signatures.iter().fold(0, |sum, one| sum.saturating_add(one.judged.len()))
    }
}

/// Signatures, with their root and what there is of it.
type Known = (Presigning, Option<(SigningRoot, RootState)>);

/// While another thread computes the hash or the comb of the first one's root: the next that does not need those, in
/// place of the first, which then is the next in the queue.
fn what_need_not_wait(
    behind: &mut VecDeque<Work>,
    known: impl Fn(&Presigning) -> Option<(SigningRoot, RootState)>,
    first: Known,
) -> Known {
    let next = behind.iter().take(LOOK_AHEAD).enumerate().find_map(|(place, work)| match work {
        Work::Signatures(other) => match known(other) {
            Some((_, RootState::Underway)) => None,
            of_other => Some((place, of_other)),
        },
        Work::Other(_) => None,
    });
    let Some((place, of_other)) = next else { return first };
    let Some(Work::Signatures(other)) = behind.remove(place) else { return first };
    behind.push_front(Work::Signatures(first.0));
    (other, of_other)
}

/// These signatures, and those of the same root that are moved out of the queue to join them, `most` keys together.
fn joined(first: Presigning, root: SigningRoot, queue: &mut VecDeque<Work>, most: usize) -> Vec<Presigning> {
    let mut keys = first.judged.len();
    let mut signatures = vec![first];
    let mut place = 0_usize;
    while keys < most && place < LOOK_AHEAD {
        let Some(next) = queue.get(place) else { break };
        let sum = keys.saturating_add(next.keys());
        if !next.is_of(root) || sum > most {
            place = place.saturating_add(1);
            continue;
        }
        keys = sum;
        if let Some(Work::Signatures(next)) = queue.remove(place) {
            signatures.push(next);
        }
    }
    signatures
}

/// So far behind the first piece of work others of its root are looked for. What stands between waits for a few keys
/// more.
const LOOK_AHEAD: usize = 16;

/// Keys of one root whose callers wait for one each that are multiplied together. More would hardly be faster, and a
/// block waits for them: no longer than for one multiplication of the curve library.
pub(in crate::signer) const KEYS_AT_A_TIME: usize = 4;
