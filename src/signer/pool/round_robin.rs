//! Round robin between clients: items of equal urgency, of which each client with any has one after the other.

use std::collections::{HashMap, VecDeque};

use crate::caller::Share;

/// Items of each share, in the order in which they came. A newcomer waits for one turn of each other share at most.
///
/// No call takes longer where more waits.
pub(super) struct RoundRobin<T> {
    /// The shares that have items, the one whose turn is next first.
    order: VecDeque<Share>,
    /// The items of each share in `order`, the oldest first, and of no other.
    items: HashMap<Share, VecDeque<T>>,
    /// How much work each share has, where it has any: its items, and what it has announced.
    weights: HashMap<Share, usize>,
}

impl<T> Default for RoundRobin<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), items: HashMap::new(), weights: HashMap::new() }
    }
}

impl<T> RoundRobin<T> {
    /// Adds an item; `weight` says how much work it is.
    pub(super) fn add(&mut self, share: Share, item: T, weight: usize) {
        self.announce(&share, weight);
        let items = self.items.entry(share.clone()).or_default();
        if items.is_empty() {
            self.order.push_back(share);
        }
        items.push_back(item);
    }

    /// Counts work of which no items are here yet.
    pub(super) fn announce(&mut self, share: &Share, weight: usize) {
        let known = self.weights.entry(share.clone()).or_default();
        *known = known.saturating_add(weight);
    }

    /// Counts work no more that was announced or taken.
    pub(super) fn discount(&mut self, share: &Share, weight: usize) {
        if let Some(known) = self.weights.get_mut(share) {
            *known = known.saturating_sub(weight);
            if *known == 0 {
                self.weights.remove(share);
            }
        }
    }

    /// The next share's turn: its oldest item, and what `take` takes beside it of the same share's further ones. `take`
    /// also says what they weigh.
    pub(super) fn turn<R>(&mut self, take: impl FnOnce(T, &mut VecDeque<T>) -> (R, usize)) -> Option<R> {
        let share = self.order.pop_front()?;
        let items = self.items.get_mut(&share)?;
        let taken = items.pop_front().map(|item| take(item, items));
        if items.is_empty() {
            self.items.remove(&share);
        } else {
            self.order.push_back(share.clone());
        }
        taken.map(|(taken, weight)| {
            self.discount(&share, weight);
            taken
        })
    }

    /// What is done until so much is done that a share adds now, that included: each other share has as much at most.
    pub(super) fn weight_until(&self, share: &Share, added: usize) -> usize {
        let own = self.weights.get(share).copied().unwrap_or_default().saturating_add(added);
        let others = self.weights.iter().filter(|(other, _)| *other != share);
        others.fold(own, |sum, (_, weight)| sum.saturating_add(own.min(*weight)))
    }

    /// The weight of all work, what is announced included.
    pub(super) fn weight(&self) -> usize {
        self.weights.values().fold(0, |sum, weight| sum.saturating_add(*weight))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::caller::Source;

    #[test]
    fn an_items_turn_comes_after_as_much_of_each_other_share() {
        let mut queue = RoundRobin::default();
        let share = |user| Share::Peer(Source::User(user));
        for (user, items) in [(1, 100), (2, 3), (3, 1)] {
            for _ in 0..items {
                queue.add(share(user), user, 1);
            }
        }
        for (user, added, turns) in
            [(4, 1, 4), (4, 2, 2 + 2 + 2 + 1), (4, 50, 50 + 50 + 3 + 1), (1, 1, 101 + 4)]
        {
            assert_eq!(queue.weight_until(&share(user), added), turns, "{added} more of {user}");
        }
        queue.add(share(4), 4, 1);
        let mut order = std::iter::from_fn(|| queue.turn(|user, _| (user, 1)));
        assert_eq!(order.position(|user| user == 4), Some(3), "the fourth turn is that of the newcomer");
    }

    proptest! {
        #[test]
        fn between_two_turns_of_a_share_each_other_that_waits_has_one(
            steps in prop::collection::vec(prop::option::weighted(0.6, 1..5_u32), 0..400),
        ) {
            let mut queue = RoundRobin::default();
            let mut waiting: HashMap<u32, VecDeque<usize>> = HashMap::new();
            // Whose turns each waiting share has seen since its own, or since it came.
            let mut seen: HashMap<u32, Vec<u32>> = HashMap::new();
            for (number, step) in steps.into_iter().chain([None; 400]).enumerate() {
                if let Some(user) = step {
                    queue.add(Share::Peer(Source::User(user)), (user, number), number);
                    waiting.entry(user).or_default().push_back(number);
                    seen.entry(user).or_default();
                    continue;
                }
                let Some((user, number)) = queue.turn(|item, _| (item, item.1)) else {
                    prop_assert!(waiting.is_empty() && queue.is_empty());
                    prop_assert!(queue.items.is_empty() && queue.weights.is_empty());
                    continue;
                };
                let own = waiting.get_mut(&user).unwrap();
                prop_assert_eq!(own.pop_front(), Some(number), "a share's order is that in which its items came");
                seen.remove(&user);
                if own.is_empty() {
                    waiting.remove(&user);
                } else {
                    seen.insert(user, Vec::new());
                }
                for (other, turns) in &mut seen {
                    if *other != user {
                        prop_assert!(!turns.contains(&user), "{} had two turns while {} waited", user, other);
                        turns.push(user);
                    }
                }
            }
            prop_assert!(waiting.is_empty());
            prop_assert_eq!(queue.weight(), 0);
        }
    }
}
