//! Subscalars: a secret scalar as four odd numbers below 2^64, and their digits.
//!
//! Let Z = 0xd201000000010000, an even number (BLS12-381's parameter is -Z), and r = Z^4 - Z^2 + 1 the group order.
//!
//! **Proposition 1.** For 0 < k < r there are odd s(0) to s(3), |s(i)| < Z, with k = s(0) + s(1) Z + s(2) Z^2 + s(3)
//! Z^3 modulo r.
//!
//! *Proof.* An even k has the subscalars of r - k, which is odd, with the opposite signs. An odd k is less than Z^4 and
//! has four digits k(i) in base Z. Let v(i) be k(i), or k(i) + 1 where k(i) is even: it is odd and between 1 and Z - 1.
//! What is added there, Z^i, is taken away from the place below as Z times Z^(i-1): s(i) = v(i), or v(i) - Z where
//! k(i+1) is even. That is odd as well, and |s(i)| < Z. k(0) is odd, as k is and Z is not: there is no place below it
//! to be asked.
//!
//! **Proposition 2.** For n windows of w bits, n w >= 64, |s| = sum of d(j) 2^(w j), j from 0 to n - 1, with odd d(j),
//! |d(j)| <= 2^w - 1.
//!
//! *Proof.* t = (|s| - 1) / 2 + 2^(n w - 1) is less than 2^(n w), as |s| < 2^64, and has n windows u(j) of w bits. With
//! d(j) = 2 u(j) - (2^w - 1) the sum is 2 t - (2^(n w) - 1) = |s|.
//!
//! No digit is 0, so there is a point to be added for each of them and infinity is never an operand.

use zeroize::Zeroize;

use super::mask::Mask;

/// The subscalars of a scalar, s(0) first. They are wiped when dropped.
pub(super) struct Subscalars(pub(super) [Subscalar; 4]);

/// An odd number below 2^64 in absolute value.
pub(super) struct Subscalar {
    /// (|s| - 1) / 2.
    half: u64,
    /// Set for a negative number.
    sign: Mask,
}

/// An odd digit with its sign.
pub(super) struct Digit {
    /// (|d| - 1) / 2, the place of |d| among the odd numbers.
    pub(super) place: u64,
    /// Set for a negative digit.
    pub(super) sign: Mask,
}

/// How many bits of a subscalar make a digit: larger windows have fewer digits, which can be more numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    bits: u32,
    count: usize,
}

impl Windows {
    /// As many windows of so many bits as a subscalar needs.
    pub(super) const fn of_bits(bits: u32) -> Self {
        Self { bits, count: u64::BITS.div_ceil(bits) as usize }
    }

    pub(super) const fn bits(self) -> usize {
        self.bits as usize
    }

    /// Windows of a subscalar.
    pub(super) const fn count(self) -> usize {
        self.count
    }

    /// Odd numbers of a window's size: 1, 3, .. 2^w - 1.
    pub(super) const fn odd_digits(self) -> usize {
        1_usize.wrapping_shl(self.bits.wrapping_sub(1))
    }

    /// The place of the last of them, in whose binary form all bits are ones.
    const fn highest_place(self) -> u64 {
        1_u64.wrapping_shl(self.bits.wrapping_sub(1)).wrapping_sub(1)
    }

    /// 2^(n w - 1).
    const fn highest_bit(self) -> u128 {
        1_u128.wrapping_shl(self.offset(self.count).wrapping_sub(1))
    }

    /// The lowest bit of the j-th window.
    #[expect(clippy::cast_possible_truncation, reason = "a subscalar has 64 windows at most")]
    const fn offset(self, j: usize) -> u32 {
        self.bits.wrapping_mul(j as u32)
    }
}

impl Subscalars {
    /// Those of a secret key (32 bytes, little endian, not 0 and below the group order).
    pub(super) fn of(scalar: &[u8; 32]) -> Self {
        let mut number = Limbs([0; 4]);
        for (limb, bytes) in number.0.iter_mut().zip(scalar.chunks_exact(8)) {
            *limb = bytes.iter().rev().fold(0, |limb, byte| (limb << 8) | u64::from(*byte));
        }
        let [lowest, ..] = number.0;
        let is_odd = Mask::of_lowest_bit(lowest);
        number.subtract_from_order_unless(is_odd);
        let mut subscalars = [(); 4].map(|()| {
            let digit = number.divide_by_z();
            Subscalar { half: digit, sign: is_odd.not() }
        });
        let mut is_next_even = Mask::of_lowest_bit(0);
        for subscalar in subscalars.iter_mut().rev() {
            let is_even = Mask::of_lowest_bit(subscalar.half).not();
            let odd = subscalar.half.wrapping_add(is_even.bit());
            subscalar.half = is_next_even.choose(Z.wrapping_sub(odd), odd) >> 1;
            subscalar.sign = subscalar.sign.xor(is_next_even);
            is_next_even = is_even;
        }
        Self(subscalars)
    }
}

impl Drop for Subscalars {
    fn drop(&mut self) {
        for subscalar in &mut self.0 {
            subscalar.half.zeroize();
            subscalar.sign.zeroize();
        }
    }
}

impl Subscalar {
    /// d(j) of such windows, with the subscalar's sign in it.
    #[inline]
    pub(super) fn digit(&self, windows: Windows, j: usize) -> Digit {
        let number = u128::from(self.half) | windows.highest_bit();
        let (bits, _) = halves(number.wrapping_shr(windows.offset(j)));
        // The highest bit of a window tells the digit's sign; a negative one counts downwards.
        let is_negative = Mask::of_lowest_bit(bits.wrapping_shr(windows.bits.wrapping_sub(1))).not();
        let place = (bits ^ is_negative.hidden()) & windows.highest_place();
        Digit { place, sign: is_negative.xor(self.sign) }
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> i128 {
        let magnitude = i128::from(self.half).wrapping_mul(2).wrapping_add(1);
        if self.sign.bit() == 1 { magnitude.wrapping_neg() } else { magnitude }
    }
}

/// A number of 256 bits, lowest limb first.
struct Limbs([u64; 4]);

impl Limbs {
    fn subtract_from_order_unless(&mut self, mask: Mask) {
        let mut borrowed = false;
        for (limb, order) in self.0.iter_mut().zip(ORDER) {
            let (difference, first) = order.overflowing_sub(*limb);
            let (difference, second) = difference.overflowing_sub(u64::from(borrowed));
            borrowed = first | second;
            *limb = mask.choose(*limb, difference);
        }
    }

    /// Leaves the quotient by Z and gives the remainder. Limb by limb with a reciprocal, as the processor's division
    /// takes longer for some numbers than for others (Moeller and Granlund, "Improved division by invariant integers",
    /// algorithm 4).
    fn divide_by_z(&mut self) -> u64 {
        let mut remainder = 0_u64;
        for limb in self.0.iter_mut().rev() {
            let dividend = (u128::from(remainder) << 64) | u128::from(*limb);
            let (low, high) =
                halves(u128::from(RECIPROCAL).wrapping_mul(u128::from(remainder)).wrapping_add(dividend));
            let quotient = high.wrapping_add(1);
            let rest = limb.wrapping_sub(quotient.wrapping_mul(Z));
            let is_too_much = Mask::of_less(low, rest);
            let quotient = quotient.wrapping_sub(is_too_much.bit());
            let rest = is_too_much.choose(rest.wrapping_add(Z), rest);
            let is_too_little = Mask::of_less(rest, Z).not();
            *limb = quotient.wrapping_add(is_too_little.bit());
            remainder = is_too_little.choose(rest.wrapping_sub(Z), rest);
        }
        remainder
    }
}

impl Drop for Limbs {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Lower and upper 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
const fn halves(number: u128) -> (u64, u64) {
    (number as u64, (number >> 64) as u64)
}

/// The absolute value of BLS12-381's parameter.
pub(super) const Z: u64 = 0xd201_0000_0001_0000;

/// (2^128 - 1) / Z less 2^64.
const RECIPROCAL: u64 = halves(u128::MAX / Z as u128).0;

/// The group order r, lowest limb first.
const ORDER: [u64; 4] =
    [0xffff_ffff_0000_0001, 0x53bd_a402_fffe_5bfe, 0x3339_d808_09a1_d805, 0x73ed_a753_299d_7d48];
