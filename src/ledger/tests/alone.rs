//! The suite of a ledger that judges alone.

use super::*;

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
pub(super) mod public_suite;
#[path = "versions.rs"]
pub(super) mod versions;
#[path = "waiting.rs"]
mod waiting;
#[path = "watching.rs"]
mod watching;

/// These judges, for settings that come from elsewhere.
fn judged(settings: Settings) -> Settings {
    settings
}
