//! Place of a ledger whose sessions are counted: it can be put back as it was, with or without its anchors.

use std::fs;
use std::sync::Arc;

use super::rollback::{copy, replace};
use super::tpm_double::TpmDouble;
use super::*;
use crate::ledger::{CounterChange, Counting, Loss, OpenError, Unproven};

/// A ledger, its anchors on a disk, and a TPM.
pub(super) struct Place {
    pub(super) directory: tempfile::TempDir,
    pub(super) tpm: Arc<TpmDouble>,
}

impl Place {
    /// With a ledger that has no counter yet. On a disk: there an anchor's note is no proof that the host has run
    /// since.
    pub(super) fn new() -> Self {
        let on_disk = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let place = Self { directory: tempfile::tempdir_in(on_disk).unwrap(), tpm: TpmDouble::new() };
        drop(Ledger::open(place.settings(Counting::Off)).unwrap());
        place
    }

    pub(super) fn counted() -> Self {
        let place = Self::new();
        place.make();
        place
    }

    pub(super) fn make(&self) {
        wait(self.change(CounterChange::Make).unwrap().count()).unwrap();
    }

    /// As the command does it.
    pub(super) fn change(&self, change: CounterChange) -> Result<Ledger, OpenError> {
        let counting = Counting::Change(change, self.tpm.clone());
        Ledger::open(Settings { counting, ..self.looking() })
    }

    /// As a daemon that lifts nothing.
    pub(super) fn settings(&self, counting: Counting) -> Settings {
        Settings {
            counting,
            unproven: Unproven::Refuse,
            anchors: vec![self.directory.path().join("run")],
            ..settings(self.directory.path())
        }
    }

    /// As a command.
    pub(super) fn looking(&self) -> Settings {
        Settings { unproven: Unproven::Leave, ..self.settings(self.tpm.on()) }
    }

    pub(super) fn try_start(&self) -> Result<Ledger, OpenError> {
        Ledger::open(self.settings(self.tpm.on()))
    }

    pub(super) fn start(&self) -> Ledger {
        self.try_start().unwrap()
    }

    pub(super) fn accept_loss(&self, counting: Counting) {
        let loss = Loss::Lift { slot: Slot(100), epoch: Epoch(12) };
        drop(Ledger::open(Settings { loss, counting, ..self.looking() }).unwrap());
    }

    pub(super) fn lose_anchors(&self) {
        fs::remove_dir_all(self.directory.path().join("run")).unwrap();
    }

    /// All that is on the disk.
    pub(super) fn snapshot(&self, name: &str) {
        for part in ["state", "run"] {
            let copied = format!("{name}-{part}");
            let _ = fs::remove_dir_all(self.directory.path().join(&copied));
            copy(self.directory.path(), part, &copied);
        }
    }

    pub(super) fn put_back(&self, name: &str) {
        for part in ["state", "run"] {
            let copied = format!("{name}-{part}");
            copy(self.directory.path(), &copied, "back");
            let _ = fs::create_dir(self.directory.path().join(part));
            replace(self.directory.path(), part, "back");
        }
    }

    pub(super) fn tpm_said(&self, value: u64) {
        self.tpm.say(value);
    }
}
