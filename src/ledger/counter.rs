//! Counter outside of all disks, in a TPM: how many sessions of a ledger have begun and ended.
//!
//! Its memory wears out, so it counts no commits: it is raised when a session puts its first record on file, and when
//! a session ends. The ledger has on record, before each raise, what the counter will say. So whatever a power cut
//! leaves, the counter says what the newest ledger says, or one less:
//!
//! ```text
//! closed at n --open at n + 1 on record--> counter n + 1 --records--> closed at n + 2 on record --> counter n + 2
//! ```
//!
//! A copy from before the last raise has a lower number and is recognised, also when a whole disk was put back. What a
//! session that did not end had on record, the counter does not know: there the anchors decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::tpm::{CounterMark, NvCounter, Reading, TpmError};

/// A number that only ever goes up.
pub(crate) trait Counter: fmt::Debug + fmt::Display + Send + Sync {
    /// What it says; none if it was never made.
    fn read(&self, within: Duration) -> Result<Option<Reading>, TpmError>;
    /// Adds one, and says what it is then.
    fn increment(&self, within: Duration) -> Result<u64, TpmError>;
    fn define(&self, mark: CounterMark, within: Duration) -> Result<(), TpmError>;
    fn undefine(&self, within: Duration) -> Result<(), TpmError>;
}

impl Counter for NvCounter {
    fn read(&self, within: Duration) -> Result<Option<Reading>, TpmError> {
        Self::read(self, within)
    }

    fn increment(&self, within: Duration) -> Result<u64, TpmError> {
        Self::increment(self, within)
    }

    fn define(&self, mark: CounterMark, within: Duration) -> Result<(), TpmError> {
        Self::define(self, mark, within)
    }

    fn undefine(&self, within: Duration) -> Result<(), TpmError> {
        Self::undefine(self, within)
    }
}

/// Which counter there is, and what an opening does with it.
#[derive(Clone, Debug, Default)]
pub(crate) enum Counting {
    /// None is named.
    #[default]
    Off,
    On(Arc<dyn Counter>),
    /// It is changed first.
    Change(CounterChange, Arc<dyn Counter>),
}

/// What becomes of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CounterChange {
    /// It is made, if the ledger has none.
    Make,
    /// It is taken away, and the ledger is not counted any more.
    Remove,
}

impl Counting {
    pub(super) fn counter(&self) -> Option<&Arc<dyn Counter>> {
        match self {
            Self::Off => None,
            Self::On(counter) | Self::Change(_, counter) => Some(counter),
        }
    }
}

/// What a ledger has on record of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CounterRecord {
    pub(super) mark: CounterMark,
    /// What it says, or is about to say. None while it is made or taken away.
    pub(super) value: Option<u64>,
    /// Whether the session that this was written in came to its end with it.
    pub(super) is_closed: bool,
}

/// What a counter shows of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: the ledger has none.
    Uncounted,
    /// It is the newest.
    Newest,
    /// It is of the last session that was counted, which did not end.
    Interrupted,
    /// It is not the newest, or nothing shows it any more.
    Lost(CounterLoss),
}

/// A counter, as the opening found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShownCounter {
    /// It counts.
    Counts { counter: String, value: u64, is_newest: bool },
    /// It does not yet, and why: no daemon starts so.
    NotYet(String),
}

impl fmt::Display for ShownCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts { counter, value, is_newest: true } => {
                write!(f, "{counter} said {value}: this ledger is the newest")
            }
            Self::Counts { counter, value, is_newest: false } => {
                write!(f, "{counter} said {value}: the last session, which this ledger is of, did not end")
            }
            Self::NotYet(why) => f.write_str(why),
        }
    }
}

/// What a ledger has lost, by its counter. An operator can accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CounterLoss {
    /// Sessions began or ended that this copy does not know.
    Older { recorded: u64, counted: u64 },
    /// The counter is this ledger's, of which this copy does not know: it is from before.
    Unrecorded,
    /// The ledger had another one before.
    Replaced,
    /// The TPM has none.
    Gone,
    /// The configuration names none.
    Unnamed,
}

impl fmt::Display for CounterLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { recorded, counted } => write!(
                f,
                "is rolled back: it has sessions up to number {recorded} on record, and {counted} were counted. An \
                 older copy took its place, perhaps with all of its disk. Put the newest one back"
            ),
            Self::Unrecorded => f.write_str(
                "is rolled back: its starts are counted, and it does not know. A copy from before took its place. Put \
                 the newest one back",
            ),
            Self::Replaced => f.write_str(
                "was counted by another counter. A copy from before that was replaced took its place, or the counter \
                 was made anew. Put the newest ledger back",
            ),
            Self::Gone => f.write_str(
                "is counted, and its counter is not there: this is another machine than the ledger's, or its TPM was \
                 cleared or replaced. Move the ledger back; or, if its machine signs no more, make a new counter after \
                 the next step",
            ),
            Self::Unnamed => f.write_str(
                "is counted in a TPM, and no counter is named. Name it again (tpm_counter), or take it away with \
                 `bls-signer slashing-protection tpm-counter --remove`",
            ),
        }
    }
}

/// Why a counter says nothing of a ledger, and nobody can just accept that.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CounterFault {
    #[error(transparent)]
    Tpm(#[from] TpmError),
    #[error("{counter} was not made yet: with the daemon stopped, {MAKE}")]
    NotMade { counter: String },
    #[error(
        "{counter} was not made, or taken away, to the end: with the daemon stopped, {MAKE} (or --remove) again"
    )]
    Unfinished { counter: String },
    #[error(
        "{counter} is that of another ledger ({}): each has its own. Name another index (tpm_counter); or, if that \
         ledger is gone for good, take its counter away with `bls-signer slashing-protection tpm-counter --remove`",
        const_hex::encode(ledger)
    )]
    OfAnother { counter: String, ledger: [u8; 16] },
    #[error(
        "{counter} stands at {counted}, and the ledger has {recorded} on record: the TPM's memory was put back, so it \
         is no witness. Take it away with `bls-signer slashing-protection tpm-counter --remove`, and make another"
    )]
    Behind { counter: String, recorded: u64, counted: u64 },
    #[error("{counter} went from {before} to {now}: another program counts with it")]
    Jumped { counter: String, before: u64, now: u64 },
}

impl CounterFault {
    /// Whether it stays so until somebody changes something.
    pub(crate) fn is_configuration(&self) -> bool {
        match self {
            Self::Tpm(error) => error.is_configuration(),
            Self::NotMade { .. } | Self::Unfinished { .. } | Self::OfAnother { .. } | Self::Behind { .. } => {
                true
            }
            Self::Jumped { .. } => false,
        }
    }

    /// Whether a ledger that has nothing of it on record can be looked at and changed by command all the same.
    pub(super) fn is_before_the_first_count(&self) -> bool {
        match self {
            Self::NotMade { .. } | Self::Unfinished { .. } | Self::OfAnother { .. } => true,
            Self::Tpm(_) | Self::Behind { .. } | Self::Jumped { .. } => false,
        }
    }
}

/// What a counter shows of the ledger with this number that has this on record.
pub(super) fn judge(
    counter: &dyn Counter,
    reading: Option<Reading>,
    record: Option<CounterRecord>,
    ledger: [u8; 16],
) -> Result<Standing, CounterFault> {
    let counter = || counter.to_string();
    let Some(Reading { mark, value }) = reading else {
        return match record {
            None => Err(CounterFault::NotMade { counter: counter() }),
            Some(CounterRecord { value: None, .. }) => Err(CounterFault::Unfinished { counter: counter() }),
            Some(CounterRecord { value: Some(_), .. }) => Ok(Standing::Lost(CounterLoss::Gone)),
        };
    };
    if ledger_of(mark) != ledger {
        return Err(CounterFault::OfAnother { counter: counter(), ledger: ledger_of(mark) });
    }
    let Some(counted) = value else { return Err(CounterFault::Unfinished { counter: counter() }) };
    let Some(record) = record else { return Ok(Standing::Lost(CounterLoss::Unrecorded)) };
    let Some(recorded) = record.value else { return Err(CounterFault::Unfinished { counter: counter() }) };
    if record.mark != mark {
        return Ok(Standing::Lost(CounterLoss::Replaced));
    }
    // One above: on record, and the raise did not come to it.
    match recorded.checked_sub(counted) {
        None => Ok(Standing::Lost(CounterLoss::Older { recorded, counted })),
        Some(0) if record.is_closed => Ok(Standing::Newest),
        Some(0) => Ok(Standing::Interrupted),
        Some(1) => Ok(Standing::Newest),
        Some(2..) => Err(CounterFault::Behind { counter: counter(), recorded, counted }),
    }
}

/// A mark for a new counter of this ledger.
pub(super) fn new_mark(ledger: [u8; 16]) -> Result<CounterMark, getrandom::Error> {
    let mut chance = [0; 16];
    getrandom::fill(&mut chance)?;
    let mut mark = [0; 32];
    let halves = mark.iter_mut().zip(ledger.into_iter().chain(chance));
    halves.for_each(|(byte, value)| *byte = value);
    Ok(CounterMark(mark))
}

/// The number of the ledger that a counter was made for.
pub(super) fn ledger_of(CounterMark(mark): CounterMark) -> [u8; 16] {
    mark.first_chunk().copied().unwrap_or_default()
}

const MAKE: &str = "run `bls-signer slashing-protection tpm-counter`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ledger_is_where_the_counter_is_or_one_ahead() {
        let older = |recorded, counted| Standing::Lost(CounterLoss::Older { recorded, counted });
        for (recorded, is_closed, counted, standing) in [
            (7, true, 7, Some(Standing::Newest)),
            (7, false, 7, Some(Standing::Interrupted)),
            (8, true, 7, Some(Standing::Newest)),
            (8, false, 7, Some(Standing::Newest)),
            (6, true, 7, Some(older(6, 7))),
            (6, false, 7, Some(older(6, 7))),
            (0, true, u64::MAX, Some(older(0, u64::MAX))),
            (9, true, 7, None),
        ] {
            let record = CounterRecord { mark: mark(1, 1), value: Some(recorded), is_closed };
            let judged = judged(Some((mark(1, 1), Some(counted))), Some(record));
            assert_eq!(
                judged.as_ref().ok(),
                standing.as_ref(),
                "{recorded} {is_closed} {counted}: {judged:?}"
            );
            let is_behind = matches!(judged, Err(CounterFault::Behind { recorded: 9, counted: 7, .. }));
            assert_eq!(is_behind, standing.is_none());
        }
    }

    #[test]
    fn a_counter_speaks_for_the_ledger_that_it_was_made_for_alone() {
        let record = |mark, value| Some(CounterRecord { mark, value, is_closed: true });
        let lost = |loss| Ok(Standing::Lost(loss));
        let of = |reading, record| judged(reading, record).map_err(|fault| fault.is_before_the_first_count());
        assert_eq!(of(None, None), Err(true));
        assert_eq!(of(None, record(mark(1, 1), Some(7))), lost(CounterLoss::Gone));
        assert_eq!(of(Some((mark(1, 1), Some(7))), None), lost(CounterLoss::Unrecorded));
        assert_eq!(of(Some((mark(1, 2), Some(7))), record(mark(1, 1), Some(7))), lost(CounterLoss::Replaced));
        for (reading, record) in
            [(Some((mark(2, 1), Some(7))), record(mark(1, 1), Some(7))), (Some((mark(2, 1), None)), None)]
        {
            let another = judged(reading, record);
            assert!(matches!(another, Err(CounterFault::OfAnother { ledger: [2, ..], .. })), "{another:?}");
        }
        for (reading, record) in [
            (None, record(mark(1, 1), None)),
            (Some((mark(1, 1), None)), None),
            (Some((mark(1, 1), None)), record(mark(1, 1), Some(7))),
            (Some((mark(1, 1), Some(7))), record(mark(1, 1), None)),
        ] {
            let unfinished = judged(reading, record);
            assert!(matches!(unfinished, Err(CounterFault::Unfinished { .. })), "{unfinished:?}");
        }
    }

    #[test]
    fn each_mark_names_its_ledger_and_is_another_one() {
        let [one, other] = [(); 2].map(|()| new_mark([7; 16]).unwrap());
        assert_eq!((ledger_of(one), ledger_of(other)), ([7; 16], [7; 16]));
        assert_ne!(one, other);
    }

    fn judged(
        reading: Option<(CounterMark, Option<u64>)>,
        record: Option<CounterRecord>,
    ) -> Result<Standing, CounterFault> {
        let counter = NvCounter { device: "/dev/tpmrm0".into(), index: "0x01800b15".parse().unwrap() };
        let reading = reading.map(|(mark, value)| Reading { mark, value });
        judge(&counter, reading, record, [1; 16])
    }

    fn mark(ledger: u8, making: u8) -> CounterMark {
        let mut mark = [making; 32];
        mark[..16].fill(ledger);
        CounterMark(mark)
    }
}
