//! Delivery of a source's keys, from its first to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::{JoinError, spawn_blocking};

use super::{Held, Keystores, SealPolicy, SourceName, Trouble};
use crate::bls::PublicKey;
use crate::keys::loader::ContentHash;
use crate::keys::{BroughtError, BroughtKey, Key, Opened, Origin};
use crate::ledger::{Fault, Protection};
use crate::text::chain;

/// A delivery that is under way. Dropped before its end, it was interrupted.
pub(crate) struct Delivery {
    keystores: Arc<Keystores>,
    source: SourceName,
    policy: SealPolicy,
    /// What the source had given before.
    known: Arc<HashMap<ContentHash, PublicKey>>,
    listed: HashMap<PublicKey, ContentHash>,
    entered: usize,
    /// Entries that came, with and without a key.
    entries: usize,
    missing: usize,
    has_ended: bool,
}

/// What a delivery did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Keys that the source lists.
    pub(crate) keys: usize,
    /// Those of them that it gave for the first time.
    pub(crate) entered: usize,
    /// Keys that sign no more, as it does not list them any longer.
    pub(crate) left: usize,
    /// Entries that gave no key.
    pub(crate) missing: usize,
    /// Whether it was complete.
    pub(crate) complete: bool,
}

/// Why a delivery cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error("another delivery of the source '{0}' is under way: wait for its end")]
    Busy(SourceName),
    #[error("a source may have {MOST_KEYS} keys and '{0}' has more: make several of it")]
    TooMany(SourceName),
    #[error("the keys could not be opened")]
    Open(#[source] JoinError),
    #[error("the keys cannot be kept on disk")]
    Keep(#[source] Fault),
}

impl Keystores {
    /// Begins a delivery; one at a time of each source.
    pub(crate) fn begin_delivery(
        self: &Arc<Self>,
        source: SourceName,
        policy: SealPolicy,
    ) -> Result<Delivery, DeliveryError> {
        let known = self.fetched.change(&source, |state| {
            let is_busy = std::mem::replace(&mut state.is_delivering, true);
            (!is_busy).then(|| state.held.iter().map(|(key, held)| (held.content, *key)).collect())
        });
        let Some(known) = known else { return Err(DeliveryError::Busy(source)) };
        Ok(Delivery {
            keystores: Arc::clone(self),
            source,
            policy,
            known: Arc::new(known),
            listed: HashMap::new(),
            entered: 0,
            entries: 0,
            missing: 0,
            has_ended: false,
        })
    }

    /// Takes away all that a source gave: its operator says that it is none any more.
    pub(crate) async fn retire_source(
        &self,
        protection: &Protection,
        source: &SourceName,
    ) -> Result<usize, DeliveryError> {
        let _turn = self.turn().await;
        let held = self.fetched.change(source, |state| state.held.keys().copied().collect());
        let left = self.dismiss_fetched(protection, source, held).await?;
        self.fetched.sources.lock().remove(source);
        if left > 0 {
            tracing::info!(source = source.as_str(), left, "the source is retired");
        }
        Ok(left)
    }

    /// Takes keys of a source out of the ring and off the disk, but what another source gives as well. Says how many
    /// sign no more. To be called in one's turn.
    async fn dismiss_fetched(
        &self,
        protection: &Protection,
        source: &SourceName,
        keys: Vec<PublicKey>,
    ) -> Result<usize, DeliveryError> {
        let (leaving, kept): (Vec<_>, Vec<_>) = {
            let mut sources = self.fetched.sources.lock();
            let mut is_given_elsewhere = |key: &PublicKey| {
                let others = sources.iter_mut().filter(|(name, _)| *name != source);
                let mut held = others.filter_map(|(_, other)| other.held.get_mut(key)).peekable();
                let is_given = held.peek().is_some();
                // What is on disk goes with this source; the next delivery of the other one seals it again.
                held.for_each(|held| held.sealed = SealPolicy::Never);
                is_given
            };
            keys.into_iter().partition(|key| !is_given_elsewhere(key))
        };
        let is_fetched = |key: &&PublicKey| self.ring.origin(key) == Some(Origin::Fetched);
        let forgotten: Vec<_> = leaving.iter().chain(&kept).filter(is_fetched).copied().collect();
        let left = self.ring.remove_fetched(&leaving);
        self.fetched.change(source, |state| {
            for key in leaving.iter().chain(&kept) {
                state.held.remove(key);
            }
        });
        if let (Protection::On(ledger), false) = (protection, forgotten.is_empty()) {
            ledger.forget(forgotten).await.map_err(DeliveryError::Keep)?;
        }
        Ok(left)
    }
}

impl Delivery {
    /// Lets keys in. One that is not what it is said to be is noted as missing.
    pub(crate) async fn bring(
        &mut self,
        protection: &Protection,
        keys: Vec<BroughtKey>,
    ) -> Result<(), DeliveryError> {
        self.entries = self.entries.saturating_add(keys.len());
        let (keys, opened) = self.open(keys).await?;
        let keystores = Arc::clone(&self.keystores);
        let _turn = keystores.turn().await;
        let mut entering = Vec::new();
        let mut brought = Vec::with_capacity(keys.len());
        for (key, opened) in keys.iter().zip(opened) {
            match opened {
                Ok(opened) => {
                    brought.push((opened.public_key(), key.content()));
                    match opened {
                        Opened::Known(_) => {}
                        Opened::New(opened) => entering.push(Key::fetched(opened)),
                    }
                }
                Err(error) => {
                    let reason = format!("{}: {}", key.name(), chain(&error));
                    self.miss_one(trouble(&error), reason);
                }
            }
        }
        if self.listed.len().saturating_add(brought.len()) > MOST_KEYS {
            self.note(Trouble::TooLarge, format!("it has more than {MOST_KEYS} keys"));
            return Err(DeliveryError::TooMany(self.source.clone()));
        }
        // Most deliveries bring what is known, and a change of the ring copies it.
        if !entering.is_empty() {
            keystores.ring.insert(entering);
        }
        self.keep(protection, &brought).await?;
        self.listed.extend(brought);
        Ok(())
    }

    async fn open(
        &self,
        keys: Vec<BroughtKey>,
    ) -> Result<(Vec<BroughtKey>, Vec<Result<Opened, BroughtError>>), DeliveryError> {
        let (ring, known) = (self.keystores.ring.snapshot(), Arc::clone(&self.known));
        let importer = self.keystores.importer.clone();
        let opening = spawn_blocking(move || {
            let served =
                |content: &ContentHash| known.get(content).filter(|key| ring.contains_key(*key)).copied();
            let opened = importer.open_brought(&keys, &served);
            (keys, opened)
        });
        opening.await.map_err(DeliveryError::Open)
    }

    /// Notes what the source gave, and seals what is not sealed as its policy says.
    async fn keep(
        &mut self,
        protection: &Protection,
        brought: &[(PublicKey, ContentHash)],
    ) -> Result<(), DeliveryError> {
        let keystores = &self.keystores;
        let can_seal = keystores.seal.is_some() && protection.is_on();
        let policy = if can_seal { self.policy } else { SealPolicy::Never };
        let mut to_seal = Vec::new();
        let mut to_forget = Vec::new();
        let mut entered = 0_usize;
        keystores.fetched.change(&self.source, |state| {
            for (public_key, content) in brought {
                let is_fetched = keystores.ring.origin(public_key) == Some(Origin::Fetched);
                // An imported key and one of a file are kept in their own ways.
                let policy = if is_fetched { policy } else { SealPolicy::Never };
                let before = state.held.insert(*public_key, Held { content: *content, sealed: policy });
                entered = entered.saturating_add(usize::from(before.is_none()));
                let before = before.map_or((SealPolicy::Never, *content), |held| (held.sealed, held.content));
                if is_fetched && before != (policy, *content) {
                    match policy {
                        SealPolicy::Never => to_forget.push(*public_key),
                        SealPolicy::Always | SealPolicy::UntilNextFetch => {
                            to_seal.push((*public_key, *content))
                        }
                    }
                }
            }
        });
        self.entered = self.entered.saturating_add(entered);
        let Protection::On(ledger) = protection else { return Ok(()) };
        let copies: Vec<_> = to_seal
            .iter()
            .filter_map(|(public_key, content)| {
                let key = keystores.ring.key(public_key)?;
                keystores.sealed_of_source(&key, *content, &self.source, policy)
            })
            .collect();
        let kept = async {
            if !copies.is_empty() {
                ledger.keep(copies).await?;
            }
            if !to_forget.is_empty() {
                ledger.forget(to_forget).await?;
            }
            Ok(())
        };
        let kept: Result<(), Fault> = kept.await;
        kept.map_err(|fault| {
            // The next delivery tries again.
            keystores.fetched.change(&self.source, |state| {
                for (public_key, _) in &to_seal {
                    let held = state.held.get_mut(public_key);
                    held.into_iter().for_each(|held| held.sealed = SealPolicy::Never);
                }
            });
            DeliveryError::Keep(fault)
        })
    }

    /// Notes an entry that gave no key: the delivery is not complete.
    pub(crate) fn miss(&mut self, trouble: Trouble, reason: String) {
        self.entries = self.entries.saturating_add(1);
        self.miss_one(trouble, reason);
    }

    fn miss_one(&mut self, trouble: Trouble, reason: String) {
        self.missing = self.missing.saturating_add(1);
        if self.missing <= MOST_REASONS {
            tracing::error!(
                source = self.source.as_str(),
                "a source has an entry that gives no key: {reason}"
            );
        }
        self.note(trouble, reason);
    }

    /// Ends it: the source could not be read to its end.
    pub(crate) fn fail(mut self, trouble: Trouble, reason: String) -> Delivered {
        tracing::error!(source = self.source.as_str(), "a source could not be read: {reason}");
        self.note(trouble, reason);
        self.ended(0, false)
    }

    /// Ends it: the source has listed all. `entries` is how many the fetcher says it has sent.
    pub(crate) async fn end(
        mut self,
        protection: &Protection,
        entries: usize,
    ) -> Result<Delivered, DeliveryError> {
        let came = self.entries;
        if entries != came {
            let reason = format!("the fetcher says that it sent {entries} entries, and {came} came");
            return Ok(self.fail(Trouble::Malformed, reason));
        }
        if entries == 0 {
            return Ok(
                self.fail(Trouble::Empty, "it lists no key, so those that it gave before stay".to_owned())
            );
        }
        if self.missing > 0 {
            return Ok(self.ended(0, false));
        }
        let keystores = Arc::clone(&self.keystores);
        let _turn = keystores.turn().await;
        let vanished = keystores.fetched.change(&self.source, |state| {
            let vanished: Vec<_> =
                state.held.keys().filter(|key| !self.listed.contains_key(key)).copied().collect();
            state.last_complete = Some(SystemTime::now());
            state.last_trouble = None;
            vanished
        });
        let left = match vanished.is_empty() {
            true => 0,
            false => keystores.dismiss_fetched(protection, &self.source, vanished).await?,
        };
        Ok(self.ended(left, true))
    }

    fn ended(&mut self, left: usize, complete: bool) -> Delivered {
        self.has_ended = true;
        let (keys, entered, missing) = (self.listed.len(), self.entered, self.missing);
        if entered > 0 || left > 0 || missing > 0 {
            let source = self.source.as_str();
            tracing::info!(source, keys, entered, left, missing, complete, "keys fetched");
        }
        Delivered { keys, entered, left, missing, complete }
    }

    fn note(&self, trouble: Trouble, reason: String) {
        self.keystores.fetched.change(&self.source, |state| state.note(trouble, reason));
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.keystores.fetched.change(&self.source, |state| {
            state.is_delivering = false;
            if !self.has_ended {
                let reason = "the fetcher left before the end, so what was served before stays";
                tracing::error!(source = self.source.as_str(), "a delivery of keys broke off: {reason}");
                state.note(Trouble::Interrupted, reason.to_owned());
            }
        });
    }
}

fn trouble(error: &BroughtError) -> Trouble {
    match error {
        BroughtError::OtherKey { .. } => Trouble::WrongKey,
        BroughtError::Secret(_) | BroughtError::Keystore(_) => Trouble::Malformed,
    }
}

/// Keys of one source: their cells fill an eighth of the locked memory that the package's unit allows.
const MOST_KEYS: usize = 32_768;
/// How many entries that give no key the log names in one delivery.
const MOST_REASONS: usize = 8;
