//! Comb: a table for a point that many secret scalars multiply, which takes the doublings out of the multiplication.
//!
//! Row j of the table has the odd multiples d 2^(5 j) H, d = 1, 3, .. 31. A multiplication looks up a point for each
//! digit of each subscalar (see `subscalars`), adds those of one subscalar, and adds the four sums P(i) to P(0) + Z
//! P(1) + Z^2 (P(2) + Z P(3)). The endomorphism gives Z P, so one table serves all four subscalars.
//!
//! **Proposition.** H has the prime order r. But for the last addition, no two points that are added are equal or
//! opposite, and none is infinity; those of the last one are not opposite.
//!
//! *Proof.* Two multiples m H and n H are equal or opposite just if m = n or m = -n modulo r, which for integers that
//! are together less than r in absolute value means as integers. The sum of b neighbouring windows from the j-th on is
//! 2^(5 j) times an odd number less than 2^(5 b), as its digits are odd and at most 31. It is added to that of the
//! windows above, 2^(5 (j + b)) times an odd number. Their highest powers of two differ, so they differ in absolute
//! value; both are less than 2^65. s(0) is odd and s(1) Z is even, and both are less than 2^128; the same holds for
//! s(2) and s(3) Z, here without Z^2, which has an inverse modulo r. The last sum is k, which is not 0. (Its operands
//! are equal for k = 2 and r - 2.)

use blst::{blst_p2_affine, blst_p2_double, blst_p2s_to_affine};
use zeroize::Zeroizing;

use super::HashedMessage;
use super::addition::{Sum, add_all, add_or_double_all};
use super::lookup::find;
use super::point::{Affine, SignaturePoint};
use super::subscalars::{ODD_DIGITS, Subscalars, WINDOW_BITS, WINDOWS};

/// The table of one point: 208 points in affine coordinates, 40 KB of public data.
pub(crate) struct Comb {
    /// Rows of [`ODD_DIGITS`] entries.
    entries: Box<[Affine]>,
}

impl Comb {
    /// Computes the table of a point and examines it. Takes nearly as long as a signature.
    ///
    /// # Errors
    /// The point is infinity, or something was computed wrong.
    pub(crate) fn new(message: &HashedMessage) -> Result<Self, CombError> {
        if message.is_infinity() {
            return Err(CombError::Infinity);
        }
        let powers = powers_of_two(message);
        let comb = Self::of_powers(&powers);
        if comb.is_right(message, &powers) { Ok(comb) } else { Err(CombError::Wrong) }
    }

    /// A table all of whose entries were changed after it was examined.
    #[cfg(test)]
    pub(crate) fn spoiled(message: &HashedMessage) -> Self {
        let mut comb = Self::of_powers(&powers_of_two(message));
        comb.entries.iter_mut().for_each(|entry| entry.x = entry.y);
        comb
    }

    /// From H, 2 H, 4 H and so on.
    fn of_powers(powers: &[Affine]) -> Self {
        let mut entries = vec![Affine::default(); WINDOWS * ODD_DIGITS].into_boxed_slice();
        for (row, powers) in entries.chunks_exact_mut(ODD_DIGITS).zip(powers.chunks_exact(WINDOW_BITS)) {
            if let ([first, ..], [power, ..]) = (row, powers) {
                *first = *power;
            }
        }
        // The row's first 2, 4, 8, 16 entries from half of them: d + 2^n with an odd d < 2^n.
        for (level, size) in (1..).zip([1, 2, 4, 8]) {
            let mut sums = Vec::new();
            for (row, powers) in entries.chunks_exact_mut(ODD_DIGITS).zip(powers.chunks_exact(WINDOW_BITS)) {
                let (known, rest) = row.split_at_mut(size);
                let Some(power) = powers.get(level) else { continue };
                for (new, known) in rest.iter_mut().zip(known) {
                    *new = *known;
                    sums.push(Sum { augend: new, addend: power });
                }
            }
            add_all(sums);
        }
        Self { entries }
    }

    /// The signatures by secret scalars (32 bytes each, little endian, secret keys), in constant time. None
    /// in the place of one: it was computed wrong.
    pub(crate) fn multiply(&self, scalars: &[&[u8; 32]]) -> Vec<Option<SignaturePoint>> {
        let mut points = Zeroizing::new(vec![Affine::default(); scalars.len().saturating_mul(POINTS)]);
        for (scalar, points) in scalars.iter().zip(points.chunks_exact_mut(POINTS)) {
            for (subscalar, points) in Subscalars::of(scalar).0.iter().zip(points.chunks_exact_mut(WINDOWS)) {
                let rows = self.entries.chunks_exact(ODD_DIGITS);
                for ((digit, row), point) in subscalar.windows().zip(rows).zip(points) {
                    *point = find(row, digit.place).negated_if(digit.sign);
                }
            }
        }
        for half in [1, 2, 4, 8] {
            add_all(sums(&mut points, WINDOWS, half));
        }
        for half in points.chunks_exact_mut(WINDOWS).skip(1).step_by(2) {
            apply(half, Affine::times_z);
        }
        add_all(sums(&mut points, 2 * WINDOWS, WINDOWS));
        for half in points.chunks_exact_mut(2 * WINDOWS).skip(1).step_by(2) {
            apply(half, Affine::times_z_squared);
        }
        add_or_double_all(sums(&mut points, POINTS, 2 * WINDOWS));
        points.chunks_exact(POINTS).map(|points| points.first()?.signature_if_valid()).collect()
    }

    /// Whether the entries are what they should be: a wrong one would give digits of keys away. The first power is the
    /// point, each other one the double of that before it, and each entry the sum of a smaller one and a power.
    fn is_right(&self, message: &HashedMessage, powers: &[Affine]) -> bool {
        powers.first().is_some_and(|first| first.is_equal_to(&message.0))
            && powers.iter().zip(powers.iter().skip(1)).all(|(power, next)| next.is_double_of(power))
            && self.entries.chunks_exact(ODD_DIGITS).zip(powers.chunks_exact(WINDOW_BITS)).all(row_is_right)
    }
}

/// Whether a row's first entry is its first power, and each of the others the sum of which it was made.
fn row_is_right((row, powers): (&[Affine], &[Affine])) -> bool {
    row.first() == powers.first()
        && (1..).zip([1, 2, 4, 8]).all(|(level, size)| {
            let (known, rest) = row.split_at(size);
            powers
                .get(level)
                .is_some_and(|power| rest.iter().zip(known).all(|(sum, known)| sum.is_sum_of(known, power)))
        })
}

/// Why a point has no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CombError {
    /// All multiples of infinity are infinity.
    #[error("the message's hash is the point at infinity")]
    Infinity,
    /// A fault of the machine, or of this program.
    #[error("a table of multiples was computed wrong")]
    Wrong,
}

/// H, 2 H, 4 H and so on: as many as all windows have bits.
fn powers_of_two(message: &HashedMessage) -> Vec<Affine> {
    let mut powers = vec![message.0; WINDOWS * WINDOW_BITS];
    let mut last = message.0;
    for power in powers.iter_mut().skip(1) {
        // SAFETY: both are live; it writes to `power` alone.
        unsafe { blst_p2_double(power, &last) };
        last = *power;
    }
    let mut affine = vec![blst_p2_affine::default(); powers.len()];
    let points = [powers.as_ptr(), std::ptr::null()];
    // SAFETY: no further pointer after the first means that the points lie one after the other; there is room for as
    // many as there are.
    unsafe { blst_p2s_to_affine(affine.as_mut_ptr(), points.as_ptr(), powers.len()) };
    affine.iter().map(Affine::from_blst).collect()
}

/// In each `whole` points: of each two parts of `half` points one after the other, the first point of the second is to
/// be added to that of the first. A part without a second one waits for the next level.
fn sums(points: &mut [Affine], whole: usize, half: usize) -> Vec<Sum<'_>> {
    let pairs = points.chunks_exact_mut(whole).flat_map(|points| points.chunks_mut(half.saturating_mul(2)));
    let sums = pairs.filter_map(|pair| {
        let (low, high) = pair.split_at_mut_checked(half)?;
        Some(Sum { augend: low.first_mut()?, addend: high.first()? })
    });
    sums.collect()
}

/// Replaces the first of some points, which is their sum.
fn apply(points: &mut [Affine], change: impl Fn(&Affine) -> Affine) {
    if let Some(sum) = points.first_mut() {
        *sum = change(sum);
    }
}

/// Digits of a scalar, and points that are added.
const POINTS: usize = 4 * WINDOWS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_entry_is_found() {
        let message = HashedMessage::new(&[3; 32], b"tests");
        let powers = powers_of_two(&message);
        let mut comb = Comb::of_powers(&powers);
        assert!(comb.is_right(&message, &powers));
        for place in 0..comb.entries.len() {
            let right = comb.entries[place];
            comb.entries[place] = right.negated();
            assert!(!comb.is_right(&message, &powers), "entry {place}");
            comb.entries[place] = right;
        }
    }

    #[test]
    fn a_doubling_that_went_wrong_is_found() {
        let message = HashedMessage::new(&[4; 32], b"tests");
        for fault in 0..WINDOWS * WINDOW_BITS {
            let mut powers = powers_of_two(&message);
            // All that follow are doubled from the wrong one.
            powers.iter_mut().skip(fault).for_each(|power| *power = power.times_z());
            assert!(!Comb::of_powers(&powers).is_right(&message, &powers), "doubling {fault}");
        }
    }
}
