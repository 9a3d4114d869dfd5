//! Presence of the shared ledger: since when, and why, one of the connections owes an answer or is not there.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::error::Error;
use crate::ledger::Silence;
use crate::ledger::fault::Cause;
use crate::mutex::Mutex;

/// How each lane is; the oldest silence counts.
#[derive(Debug)]
pub(super) struct Presence {
    lanes: Mutex<Vec<LaneState>>,
    oldest: watch::Sender<Option<Silence>>,
}

#[derive(Clone, Debug)]
struct LaneState {
    /// Lanes of one group take from one queue.
    group: usize,
    /// Since it waits for something.
    silence: Option<Silence>,
    /// It lost its connection, and no more is known: whoever is in its group goes on without it.
    is_replaceable: bool,
}

impl Presence {
    /// For these lanes, each by its group, of which nothing is asked yet.
    pub(super) fn new<const LANES: usize>(groups: [usize; LANES]) -> Self {
        let lanes = groups.map(|group| LaneState { group, silence: None, is_replaceable: false });
        Self { lanes: Mutex::new(lanes.to_vec()), oldest: watch::Sender::new(None) }
    }

    /// The lane waits for an answer. A silence that has begun goes on.
    pub(super) fn asking(&self, lane: usize) {
        self.change(lane, |state| {
            state.is_replaceable = false;
            state.silence.get_or_insert_with(new_silence);
        });
    }

    /// The lane has no connection. Likewise, with a newer cause.
    pub(super) fn down(&self, lane: usize, error: Arc<Error>) {
        self.change(lane, |state| {
            state.is_replaceable = error.is_of_one_connection();
            let cause: Cause = error;
            state.silence.get_or_insert_with(new_silence).cause = Some(cause);
        });
    }

    /// The lane has its answer.
    pub(super) fn present(&self, lane: usize) {
        self.change(lane, |state| {
            state.is_replaceable = false;
            state.silence = None;
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Silence>> {
        self.oldest.subscribe()
    }

    /// The oldest silence, or one that begins now.
    pub(super) fn silence(&self) -> Silence {
        let oldest = self.oldest.borrow().clone();
        oldest.unwrap_or_else(new_silence)
    }

    fn change(&self, lane: usize, change: impl FnOnce(&mut LaneState)) {
        let mut lanes = self.lanes.lock();
        if let Some(state) = lanes.get_mut(lane) {
            change(state);
        }
        let counts = |state: &&LaneState| {
            !state.is_replaceable
                || lanes.iter().all(|other| other.group != state.group || other.is_replaceable)
        };
        let silences = lanes.iter().filter(counts).filter_map(|state| state.silence.as_ref());
        self.oldest.send_replace(silences.min_by_key(|silence| silence.since).cloned());
    }
}

fn new_silence() -> Silence {
    Silence { since: Instant::now(), cause: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_lost_its_connection_counts_when_no_other_takes_from_its_queue() {
        let presence = Presence::new([0, 0, 1]);
        let is_silent = || presence.subscribe().borrow().is_some();
        let lost = || Arc::new(Error::Closed);
        presence.down(0, lost());
        assert!(!is_silent());
        presence.down(1, lost());
        assert!(is_silent());
        presence.present(0);
        assert!(!is_silent());
        presence.down(2, lost());
        assert!(is_silent());
        presence.present(2);
        presence.down(1, Arc::new(Error::StandbyAway));
        assert!(is_silent(), "the other lane would meet the same");
    }

    #[test]
    fn a_silence_goes_on_over_new_connections_until_something_is_answered() {
        let presence = Presence::new([0]);
        presence.asking(0);
        let since = presence.silence().since;
        presence.down(0, Arc::new(Error::Closed));
        presence.asking(0);
        assert_eq!(presence.silence().since, since);
        assert!(presence.silence().cause.is_some());
        presence.present(0);
        assert!(presence.subscribe().borrow().is_none());
    }
}
