//! Who makes room for whom, and that no permit is lost.

use proptest::prelude::*;

use super::*;
use crate::caller::Source;

const A: Share = Share::Peer(Source::User(1));
const B: Share = Share::Peer(Source::User(2));

fn share(user: u32) -> Share {
    Share::Peer(Source::User(user))
}

fn is_wanted(permit: &ConnectionPermit) -> bool {
    // `notify_one` leaves a permit until it is waited for.
    let waker = std::task::Waker::noop();
    let mut wanted = Box::pin(permit.wanted());
    wanted.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready()
}

#[test]
fn a_connection_that_asked_for_nothing_goes_first_and_the_oldest_of_them() {
    let permits = ConnectionPermits::new(3);
    let served = permits.try_take(&A).unwrap();
    drop(served.work(&A));
    let (first, second) = (permits.try_take(&A).unwrap(), permits.try_take(&A).unwrap());
    let third = permits.try_take(&A).unwrap();
    assert!(is_wanted(&first) && !is_wanted(&second) && !is_wanted(&served) && !is_wanted(&third));
}

#[test]
fn work_is_never_taken_away() {
    let permits = ConnectionPermits::new(2);
    let (one, two) = (permits.try_take(&A).unwrap(), permits.try_take(&A).unwrap());
    let (work, more) = (one.work(&A), one.work(&A));
    let other = two.work(&A);
    assert!(permits.try_take(&B).is_none());
    drop(work);
    assert!(permits.try_take(&B).is_none(), "a second request is still worked on");
    drop(other);
    assert!(permits.try_take(&B).is_some(), "who has least is not made to wait");
    assert!(is_wanted(&two) && !is_wanted(&one));
    drop(more);
}

#[test]
fn a_crowd_at_one_address_closes_its_own() {
    let permits = ConnectionPermits::new(8);
    let alone = permits.try_take(&B).unwrap();
    drop(alone.work(&B));
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let permit = permits.try_take(&A);
            if let Some(permit) = &permit {
                drop(permit.work(&A));
            }
            permit
        })
        .collect();
    assert!(!is_wanted(&alone));
    assert_eq!(crowd.iter().flatten().filter(|permit| !is_wanted(permit)).count(), 7);
    let another = permits.try_take(&B).unwrap();
    assert!(!is_wanted(&alone) && !is_wanted(&another));
}

#[test]
fn nobody_makes_room_for_one_who_has_more() {
    let permits = ConnectionPermits::new(4);
    let idle = permits.try_take(&B).unwrap();
    drop(idle.work(&B));
    let silent = permits.try_take(&B).unwrap();
    let crowd = [permits.try_take(&A).unwrap(), permits.try_take(&A).unwrap()];
    let work = crowd.each_ref().map(|permit| permit.work(&A));
    let long_ago = Instant::now().checked_sub(IDLE_UNDER_PRESSURE).unwrap();
    permits.holders.lock().begin_work(idle.id, &B);
    permits.holders.lock().end_work(idle.id, long_ago);
    let third = permits.try_take(&A).expect("it has no more than the other");
    assert!(is_wanted(&silent));
    let more = third.work(&A);
    assert!(permits.try_take(&A).is_none() && !is_wanted(&idle));
    drop(more);
    drop(work);
}

#[test]
fn a_connection_belongs_to_the_client_that_asks_on_it() {
    let permits = ConnectionPermits::new(4);
    let named = Share::Client("vc1".into());
    let crowd: Vec<_> = (0..3).map(|_| permits.try_take(&A).unwrap()).collect();
    crowd.iter().for_each(|permit| drop(permit.work(&named)));
    let alone = permits.try_take(&A).unwrap();
    drop(alone.work(&A));
    let newcomer = permits.try_take(&A).unwrap();
    assert!(!is_wanted(&alone), "the named client has most of them");
    assert_eq!(crowd.iter().filter(|permit| is_wanted(permit)).count(), 1);
    drop(newcomer);
}

proptest! {
    #[test]
    fn places_are_never_more_than_there_are_and_all_come_back(
        steps in proptest::collection::vec((0_u8..5, 0_u32..4, any::<prop::sample::Index>()), 0..200),
    ) {
        let permits = ConnectionPermits::new(4);
        let mut taken: Vec<ConnectionPermit> = Vec::new();
        for (step, user, index) in steps {
            match step {
                0..=2 => taken.extend(permits.try_take(&share(user))),
                3 if !taken.is_empty() => drop(taken.swap_remove(index.index(taken.len()))),
                _ if !taken.is_empty() => drop(taken[index.index(taken.len())].work(&share(user))),
                _ => {}
            }
            let holders = permits.holders.lock();
            prop_assert!(holders.members.len() <= 4);
            let size: usize = holders.shares.values().map(|connections| connections.size).sum();
            prop_assert_eq!(size, holders.members.len());
            prop_assert_eq!(holders.by_size.len(), holders.shares.len());
        }
        taken.clear();
        let holders = permits.holders.lock();
        prop_assert!(holders.members.is_empty() && holders.shares.is_empty());
        prop_assert!(holders.by_new.is_empty() && holders.by_size.is_empty());
    }
}
