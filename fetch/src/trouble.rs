//! Troubles with a source, by the names of the signer's protocol.

use std::fmt;

use crate::http::NoAddress;

/// Why a source, or an entry of it, gave no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// For the operator; it holds no secret.
    pub(crate) reason: String,
}

/// The sort of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unreachable,
    Timeout,
    Denied,
    NotFound,
    Malformed,
    TooLarge,
    /// A server says that it has too much to do.
    Busy,
}

impl Kind {
    /// Whether the same question may be answered a moment later.
    pub(crate) fn may_pass(self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout | Self::Busy => true,
            Self::Denied | Self::NotFound | Self::Malformed | Self::TooLarge => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable | Self::Busy => "unreachable",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
        })
    }
}

impl From<NoAddress> for Trouble {
    fn from(error: NoAddress) -> Self {
        Self::new(Kind::Malformed, error.to_string())
    }
}

/// What a server calls its error. Only what can stand in such a name is shown, and not much of it.
pub(crate) fn code(text: &str) -> String {
    let fits = |one: &char| one.is_ascii_alphanumeric() || "_-.".contains(*one);
    text.chars().filter(fits).take(LONGEST_CODE).collect()
}

impl Trouble {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

const LONGEST_CODE: usize = 40;
