//! The operator's key files: whether each is there, of the right form and with its password. Whether the password is the
//! right one only a start tells.

use std::path::Path;
use std::sync::Arc;

use super::finding::Finding;
use crate::config::KeySources;
use crate::keys::loader::{Inspection, Source};
use crate::keys::{Importer, KdfLimits, KdfPool};
use crate::sys::locked_memory::LockedMemory;

const WHAT: &str = "keys";

pub(super) fn findings(sources: &KeySources) -> Vec<Finding> {
    let KeySources { keystores, key_config, kdf_memory_mib, seal_file: _, fd_store: _ } = sources;
    let memory = match LockedMemory::new() {
        Ok(memory) => memory,
        Err(error) => return vec![Finding::wrong(WHAT, &error)],
    };
    let limits = KdfLimits { memory: u64::from(kdf_memory_mib.get()) << 20, ..KdfLimits::default() };
    let importer = Importer::new(memory, Arc::new(KdfPool::new(limits)));
    let mut findings = Vec::new();
    if let Some(directory) = keystores {
        let (keystores, passwords) = (directory.keystores.clone(), directory.passwords.clone());
        let source = Source::Keystores { directory: keystores, passwords };
        findings.extend(inspect(&source, "keystores", &directory.keystores, &importer));
    }
    if let Some(directory) = key_config {
        let source = Source::KeyConfigs { directory: directory.clone() };
        findings.extend(inspect(&source, "key configurations", directory, &importer));
    }
    findings
}

fn inspect(source: &Source, name: &str, directory: &Path, importer: &Importer) -> Vec<Finding> {
    let Inspection { keys, problems } = source.inspect(importer);
    let mut findings: Vec<_> = problems.iter().map(|problem| Finding::wrong(WHAT, problem)).collect();
    let text = format!("{keys} {name} in {}", directory.display());
    if keys > 0 {
        findings.push(Finding::fine(WHAT, text));
    } else if findings.is_empty() {
        findings.push(Finding::notable(WHAT, text));
    }
    findings
}
