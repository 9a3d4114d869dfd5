//! Unproven start: nothing shows that the ledger is the newest, so what may have been signed since is shut out.
//!
//! Whatever an honest client has had signed lies at or before the present. So the slot of every key's blocks and the
//! target of its attestations are lifted to the present, and nothing that is signed from then on contradicts it. The
//! source stays: an honest client's never goes back, and lifted it would cost two epochs more. Keys without a row begin
//! there too: theirs may be among what was lost.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::far_future::Horizon;
use super::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::network::GenesisClock;
use crate::primitives::{Epoch, Slot};
use crate::text::Bounded;

/// What to do about a ledger that nothing shows to be the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// Lift all watermarks to the present, and go on.
    Lift,
    /// Do not start.
    Refuse,
    /// Go on, and leave it unproven: nothing is signed by who only looks.
    Leave,
}

/// Why nothing shows that the ledger is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// There is none of the anchors that it once had.
    NoAnchor,
    /// The last note on the disk is so old that all of the disk may have been put back since.
    OldAnchor { age: Duration },
    /// A mark in the state directory says so.
    Marked(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnchor => {
                f.write_str("its anchors are gone or are elsewhere: it was moved, copied or restored")
            }
            Self::OldAnchor { age } => write!(
                f,
                "the host was started since, and the last note of its commits is {} min old: all of the disk may have \
                 been put back",
                age.as_secs() / 60
            ),
            Self::Marked(why) => write!(f, "a mark beside it says: {}", Bounded(why)),
        }
    }
}

/// What a start has lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifted {
    pub(crate) slot: Slot,
    pub(crate) epoch: Epoch,
    pub(crate) doubt: Doubt,
}

/// Why nobody can say what the present is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPresent {
    #[error("the network's genesis time is not known, so neither is its present slot")]
    UnknownGenesis,
    #[error("this host's clock says slot {present}, {years} years beyond all that is on record: set it")]
    ClockAhead { present: Slot, years: u64 },
    #[error(
        "this host's clock says slot {present}, before slot {agreed} that most keys' records reach: set it"
    )]
    ClockBehind { present: Slot, agreed: Slot },
}

/// The present by the host's clock, as far as the records do not speak against it.
pub(super) fn present(
    clock: Option<GenesisClock>,
    now: SystemTime,
    created: Option<u64>,
    records: impl Iterator<Item = Watermark> + Clone,
) -> Result<(Slot, Epoch), NoPresent> {
    let clock = clock.ok_or(NoPresent::UnknownGenesis)?;
    let (slot, epoch) = clock.present(now);
    let at_creation = created
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .map(|time| clock.slot_at(time));
    let horizon = Horizon::at(clock, now);
    let reached = records.clone().filter_map(|record| horizon.reach(&record)).chain(at_creation).max();
    if let Some(years) = reached.and_then(|reached| horizon.years_beyond(reached)) {
        return Err(NoPresent::ClockAhead { present: slot, years });
    }
    let agreed = horizon.with_records(records).present();
    // A vote's target is at most the present epoch, a block's slot the present one; clocks differ by a little.
    if agreed.0 > slot.0.saturating_add(clock.slots_per_epoch) {
        return Err(NoPresent::ClockBehind { present: slot, agreed });
    }
    Ok((slot, epoch))
}

/// What shuts out all blocks up to a slot, and all attestations with targets up to an epoch.
pub(super) fn floor(slot: Slot, epoch: Epoch) -> Watermark {
    Watermark {
        block: Some(SignedBlock { slot, signing_root: None }),
        attestation: Some(SignedAttestation { source: Epoch(0), target: epoch, signing_root: None }),
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::network::Network;

    const GENESIS: u64 = 1_606_824_023;
    const YEAR: u64 = 365 * 86_400;

    #[test]
    fn the_present_is_the_clock_s_unless_the_records_speak_against_it() {
        let at = |slot: u64| GENESIS + slot * 12;
        let year = YEAR / 12;
        for (records, created, now, found) in [
            (&[][..], None, at(0), Ok((Slot(0), Epoch(0)))),
            (&[], None, at(40 * year), Ok((Slot(40 * year), Epoch(40 * year / 32)))),
            (
                &[],
                Some(at(0)),
                at(40 * year),
                Err(NoPresent::ClockAhead { present: Slot(40 * year), years: 40 }),
            ),
            (&[], Some(at(39 * year)), at(40 * year), Ok((Slot(40 * year), Epoch(40 * year / 32)))),
            (&[900], Some(at(0)), at(1_000), Ok((Slot(1_000), Epoch(31)))),
            (&[900], None, at(3 * year), Err(NoPresent::ClockAhead { present: Slot(3 * year), years: 2 })),
            (&[3 * year], None, at(3 * year), Ok((Slot(3 * year), Epoch(3 * year / 32)))),
            // One record far ahead says nothing of the clock, most do.
            (&[900, 1 << 60, 800], None, at(1_000), Ok((Slot(1_000), Epoch(31)))),
            (
                &[5_000, 6_000],
                None,
                at(1_000),
                Err(NoPresent::ClockBehind { present: Slot(1_000), agreed: Slot(5_000) }),
            ),
            (&[1_010, 1_010], None, at(1_000), Ok((Slot(1_000), Epoch(31)))),
        ] {
            let records = records.iter().map(|slot| floor(Slot(*slot), Epoch(0)));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            assert_eq!(
                present(clock(), time, created, records.clone()),
                found,
                "{:?}",
                records.collect::<Vec<_>>()
            );
        }
        let nowhere = present(None, SystemTime::UNIX_EPOCH, None, std::iter::empty());
        assert_eq!(nowhere, Err(NoPresent::UnknownGenesis));
    }

    fn clock() -> Option<GenesisClock> {
        GenesisClock::of(&Network::by_name("mainnet").unwrap())
    }
}
