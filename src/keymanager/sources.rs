//! Readers of the operator's keys, made of the settings: for the daemon, and for a check that looks without loading.

use std::sync::Arc;

use crate::config::KeySources;
use crate::keys::loader::Source;
use crate::keys::{Importer, KdfLimits, KdfPool};
use crate::sys::locked_memory::LockedMemory;

/// Opens keystores into `memory`, within what the settings allow.
pub(crate) fn importer(sources: &KeySources, memory: Arc<LockedMemory>) -> Importer {
    let limits = KdfLimits { memory: u64::from(sources.kdf_memory_mib.get()) << 20, ..KdfLimits::default() };
    Importer::new(memory, Arc::new(KdfPool::new(limits)))
}

/// Where the operator's files lie.
pub(crate) fn key_files(sources: &KeySources) -> Vec<Source> {
    let keystores = sources.keystores.iter().map(|directory| Source::Keystores {
        directory: directory.keystores.clone(),
        passwords: directory.passwords.clone(),
    });
    let configs =
        sources.key_config.iter().map(|directory| Source::KeyConfigs { directory: directory.clone() });
    keystores.chain(configs).collect()
}
