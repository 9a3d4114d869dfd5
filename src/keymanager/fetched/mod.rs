//! Sources of keys that a fetcher reads for us, and what came of them.
//!
//! The fetcher is another process, with a network. It delivers what a source lists: keys enter as they come, and leave
//! only at the end of a complete delivery that does not have them. A delivery that fails, breaks off, lacks a key or
//! has none takes nothing away, and is shown.

mod delivery;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use tokio::sync::watch;

pub(crate) use self::delivery::{Delivered, Delivery, DeliveryError};

use super::Keystores;
use crate::bls::PublicKey;
use crate::keys::Key;
use crate::keys::loader::ContentHash;
use crate::ledger::{KeptSource, SealedKeystore};
use crate::metrics::named_variants;
use crate::mutex::Mutex;
use crate::text::Bounded;

/// The name of a source: 1 to 64 letters, digits, dots, dashes and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceName(String);

impl FromStr for SourceName {
    type Err = NoSourceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=LONGEST_NAME_BYTES).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoSourceName { text: Bounded(text).to_string() })
        }
    }
}

impl SourceName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that names no source.
#[derive(Debug, thiserror::Error)]
#[error("'{}' is no source: use 1 to 64 letters, digits, dots, dashes and underscores", Bounded(text))]
pub(crate) struct NoSourceName {
    text: String,
}

named_variants! {
    /// What is kept of a source's keys on disk, where there is a seal secret.
    pub(crate) enum SealPolicy {
        /// They are sealed: a start needs no source.
        Always = "always",
        /// They are sealed, and a start serves them; health is red until their source has listed them again.
        UntilNextFetch = "until-next-fetch",
        /// Nothing: they are gone with the process.
        Never = "never",
    }
}

named_variants! {
    /// Why a delivery was not complete, or an entry of it gave no key.
    pub(crate) enum Trouble {
        /// The source could not be connected to.
        Unreachable = "unreachable",
        /// It did not answer in time.
        Timeout = "timeout",
        /// It did not let the fetcher in.
        Denied = "denied",
        /// It does not have what was asked for.
        NotFound = "not-found",
        /// What it gave is not understood, or is no key.
        Malformed = "malformed",
        /// What it gave is longer than a key can be, or are more keys than are taken.
        TooLarge = "too-large",
        /// The secret is another key's than it came as.
        WrongKey = "wrong-key",
        /// It listed nothing.
        Empty = "empty",
        /// The fetcher left before the end.
        Interrupted = "interrupted",
    }
}

/// The sources that were heard of.
pub(crate) struct FetchedSources {
    sources: Mutex<BTreeMap<SourceName, Source>>,
    /// Changes when the fetcher is to ask all sources again.
    wanted: watch::Sender<u64>,
}

#[derive(Default)]
struct Source {
    held: HashMap<PublicKey, Held>,
    /// When the last complete delivery with keys ended.
    last_complete: Option<SystemTime>,
    /// What was wrong with the last one; cleared by a complete one.
    last_trouble: Option<(Trouble, String)>,
    troubles: BTreeMap<&'static str, u64>,
    is_delivering: bool,
}

/// A key of a source.
struct Held {
    content: ContentHash,
    /// How it is kept on disk.
    sealed: SealPolicy,
}

/// What is told of a source.
pub(crate) struct SourceReport {
    pub(crate) name: SourceName,
    /// How many keys it has given that it has not taken back.
    pub(crate) keys: usize,
    /// When it last listed all its keys; none since the start of the process.
    pub(crate) last_complete: Option<SystemTime>,
    /// What was wrong with the last delivery, if something was.
    pub(crate) trouble: Option<(Trouble, String)>,
    /// How often which trouble came up since the start.
    pub(crate) troubles: Vec<(&'static str, u64)>,
    /// Whether keys are served that it has to list again.
    pub(crate) is_awaited: bool,
}

impl FetchedSources {
    pub(super) fn new() -> Self {
        Self { sources: Mutex::default(), wanted: watch::Sender::new(0) }
    }

    /// All sources that were heard of, by name.
    pub(crate) fn report(&self) -> Vec<SourceReport> {
        let sources = self.sources.lock();
        let report = |(name, source): (&SourceName, &Source)| SourceReport {
            name: name.clone(),
            keys: source.held.len(),
            last_complete: source.last_complete,
            trouble: source.last_trouble.clone(),
            troubles: source.troubles.iter().map(|(kind, times)| (*kind, *times)).collect(),
            is_awaited: source.last_complete.is_none()
                && source.held.values().any(|held| held.sealed == SealPolicy::UntilNextFetch),
        };
        sources.iter().map(report).collect()
    }

    /// Has the fetcher ask all sources again.
    pub(crate) fn want(&self) {
        self.wanted.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Changes when the sources are to be asked again.
    pub(crate) fn wanted(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    /// Keys that an earlier process sealed.
    pub(super) fn unsealed(&self, keystores: &[SealedKeystore]) {
        let mut sources = self.sources.lock();
        for SealedKeystore { public_key, copy_of, source, .. } in keystores {
            let Some((content, KeptSource { name, until_next_fetch })) = copy_of.zip(source.as_ref()) else {
                continue;
            };
            let sealed = if *until_next_fetch { SealPolicy::UntilNextFetch } else { SealPolicy::Always };
            let source = sources.entry(SourceName(name.clone())).or_default();
            source.held.insert(*public_key, Held { content: ContentHash(content), sealed });
        }
    }

    fn change<T>(&self, name: &SourceName, change: impl FnOnce(&mut Source) -> T) -> T {
        change(self.sources.lock().entry(name.clone()).or_default())
    }
}

impl Source {
    fn note(&mut self, trouble: Trouble, reason: String) {
        let times = self.troubles.entry(trouble.name()).or_default();
        *times = times.saturating_add(1);
        self.last_trouble = Some((trouble, reason));
    }
}

impl Keystores {
    /// The sources that a fetcher reads.
    pub(crate) fn fetched(&self) -> &FetchedSources {
        &self.fetched
    }

    /// What to keep of a fetched key; `None` where nothing is to be kept, or there is no seal.
    fn sealed_of_source(
        &self,
        key: &Key,
        content: ContentHash,
        source: &SourceName,
        policy: SealPolicy,
    ) -> Option<SealedKeystore> {
        let until_next_fetch = match policy {
            SealPolicy::Always => false,
            SealPolicy::UntilNextFetch => true,
            SealPolicy::Never => return None,
        };
        match self.sealed(key.opened(), Some(content)) {
            Ok(kept) => {
                let source = Some(KeptSource { name: source.0.clone(), until_next_fetch });
                kept.map(|kept| SealedKeystore { source, ..kept })
            }
            Err(error) => {
                let public_key = key.public_key();
                tracing::error!(%public_key, error = crate::text::chain(&error), "the fetched key cannot be sealed");
                None
            }
        }
    }
}

const LONGEST_NAME_BYTES: usize = 64;
