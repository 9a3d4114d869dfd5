//! Comb: a table for a point that many secret scalars multiply, which takes the doublings out of the multiplication.
//!
//! Row j of the table has the odd multiples d 2^(w j) H, d = 1, 3, .. 2^w - 1, for windows of w bits. A multiplication
//! looks up a point for each digit of each subscalar (see `subscalars`), adds those of one subscalar, and adds the four
//! sums P(i) to P(0) + Z P(1) + Z^2 (P(2) + Z P(3)). The endomorphism gives Z P, so one table serves all four
//! subscalars.
//!
//! **Proposition.** H has the prime order r. But for the last addition, no two points that are added are equal or
//! opposite, and none is infinity; those of the last one are not opposite.
//!
//! *Proof.* Two multiples m H and n H are equal or opposite just if m = n or m = -n modulo r, which for integers that
//! are together less than r in absolute value means as integers. The sum of b neighbouring windows from the j-th on is
//! 2^(w j) times an odd number less than 2^(w b), as its digits are odd and less than 2^w. It is added to that of the
//! windows above, 2^(w (j + b)) times an odd number. Their highest powers of two differ, so they differ in absolute
//! value; both are less than 2^65. s(0) is odd and s(1) Z is even, and both are less than 2^128; the same holds for
//! s(2) and s(3) Z, here without Z^2, which has an inverse modulo r. The last sum is k, which is not 0. (Its operands
//! are equal for k = 2 and r - 2.)

use zeroize::Zeroizing;

use super::HashedMessage;
use super::addition::{Sum, add_all, add_or_double_all};
use super::lookup::find;
use super::odd_multiples::{self, are_right, rows_of};
use super::point::{Affine, SignaturePoint};
use super::subscalars::{Subscalars, Windows};

/// How large a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// 5 bits.
    Small,
    /// 8 bits.
    Large,
}

impl Window {
    pub(super) const fn windows(self) -> Windows {
        match self {
            Self::Small => Windows::of_bits(5),
            Self::Large => Windows::of_bits(8),
        }
    }
}

/// The table of one point, public data: 208 points in affine coordinates with small windows (40 KB), 1024 with large
/// ones (192 KB).
pub(crate) struct Comb {
    window: Window,
    /// Row after row.
    entries: Box<[Affine]>,
}

impl Comb {
    /// Computes the table of a point and examines it. That takes three quarters as long as a signature with
    /// small windows, less than three times as long with large ones.
    ///
    /// # Errors
    /// The point is infinity, or something was computed wrong.
    pub(crate) fn new(message: &HashedMessage, window: Window) -> Result<Self, CombError> {
        if message.is_infinity() {
            return Err(CombError::Infinity);
        }
        let powers = powers_of_two(message, window);
        let comb = Self::of(&powers, window);
        if comb.is_right(message, &powers) { Ok(comb) } else { Err(CombError::Wrong) }
    }

    /// A table all of whose entries were changed after it was examined.
    #[cfg(test)]
    pub(crate) fn spoiled(message: &HashedMessage) -> Self {
        let window = Window::Small;
        let mut comb = Self::of(&powers_of_two(message, window), window);
        comb.entries.iter_mut().for_each(|entry| entry.x = entry.y);
        comb
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// The signatures by secret scalars (32 bytes each, little endian, secret keys), in constant time. None
    /// in the place of one: it was computed wrong.
    pub(crate) fn multiply(&self, scalars: &[&[u8; 32]]) -> Vec<Option<SignaturePoint>> {
        let windows = self.window.windows();
        let of_subscalar = windows.count();
        let of_two = of_subscalar.saturating_mul(2);
        let of_scalar = of_subscalar.saturating_mul(4);
        let mut points = Zeroizing::new(vec![Affine::default(); scalars.len().saturating_mul(of_scalar)]);
        let subscalars: Vec<_> = scalars.iter().map(|scalar| Subscalars::of(scalar)).collect();
        // Row by row, as a row fits into the nearest cache and the table does not.
        for (j, row) in self.entries.chunks_exact(windows.odd_digits()).enumerate() {
            let of_row = points.iter_mut().skip(j).step_by(of_subscalar);
            for (subscalar, point) in subscalars.iter().flat_map(|subscalars| &subscalars.0).zip(of_row) {
                let digit = subscalar.digit(windows, j);
                find(point, row, digit.place);
                point.negate_if(digit.sign);
            }
        }
        for half in [1, 2, 4, 8].into_iter().filter(|half| *half < of_subscalar) {
            add_all(sums(&mut points, of_subscalar, half));
        }
        for half in points.chunks_exact_mut(of_subscalar).skip(1).step_by(2) {
            apply(half, Affine::multiply_by_z);
        }
        add_all(sums(&mut points, of_two, of_subscalar));
        for half in points.chunks_exact_mut(of_two).skip(1).step_by(2) {
            apply(half, Affine::multiply_by_z_squared);
        }
        add_or_double_all(sums(&mut points, of_scalar, of_two));
        points.chunks_exact(of_scalar).map(|points| points.first()?.signature_if_valid()).collect()
    }

    fn of(powers: &[Affine], window: Window) -> Self {
        Self { window, entries: rows_of(powers, window.windows()) }
    }

    /// Whether the entries are what they should be: a wrong one would give digits of keys away.
    fn is_right(&self, message: &HashedMessage, powers: &[Affine]) -> bool {
        are_right(&self.entries, message, powers, self.window.windows())
    }
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

/// As many as all windows have bits, and the next.
fn powers_of_two(message: &HashedMessage, window: Window) -> Vec<Affine> {
    let windows = window.windows();
    odd_multiples::powers_of_two(message, windows.count().saturating_mul(windows.bits()))
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

/// Changes the first of some points, which is their sum.
fn apply(points: &mut [Affine], change: impl Fn(&mut Affine)) {
    points.iter_mut().take(1).for_each(change);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::curve::mask::Mask;

    const WINDOWS: [Window; 2] = [Window::Small, Window::Large];

    #[test]
    fn a_wrong_entry_is_found() {
        let message = HashedMessage::new(&[3; 32], b"tests");
        for window in WINDOWS {
            let powers = powers_of_two(&message, window);
            let mut comb = Comb::of(&powers, window);
            assert!(comb.is_right(&message, &powers));
            for place in 0..comb.entries.len() {
                let right = comb.entries[place];
                comb.entries[place].negate_if(Mask::of_lowest_bit(1));
                assert!(!comb.is_right(&message, &powers), "{window:?}, entry {place}");
                comb.entries[place] = right;
            }
        }
    }

    #[test]
    fn a_doubling_that_went_wrong_is_found() {
        let message = HashedMessage::new(&[4; 32], b"tests");
        for window in WINDOWS {
            let right = powers_of_two(&message, window);
            for fault in 0..right.len() {
                let mut powers = right.clone();
                // All that follow are doubled from the wrong one.
                powers.iter_mut().skip(fault).for_each(Affine::multiply_by_z);
                let comb = Comb::of(&powers, window);
                assert!(!comb.is_right(&message, &powers), "{window:?}, doubling {fault}");
            }
        }
    }
}
