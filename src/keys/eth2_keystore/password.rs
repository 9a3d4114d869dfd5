//! Passwords as EIP-2335 wants them: the same on every keyboard and terminal.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The password in normal form NFKD, without the control codes C0, C1 and Delete, in UTF-8.
pub(super) fn normalized(password: &str) -> Zeroizing<String> {
    let characters = || password.nfkd().filter(|character| !character.is_control());
    // Sized first: a string that grows leaves copies of the password behind.
    let length = characters().map(char::len_utf8).fold(0usize, usize::saturating_add);
    let mut normalized = Zeroizing::new(String::with_capacity(length));
    normalized.extend(characters());
    normalized
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn composes_and_strips_as_the_standard_says() {
        for (password, expected) in [
            ("𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑", "testpassword🔑"),
            ("\u{e9}", "e\u{301}"),
            ("ﬁ", "fi"),
            ("pass\u{0}\u{1f}\u{7f}\u{80}\u{9f}word\r\n", "password"),
            (" pass word ", " pass word "),
            ("\u{a0}", " "),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(*normalized(password), expected, "{password:?}");
        }
    }

    proptest! {
        #[test]
        fn has_the_capacity_from_the_start_and_is_stable(password in any::<String>()) {
            let once = normalized(&password);
            prop_assert_eq!(once.capacity(), once.len());
            prop_assert_eq!(&*normalized(&once), &*once);
            let any_control = once.chars().any(|c| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'));
            prop_assert!(!any_control);
        }
    }
}
