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
}

impl<T> Default for RoundRobin<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), items: HashMap::new() }
    }
}

impl<T> RoundRobin<T> {
    pub(super) fn add(&mut self, share: Share, item: T) {
        let items = self.items.entry(share).or_default();
        if items.is_empty() {
            self.order.push_back(share);
        }
        items.push_back(item);
    }

    /// The next share's turn: its oldest item, and what `take` takes beside it of the same share's further ones.
    pub(super) fn turn<R>(&mut self, take: impl FnOnce(T, &mut VecDeque<T>) -> R) -> Option<R> {
        let share = self.order.pop_front()?;
        let items = self.items.get_mut(&share)?;
        let taken = items.pop_front().map(|item| take(item, items));
        if items.is_empty() {
            self.items.remove(&share);
        } else {
            self.order.push_back(share);
        }
        taken
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
                    queue.add(Share::Client(Source::User(user)), (user, number));
                    waiting.entry(user).or_default().push_back(number);
                    seen.entry(user).or_default();
                    continue;
                }
                let Some((user, number)) = queue.turn(|item, _| item) else {
                    prop_assert!(waiting.is_empty() && queue.is_empty() && queue.items.is_empty());
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
        }
    }
}
