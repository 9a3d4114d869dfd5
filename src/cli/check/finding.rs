//! What a check found: a line of the report.

use std::fmt;

use crate::text::chain;

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) what: &'static str,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// It works, but perhaps not as meant.
    Notable,
    /// The daemon would not start, or not serve what was asked for.
    Wrong,
}

impl Finding {
    pub(super) fn fine(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, what, text: text.into() }
    }

    pub(super) fn notable(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Notable, what, text: text.into() }
    }

    pub(super) fn wrong(what: &'static str, error: &dyn std::error::Error) -> Self {
        Self { verdict: Verdict::Wrong, what, text: chain(error) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Notable => "note",
            Verdict::Wrong => "WRONG",
        };
        write!(f, "{verdict:<6}{:<10}{}", self.what, self.text)
    }
}
