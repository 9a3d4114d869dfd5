//! Fence of the shared ledger: what shows that a database has lost commits, compared at each connection.
//!
//! A host sees only the grants that it was given itself, so this is an alarm and no substitute for replication. What it
//! has found stays, over restarts too, until `bls-signer ledger accept-loss`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::error::Error;
use crate::bls::PublicKey;
use crate::ledger::HighWatermark;
use crate::ledger::rules::Watermark;
use crate::mutex::Mutex;

/// What this host knows of the database, in a file and of this process's own grants.
#[derive(Debug)]
pub(super) struct Fence {
    path: PathBuf,
    pins: Mutex<Option<Pins>>,
    /// That of the pins, for those who wait for a later one.
    timeline: watch::Sender<u32>,
    confirmed: Mutex<HashMap<PublicKey, Watermark>>,
    turn: tokio::sync::Mutex<()>,
}

/// Which ledger on which database this host has joined: the file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pins {
    pub(super) ledger_id: String,
    pub(super) system_identifier: String,
    /// Of the write-ahead log; each promotion begins the next.
    pub(super) timeline: u32,
    /// How often the owner has accepted a loss.
    pub(super) losses_accepted: i32,
    /// What was found lost, until that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rewound: Option<String>,
    /// What this host has taken over of the point at which nobody signs any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<Stop>,
}

/// A [`HighWatermark`] as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    slot: Option<u64>,
    epoch: Option<u64>,
}

impl From<HighWatermark> for Stop {
    fn from(HighWatermark { slot, epoch }: HighWatermark) -> Self {
        Self { slot: slot.map(|slot| slot.0), epoch: epoch.map(|epoch| epoch.0) }
    }
}

impl Fence {
    pub(super) fn open(state: &Path) -> Result<Self, Error> {
        let path = state.join(FILE_NAME);
        let pins: Option<Pins> = match fs::read(&path) {
            Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| Error::Pins(error.into()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::Pins(error)),
        };
        Ok(Self {
            path,
            timeline: watch::Sender::new(pins.as_ref().map_or(0, |pins| pins.timeline)),
            pins: Mutex::new(pins),
            confirmed: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// The stop that the shared ledger had when this host last took it over; none if it has never joined.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.pins.lock().as_ref()?.stop
    }

    /// Notes the stop that this host takes over.
    pub(super) fn note_stop(&self, stop: HighWatermark) -> Result<(), Error> {
        let (mut pins, stop) = (self.pins.lock(), Some(Stop::from(stop)));
        match pins.clone() {
            Some(known) if known.stop != stop => self.pin(&mut pins, Pins { stop, ..known }),
            Some(_) | None => Ok(()),
        }
    }

    /// What was found lost and is not accepted yet.
    pub(super) fn rewound(&self) -> Option<Error> {
        let reason = self.pins.lock().as_ref()?.rewound.clone()?;
        Some(Error::Rewound { reason })
    }

    /// Resolves when a primary with a later timeline was found: nothing more is asked on a connection to this one.
    pub(super) async fn superseded(&self, timeline: u32) -> Error {
        let mut newest = self.timeline.subscribe();
        match newest.wait_for(|known| *known > timeline).await {
            Ok(known) => Error::OlderTimeline { found: timeline, known: *known },
            // The fence is there as long as it is borrowed.
            Err(_) => std::future::pending().await,
        }
    }

    /// A grant that this process was given.
    pub(super) fn confirm(&self, public_key: PublicKey, granted: Watermark) {
        let mut confirmed = self.confirmed.lock();
        let highest = confirmed.entry(public_key).or_default();
        *highest = highest.merged(granted);
    }

    /// Kept while a database is read and compared.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// All that this process was granted.
    pub(super) fn granted(&self) -> HashMap<PublicKey, Watermark> {
        self.confirmed.lock().clone()
    }

    /// Compares a database with what is known. `rows`: what it has of the keys that something had been granted for.
    ///
    /// # Errors
    /// It is another ledger, has lost something, or is not the present primary.
    pub(super) fn check(
        &self,
        found: &Pins,
        granted: &HashMap<PublicKey, Watermark>,
        rows: &HashMap<PublicKey, Watermark>,
    ) -> Result<(), Error> {
        let mut pins = self.pins.lock();
        let Some(known) = pins.as_ref() else {
            return self.pin(&mut pins, found.clone());
        };
        let found = &Pins { stop: known.stop, ..found.clone() };
        if known.ledger_id != found.ledger_id {
            return Err(Error::OtherLedger {
                found: found.ledger_id.clone(),
                pinned: known.ledger_id.clone(),
            });
        }
        if found.losses_accepted > known.losses_accepted {
            // What is lost lies below the floor that came with it.
            self.confirmed.lock().clear();
            return self.pin(&mut pins, found.clone());
        }
        if known.rewound.is_none()
            && known.system_identifier == found.system_identifier
            && found.timeline < known.timeline
        {
            // Nothing is lost by it: the one that was promoted is the one to ask.
            return Err(Error::OlderTimeline { found: found.timeline, known: known.timeline });
        }
        let reason = known.rewound.clone().or_else(|| loss(known, found)).or_else(|| missing(granted, rows));
        let Some(reason) = reason else {
            return if found == known { Ok(()) } else { self.pin(&mut pins, found.clone()) };
        };
        if known.rewound.is_none() {
            tracing::error!("the shared ledger has lost records: {reason}");
            let known = Pins { rewound: Some(reason.clone()), ..known.clone() };
            // In force also where it cannot be written down.
            *pins = Some(known.clone());
            self.pin(&mut pins, known)?;
        }
        Err(Error::Rewound { reason })
    }

    fn pin(&self, pins: &mut Option<Pins>, new: Pins) -> Result<(), Error> {
        self.write(&new).map_err(Error::Pins)?;
        self.timeline.send_replace(new.timeline);
        *pins = Some(new);
        Ok(())
    }

    /// Durably, in place of the file before.
    fn write(&self, pins: &Pins) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(pins)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Why the database cannot be the one that is known, only further on.
fn loss(known: &Pins, found: &Pins) -> Option<String> {
    if known.system_identifier != found.system_identifier {
        let (known, found) = (&known.system_identifier, &found.system_identifier);
        return Some(format!("it is on another database cluster, {found} in place of {known}"));
    }
    if found.losses_accepted < known.losses_accepted {
        return Some("it is an older copy, from before a loss was accepted".to_owned());
    }
    None
}

/// Grants of this process that the database does not have.
fn missing(granted: &HashMap<PublicKey, Watermark>, rows: &HashMap<PublicKey, Watermark>) -> Option<String> {
    let is_behind =
        |(key, granted): &(&PublicKey, &Watermark)| rows.get(key).is_none_or(|row| !covers(row, granted));
    let behind = granted.iter().filter(is_behind).count();
    (behind > 0).then(|| format!("it is behind what it had granted to this host, for {behind} keys"))
}

/// Whether a row forbids all that a granted message forbids.
fn covers(row: &Watermark, granted: &Watermark) -> bool {
    row.merged(*granted) == *row && granted.merged(*row) == *row
}

const FILE_NAME: &str = "shared-ledger.json";

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use super::*;
    use crate::primitives::Slot;

    fn pins() -> Pins {
        Pins {
            ledger_id: "a".to_owned(),
            system_identifier: "1".to_owned(),
            timeline: 3,
            losses_accepted: 0,
            rewound: None,
            stop: None,
        }
    }

    fn found(fence: &Fence, found: &Pins) -> Result<(), Error> {
        fence.check(found, &fence.granted(), &HashMap::new())
    }

    #[test]
    fn another_cluster_is_a_loss_until_it_is_accepted_over_restarts_too() {
        let directory = tempfile::tempdir().unwrap();
        let fence = Fence::open(directory.path()).unwrap();
        found(&fence, &pins()).unwrap();
        let other = Pins { system_identifier: "2".to_owned(), timeline: 1, ..pins() };
        assert!(matches!(found(&fence, &other), Err(Error::Rewound { .. })));
        assert!(matches!(found(&fence, &pins()), Err(Error::Rewound { .. })));
        let fence = Fence::open(directory.path()).unwrap();
        assert!(fence.rewound().is_some());
        assert!(matches!(found(&fence, &pins()), Err(Error::Rewound { .. })));
        let accepted = Pins { losses_accepted: 1, ..other };
        found(&fence, &accepted).unwrap();
        assert!(fence.rewound().is_none());
        assert!(matches!(found(&fence, &pins()), Err(Error::Rewound { .. })));
    }

    #[test]
    fn an_earlier_timeline_is_not_asked_until_it_is_accepted_and_spoils_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let fence = Fence::open(directory.path()).unwrap();
        found(&fence, &pins()).unwrap();
        let old = Pins { timeline: 2, ..pins() };
        assert!(matches!(found(&fence, &old), Err(Error::OlderTimeline { found: 2, known: 3 })));
        found(&fence, &pins()).unwrap();
        found(&fence, &Pins { losses_accepted: 1, ..old }).unwrap();
        assert!(matches!(found(&fence, &pins()), Err(Error::Rewound { .. })));
    }

    #[tokio::test]
    async fn who_waits_on_a_timeline_hears_of_a_later_one_and_of_none_before() {
        let directory = tempfile::tempdir().unwrap();
        let fence = Fence::open(directory.path()).unwrap();
        found(&fence, &pins()).unwrap();
        let mut waiting = std::pin::pin!(fence.superseded(3));
        let is_pending = |context: &mut Context<'_>| Poll::Ready(waiting.as_mut().poll(context).is_pending());
        assert!(std::future::poll_fn(is_pending).await);
        found(&fence, &Pins { timeline: 4, ..pins() }).unwrap();
        assert!(matches!(waiting.await, Error::OlderTimeline { found: 3, known: 4 }));
    }

    #[test]
    fn a_promotion_is_no_loss_and_another_ledger_no_successor() {
        let directory = tempfile::tempdir().unwrap();
        let fence = Fence::open(directory.path()).unwrap();
        found(&fence, &pins()).unwrap();
        found(&fence, &Pins { timeline: 4, ..pins() }).unwrap();
        let other = Pins { ledger_id: "b".to_owned(), ..pins() };
        assert!(matches!(found(&fence, &other), Err(Error::OtherLedger { .. })));
        assert!(fence.rewound().is_none());
    }

    #[test]
    fn a_grant_that_is_missing_there_is_a_loss() {
        let directory = tempfile::tempdir().unwrap();
        let fence = Fence::open(directory.path()).unwrap();
        found(&fence, &pins()).unwrap();
        let (key, at) = (PublicKey([1; 48]), |slot| Watermark::floor(Some(Slot(slot)), None));
        fence.confirm(key, at(10));
        let before = fence.granted();
        fence.confirm(PublicKey([2; 48]), at(7));
        // What came after the comparison began is not looked for.
        fence.check(&pins(), &before, &HashMap::from([(key, at(10))])).unwrap();
        fence.check(&pins(), &before, &HashMap::from([(key, at(11))])).unwrap();
        let behind = fence.check(&pins(), &before, &HashMap::from([(key, at(9))]));
        assert!(matches!(behind, Err(Error::Rewound { .. })));
    }
}
