//! Lines for the journal, on standard error. None of them holds a key, a token or a password.

use std::error::Error;
use std::io::{self, Write as _};

/// Says it in one line of bounded length.
pub(crate) fn say(text: &str) {
    let line: String =
        text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(LONGEST).collect();
    // Whoever does not read is not waited for.
    let _ = writeln!(io::stderr(), "{line}");
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Characters.
const LONGEST: usize = 1000;
