//! Keys of the old signer, opened into locked memory by the same reader that a daemon reads key files with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::progress::Progress;
use crate::config::Settings;
use crate::keymanager::sources;
use crate::keys::loader::{Loader, Source};
use crate::keys::{Key, Ring, Urgency};
use crate::sys::locked_memory::LockedMemory;
use crate::text::OneLine;

/// What the old signer's key files hold.
pub(super) struct OldKeys {
    pub(super) keys: Vec<Key>,
    /// How many of them came out of keystores; the others lay in the clear.
    pub(super) from_keystores: usize,
    /// Files whose key another file has given.
    pub(super) duplicates: usize,
    /// Kinds of keys in vaults that the fetcher reads, and how many there are of each.
    pub(super) fetched: BTreeMap<String, usize>,
    /// Other kinds of keys that no file holds.
    pub(super) elsewhere: BTreeMap<String, usize>,
    /// Files that give no key, each with the reason.
    pub(super) unusable: Vec<String>,
}

impl OldKeys {
    /// Opens all of them: what has a wrong password is known before anything is written.
    pub(super) fn open(sources: &[Source], settings: &Settings, memory: &Arc<LockedMemory>) -> Self {
        let mut loader = Loader::new(sources.to_vec(), sources::importer(&settings.keys, Arc::clone(memory)));
        let bar = Mutex::new(None);
        let loaded = loader.load(&Ring::new(), Urgency::Background, &|_| None, &|progress| {
            let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
            bar.get_or_insert_with(|| Progress::new("keys opened", progress.total)).show(progress.done);
        });
        drop(bar);
        let mut keys = Self {
            from_keystores: loaded.entering.iter().filter(|key| key.derived).count(),
            keys: loaded.entering.into_iter().map(|key| key.key).collect(),
            duplicates: loaded.duplicates.len(),
            fetched: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            unusable: Vec::new(),
        };
        for problem in loaded.problems {
            match problem.reason.unsupported_kind() {
                Some(kind) => {
                    let is_fetched = FETCHED_KINDS.contains(&kind.trim_matches('"'));
                    let kinds = if is_fetched { &mut keys.fetched } else { &mut keys.elsewhere };
                    let count = kinds.entry(kind).or_default();
                    *count = count.saturating_add(1);
                }
                None => keys.unusable.push(problem.to_string()),
            }
        }
        if keys.unusable.is_empty() && keys.elsewhere.is_empty() && keys.fetched.is_empty() {
            keys.unusable.extend(loaded.barren.iter().map(|barren| OneLine(barren).to_string()));
        }
        keys
    }
}

/// As key configurations name them.
const FETCHED_KINDS: [&str; 3] = ["hashicorp", "aws-secret", "azure-secret"];
