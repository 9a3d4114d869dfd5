//! Masks: choices between values that take the same time and touch the same memory whichever is chosen.

use zeroize::Zeroize;

/// All ones (set) or all zeros. What it stands for may be secret, so there is no way back to a `bool` but
/// [`Mask::bit`].
#[derive(Clone, Copy)]
pub(super) struct Mask(u64);

impl Mask {
    /// Set if the lowest bit of `bits` is.
    #[inline(always)]
    pub(super) fn of_lowest_bit(bits: u64) -> Self {
        Self((bits & 1).wrapping_neg())
    }

    /// Set if the two are equal.
    #[inline(always)]
    pub(super) fn of_equality(a: u64, b: u64) -> Self {
        let difference = a ^ b;
        // The highest bit of x | -x tells whether x has any.
        Self::of_lowest_bit((difference | difference.wrapping_neg()) >> 63).not()
    }

    /// Set if `a` is below `b`.
    #[inline(always)]
    pub(super) fn of_less(a: u64, b: u64) -> Self {
        let (_, is_less) = a.overflowing_sub(b);
        Self::of_lowest_bit(u64::from(is_less))
    }

    /// Set if this one is not.
    #[inline(always)]
    pub(super) fn not(self) -> Self {
        Self(!self.0)
    }

    /// Set if just one of the two is.
    #[inline(always)]
    pub(super) fn xor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// The one value where the mask is set, the other where it is not.
    #[inline(always)]
    pub(super) fn choose(self, set: u64, unset: u64) -> u64 {
        unset ^ ((set ^ unset) & self.hidden())
    }

    /// 1 or 0.
    #[inline(always)]
    pub(super) fn bit(self) -> u64 {
        self.hidden() & 1
    }

    /// The mask's bits, of which the compiler does not know any more that they are alike: it can make no branch of
    /// them.
    #[inline(always)]
    pub(super) fn hidden(self) -> u64 {
        hide(self.0)
    }
}

impl Zeroize for Mask {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Gives back what it gets, through an empty instruction into which the compiler does not look. Unlike
/// [`std::hint::black_box`] it leaves the value in its register.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn hide(value: u64) -> u64 {
    let mut hidden = value;
    // SAFETY: the template is a comment: no instruction, no memory, no flags.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) hidden, options(pure, nomem, nostack, preserves_flags));
    }
    hidden
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn hide(value: u64) -> u64 {
    std::hint::black_box(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_choose_as_conditions_do(a in any::<u64>(), b in any::<u64>(), near in 0..3_u64) {
            for b in [b, a, a.wrapping_add(near)] {
                prop_assert_eq!(Mask::of_equality(a, b).choose(1, 2), if a == b { 1 } else { 2 });
                prop_assert_eq!(Mask::of_less(a, b).choose(a, b), a.min(b));
                prop_assert_eq!(Mask::of_less(a, b).not().bit(), u64::from(a >= b));
                let differ = Mask::of_lowest_bit(a).xor(Mask::of_lowest_bit(b));
                prop_assert_eq!(differ.bit(), (a ^ b) & 1);
            }
        }
    }
}
