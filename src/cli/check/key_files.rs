//! The operator's key files: whether each is there, of the right form and with its password. Whether the password is the
//! right one only a start tells.

use std::path::Path;
use std::sync::Arc;

use super::finding::Finding;
use crate::config::KeySources;
use crate::keys::loader::{Barren, Inspection, Problem, Source};
use crate::keys::{Importer, KdfLimits, KdfPool};
use crate::sys::locked_memory::LockedMemory;
use crate::text::OneLine;

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
    let Inspection { keys, problems, passed_over } = source.inspect(importer);
    // The daemon signs with the other keys, and says of such a one what it cannot do: nothing that a start would stumble over.
    let finding = |problem: &Problem| match problem.reason.is_unsupported() {
        true => Finding::notable(WHAT, problem.to_string()),
        false => Finding::wrong(WHAT, problem),
    };
    let mut findings: Vec<_> = problems.iter().map(finding).collect();
    findings.extend(passed_over.iter().map(|path| {
        let path = OneLine(path.display());
        Finding::notable(WHAT, format!("{path} is passed over: it is no key file by name or content"))
    }));
    let directory = directory.to_owned();
    if keys > 0 {
        findings.push(Finding::fine(WHAT, format!("{keys} {name} in {}", directory.display())));
    } else if problems.iter().all(|problem| problem.reason.is_unsupported()) {
        findings
            .push(Finding::wrong(WHAT, &Barren { directory, reason: "there is no key in it".to_owned() }));
    }
    findings
}
