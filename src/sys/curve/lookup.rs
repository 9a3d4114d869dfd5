//! Lookups in tables by a secret place: every entry is read, whichever is wanted.

use super::mask::Mask;
use super::point::{Affine, WORDS};

/// Writes the entry at `place` to `found`. The same instructions run and the same memory is read for every place.
#[inline]
pub(super) fn find(found: &mut Affine, entries: &[Affine], place: u64) {
    // Releases are built for any processor. With AVX2 a large table is read in half the time.
    #[cfg(all(target_arch = "x86_64", not(no_avx2)))]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { find_with_avx2(found, entries, place) };
    }
    read_all(found, entries, place);
}

/// The same, compiled for processors with AVX2.
#[cfg(all(target_arch = "x86_64", not(no_avx2)))]
#[target_feature(enable = "avx2")]
unsafe fn find_with_avx2(found: &mut Affine, entries: &[Affine], place: u64) {
    read_all(found, entries, place);
}

#[inline(always)]
fn read_all(found: &mut Affine, entries: &[Affine], place: u64) {
    let mut words = [0; WORDS];
    for (number, entry) in (0..).zip(entries) {
        let is_wanted = Mask::of_equality(number, place).hidden();
        for (word, of_entry) in words.iter_mut().zip(entry.words()) {
            *word |= of_entry & is_wanted;
        }
    }
    *found.words_mut() = words;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_at_its_place_with_the_processor_s_instructions_and_with_any_s() {
        let entries: Vec<_> = (0..128)
            .map(|number| {
                let mut entry = Affine::default();
                *entry.words_mut() = [number; WORDS];
                entry
            })
            .collect();
        for (place, entry) in (0..).zip(&entries) {
            let (mut found, mut found_by_any) = (Affine::default(), Affine::default());
            find(&mut found, &entries, place);
            read_all(&mut found_by_any, &entries, place);
            assert!(found == *entry && found_by_any == *entry);
        }
    }
}
