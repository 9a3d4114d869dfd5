//! Expectation of keys: how many must be able to sign before health is green.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// The keys without which health is red: of the option `expected_keys`, and of `keys` in a health request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExpectedKeys {
    /// None: a daemon without keys is healthy.
    #[default]
    Any,
    /// One at least, and one of every key file.
    All,
    /// So many.
    AtLeast(NonZeroUsize),
}

impl ExpectedKeys {
    /// The least number of keys that can be enough.
    pub(crate) fn least(self) -> usize {
        match self {
            Self::Any => 0,
            Self::All => 1,
            Self::AtLeast(keys) => keys.get(),
        }
    }
}

impl FromStr for ExpectedKeys {
    type Err = NoExpectation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            "all" => Ok(Self::All),
            number => number.parse().map(Self::AtLeast).map_err(|_| NoExpectation),
        }
    }
}

impl fmt::Display for ExpectedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::All => f.write_str("all"),
            Self::AtLeast(keys) => keys.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for ExpectedKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"any\", \"all\" or a number of keys from 1")]
        enum Form {
            Number(NonZeroUsize),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(keys) => Ok(Self::AtLeast(keys)),
            Form::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// A text that says how many keys are expected in none of the three ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not any, all or a number of keys from 1")]
pub(crate) struct NoExpectation;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    #[test]
    fn a_word_or_a_number_says_what_is_expected() {
        for (text, least) in [("any", 0), ("all", 1), ("1", 1), ("5000", 5000)] {
            let expected: ExpectedKeys = text.parse().unwrap();
            assert_eq!((expected.least(), expected.to_string()), (least, text.to_owned()));
        }
        for text in ["", "0", "-1", "ALL", "1 key", "99999999999999999999999"] {
            assert_eq!(text.parse::<ExpectedKeys>(), Err(NoExpectation), "{text}");
        }
    }

    #[test]
    fn the_file_has_a_number_or_a_text() {
        let read = |text| RawSettings::from_toml(text).ok().map(|raw| raw.expected_keys);
        let five = Some(Some(ExpectedKeys::AtLeast(NonZeroUsize::new(5).unwrap())));
        assert_eq!(read("expected_keys = 5"), five);
        assert_eq!(read("expected_keys = '5'"), five);
        assert_eq!(read("expected_keys = 'all'"), Some(Some(ExpectedKeys::All)));
        for text in
            ["expected_keys = 0", "expected_keys = -1", "expected_keys = true", "expected_keys = 'some'"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
