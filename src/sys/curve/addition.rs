//! Additions of many pairs of points at once, with one inversion for all (Montgomery's trick).

use zeroize::Zeroizing;

use super::field::Fp2;
use super::point::Affine;

/// Two points to be added; the sum takes the first one's place.
pub(super) struct Sum<'a> {
    pub(super) augend: &'a mut Affine,
    pub(super) addend: &'a Affine,
}

/// Adds each pair. No two points of a pair may be equal or opposite: who calls shows that it cannot be.
pub(super) fn add_all(sums: Vec<Sum<'_>>) {
    add_with(sums, set_chord);
}

/// The same for pairs that may be equal. They may not be opposite.
pub(super) fn add_or_double_all(sums: Vec<Sum<'_>>) {
    add_with(sums, set_chord_or_tangent);
}

/// Public points to be found on both sides of another, or on one: `centre` less `offset`, and the sum of the two.
pub(super) struct Neighbours<'a> {
    pub(super) centre: &'a Affine,
    pub(super) offset: &'a Affine,
    pub(super) below: &'a mut Affine,
    pub(super) above: Option<&'a mut Affine>,
}

/// Finds them. No centre may be equal or opposite to its offset.
///
/// The lines through the centre and both the offset and its opposite have the same run, so that two neighbours need
/// three quarters of the multiplications of two sums.
pub(super) fn find_neighbours(neighbours: Vec<Neighbours<'_>>) {
    let runs = neighbours.iter().map(|Neighbours { centre, offset, .. }| offset.x.minus(&centre.x));
    let mut inverses: Vec<_> = runs.collect();
    invert_all(&mut inverses);
    let mut gradient = Fp2::default();
    for (Neighbours { centre, offset, below, above }, inverse) in neighbours.into_iter().zip(&inverses) {
        // The line to the opposite has the opposite gradient.
        gradient.set_product(&offset.y.plus(&centre.y), inverse);
        let Affine { x, y } = below;
        set_third_x(x, &gradient, centre, offset);
        y.set_difference(x, &centre.x);
        y.multiply_by(&gradient);
        y.subtract(&centre.y);
        let Some(Affine { x, y }) = above else { continue };
        gradient.set_product(&offset.y.minus(&centre.y), inverse);
        set_third_x(x, &gradient, centre, offset);
        y.set_difference(&centre.x, x);
        y.multiply_by(&gradient);
        y.subtract(&centre.y);
    }
}

/// The x of the third point on a line through two.
#[inline(always)]
fn set_third_x(x: &mut Fp2, gradient: &Fp2, p: &Affine, q: &Affine) {
    x.set_square(gradient);
    x.subtract(&p.x);
    x.subtract(&q.x);
}

/// Every step writes where its result is needed, or to memory that is wiped: values that are moved cost a tenth more.
#[inline(always)]
fn add_with(sums: Vec<Sum<'_>>, set_slope: impl Fn(&mut Fp2, &mut Fp2, &Affine, &Affine)) {
    // The slope of the line through two points is the fraction rise / run.
    let mut rises = Zeroizing::new(vec![Fp2::default(); sums.len()]);
    let mut runs = rises.clone();
    for ((Sum { augend, addend }, rise), run) in sums.iter().zip(rises.iter_mut()).zip(runs.iter_mut()) {
        set_slope(rise, run, augend, addend);
    }
    invert_all(&mut runs);
    for ((Sum { augend, addend }, rise), inverse) in
        sums.into_iter().zip(rises.iter_mut()).zip(runs.iter_mut())
    {
        let (gradient, x) = (inverse, rise);
        gradient.multiply_by(x);
        set_third_x(x, gradient, augend, addend);
        augend.x.subtract(x);
        gradient.multiply_by(&augend.x);
        augend.y.subtract_from(gradient);
        augend.x = *x;
    }
}

#[inline(always)]
fn set_chord(rise: &mut Fp2, run: &mut Fp2, p: &Affine, q: &Affine) {
    rise.set_difference(&q.y, &p.y);
    run.set_difference(&q.x, &p.x);
}

/// Both slopes are computed, and one is chosen.
fn set_chord_or_tangent(rise: &mut Fp2, run: &mut Fp2, p: &Affine, q: &Affine) {
    set_chord(rise, run, p, q);
    let are_equal = run.is_zero();
    let square = p.x.squared();
    let (tangent_rise, tangent_run) = (square.plus(&square).plus(&square), p.y.plus(&p.y));
    *rise = Fp2::choose(are_equal, &tangent_rise, rise);
    *run = Fp2::choose(are_equal, &tangent_run, run);
}

/// Inverts each of the values, which are not 0.
fn invert_all(values: &mut [Fp2]) {
    // Of the values up to each one.
    let mut products = Zeroizing::new(vec![Fp2::default(); values.len()]);
    let (Some((first, rest)), Some((product, products_of_rest))) =
        (values.split_first(), products.split_first_mut())
    else {
        return;
    };
    *product = *first;
    let mut product = product;
    for (value, next) in rest.iter().zip(products_of_rest) {
        next.set_product(product, value);
        product = next;
    }
    // Of the product of the values that have not been inverted yet.
    let mut inverse = Zeroizing::new([product.inverse(), Fp2::default()]);
    let [inverse, next] = &mut *inverse;
    let (mut inverse, mut next) = (inverse, next);
    for (value, before) in values.iter_mut().rev().zip(products.iter().rev().skip(1)) {
        next.set_product(inverse, value);
        value.set_product(inverse, before);
        std::mem::swap(&mut inverse, &mut next);
    }
    if let Some(first) = values.first_mut() {
        *first = *inverse;
    }
}
