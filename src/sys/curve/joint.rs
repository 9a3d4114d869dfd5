//! Joint table: for a point that one secret scalar multiplies, or few.
//!
//! The table has m H + n Z H and m H - n Z H for m and n of 1, 3, 5 and 7. A multiplication goes through the 22 windows
//! of three bits of the four subscalars (see `subscalars`), from the highest: it doubles three times, adds or subtracts
//! the entry for the first two subscalars' digits, and Z^2 times that for the other two's, which the endomorphism
//! gives. So it has a third of the additions that blst's `sign` needs.
//!
//! **Proposition.** H has the prime order r. But for the additions of the lowest windows, no two points that are added
//! are equal or opposite, and no sum before those is infinity.
//!
//! *Proof.* The digits of s(i) above window j make a number a(i): s(i) = 8^(j + 1) a(i) + t with |t| < 8^(j + 1), so
//! |a(i)| < Z / 8^(j + 1) + 1. If the points that are added at j >= 1 were equal or opposite, or their sum infinity,
//! then v(0) + v(1) Z + v(2) Z^2 + v(3) Z^3 = 0 modulo r, where v(i) is 8 a(i), with or without a digit added or
//! subtracted: |v(i)| < Z / 8 + 15 < Z / 4. v(0) always has its digit, as the first two subscalars' are added first,
//! and so is odd, but Z is even. As an integer this sum is not 0 therefore, and it is less than Z^4 / 2 < r in
//! absolute value. The same holds for the two points of the highest windows, with which the sum begins. A double is
//! not infinity, as r is odd. The last two additions are blst's for operands of any kind.

use blst::{blst_p2, blst_p2_add_affine, blst_p2_add_or_double_affine, blst_p2_affine, blst_p2_double};
use zeroize::{Zeroize, Zeroizing};

use super::HashedMessage;
use super::addition::{Neighbours, find_neighbours};
use super::lookup::find;
use super::odd_multiples::{powers_of_two, rows_of};
use super::point::{Affine, SignaturePoint};
use super::subscalars::{Subscalar, Subscalars, Windows};

/// The table of one point: 6 KB of public data.
pub(crate) struct JointTable([Affine; ENTRIES]);

impl JointTable {
    /// Computes the table of a point: a twelfth of a signature. None for infinity.
    pub(crate) fn new(message: &HashedMessage) -> Option<Self> {
        if message.is_infinity() {
            return None;
        }
        let powers = powers_of_two(message, WINDOWS.bits());
        let multiples = rows_of(&powers, WINDOWS);
        let mut of_z = multiples.clone();
        of_z.iter_mut().for_each(Affine::multiply_by_z);
        let mut entries = [Affine::default(); ENTRIES];
        let (same_signs, opposite_signs) = entries.split_at_mut(ENTRIES / 2);
        let pairs = of_z.iter().flat_map(|offset| multiples.iter().map(move |centre| (centre, offset)));
        let places = opposite_signs.iter_mut().zip(same_signs);
        let neighbours = pairs.zip(places).map(|((centre, offset), (below, above))| Neighbours {
            centre,
            offset,
            below,
            above: Some(above),
        });
        find_neighbours(neighbours.collect());
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
        let (low, high) = ([s0, s1], [s2, s3]);
        let highest = WINDOWS.count().saturating_sub(1);
        let mut entry = Zeroizing::new(Affine::default());
        self.find(&mut entry, low, highest);
        let mut sum = Accumulator(entry.to_projective());
        self.find(&mut entry, high, highest);
        entry.multiply_by_z_squared();
        sum.add(&entry, blst_p2_add_affine);
        for j in (0..highest).rev() {
            let add = if j == 0 { blst_p2_add_or_double_affine } else { blst_p2_add_affine };
            (0..WINDOWS.bits()).for_each(|_| sum.double());
            self.find(&mut entry, low, j);
            sum.add(&entry, add);
            self.find(&mut entry, high, j);
            entry.multiply_by_z_squared();
            sum.add(&entry, add);
        }
        Affine::of(&sum.0).signature_if_valid()
    }

    /// The multiple by the j-th digits of two subscalars, the other one's times Z.
    fn find(&self, entry: &mut Affine, [one, other]: [&Subscalar; 2], j: usize) {
        let (m, n) = (one.digit(WINDOWS, j), other.digit(WINDOWS, j));
        let are_opposite = m.sign.xor(n.sign);
        find(entry, &self.0, m.place | (n.place << 2) | (are_opposite.bit() << 4));
        entry.negate_if(m.sign);
    }
}

/// A sum in projective coordinates, from which digits of a key follow. It is wiped when dropped.
struct Accumulator(blst_p2);

impl Accumulator {
    fn double(&mut self) {
        let sum = &raw mut self.0;
        // SAFETY: it is live; the result may take the operand's place.
        unsafe { blst_p2_double(sum, sum) };
    }

    fn add(&mut self, addend: &Affine, add: Add) {
        let sum = &raw mut self.0;
        // SAFETY: both are live; the result may take the first operand's place.
        unsafe { add(sum, sum, addend.as_blst()) };
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

const WINDOWS: Windows = Windows::of_bits(3);

/// One for each two odd numbers below 8, with the same sign and with opposite ones.
const ENTRIES: usize = 32;
