//! Joint table: for a point that one secret scalar multiplies, or few.
//!
//! The table has the eight points H + e(1) Z H + e(2) Z^2 H + e(3) Z^3 H, where each e is 1 or -1. A multiplication
//! goes through the 64 digits 1 and -1 of the four subscalars together (see `subscalars`), from the highest: it
//! doubles, and adds or subtracts the entry for the four digits. That halves the additions that blst's `sign` needs.
//!
//! **Proposition.** H has the prime order r. At digit b >= 2 the two points that are added are neither equal nor
//! opposite, and no sum before the last is infinity.
//!
//! *Proof.* The sum before is a(0) + a(1) Z + a(2) Z^2 + a(3) Z^3 times H, where the digits above b make the number
//! a(i): odd, and less than 2^(63 - b) in absolute value. If twice that was equal or opposite to an entry, then v(0) +
//! v(1) Z + v(2) Z^2 + v(3) Z^3 = 0 modulo r, where v(i) = 2 a(i) + 1 or 2 a(i) - 1 is odd and |v(i)| < 2^(64 - b) <=
//! 2^62 < Z / 2. As an integer this sum is not 0, for v(0) is no multiple of Z, and it is less than Z^4 / 2 (1 + 2 / Z)
//! < r in absolute value. By the same argument with |a(i)| < 2^63, which is less than 0.61 Z, no sum before the last is
//! 0. The last two additions are blst's for operands of any kind.

use blst::{blst_p2, blst_p2_add_affine, blst_p2_add_or_double_affine, blst_p2_affine, blst_p2_double};
use zeroize::Zeroize;

use super::HashedMessage;
use super::addition::{Sum, add_all};
use super::lookup::find;
use super::mask::Mask;
use super::point::{Affine, SignaturePoint};
use super::subscalars::Subscalars;

/// The table of one point: 1.5 KB of public data.
pub(crate) struct JointTable([Affine; ENTRIES]);

impl JointTable {
    /// Computes the table of a point: a sixteenth of a signature. None for infinity.
    pub(crate) fn new(message: &HashedMessage) -> Option<Self> {
        if message.is_infinity() {
            return None;
        }
        let point = Affine::of(&message.0);
        let mut multiples = [point; 3];
        let [z, z_squared, z_cubed] = &mut multiples;
        z.multiply_by_z();
        z_squared.multiply_by_z_squared();
        *z_cubed = *z_squared;
        z_cubed.multiply_by_z();
        let mut entries = [point; ENTRIES];
        // Bit n of an entry's place is set where the (n + 1)th sign is minus. So the first 2, 4, 8 entries come from
        // half of them: those with plus before those with minus.
        for (multiple, half) in multiples.iter().zip([1, 2, 4]) {
            let mut negative = *multiple;
            negative.negate_if(Mask::of_lowest_bit(1));
            let (plus, rest) = entries.split_at_mut_checked(half)?;
            let mut sums = Vec::with_capacity(ENTRIES);
            for (plus, minus) in plus.iter_mut().zip(rest) {
                *minus = *plus;
                sums.push(Sum { augend: plus, addend: multiple });
                sums.push(Sum { augend: minus, addend: &negative });
            }
            add_all(sums);
        }
        Some(Self(entries))
    }

    /// A table all of whose entries were changed.
    #[cfg(test)]
    pub(crate) fn spoiled(message: &HashedMessage) -> Option<Self> {
        let mut table = Self::new(message)?;
        table.0.iter_mut().for_each(|entry| entry.x = entry.y);
        Some(table)
    }

    /// The signature by a secret scalar (32 bytes, little endian, a secret key), in constant time. None: it
    /// was computed wrong.
    pub(crate) fn multiply(&self, scalar: &[u8; 32]) -> Option<SignaturePoint> {
        let subscalars = Subscalars::of(scalar);
        let [s0, s1, s2, s3] = &subscalars.0;
        let mut entries =
            s0.signs().zip(s1.signs()).zip(s2.signs()).zip(s3.signs()).map(|(((s0, s1), s2), s3)| {
                let place = s1.xor(s0).bit() | (s2.xor(s0).bit() << 1) | (s3.xor(s0).bit() << 2);
                let mut entry = Affine::default();
                find(&mut entry, &self.0, place);
                entry.negate_if(s0);
                entry
            });
        let mut sum = Accumulator::new(&entries.next()?);
        entries
            .by_ref()
            .take(PLAIN_ADDITIONS)
            .for_each(|entry| sum.double_and_add(&entry, blst_p2_add_affine));
        entries.for_each(|entry| sum.double_and_add(&entry, blst_p2_add_or_double_affine));
        Affine::of(&sum.0).signature_if_valid()
    }
}

/// A sum in projective coordinates, from which digits of a key follow. It is wiped when dropped.
struct Accumulator(blst_p2);

impl Accumulator {
    fn new(point: &Affine) -> Self {
        Self(point.to_projective())
    }

    fn double_and_add(&mut self, entry: &Affine, add: Add) {
        let mut doubled = blst_p2::default();
        // SAFETY: both are live; it writes to `doubled` alone.
        unsafe { blst_p2_double(&mut doubled, &self.0) };
        // SAFETY: all three are live; it writes to `self` alone.
        unsafe { add(&mut self.0, &doubled, entry.as_blst()) };
    }
}

impl Drop for Accumulator {
    fn drop(&mut self) {
        for coordinate in [&mut self.0.x, &mut self.0.y, &mut self.0.z] {
            coordinate.fp.iter_mut().for_each(|fp| fp.l.zeroize());
        }
    }
}

type Add = unsafe extern "C" fn(*mut blst_p2, *const blst_p2, *const blst_p2_affine);

/// Digits between the highest, which begins the sum, and the last two.
const PLAIN_ADDITIONS: usize = 61;

/// One for each choice of three signs.
const ENTRIES: usize = 8;
