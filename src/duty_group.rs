//! Groups of duties by the names that operators use: what a client may have signed is said in them, and counters tell
//! them apart. Pure.

use std::fmt;

use serde::Deserialize;

use crate::metrics::named_variants;

named_variants! {
    /// What a client may have signed, as `duties` in the configuration names it.
    #[derive(PartialOrd, Ord, Hash, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub(crate) enum DutyGroup {
        /// Attestations, those of the payload timeliness committee among them.
        Attest = "attest",
        /// Blocks, and the payload that a proposer builds itself.
        Propose = "propose",
        /// Aggregates of attestations, and the proofs of being chosen for them.
        Aggregate = "aggregate",
        /// All of the sync committee.
        Sync = "sync",
        /// RANDAO reveals.
        Randao = "randao",
        /// What a proposer tells builders: registration, preferences, requests.
        Registration = "registration",
        /// What a builder signs: bids and payloads.
        Builder = "builder",
        /// Voluntary exits. Nothing undoes one.
        Exit = "exit",
        /// Deposits.
        Deposit = "deposit",
        /// Proofs of validation: texts that show a monitor who holds a key.
        Proof = "proof",
        /// Roots that come without their message.
        Raw = "raw",
    }
}

impl fmt::Display for DutyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
