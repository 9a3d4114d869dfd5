//! A validator's secret key in locked memory.

use std::sync::Arc;

use sha2::digest::generic_array::GenericArray;
use zeroize::Zeroizing;

use crate::bls::{HashedRoot, HashedText, PublicKey, SignaturePoint};
use crate::sys::curve;
use crate::sys::locked_memory::{LockedMemory, LockedMemoryError, SecretCell};

/// A secret key and the public key that belongs to it. The secret is wiped when this is dropped; it cannot be cloned
/// or printed.
pub(crate) struct SecretKey {
    /// The scalar as 32 bytes little endian, so that the curve library reads it where it lies.
    scalar: SecretCell,
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

    /// The same for a scalar that lies in locked memory already.
    ///
    /// # Errors
    /// When locked memory has run out.
    pub(super) fn of(scalar: &Scalar, memory: &Arc<LockedMemory>) -> Result<Self, SecretKeyError> {
        let scalar = memory.store(scalar.0.expose())?;
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

    /// A key of this process's predecessor, which left it in its cell: `None` where there is none any more.
    pub(super) fn inherited(scalar: SecretCell, public_key: PublicKey) -> Option<Self> {
        curve::is_secret_key(scalar.expose()).then_some(Self { scalar, public_key })
    }

    /// Where it lies in the region.
    pub(super) fn cell(&self) -> &SecretCell {
        &self.scalar
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The secret half of a signature for each of these keys, in constant time.
    pub(super) fn multiply(keys: &[&Self], hashed: &HashedRoot) -> Vec<SignaturePoint> {
        hashed.multiply(&Self::exposed(keys))
    }

    /// The secret half of a text's signature, in constant time.
    pub(super) fn sign_text(&self, text: &HashedText) -> SignaturePoint {
        text.multiply(self.scalar.expose())
    }

    /// See [`HashedRoot::examined`].
    pub(super) fn examined(
        keys: &[&Self],
        hashed: &HashedRoot,
        signatures: Vec<SignaturePoint>,
    ) -> Vec<SignaturePoint> {
        hashed.examined(&Self::exposed(keys), signatures)
    }

    fn exposed<'a>(keys: &[&'a Self]) -> Vec<&'a [u8; 32]> {
        keys.iter().map(|key| key.scalar.expose()).collect()
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

/// A secret key whose public key is not derived yet, in locked memory from the moment it is read.
pub(super) struct Scalar(SecretCell);

impl Scalar {
    /// Reads 64 hexadecimal digits, big endian, with or without `0x`. The caller wipes them.
    ///
    /// # Errors
    /// When they are not, for a number out of range, or when locked memory has run out.
    pub(super) fn from_hex(digits: &str, memory: &Arc<LockedMemory>) -> Result<Self, SecretKeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        const_hex::decode_to_slice(digits, &mut *bytes).map_err(|_| SecretKeyError::Digits)?;
        locked_scalar(&bytes, memory).map(Self)
    }

    /// SHA-256 of the scalar, by which the same key is known again. The one block that is hashed is wiped after.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut block = Zeroizing::new([0; 64]);
        let (secret, padding) = block.split_at_mut(32);
        secret.copy_from_slice(self.0.expose());
        // The end of the message and its length, 256 bits (FIPS 180-4, section 5.1.1).
        for (place, byte) in [(0, 0x80), (30, 0x01)] {
            if let Some(padding) = padding.get_mut(place) {
                *padding = byte;
            }
        }
        let mut state = SHA_256_INITIAL;
        let block: &GenericArray<u8, _> = (&*block).into();
        sha2::compress256(&mut state, std::slice::from_ref(block));
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

/// Why bytes are not a secret key that can be held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretKeyError {
    /// Not hexadecimal, or not 32 bytes.
    #[error("the secret is not 64 hexadecimal digits")]
    Digits,
    /// 0, or at least the order of the group.
    #[error("the secret is not a BLS secret key: it must be above 0 and below the order of the group")]
    OutOfRange,
    /// No locked memory.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

fn locked_scalar(big_endian: &[u8; 32], memory: &Arc<LockedMemory>) -> Result<SecretCell, SecretKeyError> {
    let mut little_endian = Zeroizing::new([0; 32]);
    little_endian.copy_from_slice(big_endian);
    little_endian.reverse();
    if !curve::is_secret_key(&little_endian) {
        return Err(SecretKeyError::OutOfRange);
    }
    Ok(memory.store(&little_endian)?)
}

/// The initial hash value of SHA-256 (FIPS 180-4, section 5.3.3).
const SHA_256_INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[cfg(test)]
mod tests {
    use blst::min_pk;
    use sha2::{Digest, Sha256};

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
    fn a_scalar_is_the_key_of_its_digits_and_its_digest_is_sha_256() {
        let memory = LockedMemory::new().unwrap();
        let theirs = min_pk::SecretKey::key_gen(&[7; 32], &[]).unwrap().to_bytes();
        for digits in
            [const_hex::encode(theirs), const_hex::encode_prefixed(theirs).to_uppercase().replace('X', "x")]
        {
            let scalar = Scalar::from_hex(&digits, &memory).unwrap();
            assert_eq!(SecretKey::of(&scalar, &memory).unwrap().to_big_endian(), theirs);
            let mut little_endian = theirs;
            little_endian.reverse();
            assert_eq!(scalar.digest(), <[u8; 32]>::from(Sha256::digest(little_endian)));
        }
        for digits in ["", "0x", "zz", &"a".repeat(63), &"1".repeat(66), &"é".repeat(32)] {
            assert!(matches!(Scalar::from_hex(digits, &memory), Err(SecretKeyError::Digits)), "{digits}");
        }
        assert!(matches!(Scalar::from_hex(&"0".repeat(64), &memory), Err(SecretKeyError::OutOfRange)));
        assert_eq!(memory.used(), 0);
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
