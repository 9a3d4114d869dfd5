//! Lookups in tables by a secret place: every entry is read, whichever is wanted.

use super::mask::Mask;
use super::point::{Affine, WORDS};

/// The entry at `place`. The same instructions run and the same memory is read for every place.
#[inline]
pub(super) fn find(entries: &[Affine], place: u64) -> Affine {
    // Releases are built for any processor. With AVX2 a large table is read in half the time.
    #[cfg(all(target_arch = "x86_64", not(no_avx2)))]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { find_with_avx2(entries, place) };
    }
    read_all(entries, place)
}

/// The same, compiled for processors with AVX2.
#[cfg(all(target_arch = "x86_64", not(no_avx2)))]
#[target_feature(enable = "avx2")]
unsafe fn find_with_avx2(entries: &[Affine], place: u64) -> Affine {
    read_all(entries, place)
}

#[inline(always)]
fn read_all(entries: &[Affine], place: u64) -> Affine {
    let mut found = [0; WORDS];
    for (number, entry) in (0..).zip(entries) {
        let is_wanted = Mask::of_equality(number, place).hidden();
        for (found, word) in found.iter_mut().zip(entry.words()) {
            *found |= word & is_wanted;
        }
    }
    Affine::of_words(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_at_its_place_with_the_processor_s_instructions_and_with_any_s() {
        let entries: Vec<_> = (0..128).map(|number| Affine::of_words([number; WORDS])).collect();
        for (place, entry) in (0..).zip(&entries) {
            assert!(find(&entries, place) == *entry && read_all(&entries, place) == *entry);
        }
    }
}
