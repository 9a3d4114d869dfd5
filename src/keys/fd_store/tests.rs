//! Keys as a successor finds them after its predecessor was killed.

use super::*;

#[test]
fn a_successor_has_the_inserted_keys_and_their_paths() {
    let Some((memory, fd_store)) = begin() else { return };
    let keys: Vec<Key> = (1..=5).map(|number| key(number, &memory)).collect();
    for key in &keys {
        fd_store.insert(key).unwrap();
    }
    let inherited = kill_and_resume(&fd_store);
    assert_eq!(inherited.lost, 0);
    assert_eq!(numbers(&inherited.keys), [1, 2, 3, 4, 5]);
    for (old, new) in keys.iter().zip(&inherited.keys) {
        assert_eq!(new.derivation_path(), old.derivation_path());
        assert!(!new.is_readonly());
        assert_eq!(new.opened().secret().to_big_endian(), old.opened().secret().to_big_endian());
    }
}

#[test]
fn generation_after_generation_goes_on() {
    let Some((memory, fd_store)) = begin() else { return };
    let first = key(1, &memory);
    fd_store.insert(&first).unwrap();
    let second = kill_and_resume(&fd_store);
    let new = key(2, second.fd_store.memory());
    second.fd_store.insert(&new).unwrap();
    second.fd_store.remove(&second.keys[0]).unwrap();
    let third = kill_and_resume(&second.fd_store);
    assert_eq!((numbers(&third.keys), third.lost), (vec![2], 0));
}

#[test]
fn what_is_kept_outlives_a_process_that_ends_in_good_order_or_in_the_middle_of_its_start() {
    let Some((memory, fd_store)) = begin() else { return };
    let fd_store = fd_store.kept();
    let files = [fd_store.files().unwrap().0, fd_store.files().unwrap().1];
    let [region, index] = files.map(|file| file.try_clone_to_owned().unwrap());
    let resume = || FdStore::resume(region.try_clone().unwrap(), index.try_clone().unwrap()).unwrap();
    let keys: Vec<Key> = (1..=2).map(|number| key(number, &memory)).collect();
    for key in &keys {
        fd_store.insert(key).unwrap();
    }
    drop(fd_store);
    drop(keys);
    let started_half_way = resume();
    assert_eq!(numbers(&started_half_way.keys), [1, 2]);
    drop(started_half_way);
    let Inherited { fd_store, keys, lost } = resume();
    assert_eq!((numbers(&keys), lost), (vec![1, 2], 0));
    fd_store.remove(&keys[0]).unwrap();
    drop(fd_store);
    drop(keys);
    assert_eq!(numbers(&resume().keys), [2]);
}

#[test]
fn what_nobody_keeps_is_wiped() {
    let Some((memory, fd_store)) = begin() else { return };
    let region = fd_store.files().unwrap().0.try_clone_to_owned().unwrap();
    let one = key(1, &memory);
    let cell = one.opened().secret().cell().index();
    fd_store.insert(&one).unwrap();
    drop(fd_store);
    drop(one);
    let (_, cells) = LockedMemory::adopt(region, &[cell]).unwrap();
    assert_eq!(*cells[0].expose(), [0; 32]);
}

#[test]
fn a_removed_key_does_not_come_back_while_somebody_still_holds_it() {
    let Some((memory, fd_store)) = begin() else { return };
    let (one, two) = (key(1, &memory), key(2, &memory));
    fd_store.insert(&one).unwrap();
    fd_store.insert(&two).unwrap();
    fd_store.remove(&one).unwrap();
    let inherited = kill_and_resume(&fd_store);
    assert_eq!((numbers(&inherited.keys), inherited.lost), (vec![2], 0));
    assert_eq!(*one.opened().secret().cell().expose(), [0; 32], "its secret is wiped");
}

#[test]
fn a_cell_that_was_used_again_is_not_taken_for_the_key_before() {
    let Some((memory, fd_store)) = begin() else { return };
    let one = key(1, &memory);
    fd_store.insert(&one).unwrap();
    let cell = one.opened().secret().cell().index();
    drop(one);
    // The entry of the first key is still there; another key has its cell.
    let two = key(2, &memory);
    assert_eq!(two.opened().secret().cell().index(), cell);
    let inherited = kill_and_resume(&fd_store);
    assert_eq!((inherited.keys.len(), inherited.lost), (0, 1));
}

#[test]
fn no_changed_bit_of_an_entry_is_believed() {
    let Some((memory, fd_store)) = begin() else { return };
    let one = key(1, &memory);
    fd_store.insert(&one).unwrap();
    let place = RECORD_BYTES as u64 * (u64::from(one.opened().secret().cell().index()).saturating_add(1));
    let mut good = [0; RECORD_BYTES];
    fd_store.index.read_exact_at(&mut good, place).unwrap();
    let used = 32 + 48 + 1 + one.derivation_path().unwrap().len();
    for byte in 0..used {
        let mut bad = good;
        bad[byte] ^= 1;
        let record = Record::read(&bad);
        let tag = record.map(|record| fd_store.tag(&record, one.opened().secret().cell()) == record.tag);
        assert_ne!(tag, Some(true), "byte {byte}");
    }
}

#[test]
fn an_entry_is_not_believed_in_another_place() {
    let Some((memory, fd_store)) = begin() else { return };
    let (one, two) = (key(1, &memory), key(2, &memory));
    fd_store.insert(&one).unwrap();
    fd_store.insert(&two).unwrap();
    let place =
        |key: &Key| RECORD_BYTES as u64 * (u64::from(key.opened().secret().cell().index()).saturating_add(1));
    let mut entry = [0; RECORD_BYTES];
    fd_store.index.read_exact_at(&mut entry, place(&one)).unwrap();
    fd_store.index.write_all_at(&entry, place(&two)).unwrap();
    let inherited = kill_and_resume(&fd_store);
    assert_eq!((numbers(&inherited.keys), inherited.lost), (vec![1], 1));
}

#[test]
fn refuses_files_that_are_no_pair_of_its_own() {
    let Some((_memory, fd_store)) = begin() else { return };
    let (region, index) = fd_store.files().unwrap();
    let region = || region.try_clone_to_owned().unwrap();
    let file = |bytes: &[u8]| {
        let file: File = memfd_create(c"test", MFdFlags::empty()).unwrap().into();
        file.write_all_at(bytes, 0).unwrap();
        OwnedFd::from(file)
    };
    let swapped = FdStore::resume(index.try_clone_to_owned().unwrap(), region());
    assert!(swapped.is_err());
    assert!(matches!(FdStore::resume(region(), file(b"")), Err(FdStoreError::Form)));
    assert!(matches!(FdStore::resume(region(), file(&[0; 4 * RECORD_BYTES])), Err(FdStoreError::Form)));
    // A cell that holds nothing is no authority: anybody knows zeros.
    assert!(matches!(FdStore::resume(region(), file(&header(3))), Err(FdStoreError::Form)));
    assert!(matches!(FdStore::resume(region(), file(&header(u32::MAX))), Err(FdStoreError::Region(_))));
}

#[test]
fn takes_no_key_of_other_memory() {
    let Some((_memory, fd_store)) = begin() else { return };
    let elsewhere = key(1, &LockedMemory::new().unwrap());
    assert!(matches!(fd_store.insert(&elsewhere), Err(FdStoreError::Elsewhere)));
    fd_store.remove(&elsewhere).unwrap();
}

/// `None` on a kernel without secret memory, where nothing can be handed over.
fn begin() -> Option<(Arc<LockedMemory>, FdStore)> {
    let memory = LockedMemory::new().unwrap();
    let fd_store = FdStore::begin(&memory).unwrap();
    if fd_store.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have a kernel with memfd_secret");
        println!("SKIPPED: this kernel has no memfd_secret");
    }
    Some((memory, fd_store?))
}

/// What a process finds whose predecessor was killed: the same files, nothing dropped.
fn kill_and_resume(fd_store: &FdStore) -> Inherited {
    let (region, index) = fd_store.files().unwrap();
    FdStore::resume(region.try_clone_to_owned().unwrap(), index.try_clone_to_owned().unwrap()).unwrap()
}

fn key(number: u8, memory: &Arc<LockedMemory>) -> Key {
    let mut bytes = [0; 32];
    bytes[31] = number;
    let path = format!("m/12381/3600/{number}/0/0").into();
    Key::inherited(OpenedKey::new(SecretKey::new(&bytes, memory).unwrap(), Some(path)))
}

fn numbers(keys: &[Key]) -> Vec<u8> {
    keys.iter().map(|key| key.opened().secret().to_big_endian()[31]).collect()
}
