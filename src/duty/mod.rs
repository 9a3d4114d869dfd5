//! What may be signed: the JSON wire forms of the remote signing API, down to a signing root computed here.
//!
//! [`Duty::parse`] promises: a duty's kind, its claim and its signing root come from one reading of one message, so
//! what slashing protection judges is what the signature covers. Nothing is truncated, guessed or taken on trust; a
//! body that can be read in two ways is refused.
//!
//! Pure: no I/O, no clock. Sources: ethereum/remote-signing-api v1.4.0 for the wire forms, consensus-specs for the
//! messages and domains, ethereum/builder-specs for registrations and request authentication.

mod domain;
mod fork_info;
mod json;
mod kind;
mod message;
mod priority;
mod proof_of_validation;
mod raw_root;
mod refusal;
mod request;
mod ssz;
mod time_limit;

use crate::network::{Fork, Network};
use crate::primitives::{Epoch, ForkVersion, Root, SigningRoot, Slot};

pub use kind::{Kind, UnknownKind};
pub(crate) use priority::Priority;
pub(crate) use proof_of_validation::ProofOfValidation;
pub use refusal::Refusal;
pub(crate) use time_limit::least_time_limit;

/// One request to sign, understood: its signing root is computed from its content, never taken from the caller
/// (a [`Claim::RawRoot`] excepted, which says so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    kind: Kind,
    signing_root: SigningRoot,
    claim: Claim,
    genesis_validators_root: Option<Root>,
    /// The fork that it is signed under; none without `fork_info`.
    fork: Option<Fork>,
    newer_version: Option<ForkVersion>,
}

impl Duty {
    /// Reads the body of `POST /api/v1/eth2/sign/{identifier}`.
    ///
    /// A `signingRoot` in the body is only compared with the root computed here. Every refusal is the caller's fault
    /// (400; 412 for a message of another chain than the network's) and names the field at fault. The body must be
    /// bounded by the caller; the time taken is linear in it.
    pub fn parse(body: &[u8], network: &Network) -> Result<Self, Refusal> {
        request::parse(body, network)
    }

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

    /// The fork version of the request if no fork of the network has it: one that got its date after this program was
    /// made. The request alone vouches for it.
    pub fn newer_version(&self) -> Option<ForkVersion> {
        self.newer_version
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
