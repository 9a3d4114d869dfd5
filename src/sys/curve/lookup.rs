//! Lookups in tables by a secret place: every entry is read, whichever is wanted.

use super::mask::Mask;
use super::point::{Affine, WORDS};

/// The entry at `place`. The same instructions run and the same memory is read for every place.
#[inline]
pub(super) fn find(entries: &[Affine], place: u64) -> Affine {
    let mut found = [0; WORDS];
    for (number, entry) in (0..).zip(entries) {
        let is_wanted = Mask::of_equality(number, place).hidden();
        for (found, word) in found.iter_mut().zip(entry.words()) {
            *found |= word & is_wanted;
        }
    }
    Affine::of_words(found)
}
