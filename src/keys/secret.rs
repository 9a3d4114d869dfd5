//! A validator's secret key in locked memory.

use std::sync::Arc;

use zeroize::Zeroize;

use crate::bls::{HashedRoot, PublicKey, Signature};
use crate::sys::curve;
use crate::sys::locked_memory::{LockedMemory, LockedMemoryError, Slot};

/// A secret key and the public key that belongs to it. The secret is wiped when this is dropped; it cannot be cloned
/// or printed.
pub(crate) struct SecretKey {
    /// The scalar as 32 bytes little endian, so that the curve library reads it where it lies.
    scalar: Slot,
    public_key: PublicKey,
}

impl SecretKey {
    /// Puts a secret key (32 bytes big endian, as in keystores) into locked memory and derives its public key. The
    /// caller wipes its own copy.
    ///
    /// # Errors
    /// When the number is 0 or not below the group order, or locked memory has run out.
    pub(crate) fn new(big_endian: &[u8; 32], memory: &Arc<LockedMemory>) -> Result<Self, SecretKeyError> {
        let scalar = locked_scalar(big_endian, memory)?;
        let public_key = PublicKey(curve::public_key(scalar.expose()));
        Ok(Self { scalar, public_key })
    }

    /// As [`SecretKey::new`], where something else has proven that the public key belongs to the secret.
    pub(super) fn proven(
        big_endian: &[u8; 32],
        public_key: PublicKey,
        memory: &Arc<LockedMemory>,
    ) -> Result<Self, SecretKeyError> {
        Ok(Self { scalar: locked_scalar(big_endian, memory)?, public_key })
    }

    /// A key of this process's predecessor, which left it in its slot: `None` where there is none any more.
    pub(super) fn inherited(scalar: Slot, public_key: PublicKey) -> Option<Self> {
        curve::is_secret_key(scalar.expose()).then_some(Self { scalar, public_key })
    }

    /// Where it lies in the region.
    pub(super) fn slot(&self) -> &Slot {
        &self.scalar
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The secret half of a signature, in constant time.
    pub(super) fn multiply(&self, hashed: &HashedRoot) -> Signature {
        hashed.multiply(self.scalar.expose())
    }

    /// Writes 32 bytes big endian, as keystores have them, where the caller wipes them: returned by value, they could
    /// leave copies on the way.
    pub(super) fn copy_big_endian(&self, bytes: &mut [u8; 32]) {
        bytes.copy_from_slice(self.scalar.expose());
        bytes.reverse();
    }

    #[cfg(test)]
    pub(super) fn to_big_endian(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.copy_big_endian(&mut bytes);
        bytes
    }
}

/// Why bytes are not a secret key that can be held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretKeyError {
    /// 0, or at least the order of the group.
    #[error("the secret is not a BLS secret key: it must be above 0 and below the order of the group")]
    OutOfRange,
    /// No locked memory.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

fn locked_scalar(big_endian: &[u8; 32], memory: &Arc<LockedMemory>) -> Result<Slot, SecretKeyError> {
    let mut little_endian = *big_endian;
    little_endian.reverse();
    let in_range = curve::is_secret_key(&little_endian);
    let stored = in_range.then(|| memory.store(&little_endian));
    little_endian.zeroize();
    Ok(stored.ok_or(SecretKeyError::OutOfRange)??)
}

#[cfg(test)]
mod tests {
    use blst::min_pk;

    use super::*;

    #[test]
    fn agrees_with_blst_on_public_key_and_bytes() {
        let memory = LockedMemory::new().unwrap();
        for seed in 0..16 {
            let theirs = min_pk::SecretKey::key_gen(&[seed; 32], &[]).unwrap();
            let ours = SecretKey::new(&theirs.to_bytes(), &memory).unwrap();
            assert_eq!(ours.public_key().0, theirs.sk_to_pk().to_bytes());
            assert_eq!(ours.to_big_endian(), theirs.to_bytes());
        }
    }

    #[test]
    fn refuses_zero_and_what_is_not_below_the_group_order() {
        let memory = LockedMemory::new().unwrap();
        let order: [u8; 32] = const_hex::decode_to_array(ORDER).unwrap();
        let mut above = order;
        above[31] += 1;
        for bad in [[0; 32], order, above, [0xff; 32]] {
            assert!(matches!(SecretKey::new(&bad, &memory), Err(SecretKeyError::OutOfRange)));
        }
        let mut largest = order;
        largest[31] -= 1;
        let mut smallest = [0; 32];
        smallest[31] = 1;
        for good in [largest, smallest] {
            assert!(SecretKey::new(&good, &memory).is_ok());
        }
    }

    /// The order r of the group (draft-irtf-cfrg-pairing-friendly-curves, BLS12-381).
    const ORDER: &str = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";
}
