//! The set of keys that can sign, readable without a lock while it changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::key::Key;
use crate::bls::PublicKey;

/// One moment's keys, in the order of their public keys.
pub(crate) type Snapshot = BTreeMap<PublicKey, Arc<Key>>;

/// The keys. Readers see one snapshot or the next and never wait; writers replace the snapshot as a whole, one at a
/// time.
#[derive(Default)]
pub(crate) struct Ring {
    keys: ArcSwap<Snapshot>,
    writing: Mutex<()>,
}

/// What became of a key that was to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It can sign now.
    New,
    /// A key with this public key is here already, or came earlier in the same batch; that one stays.
    Duplicate,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn key(&self, public_key: &PublicKey) -> Option<Arc<Key>> {
        self.keys.load().get(public_key).map(Arc::clone)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load().len()
    }

    /// All keys of this moment, sorted by public key.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.keys.load_full()
    }

    /// Adds keys; all of them are visible at once. Answers in the order of `keys`.
    pub(crate) fn insert(&self, keys: impl IntoIterator<Item = Key>) -> Vec<Inserted> {
        self.change(|snapshot| keys.into_iter().map(|key| insert_one(snapshot, key)).collect())
    }

    /// Takes keys out; none of them can be found after. Answers in the order of `public_keys`, `None` for one that was
    /// not there.
    pub(crate) fn remove(&self, public_keys: &[PublicKey]) -> Vec<Option<Arc<Key>>> {
        self.change(|snapshot| public_keys.iter().map(|public_key| snapshot.remove(public_key)).collect())
    }

    /// Changes the set in one step: readers see it before or after, never between.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        // The lock guards no data of its own: a panic in `change` leaves the old snapshot in place.
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.keys.load());
        let result = change(&mut snapshot);
        self.keys.store(Arc::new(snapshot));
        result
    }
}

fn insert_one(snapshot: &mut Snapshot, key: Key) -> Inserted {
    match snapshot.entry(key.public_key()) {
        Entry::Vacant(place) => {
            place.insert(Arc::new(key));
            Inserted::New
        }
        Entry::Occupied(_) => Inserted::Duplicate,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::keys::{Origin, SecretKey};
    use crate::sys::locked_memory::LockedMemory;

    #[test]
    fn finds_what_was_inserted_and_lists_it_sorted() {
        let (ring, memory) = (Ring::new(), LockedMemory::new().unwrap());
        assert_eq!(ring.len(), 0);
        assert_eq!(ring.insert((1..=20).map(|i| key(i, &memory))), vec![Inserted::New; 20]);
        assert_eq!(ring.len(), 20);
        let listed: Vec<PublicKey> = ring.snapshot().keys().copied().collect();
        assert!(listed.is_sorted());
        for i in 1..=20 {
            let public_key = key(i, &memory).public_key();
            assert_eq!(ring.key(&public_key).unwrap().public_key(), public_key);
        }
        assert!(ring.key(&key(21, &memory).public_key()).is_none());
    }

    #[test]
    fn reports_a_duplicate_in_the_ring_and_in_the_same_batch() {
        let (ring, memory) = (Ring::new(), LockedMemory::new().unwrap());
        ring.insert([key(1, &memory)]);
        let outcome = ring.insert([key(2, &memory), key(1, &memory), key(2, &memory)]);
        assert_eq!(outcome, [Inserted::New, Inserted::Duplicate, Inserted::Duplicate]);
        assert_eq!(ring.len(), 2);
    }

    #[test]
    fn removes_and_says_what_was_not_there() {
        let (ring, memory) = (Ring::new(), LockedMemory::new().unwrap());
        ring.insert([key(1, &memory), key(2, &memory)]);
        let (one, three) = (key(1, &memory).public_key(), key(3, &memory).public_key());
        let removed: Vec<bool> = ring.remove(&[one, three, one]).iter().map(Option::is_some).collect();
        assert_eq!(removed, [true, false, false]);
        assert!(ring.key(&one).is_none());
        assert_eq!(ring.len(), 1);
    }

    #[test]
    fn a_reader_never_sees_half_a_change() {
        let (ring, memory) = (Ring::new(), LockedMemory::new().unwrap());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let keys = ring.len();
                    assert!(keys == 0 || keys == 3, "saw {keys} keys");
                }
            });
            for _ in 0..200 {
                ring.insert((1..=3).map(|i| key(i, &memory)));
                let all: Vec<PublicKey> = ring.snapshot().keys().copied().collect();
                ring.remove(&all);
            }
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
    }

    fn key(number: u8, memory: &Arc<LockedMemory>) -> Key {
        let mut secret = [0; 32];
        secret[31] = number;
        Key::new(SecretKey::new(&secret, memory).unwrap(), Origin::Imported, None)
    }
}
