//! The suite of a ledger beside a second judge that knows no more than it: nothing else may come of it.

use super::memory_judge::MemoryJudge;
use super::*;
use crate::raw_roots::RawRoots;

#[path = "admin.rs"]
mod admin;
#[path = "far_future.rs"]
mod far_future;
#[path = "faults.rs"]
mod faults;
#[path = "judging.rs"]
mod judging;
#[path = "opening.rs"]
mod opening;
#[path = "public_suite.rs"]
mod public_suite;
#[path = "versions.rs"]
mod versions;
#[path = "waiting.rs"]
mod waiting;
#[path = "watching.rs"]
mod watching;

fn settings(directory: &Path) -> Settings {
    judged(super::settings(directory))
}

fn open(directory: &Path) -> Ledger {
    Ledger::open(settings(directory)).unwrap()
}

/// These judges, for settings that come from elsewhere. Raw roots have no other policy beside a second judge.
fn judged(settings: Settings) -> Settings {
    Settings { second_judge: Some(MemoryJudge::new()), raw_roots: RawRoots::Allow, ..settings }
}
