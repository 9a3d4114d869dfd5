//! Odd multiples of public points: the rows of which tables are made.
//!
//! A row has m P for m = 1, 3, .. 2^w - 1, and grows out of its first entry and P times powers of two. From s entries,
//! those with m < 2 s, come 4 s - m, 4 s + m and 8 s - m, in four times as many. No m is equal or opposite to the power
//! of two beside it, modulo r as they are small.

use std::iter::successors;

use blst::{blst_p2, blst_p2_double};

use super::HashedMessage;
use super::addition::{Neighbours, find_neighbours};
use super::point::Affine;
use super::subscalars::Windows;

/// H, 2 H, 4 H and so on, with so many doublings.
pub(super) fn powers_of_two(message: &HashedMessage, doublings: usize) -> Vec<Affine> {
    let double = |point: &blst_p2| {
        let mut double = blst_p2::default();
        // SAFETY: both are live; it writes to `double` alone.
        unsafe { blst_p2_double(&mut double, point) };
        Some(double)
    };
    let powers = successors(Some(message.0), double).take(doublings.saturating_add(1));
    Affine::of_all(&powers.collect::<Vec<_>>())
}

/// Rows for such windows, one after the other. Each takes as many powers as a window has bits; those of the last end
/// with what would be the next one's first.
pub(super) fn rows_of(powers: &[Affine], windows: Windows) -> Box<[Affine]> {
    let (rows, size) = (powers_of_rows(powers, windows), windows.odd_digits());
    let mut entries = vec![Affine::default(); rows.clone().count().saturating_mul(size)].into_boxed_slice();
    for (row, powers) in entries.chunks_exact_mut(size).zip(rows.clone()) {
        if let ([first, ..], [power, ..]) = (row, powers) {
            *first = *power;
        }
    }
    for known in successors(Some(1_usize), |known| known.checked_mul(4)).take_while(|known| *known < size) {
        let mut neighbours = Vec::new();
        for (row, powers) in entries.chunks_exact_mut(size).zip(rows.clone()) {
            add_neighbours(&mut neighbours, row, powers, known);
        }
        find_neighbours(neighbours);
    }
    entries
}

/// Whether rows are what they should be: the first power is the message, each other one the double of that before it,
/// and each entry the sum or the difference of which it was made.
pub(super) fn are_right(
    rows: &[Affine],
    message: &HashedMessage,
    powers: &[Affine],
    windows: Windows,
) -> bool {
    let mut rows = rows.chunks_exact(windows.odd_digits()).zip(powers_of_rows(powers, windows));
    powers.first().is_some_and(|first| first.is_equal_to(&message.0))
        && powers.iter().zip(powers.iter().skip(1)).all(|(power, next)| next.is_double_of(power))
        && rows.all(|(row, powers)| (0..row.len()).all(|place| is_right(row, powers, place)))
}

/// What a row has beyond the first entries, as far as those lead.
fn add_neighbours<'a>(
    neighbours: &mut Vec<Neighbours<'a>>,
    row: &'a mut [Affine],
    powers: &'a [Affine],
    known: usize,
) {
    let mut parts = row.chunks_mut(known);
    let offsets: &[Affine] = parts.next().unwrap_or_default();
    let (below, above, below_next) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let (Some(centre), next) = centres(powers, known) else { return };
    let mut above = above.iter_mut();
    for (offset, below) in offsets.iter().zip(below.iter_mut().rev()) {
        neighbours.push(Neighbours { centre, offset, below, above: above.next() });
    }
    let Some(next) = next else { return };
    for (offset, below) in offsets.iter().zip(below_next.iter_mut().rev()) {
        neighbours.push(Neighbours { centre: next, offset, below, above: None });
    }
}

fn is_right(row: &[Affine], powers: &[Affine], place: usize) -> bool {
    let Some(step) = place.checked_ilog(4) else { return row.first() == powers.first() };
    let known = 4_usize.saturating_pow(step);
    let (part, in_part) = (place.div_euclid(known), place.rem_euclid(known));
    let is_above = part == 2;
    let (centre, next) = centres(powers, known);
    let centre = if part == 3 { next } else { centre };
    let offset = row.get(if is_above { in_part } else { known.saturating_sub(in_part).saturating_sub(1) });
    let (Some(entry), Some(centre), Some(offset)) = (row.get(place), centre, offset) else { return false };
    if is_above { entry.is_sum_of(offset, centre) } else { entry.is_difference_of(centre, offset) }
}

/// The powers of two beside which the next entries of a row lie.
fn centres(powers: &[Affine], known: usize) -> (Option<&Affine>, Option<&Affine>) {
    let exponent = known.ilog2().saturating_add(2) as usize;
    (powers.get(exponent), powers.get(exponent.saturating_add(1)))
}

/// The powers of which each row is made: as many as a window has bits, and the next.
fn powers_of_rows(powers: &[Affine], windows: Windows) -> impl Iterator<Item = &[Affine]> + Clone {
    powers.windows(windows.bits().saturating_add(1)).step_by(windows.bits())
}
