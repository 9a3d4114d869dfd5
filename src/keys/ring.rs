//! The set of keys that can sign, readable without a lock while it changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::key::{Key, Origin};
use crate::bls::PublicKey;
use crate::ledger::{OfKey, OutOfUse};
use crate::mutex::Mutex;

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

/// A key that no request finds any more: it left the ring, or was not in it. Made by the ring alone.
pub(crate) struct Dismissed {
    public_key: PublicKey,
    key: Option<Arc<Key>>,
}

impl Dismissed {
    /// The key, if it was in the ring until now. Requests that found it before may still hold it.
    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.as_deref()
    }
}

impl OfKey for Dismissed {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }
}

impl OutOfUse for Dismissed {
    fn was_active(&self) -> bool {
        self.key.is_some()
    }
}

/// A key that stays: it is of the operator's files, or of a source that a fetcher reads.
pub(crate) struct ReadOnly;

impl Ring {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn key(&self, public_key: &PublicKey) -> Option<Arc<Key>> {
        self.keys.load().get(public_key).map(Arc::clone)
    }

    /// Where the key came from that has this public key, if there is one.
    pub(crate) fn origin(&self, public_key: &PublicKey) -> Option<Origin> {
        self.keys.load().get(public_key).map(|key| key.origin())
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

    /// Takes imported keys out; none of them can be found after. Answers in the order of `public_keys`.
    pub(crate) fn dismiss(&self, public_keys: &[PublicKey]) -> Vec<Result<Dismissed, ReadOnly>> {
        self.change(|snapshot| {
            public_keys.iter().map(|public_key| dismiss_one(snapshot, *public_key)).collect()
        })
    }

    /// Takes fetched keys out; of another origin none leaves. Says how many left.
    pub(crate) fn remove_fetched(&self, public_keys: &[PublicKey]) -> usize {
        self.change(|snapshot| {
            let is_fetched =
                |key: &&PublicKey| snapshot.get(key).is_some_and(|key| key.origin() == Origin::Fetched);
            let leaving: Vec<_> = public_keys.iter().filter(is_fetched).copied().collect();
            leaving.iter().for_each(|key| drop(snapshot.remove(key)));
            leaving.len()
        })
    }

    /// Changes the set in one step: readers see it before or after, never between.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        let _turn = self.writing.lock();
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

fn dismiss_one(snapshot: &mut Snapshot, public_key: PublicKey) -> Result<Dismissed, ReadOnly> {
    if snapshot.get(&public_key).is_some_and(|key| key.is_readonly()) {
        return Err(ReadOnly);
    }
    Ok(Dismissed { public_key, key: snapshot.remove(&public_key) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::keys::{OpenedKey, SecretKey};
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
    fn dismisses_imported_keys_and_says_what_was_not_there() {
        let (ring, memory) = (Ring::new(), LockedMemory::new().unwrap());
        let of_file = Key::of_file(opened(4, &memory));
        let four = of_file.public_key();
        ring.insert([key(1, &memory), key(2, &memory), of_file]);
        let (one, three) = (key(1, &memory).public_key(), key(3, &memory).public_key());
        let dismissed = ring.dismiss(&[one, three, one, four]);
        let were_active: Vec<_> =
            dismissed.iter().map(|dismissed| dismissed.as_ref().ok().map(OutOfUse::was_active)).collect();
        assert_eq!(were_active, [Some(true), Some(false), Some(false), None]);
        assert!(ring.key(&one).is_none());
        assert!(ring.key(&four).is_some());
        assert_eq!(ring.len(), 2);
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
                ring.dismiss(&all);
            }
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
    }

    fn key(number: u8, memory: &Arc<LockedMemory>) -> Key {
        Key::inherited(opened(number, memory))
    }

    fn opened(number: u8, memory: &Arc<LockedMemory>) -> OpenedKey {
        let mut secret = [0; 32];
        secret[31] = number;
        OpenedKey::new(SecretKey::new(&secret, memory).unwrap(), None)
    }
}
