//! Additions of many pairs of points at once, with one inversion for all (Montgomery's trick).

use zeroize::{Zeroize, Zeroizing};

use super::field::Fp2;
use super::point::Affine;

/// Two points to be added; the sum takes the first one's place.
pub(super) struct Sum<'a> {
    pub(super) augend: &'a mut Affine,
    pub(super) addend: &'a Affine,
}

/// Adds each pair. No two points of a pair may be equal or opposite: who calls shows that it cannot be.
pub(super) fn add_all(sums: Vec<Sum<'_>>) {
    add_with(sums, chord);
}

/// The same for pairs that may be equal. They may not be opposite.
pub(super) fn add_or_double_all(sums: Vec<Sum<'_>>) {
    add_with(sums, chord_or_tangent);
}

/// Slope of the line through two points, as the fraction `rise` / `run`.
struct Slope {
    rise: Fp2,
    run: Fp2,
}

/// What is remembered of a pair until the inverse of all runs' product is known.
struct Pending {
    slope: Slope,
    /// The product of the runs before this one.
    before: Fp2,
}

#[inline(always)]
fn add_with(sums: Vec<Sum<'_>>, slope: impl Fn(&Affine, &Affine) -> Slope) {
    let mut product = Fp2::one();
    // Of its final size at once: growing, it would leave copies of what it holds.
    let mut pending = Zeroizing::new(Vec::with_capacity(sums.len()));
    for Sum { augend, addend } in &sums {
        let slope = slope(augend, addend);
        let before = product;
        product = product.times(&slope.run);
        pending.push(Pending { slope, before });
    }
    let mut inverse = product.inverse();
    for (Sum { augend, addend }, Pending { slope, before }) in sums.into_iter().zip(pending.iter()).rev() {
        let gradient = inverse.times(before).times(&slope.rise);
        inverse = inverse.times(&slope.run);
        let x = gradient.squared().minus(&augend.x).minus(&addend.x);
        let y = gradient.times(&augend.x.minus(&x)).minus(&augend.y);
        *augend = Affine { x, y };
    }
    product.zeroize();
    inverse.zeroize();
}

#[inline(always)]
fn chord(p: &Affine, q: &Affine) -> Slope {
    Slope { rise: q.y.minus(&p.y), run: q.x.minus(&p.x) }
}

/// Both slopes are computed, and one is chosen.
fn chord_or_tangent(p: &Affine, q: &Affine) -> Slope {
    let chord = chord(p, q);
    let are_equal = chord.run.is_zero();
    let square = p.x.squared();
    let (tangent_rise, tangent_run) = (square.plus(&square).plus(&square), p.y.plus(&p.y));
    Slope {
        rise: Fp2::choose(are_equal, &tangent_rise, &chord.rise),
        run: Fp2::choose(are_equal, &tangent_run, &chord.run),
    }
}

impl Zeroize for Pending {
    fn zeroize(&mut self) {
        self.slope.rise.zeroize();
        self.slope.run.zeroize();
        self.before.zeroize();
    }
}
