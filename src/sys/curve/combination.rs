//! Random combination: signatures of one message that many keys made are checked with one multiplication of blst's.
//!
//! With random factors f(i), the sum of f(i) S(i) is that of f(i) k(i), times H, if each signature S(i) is k(i) H. If
//! one is another point of the group, that holds for one value of its factor at most. Unlike the sum without factors
//! it also finds signatures that have changed places.

use blst::{
    blst_p2, blst_p2_affine, blst_p2_is_equal, blst_p2s_mult_pippenger,
    blst_p2s_mult_pippenger_scratch_sizeof, blst_scalar, blst_sign_pk_in_g1, blst_sk_add_n_check,
    blst_sk_mul_n_check, limb_t,
};

use super::{HashedMessage, SignaturePoint};

impl HashedMessage {
    /// Whether these are the signatures by these secret scalars (32 bytes each, little endian, secret keys). The
    /// factors are random, one for each. In constant time as far as scalars go; signatures and factors are public.
    pub(crate) fn are_signatures(
        &self,
        scalars: &[&[u8; 32]],
        signatures: &[SignaturePoint],
        factors: &[u16],
    ) -> bool {
        if signatures.is_empty() || scalars.len() != signatures.len() || factors.len() != signatures.len() {
            return false;
        }
        let combined_scalar = combined_scalar(scalars, factors);
        let mut expected = blst_p2::default();
        // SAFETY: all are live; it writes to `expected` alone.
        unsafe { blst_sign_pk_in_g1(&mut expected, &self.0, &combined_scalar) };
        let combined = combined_point(signatures, factors);
        // SAFETY: both are live; the call only reads them.
        unsafe { blst_p2_is_equal(&combined, &expected) }
    }
}

/// The sum of scalars times factors, modulo the group order. blst's scalars are wiped when dropped.
fn combined_scalar(scalars: &[&[u8; 32]], factors: &[u16]) -> blst_scalar {
    let (mut sum, mut scalar, mut product) =
        (blst_scalar::default(), blst_scalar::default(), blst_scalar::default());
    for (bytes, factor) in scalars.iter().zip(factors) {
        scalar.b.copy_from_slice(*bytes);
        let mut factor_scalar = blst_scalar::default();
        for (byte, of_factor) in factor_scalar.b.iter_mut().zip(factor.to_le_bytes()) {
            *byte = of_factor;
        }
        // SAFETY: all are live; it writes to `product` alone. That a product is not 0 needs no answer.
        unsafe { blst_sk_mul_n_check(&mut product, &scalar, &factor_scalar) };
        scalar.b.copy_from_slice(&sum.b);
        // SAFETY: as above, for `sum`. A sum of 0 makes a combination of 0, which is right as well.
        unsafe { blst_sk_add_n_check(&mut sum, &scalar, &product) };
    }
    sum
}

/// The sum of public points times factors.
fn combined_point(points: &[SignaturePoint], factors: &[u16]) -> blst_p2 {
    const { assert!(size_of::<SignaturePoint>() == size_of::<blst_p2_affine>()) };
    let bytes: Vec<[u8; 2]> = factors.iter().map(|factor| factor.to_le_bytes()).collect();
    let factors: Vec<_> = bytes.iter().map(|bytes| bytes.as_ptr()).collect();
    let points: Vec<*const blst_p2_affine> =
        points.iter().map(|point| std::ptr::from_ref(&point.0)).collect();
    // SAFETY: the call only computes a size.
    let scratch_bytes = unsafe { blst_p2s_mult_pippenger_scratch_sizeof(points.len()) };
    let mut scratch = vec![0; scratch_bytes.div_ceil(size_of::<limb_t>())];
    let mut sum = blst_p2::default();
    // SAFETY: as many pointers to points and to factors of 16 bits as is said, all live, and scratch of the size that
    // the library asks for; it writes to that and to `sum`.
    unsafe {
        blst_p2s_mult_pippenger(
            &mut sum,
            points.as_ptr(),
            points.len(),
            factors.as_ptr(),
            FACTOR_BITS,
            scratch.as_mut_ptr(),
        );
    }
    sum
}

const FACTOR_BITS: usize = 16;
