//! Domains: what keeps a signature of one kind, fork and chain from being one of another.
//!
//! Source: consensus-specs, `compute_domain`, `compute_signing_root`, `get_domain`.

use super::kind::DomainType;
use super::ssz::{Chunk, hash};
use crate::primitives::{ForkVersion, Root, SigningRoot};

/// A domain: the type, bound to a fork and a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Domain(Chunk);

impl Domain {
    /// A domain of one fork of one chain.
    pub(super) fn new(kind: DomainType, version: ForkVersion, genesis_validators_root: Root) -> Self {
        let [v0, v1, v2, v3] = version.0;
        let mut version_chunk = [0; 32];
        version_chunk.iter_mut().zip([v0, v1, v2, v3]).for_each(|(byte, value)| *byte = value);
        let fork_data_root = hash(&version_chunk, &genesis_validators_root.0);
        let mut domain = [0; 32];
        let bytes = kind.bytes().into_iter().chain(fork_data_root);
        domain.iter_mut().zip(bytes).for_each(|(byte, value)| *byte = value);
        Self(domain)
    }

    /// A domain that holds on every chain with this genesis fork version.
    pub(super) fn of_no_chain(kind: DomainType, genesis_version: ForkVersion) -> Self {
        Self::new(kind, genesis_version, Root([0; 32]))
    }

    /// The root to sign for an object under this domain.
    pub(super) fn signing_root(&self, object_root: &Chunk) -> SigningRoot {
        SigningRoot(hash(object_root, &self.0))
    }
}
