//! Groups of duties by the names that operators use: what a client may have signed is said in them, and counters tell
//! them apart. Pure.

use std::fmt;

use serde::Deserialize;

use crate::metrics::Variants;

/// What a client may have signed, as `duties` in the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DutyGroup {
    /// Attestations, those of the payload timeliness committee among them.
    Attest,
    /// Blocks, and the payload that a proposer builds itself.
    Propose,
    /// Aggregates of attestations, and the proofs of being chosen for them.
    Aggregate,
    /// All of the sync committee.
    Sync,
    /// RANDAO reveals.
    Randao,
    /// What a proposer tells builders: registration, preferences, requests.
    Registration,
    /// What a builder signs: bids and payloads.
    Builder,
    /// Voluntary exits. Nothing undoes one.
    Exit,
    /// Deposits.
    Deposit,
    /// Roots that come without their message.
    Raw,
}

impl DutyGroup {
    pub(crate) const ALL: [Self; 10] = [
        Self::Attest,
        Self::Propose,
        Self::Aggregate,
        Self::Sync,
        Self::Randao,
        Self::Registration,
        Self::Builder,
        Self::Exit,
        Self::Deposit,
        Self::Raw,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Attest => "attest",
            Self::Propose => "propose",
            Self::Aggregate => "aggregate",
            Self::Sync => "sync",
            Self::Randao => "randao",
            Self::Registration => "registration",
            Self::Builder => "builder",
            Self::Exit => "exit",
            Self::Deposit => "deposit",
            Self::Raw => "raw",
        }
    }
}

impl Variants for DutyGroup {
    const ALL: &'static [Self] = &Self::ALL;
}

impl fmt::Display for DutyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
