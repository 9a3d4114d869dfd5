//! Policy of raw roots: when a signing root is signed without the message that it belongs to.
//!
//! One type for the option, for what [`crate::signing_policy`] permits and for what [`crate::ledger`] judges. Pure.

use clap::ValueEnum;
use serde::Deserialize;

/// When raw roots, which cannot be checked, are signed (`--raw-roots`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawRoots {
    /// With keys that have no slashing-protection history. The first one marks the key: no block and no attestation
    /// is signed with it until its watermarks are lifted to the present.
    #[default]
    #[value(help = "Yes, with keys that have no slashing-protection history")]
    UnprotectedKeys,
    /// Never.
    Refuse,
    /// With every key: slashing protection cannot see what is signed. They mark the key in the same way.
    #[value(help = "With every key: slashing protection cannot see what is signed")]
    Allow,
}
