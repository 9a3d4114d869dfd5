//! Calls into blst that its safe interface does not offer, and multiplications built on them.
//!
//! blst's own `SecretKey` is a value that moves and copies the scalar over stack and heap; the calls here read it where
//! it lies, in locked memory. They also split a signature into its two halves, so that the first (hash to the curve,
//! public data) can be shared by all keys that sign one root. The second half has three ways: blst's own, and two that
//! are faster for a point of which a table was made, [`Comb`] and [`JointTable`]. Their field and point arithmetic is
//! blst's; what they choose by the key is read and computed alike for every key.

mod addition;
mod comb;
mod combination;
mod field;
mod joint;
mod lookup;
mod mask;
mod odd_multiples;
mod point;
mod subscalars;

use blst::{
    blst_hash_to_g2, blst_p1, blst_p1_compress, blst_p2, blst_p2_affine, blst_p2_is_inf, blst_p2_to_affine,
    blst_scalar, blst_sign_pk_in_g1, blst_sk_check, blst_sk_to_pk_in_g1,
};

pub(crate) use self::comb::{Comb, CombError, Window};
pub(crate) use self::joint::JointTable;
pub(crate) use self::point::SignaturePoint;

/// A message hashed to G2, the public half of a signature's work.
#[derive(Clone, Copy)]
pub(crate) struct HashedMessage(blst_p2);

impl HashedMessage {
    /// Hashes `message` to the curve under the domain separation tag `dst` (RFC 9380, hash_to_curve).
    pub(crate) fn new(message: &[u8; 32], dst: &[u8]) -> Self {
        Self::of_text(message, dst)
    }

    /// The same for a message of any length.
    pub(crate) fn of_text(message: &[u8], dst: &[u8]) -> Self {
        let mut point = blst_p2::default();
        // SAFETY: every pointer comes from a live reference and travels with that reference's length; an empty
        // augmentation may be null because its length is 0; blst only writes to `point`.
        unsafe {
            blst_hash_to_g2(
                &mut point,
                message.as_ptr(),
                message.len(),
                dst.as_ptr(),
                dst.len(),
                std::ptr::null(),
                0,
            );
        }
        Self(point)
    }

    fn is_infinity(&self) -> bool {
        // SAFETY: the point is live; the call only reads it.
        unsafe { blst_p2_is_inf(&self.0) }
    }

    /// Multiplies the point by a secret scalar (32 bytes, little endian) in constant time and gives the signature.
    pub(crate) fn multiply(&self, scalar: &[u8; 32]) -> SignaturePoint {
        let mut signature = blst_p2::default();
        // SAFETY: `blst_scalar` is a C struct of exactly 32 bytes with alignment 1; both inputs outlive the call.
        unsafe { blst_sign_pk_in_g1(&mut signature, &self.0, as_scalar(scalar)) };
        let mut affine = blst_p2_affine::default();
        // SAFETY: both are live; it writes to `affine` alone.
        unsafe { blst_p2_to_affine(&mut affine, &signature) };
        SignaturePoint(affine)
    }
}

/// Whether a scalar (32 bytes, little endian) is a secret key: not zero and below the group order.
pub(crate) fn is_secret_key(scalar: &[u8; 32]) -> bool {
    // SAFETY: see `as_scalar`; the call only reads the 32 bytes.
    unsafe { blst_sk_check(as_scalar(scalar)) }
}

/// The compressed public key of a secret scalar (32 bytes, little endian).
pub(crate) fn public_key(scalar: &[u8; 32]) -> [u8; 48] {
    let mut point = blst_p1::default();
    // SAFETY: see `as_scalar`; blst writes to `point` only.
    unsafe { blst_sk_to_pk_in_g1(&mut point, as_scalar(scalar)) };
    let mut compressed = [0; 48];
    // SAFETY: a compressed G1 point has 48 bytes, the length of `compressed`.
    unsafe { blst_p1_compress(compressed.as_mut_ptr(), &point) };
    compressed
}

/// `blst_scalar` is `struct { byte b[32]; }`: same size, alignment 1.
fn as_scalar(bytes: &[u8; 32]) -> *const blst_scalar {
    const { assert!(size_of::<blst_scalar>() == 32 && align_of::<blst_scalar>() == 1) };
    bytes.as_ptr().cast()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;
