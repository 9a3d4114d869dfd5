//! Throttle of wrong tokens: who keeps sending them waits for the refusal, longer each time, and the log is not
//! flooded.
//!
//! Only a refusal is ever held back. Each token is compared first, so whoever has the right one is answered at once,
//! also beside a guesser at the same address. What is held back takes no permit from the requests that are worked on,
//! and no more than a share of the connections.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use crate::caller::{Caller, Peer, Source};
use crate::mutex::Mutex;

/// Counts wrong tokens, and holds their refusals back.
pub(crate) struct TokenThrottle {
    tally: Mutex<Tally>,
    /// One for each refusal that is held back; its connection is held with it.
    held_refusals: Semaphore,
}

impl TokenThrottle {
    /// For a server of so many connections. When too many of them are held back, further refusals are answered at once.
    pub(crate) fn new(connections: usize) -> Self {
        let held_refusals = connections.checked_div(CONNECTIONS_PER_HELD_REFUSAL).unwrap_or_default();
        Self {
            tally: Mutex::default(),
            held_refusals: Semaphore::new(held_refusals.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Notes a wrong token, and returns when its refusal may be answered. A server that stops does not wait for that.
    pub(crate) async fn hold_back(&self, caller: &Caller, stop: &watch::Receiver<bool>) {
        let Penalty { delay, to_log } = self.note(caller.peer);
        if let Some(refused) = to_log {
            tracing::warn!(%caller, refused, "wrong token: more from this peer are logged once a minute at most");
        }
        if delay.is_zero() {
            return;
        }
        let Ok(_held) = self.held_refusals.try_acquire() else { return };
        let mut stop = stop.clone();
        tokio::select! {
            () = sleep(delay) => {}
            _ = stop.wait_for(|&stop| stop) => {}
        }
    }

    fn note(&self, peer: Peer) -> Penalty {
        // The runtime's clock, so that a test can turn it.
        let now = tokio::time::Instant::now().into_std();
        self.tally.lock().note(Source::of(peer), now)
    }
}

/// Lines of the log about peers: one for each source in a minute, however often there is something to say.
#[derive(Default)]
pub(crate) struct PeerLogLimit(Mutex<Tally>);

impl PeerLogLimit {
    /// How often there was something to say that the log has not heard of, if it is time to say so.
    pub(crate) fn note(&self, peer: Peer) -> Option<u64> {
        let now = tokio::time::Instant::now().into_std();
        self.0.lock().note(Source::of(peer), now).to_log
    }
}

/// What to do about a wrong token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Penalty {
    delay: Duration,
    /// How many wrong tokens the log has not heard of, if it is time to say so.
    to_log: Option<u64>,
}

/// Wrong tokens by source, in bounded memory.
#[derive(Default)]
struct Tally {
    records: HashMap<Source, Record>,
    /// Shared by all who come when there is no room for one more record.
    others: Option<Record>,
}

impl Tally {
    fn note(&mut self, source: Source, now: Instant) -> Penalty {
        if let Some(record) = self.records.get_mut(&source) {
            return record.note(now);
        }
        if self.records.len() >= MAX_SOURCES {
            self.records.retain(|_, record| record.weight(now) > 0);
        }
        if self.records.len() >= MAX_SOURCES {
            return self.others.get_or_insert(Record::new(now)).note(now);
        }
        self.records.entry(source).or_insert(Record::new(now)).note(now)
    }
}

/// The wrong tokens of one source.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Wrong tokens not forgotten at `last`, at most [`MAX_WEIGHT`].
    weight: u32,
    last: Instant,
    logged: Option<Instant>,
    unlogged: u64,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { weight: 0, last: now, logged: None, unlogged: 0 }
    }

    fn note(&mut self, now: Instant) -> Penalty {
        self.weight = self.weight(now).saturating_add(1).min(MAX_WEIGHT);
        self.last = now;
        self.unlogged = self.unlogged.saturating_add(1);
        let is_time = self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL);
        let to_log = is_time.then(|| {
            self.logged = Some(now);
            std::mem::take(&mut self.unlogged)
        });
        Penalty { delay: delay(self.weight), to_log }
    }

    /// Wrong tokens not forgotten yet.
    fn weight(&self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs();
        let forgotten = quiet.checked_div(DECAY_INTERVAL.as_secs()).unwrap_or_default();
        self.weight.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

/// Nothing for the first few, who may have mistyped; then twice as long each time.
fn delay(weight: u32) -> Duration {
    match weight.checked_sub(FREE_ATTEMPTS) {
        None | Some(0) => Duration::ZERO,
        Some(beyond) => {
            let doublings = beyond.saturating_sub(1);
            SHORTEST_DELAY.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_DELAY)
        }
    }
}

/// Wrong tokens that are refused at once.
const FREE_ATTEMPTS: u32 = 5;
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Where the delay has become the longest. More is not counted, so it is forgotten in minutes.
const MAX_WEIGHT: u32 = FREE_ATTEMPTS + 7;
/// One wrong token is forgotten for each such time without one.
const DECAY_INTERVAL: Duration = Duration::from_secs(30);
/// Between two lines of the log about one source.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// About 100 kB of records.
const MAX_SOURCES: usize = 1024;
/// One of so many connections may be held back.
const CONNECTIONS_PER_HELD_REFUSAL: usize = 4;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Role;

    proptest! {
        #[test]
        fn in_a_burst_the_first_few_are_free_and_then_the_delay_grows_to_its_limit(
            pauses in proptest::collection::vec(0_u64..30_000, 1..40),
        ) {
            let (mut tally, mut now) = (Tally::default(), Instant::now());
            let mut delays = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                delays.push(tally.note(Source::User(1), now).delay);
            }
            prop_assert!(delays.is_sorted());
            prop_assert!(delays.iter().all(|&delay| delay <= LONGEST_DELAY));
            prop_assert!(delays.iter().take(FREE_ATTEMPTS as usize).all(Duration::is_zero));
            prop_assert!(delays.iter().skip(FREE_ATTEMPTS as usize).all(|&delay| delay >= SHORTEST_DELAY));
            prop_assert!(delays.iter().skip(MAX_WEIGHT as usize - 1).all(|&delay| delay == LONGEST_DELAY));
        }

        #[test]
        fn who_was_quiet_for_longer_does_not_wait_longer(
            burst in 1_usize..40,
            shorter in 0_u64..1_000,
            more in 0_u64..1_000,
        ) {
            let start = Instant::now();
            let after = |quiet| {
                let mut record = Record::new(start);
                for _ in 0..burst {
                    record.note(start);
                }
                record.note(start + Duration::from_secs(quiet)).delay
            };
            prop_assert!(after(shorter + more) <= after(shorter));
            prop_assert_eq!(after(DECAY_INTERVAL.as_secs() * u64::from(MAX_WEIGHT)), Duration::ZERO);
        }

        #[test]
        fn what_others_send_changes_nothing(
            guesses in proptest::collection::vec((0_u32..8, 0_u64..60), 0..200),
        ) {
            let (mut together, mut alone) = (Tally::default(), Tally::default());
            let mut now = Instant::now();
            for (user, pause) in guesses {
                now += Duration::from_secs(pause);
                let among_others = together.note(Source::User(user), now);
                if user == 0 {
                    prop_assert_eq!(among_others, alone.note(Source::User(user), now));
                }
            }
        }

        #[test]
        fn the_log_hears_of_each_wrong_token_and_once_a_minute_at_most(
            pauses in proptest::collection::vec(0_u64..20, 1..200),
        ) {
            let start = Instant::now();
            let (mut record, mut now) = (Record::new(start), start);
            let (mut logged, mut last_line) = (0, None);
            for (number, pause) in pauses.iter().enumerate() {
                now += Duration::from_secs(*pause);
                let Some(news) = record.note(now).to_log else { continue };
                logged += news;
                prop_assert_eq!(logged, number as u64 + 1);
                prop_assert!(last_line.is_none_or(|last| now - last >= LOG_INTERVAL));
                last_line = Some(now);
            }
            prop_assert_eq!(logged + record.unlogged, pauses.len() as u64);
        }
    }

    #[test]
    fn a_wrong_token_is_told_at_once() {
        assert_eq!(Record::new(Instant::now()).note(Instant::now()).to_log, Some(1));
    }

    #[test]
    fn a_crowd_of_sources_fills_no_memory_and_shares_a_delay() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let guesses = (0..100_000).map(|user| tally.note(Source::User(user), now));
        let (known, others) = guesses.enumerate().partition::<Vec<_>, _>(|(number, _)| *number < MAX_SOURCES);
        assert!(known.iter().all(|(_, guess)| guess.delay.is_zero() && guess.to_log == Some(1)));
        assert_eq!(others.last().unwrap().1.delay, LONGEST_DELAY);
        assert_eq!(others.iter().filter(|(_, guess)| guess.to_log.is_some()).count(), 1);
        assert_eq!(tally.records.len(), MAX_SOURCES);

        // The forgotten make room.
        let later = now + DECAY_INTERVAL;
        assert_eq!(tally.note(Source::User(u32::MAX), later).delay, Duration::ZERO);
        assert_eq!(tally.records.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_held_back_for_the_delay() {
        let (throttle, caller) = (TokenThrottle::new(1024), caller(1));
        let (_stopping, stop) = watch::channel(false);
        let start = tokio::time::Instant::now();
        for expected in [0, 0, 0, 0, 0, 100, 300, 700, 1_500, 3_100, 6_300, 11_300, 16_300] {
            throttle.hold_back(&caller, &stop).await;
            let elapsed = start.elapsed().as_millis();
            assert!((expected..expected + 20).contains(&elapsed), "{elapsed} instead of {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_connections_is_held_back_and_no_more() {
        let (throttle, caller) = (Arc::new(TokenThrottle::new(8)), caller(1));
        let (_stopping, stop) = watch::channel(false);
        let start = tokio::time::Instant::now();
        let held: Vec<_> = (0..40)
            .map(|_| {
                let (throttle, caller, stop) = (Arc::clone(&throttle), caller.clone(), stop.clone());
                tokio::spawn(async move {
                    throttle.hold_back(&caller, &stop).await;
                    start.elapsed()
                })
            })
            .collect();
        let mut waited = 0;
        for task in held {
            waited += u32::from(!task.await.unwrap().is_zero());
        }
        assert_eq!(waited, 2);
        assert_eq!(throttle.held_refusals.available_permits(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_go_of_what_is_held_back() {
        let (throttle, caller) = (TokenThrottle::new(8), caller(1));
        let (stopping, stop) = watch::channel(false);
        for _ in 0..MAX_WEIGHT {
            throttle.hold_back(&caller, &stop).await;
        }
        let start = tokio::time::Instant::now();
        tokio::join!(throttle.hold_back(&caller, &stop), async { stopping.send_replace(true) });
        assert!(start.elapsed() < SHORTEST_DELAY);
    }

    fn caller(uid: u32) -> Caller {
        let peer = Peer::Unix { uid, gid: 0, pid: None };
        Caller { role: Role::All, peer, groups: Arc::default(), certificate: None }
    }
}
