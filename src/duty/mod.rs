//! What may be signed: the JSON wire forms of the remote signing API, down to a signing root computed here.
//!
//! Pure: no I/O, no clock. Source of the wire forms: ethereum/remote-signing-api v1.4.0.

use crate::primitives::{Epoch, Root, SigningRoot, Slot};

/// One request to sign, understood: its signing root is computed from its content, never taken from the caller
/// (a [`Claim::RawRoot`] excepted, which says so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    kind: Kind,
    signing_root: SigningRoot,
    claim: Claim,
    genesis_validators_root: Option<Root>,
}

impl Duty {
    /// The kind of message, for permits, logs and counters.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The root that the signature is made over.
    pub fn signing_root(&self) -> SigningRoot {
        self.signing_root
    }

    /// What slashing protection has to judge.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The chain that the request names in `fork_info`; none for duties that are signed without one.
    pub fn genesis_validators_root(&self) -> Option<Root> {
        self.genesis_validators_root
    }
}

/// What a signature would commit its validator to, in the terms of EIP-3076.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A block proposal: slashable if another block is signed at this slot.
    Block {
        /// The block's slot.
        slot: Slot,
    },
    /// An attestation: slashable as a double vote or a surround vote.
    Attestation {
        /// The source checkpoint's epoch.
        source: Epoch,
        /// The target checkpoint's epoch.
        target: Epoch,
    },
    /// A root that arrived without its message, so nothing about it can be checked.
    RawRoot,
    /// A message that no chain slashes for.
    Unslashable,
}

/// The kinds of message, named by the signing API's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `BLOCK` and `BLOCK_V2`.
    Block,
    /// `ATTESTATION`.
    Attestation,
    /// A bare 32-byte root.
    RawRoot,
}
