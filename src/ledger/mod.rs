//! Slashing protection: no signature leaves the process unless the record that forbids its contradiction is durable.

use crate::bls::PublicKey;
use crate::primitives::SigningRoot;

/// Proof that a duty may be signed and that the record of it, where one is needed, is on disk.
///
/// Only this module makes one. A signature is released against it and nothing else.
#[derive(Debug)]
pub(crate) struct Cleared {
    public_key: PublicKey,
    signing_root: SigningRoot,
}

impl Cleared {
    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    pub(crate) fn signing_root(&self) -> SigningRoot {
        self.signing_root
    }
}
