//! Counted sessions: the row with what the ledger's counter says, and the order in which row and counter change.
//!
//! A session that puts nothing on record is not counted, so a start that fails over and over, or a look at the ledger,
//! wears no memory out. Nor does a process that was killed and starts again: the anchor in memory shows that the host
//! has not been started since, so the session goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::rows::{checksum, from_integer, one_row, to_integer};
use super::{LedgerId, OpenError, StoreError};
use crate::ledger::counter::{
    self, Counter, CounterChange, CounterFault, CounterLoss, CounterRecord, Counting, Standing, judge,
};
use crate::tpm::{CounterMark, Reading};

/// A ledger's counter, beside its row.
#[derive(Debug)]
pub(super) struct Counted {
    counter: Option<Arc<dyn Counter>>,
    record: Option<CounterRecord>,
    /// What the counter said last.
    value: u64,
    pub(super) standing: Standing,
    /// Why it does not count yet.
    pub(super) not_yet: Option<CounterFault>,
    phase: Phase,
}

/// How far the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is not counted.
    Left,
    /// It is, as soon as there is something to put on record.
    Waiting,
    /// The counter says that it has begun.
    Begun,
}

impl Counted {
    /// Asks the counter, and makes it or takes it away if that is wanted. `only_looks`: whether a counter that is not
    /// there yet may be passed over.
    pub(super) fn open(
        counting: &Counting,
        connection: &Connection,
        path: &Path,
        LedgerId(ledger): LedgerId,
        only_looks: bool,
    ) -> Result<Self, OpenError> {
        let mut record = read(connection, path)?;
        let sqlite = |source| OpenError::from_sqlite(path, source);
        let Some(counter) = counting.counter() else {
            let standing = record.map_or(Standing::Uncounted, |_| Standing::Lost(CounterLoss::Unnamed));
            return Ok(Self::uncounted(None, record, standing, None));
        };
        let ask = || counter.read(TIME_AT_START).map_err(CounterFault::from);
        let mut reading = ask()?;
        if let Counting::Change(CounterChange::Make, _) = counting {
            let is_there = record.is_some_and(|record| record.value.is_some());
            if reading.is_none() && !is_there {
                let mark = counter::new_mark(ledger).map_err(|source| OpenError::Io {
                    path: path.to_owned(),
                    action: "given a counter",
                    source: source.into(),
                })?;
                counter.define(mark, TIME_AT_START).map_err(CounterFault::from)?;
                reading = ask()?;
            }
            record =
                finish(counter.as_ref(), reading, record, ledger, connection).map_err(
                    |unmade| match unmade {
                        Unmade::Counter(fault) => fault.into(),
                        Unmade::Sqlite(error) => sqlite(error),
                    },
                )?;
            reading = ask()?;
        }
        let judged = judge(counter.as_ref(), reading, record, ledger);
        if matches!(counting, Counting::Change(CounterChange::Remove, _)) && may_go(&judged, record) {
            if let Some(record) = record {
                // First of all, so that nothing counts with it any more, whatever becomes of the rest.
                write(connection, &CounterRecord { value: None, ..record }).map_err(sqlite)?;
            }
            if reading.is_some() {
                counter.undefine(TIME_AT_START).map_err(CounterFault::from)?;
            }
            delete(connection).map_err(sqlite)?;
            return Ok(Self::uncounted(None, None, Standing::Uncounted, None));
        }
        match judged {
            Ok(standing) => Ok(Self {
                counter: Some(Arc::clone(counter)),
                record,
                value: reading.and_then(|reading| reading.value).unwrap_or_default(),
                standing,
                not_yet: None,
                phase: Phase::Waiting,
            }),
            Err(fault) if may_pass(counting, only_looks, record, &fault) => {
                Ok(Self::uncounted(Some(counter), record, Standing::Uncounted, Some(fault)))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    fn uncounted(
        counter: Option<&Arc<dyn Counter>>,
        record: Option<CounterRecord>,
        standing: Standing,
        not_yet: Option<CounterFault>,
    ) -> Self {
        Self { counter: counter.cloned(), record, value: 0, standing, not_yet, phase: Phase::Left }
    }

    /// The counter and what it says, where it counts.
    pub(super) fn shown(&self) -> Option<(String, u64)> {
        match (self.phase, &self.counter) {
            (Phase::Left, _) | (_, None) => None,
            (Phase::Waiting | Phase::Begun, Some(counter)) => Some((counter.to_string(), self.value)),
        }
    }

    /// Makes the record one that says that nothing is missing, after an operator said so. To be part of the transaction
    /// that lifts the watermarks. No older copy has as high a number: it is raised first.
    pub(super) fn accept(&mut self, connection: &Connection, path: &Path) -> Result<(), OpenError> {
        let sqlite = |source| OpenError::from_sqlite(path, source);
        let Standing::Lost(loss) = self.standing else { return Ok(()) };
        match (loss, &self.counter) {
            (CounterLoss::Gone | CounterLoss::Unnamed, _) | (_, None) => {
                delete(connection).map_err(sqlite)?;
                *self = Self::uncounted(None, None, Standing::Uncounted, None);
            }
            (CounterLoss::Older { .. } | CounterLoss::Unrecorded | CounterLoss::Replaced, Some(counter)) => {
                self.value = counter.increment(TIME_AT_START).map_err(CounterFault::from)?;
                let reading = counter.read(TIME_AT_START).map_err(CounterFault::from)?;
                let Some(Reading { mark, .. }) = reading else {
                    return Err(CounterFault::NotMade { counter: counter.to_string() }.into());
                };
                let record = CounterRecord { mark, value: Some(self.value), is_closed: true };
                write(connection, &record).map_err(sqlite)?;
                self.record = Some(record);
                self.standing = Standing::Newest;
                self.phase = Phase::Waiting;
            }
        }
        Ok(())
    }

    /// Leaves counter and record as they are: they go on saying what they say now.
    pub(super) fn leave(&mut self) {
        self.phase = Phase::Left;
    }

    /// Goes on with the session that did not end: the host has run since.
    pub(super) fn resume(&mut self) {
        if self.standing == Standing::Interrupted && self.phase == Phase::Waiting {
            self.phase = Phase::Begun;
        }
    }

    /// Whether the session has to be counted before anything is put on record.
    pub(super) fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }

    /// Counts that the session begins: on record first, then in the counter.
    pub(super) fn begin(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let (Phase::Waiting, Some(counter), Some(record)) = (self.phase, self.counter.clone(), self.record)
        else {
            return Ok(());
        };
        if record.value == self.value.checked_add(1) {
            // On record, and the raise did not come to it.
            self.raise(counter.as_ref(), TIME_AT_START)?;
            if !record.is_closed {
                self.phase = Phase::Begun;
                return Ok(());
            }
        }
        self.put(connection, record.mark, false).map_err(StoreError::write)?;
        self.raise(counter.as_ref(), TIME_AT_START)?;
        self.phase = Phase::Begun;
        Ok(())
    }

    /// Has on record that the session ended. To be part of the transaction that closes it.
    pub(super) fn end(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        match (self.phase, self.record) {
            (Phase::Begun, Some(record)) => self.put(connection, record.mark, true),
            (Phase::Left | Phase::Waiting, _) | (Phase::Begun, None) => Ok(()),
        }
    }

    /// Counts that it ended. If that fails, the next session makes up for it.
    pub(super) fn count_end(&mut self) {
        let (Phase::Begun, Some(counter)) = (self.phase, self.counter.clone()) else { return };
        if let Err(error) = self.raise(counter.as_ref(), TIME_AT_END) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the end of the ledger's session is on record and not counted; the next start makes up for it"
            );
        }
    }

    fn put(&mut self, connection: &Connection, mark: CounterMark, is_closed: bool) -> rusqlite::Result<()> {
        let record = CounterRecord { mark, value: self.value.checked_add(1), is_closed };
        write(connection, &record)?;
        self.record = Some(record);
        Ok(())
    }

    fn raise(&mut self, counter: &dyn Counter, within: Duration) -> Result<(), StoreError> {
        let now = counter.increment(within).map_err(CounterFault::from)?;
        let before = std::mem::replace(&mut self.value, now);
        if before.checked_add(1) == Some(now) {
            return Ok(());
        }
        Err(CounterFault::Jumped { counter: counter.to_string(), before, now }.into())
    }
}

/// Whether a counter can be taken away without a loss that nobody notices any more.
fn may_go(judged: &Result<Standing, CounterFault>, record: Option<CounterRecord>) -> bool {
    match judged {
        Ok(Standing::Newest | Standing::Interrupted | Standing::Uncounted) => true,
        Ok(Standing::Lost(_)) => false,
        Err(CounterFault::OfAnother { .. }) => record.is_none(),
        Err(CounterFault::NotMade { .. } | CounterFault::Unfinished { .. } | CounterFault::Behind { .. }) => {
            true
        }
        Err(CounterFault::Tpm(_) | CounterFault::Jumped { .. }) => false,
    }
}

/// Whether who only looks may pass over a counter that does not count yet.
fn may_pass(
    counting: &Counting,
    only_looks: bool,
    record: Option<CounterRecord>,
    fault: &CounterFault,
) -> bool {
    match counting {
        Counting::On(_) => only_looks && record.is_none() && fault.is_before_the_first_count(),
        Counting::Off | Counting::Change(_, _) => false,
    }
}

/// Why a counter was not made.
enum Unmade {
    Counter(CounterFault),
    Sqlite(rusqlite::Error),
}

/// Has a new counter count: on record before its first value, so that no ledger was ever counted with one that has no
/// value yet.
fn finish(
    counter: &dyn Counter,
    reading: Option<Reading>,
    record: Option<CounterRecord>,
    ledger: [u8; 16],
    connection: &Connection,
) -> Result<Option<CounterRecord>, Unmade> {
    let Some(Reading { mark, value }) = reading.filter(|reading| counter::ledger_of(reading.mark) == ledger)
    else {
        return Ok(record);
    };
    let unfinished = CounterRecord { mark, value: None, is_closed: false };
    let value = match (value, record) {
        // It has one.
        (_, Some(CounterRecord { value: Some(_), .. })) => return Ok(record),
        (None, None | Some(_)) => {
            write(connection, &unfinished).map_err(Unmade::Sqlite)?;
            counter.increment(TIME_AT_START).map_err(|error| Unmade::Counter(error.into()))?
        }
        (Some(value), Some(record)) if record.mark == mark => value,
        // Not one that this ledger was about to make.
        (Some(_), None | Some(_)) => return Ok(record),
    };
    let made = CounterRecord { value: Some(value), ..unfinished };
    write(connection, &made).map_err(Unmade::Sqlite)?;
    Ok(Some(made))
}

fn read(connection: &Connection, path: &Path) -> Result<Option<CounterRecord>, OpenError> {
    let read = connection
        .query_row("SELECT mark, value, is_closed, checksum FROM counter WHERE only = 1", (), record_of)
        .optional()
        .map_err(|source| OpenError::from_sqlite(path, source))?;
    match read {
        Some((record, stored)) if stored != counter_checksum(&record) => Err(OpenError::Damaged {
            path: path.to_owned(),
            what: "row 1 of its table counter has a wrong checksum".to_owned(),
        }),
        Some((record, _)) => Ok(Some(record)),
        None => Ok(None),
    }
}

fn write(connection: &Connection, record: &CounterRecord) -> rusqlite::Result<()> {
    let CounterRecord { mark: CounterMark(mark), value, is_closed } = record;
    let changed = connection.execute(
        "INSERT OR REPLACE INTO counter (only, mark, value, is_closed, checksum) VALUES (1, ?1, ?2, ?3, ?4)",
        params![mark, value.map(to_integer), is_closed, counter_checksum(record)],
    )?;
    one_row(changed)
}

fn delete(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM counter", ()).map(drop)
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<(CounterRecord, i64)> {
    let value = row.get::<_, Option<i64>>(1)?.map(from_integer);
    Ok((CounterRecord { mark: CounterMark(row.get(0)?), value, is_closed: row.get(2)? }, row.get(3)?))
}

/// Over all of the row.
fn counter_checksum(record: &CounterRecord) -> i64 {
    let CounterRecord { mark: CounterMark(mark), value, is_closed } = record;
    let mut hash = Sha256::new();
    hash.update(mark);
    hash.update([u8::from(value.is_some()), u8::from(*is_closed)]);
    hash.update(value.unwrap_or_default().to_be_bytes());
    checksum(hash)
}

/// For each command to the counter.
const TIME_AT_START: Duration = Duration::from_secs(10);
/// A stop has so much time for everything.
const TIME_AT_END: Duration = Duration::from_secs(2);
