//! Passwords as EIP-2335 wants them, the same on every keyboard and terminal; and as some programs made keystores with
//! them.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, decompose_compatible};
use zeroize::Zeroizing;

use crate::text;

/// The forms to try, each once. Nearly every password has one form.
///
/// - The standard's, without the byte order mark that the password's file may begin with.
/// - The standard's with that mark, where there is one: whoever made the keystore may have taken it for the password's.
/// - That of go-eth2-wallet-encryptor-keystorev4 before its version 1.1.4, with which ethdo, Vouch and Prysm made
///   keystores: different where the password has combining marks, such as the tilde of an ñ.
pub(super) fn forms(password: &str) -> Vec<Zeroizing<String>> {
    if password.is_ascii() {
        // Nothing to normalise: all forms are one. As with the seal secret, once for each of ten thousand keys.
        return vec![collected(|| password.chars().filter(|character| !character.is_ascii_control()))];
    }
    let unmarked = text::unmarked(password);
    let mut forms = vec![normalized(unmarked)];
    for form in [normalized(password), without_marks(unmarked)] {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

/// In normal form NFKD, without the control codes C0, C1 and Delete, in UTF-8.
pub(super) fn normalized(password: &str) -> Zeroizing<String> {
    collected(|| password.nfkd().filter(|character| !character.is_control()))
}

/// In NFKD, of each character with the marks that combine with it only the first code point; without C0 and Delete.
fn without_marks(password: &str) -> Zeroizing<String> {
    collected(|| {
        let mut at_start = true;
        password.chars().filter_map(move |character| {
            let mut first = None;
            decompose_compatible(character, |part| {
                first.get_or_insert(part);
            });
            let first = first?;
            let begins = at_start || canonical_combining_class(first) == 0;
            at_start = false;
            (begins && !first.is_ascii_control()).then_some(first)
        })
    })
}

/// Sized before it is filled: a string that grows leaves copies of the password behind.
fn collected<I: Iterator<Item = char>>(characters: impl Fn() -> I) -> Zeroizing<String> {
    let length = characters().map(char::len_utf8).fold(0usize, usize::saturating_add);
    let mut collected = Zeroizing::new(String::with_capacity(length));
    collected.extend(characters());
    collected
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

    #[test]
    fn a_password_has_one_form_unless_it_has_marks() {
        for (password, expected) in [
            ("plain pass", &["plain pass"][..]),
            ("", &[""]),
            ("\u{1f511}\u{7}", &["\u{1f511}"]),
            ("\u{feff}bars", &["bars", "\u{feff}bars"]),
            ("se\u{f1}a", &["sen\u{303}a", "sena"]),
            ("a\u{301}\u{323}b", &["a\u{323}\u{301}b", "ab"]),
            ("\u{feff}\u{fc}", &["u\u{308}", "\u{feff}u\u{308}", "u"]),
        ] {
            let forms: Vec<_> = forms(password).iter().map(|form| form.to_string()).collect();
            assert_eq!(forms, expected, "{password:?}");
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
            for form in forms(&password) {
                prop_assert_eq!(form.capacity(), form.len());
            }
        }
    }
}
