//! The keys that a command is about, and what is said of those that have no history.

use std::fmt;

use clap::Args;

use crate::bls::PublicKey;

/// Which keys a command is about.
#[derive(Args)]
pub(in crate::cli) struct Keys {
    /// Only this public key; may be given several times [default: all]
    #[arg(long = "key", value_name = "PUBLIC_KEY")]
    keys: Vec<PublicKey>,
}

impl Keys {
    pub(super) fn contains(&self, public_key: &PublicKey) -> bool {
        self.keys.is_empty() || self.keys.contains(public_key)
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }

    /// The named keys that have no history in `place`.
    ///
    /// # Errors
    /// They are all that were named: then there is nothing to do.
    pub(super) fn demand(
        &self,
        place: impl fmt::Display,
        has_history: impl Fn(&PublicKey) -> bool,
    ) -> Result<Option<NoHistory>, NoHistory> {
        let keys: Vec<_> = self.keys.iter().copied().filter(|key| !has_history(key)).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let are_all = keys.len() == self.keys.len();
        let missing = NoHistory { place: place.to_string(), keys };
        if are_all { Err(missing) } else { Ok(Some(missing)) }
    }
}

/// Keys that were named and have no history where it was looked for.
#[derive(Debug)]
pub(crate) struct NoHistory {
    place: String,
    keys: Vec<PublicKey>,
}

impl fmt::Display for NoHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "there is no history of {} in {}", keys.join(", "), self.place)
    }
}

impl std::error::Error for NoHistory {}
