//! A TPM in memory with one counter, which can be cut off at each command, and which tells what it said when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fault_vfs::{Event, FaultVfs};
use crate::ledger::Counting;
use crate::ledger::counter::Counter;
use crate::mutex::Mutex;
use crate::tpm::{CounterMark, Reading, TpmError};

#[derive(Debug)]
pub(super) struct TpmDouble(Mutex<State>);

#[derive(Default)]
struct State {
    counter: Option<Reading>,
    /// Of all counters ever.
    highest: u64,
    /// What happens at a command that changes something: by its number, from 1.
    cut: Option<Cut>,
    changes: usize,
    vfs: Option<&'static FaultVfs>,
}

/// The power, or the bus, goes at a command.
pub(super) struct Cut {
    pub(super) at: usize,
    /// Whether it took effect.
    pub(super) done: bool,
    pub(super) then: Box<dyn Fn() + Send>,
}

impl TpmDouble {
    pub(super) fn new() -> Arc<Self> {
        // Counters begin above all that ever were.
        Arc::new(Self(Mutex::new(State { highest: 40, ..State::default() })))
    }

    /// One that says this.
    pub(super) fn saying(counter: Option<Reading>) -> Arc<Self> {
        let double = Self::new();
        let mut state = double.0.lock();
        state.highest = counter.and_then(|reading| reading.value).unwrap_or(state.highest);
        state.counter = counter;
        drop(state);
        double
    }

    pub(super) fn on(self: &Arc<Self>) -> Counting {
        Counting::On(Arc::clone(self) as Arc<dyn Counter>)
    }

    pub(super) fn counter(&self) -> Option<Reading> {
        self.0.lock().counter
    }

    pub(super) fn value(&self) -> u64 {
        self.counter().and_then(|reading| reading.value).unwrap()
    }

    pub(super) fn say(&self, value: u64) {
        let mut state = self.0.lock();
        state.highest = value;
        state.counter.as_mut().unwrap().value = Some(value);
    }

    /// As after a clear by its owner.
    pub(super) fn clear(&self) {
        self.0.lock().counter = None;
    }

    pub(super) fn cut(&self, cut: Option<Cut>) {
        let mut state = self.0.lock();
        state.changes = 0;
        state.cut = cut;
    }

    /// Whether the cut has come.
    pub(super) fn was_cut(&self) -> bool {
        let state = self.0.lock();
        state.cut.as_ref().is_some_and(|cut| state.changes >= cut.at)
    }

    /// From now on what it says stands among the events of the files.
    pub(super) fn tell(&self, vfs: &'static FaultVfs) {
        let mut state = self.0.lock();
        state.vfs = Some(vfs);
        let said = state.counter;
        drop(state);
        vfs.note(Event::Counter(said));
    }

    fn change(&self, change: impl Fn(&mut State)) -> Result<(), TpmError> {
        let mut state = self.0.lock();
        state.changes += 1;
        let is_cut = |state: &State| state.cut.as_ref().is_some_and(|cut| cut.at <= state.changes);
        let done =
            !is_cut(&state) || state.cut.as_ref().is_some_and(|cut| cut.done && cut.at == state.changes);
        if done {
            change(&mut state);
        }
        let (said, vfs) = (state.counter, state.vfs);
        if is_cut(&state) {
            if state.cut.as_ref().is_some_and(|cut| cut.at == state.changes) {
                (state.cut.as_ref().unwrap().then)();
            }
            return Err(TpmError::Silent { device: "double".into() });
        }
        drop(state);
        if let Some(vfs) = vfs {
            vfs.note(Event::Counter(said));
        }
        Ok(())
    }
}

impl Counter for TpmDouble {
    fn read(&self, _: Duration) -> Result<Option<Reading>, TpmError> {
        Ok(self.counter())
    }

    fn increment(&self, _: Duration) -> Result<u64, TpmError> {
        self.change(|state| {
            state.highest += 1;
            state.counter.as_mut().unwrap().value = Some(state.highest);
        })?;
        Ok(self.value())
    }

    fn define(&self, mark: CounterMark, _: Duration) -> Result<(), TpmError> {
        assert_eq!(self.counter(), None);
        self.change(|state| state.counter = Some(Reading { mark, value: None }))
    }

    fn undefine(&self, _: Duration) -> Result<(), TpmError> {
        assert!(self.counter().is_some());
        self.change(|state| state.counter = None)
    }
}

impl fmt::Display for TpmDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the counter of a double")
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.counter, f)
    }
}
