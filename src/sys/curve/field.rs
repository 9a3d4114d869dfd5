//! Field of a signature's coordinates: Fp2 of BLS12-381. Every operation is blst's, in constant time.

use std::mem::MaybeUninit;

use blst::{
    blst_fp, blst_fp_cneg, blst_fp_mul, blst_fp2, blst_fp2_add, blst_fp2_cneg, blst_fp2_inverse,
    blst_fp2_mul, blst_fp2_sqr, blst_fp2_sub, blst_p2_generator,
};
use zeroize::Zeroize;

use super::mask::Mask;

/// An element a + b i, in blst's form. Its default is 0.
#[derive(Clone, Copy, Default, PartialEq)]
#[repr(transparent)]
pub(super) struct Fp2(pub(super) blst_fp2);

impl Fp2 {
    /// 1, in blst's form.
    pub(super) fn one() -> Self {
        // SAFETY: the call only gives the address of a constant.
        let generator = unsafe { blst_p2_generator() };
        // SAFETY: that constant is the library's, valid as long as the program runs.
        Self(unsafe { *generator }.z)
    }

    #[inline]
    pub(super) fn times(&self, other: &Self) -> Self {
        self.with(other, blst_fp2_mul)
    }

    #[inline]
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.with(other, blst_fp2_add)
    }

    #[inline]
    pub(super) fn minus(&self, other: &Self) -> Self {
        self.with(other, blst_fp2_sub)
    }

    #[inline]
    pub(super) fn squared(&self) -> Self {
        self.alone(blst_fp2_sqr)
    }

    /// 1 / self; 0 for 0.
    pub(super) fn inverse(&self) -> Self {
        self.alone(blst_fp2_inverse)
    }

    #[inline]
    pub(super) fn negate_if(&mut self, mask: Mask) {
        let this = &raw mut self.0;
        // SAFETY: as in `multiply_by`.
        unsafe { blst_fp2_cneg(this, this, mask.bit() != 0) };
    }

    /// Becomes a - b i.
    pub(super) fn conjugate(&mut self) {
        let [_, b] = &mut self.0.fp;
        let b = &raw mut *b;
        // SAFETY: as in `multiply_by`.
        unsafe { blst_fp_cneg(b, b, true) };
    }

    /// Becomes its product with an element `factor` of Fp.
    pub(super) fn scale(&mut self, factor: &blst_fp) {
        for part in &mut self.0.fp {
            let part = &raw mut *part;
            // SAFETY: as in `multiply_by`.
            unsafe { blst_fp_mul(part, part, factor) };
        }
    }

    /// The product with `factor` i of an element whose parts have changed places: b factor + a factor i.
    pub(super) fn swapped_and_scaled(&self, factor: &blst_fp) -> Self {
        let [a, b] = self.0.fp;
        let mut swapped = Self(blst_fp2 { fp: [b, a] });
        swapped.scale(factor);
        swapped
    }

    /// Whether it is 0: blst gives each element in one form only.
    pub(super) fn is_zero(&self) -> Mask {
        Mask::of_equality(self.0.fp.iter().flat_map(|fp| &fp.l).fold(0, |seen, limb| seen | limb), 0)
    }

    /// The one element where the mask is set, the other where it is not.
    pub(super) fn choose(mask: Mask, set: &Self, unset: &Self) -> Self {
        let mut chosen = *unset;
        for (chosen, set) in chosen.limbs_mut().zip(set.limbs()) {
            *chosen = mask.choose(*set, *chosen);
        }
        chosen
    }

    /// Becomes the product of two others.
    #[inline]
    pub(super) fn set_product(&mut self, a: &Self, b: &Self) {
        // SAFETY: as in `with`.
        unsafe { blst_fp2_mul(&mut self.0, &a.0, &b.0) };
    }

    /// Becomes the difference of two others.
    #[inline]
    pub(super) fn set_difference(&mut self, a: &Self, b: &Self) {
        // SAFETY: as in `with`.
        unsafe { blst_fp2_sub(&mut self.0, &a.0, &b.0) };
    }

    /// Becomes the square of another.
    #[inline]
    pub(super) fn set_square(&mut self, a: &Self) {
        // SAFETY: as in `with`.
        unsafe { blst_fp2_sqr(&mut self.0, &a.0) };
    }

    #[inline]
    pub(super) fn multiply_by(&mut self, factor: &Self) {
        let this = &raw mut self.0;
        // SAFETY: as in `with`; the result may take an operand's place.
        unsafe { blst_fp2_mul(this, this, &factor.0) };
    }

    #[inline]
    pub(super) fn subtract(&mut self, subtrahend: &Self) {
        let this = &raw mut self.0;
        // SAFETY: as in `multiply_by`.
        unsafe { blst_fp2_sub(this, this, &subtrahend.0) };
    }

    #[inline]
    pub(super) fn subtract_from(&mut self, minuend: &Self) {
        let this = &raw mut self.0;
        // SAFETY: as in `multiply_by`.
        unsafe { blst_fp2_sub(this, &minuend.0, this) };
    }

    #[inline(always)]
    fn limbs(&self) -> impl Iterator<Item = &u64> {
        self.0.fp.iter().flat_map(|fp| &fp.l)
    }

    #[inline(always)]
    fn limbs_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.0.fp.iter_mut().flat_map(|fp| &mut fp.l)
    }

    #[inline(always)]
    fn with(&self, other: &Self, operation: Binary) -> Self {
        let mut result = MaybeUninit::uninit();
        // SAFETY: all three are live and of the type that blst works on; it writes to `result` alone.
        unsafe { operation(result.as_mut_ptr(), &self.0, &other.0) };
        // SAFETY: it has written all of it.
        Self(unsafe { result.assume_init() })
    }

    #[inline(always)]
    fn alone(&self, operation: Unary) -> Self {
        let mut result = MaybeUninit::uninit();
        // SAFETY: as in `with`.
        unsafe { operation(result.as_mut_ptr(), &self.0) };
        // SAFETY: it has written all of it.
        Self(unsafe { result.assume_init() })
    }
}

impl Zeroize for Fp2 {
    fn zeroize(&mut self) {
        self.0.fp.iter_mut().for_each(|fp| fp.l.zeroize());
    }
}

type Binary = unsafe extern "C" fn(*mut blst_fp2, *const blst_fp2, *const blst_fp2);
type Unary = unsafe extern "C" fn(*mut blst_fp2, *const blst_fp2);
