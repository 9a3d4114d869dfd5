//! The operator's key files: whether each is there, of the right form and with its password. Whether the password is
//! the right one only a start tells.

use super::finding::Finding;
use crate::config::KeySources;
use crate::keymanager::sources;
use crate::keys::Importer;
use crate::keys::loader::{Barren, Inspection, Problem, Source};
use crate::sys::locked_memory::LockedMemory;
use crate::text::OneLine;

const WHAT: &str = "keys";

pub(super) fn findings(settings: &KeySources) -> Vec<Finding> {
    let memory = match LockedMemory::new() {
        Ok(memory) => memory,
        Err(error) => return vec![Finding::wrong(WHAT, &error)],
    };
    let importer = sources::importer(settings, memory);
    sources::key_files(settings).iter().flat_map(|source| inspect(source, &importer)).collect()
}

fn inspect(source: &Source, importer: &Importer) -> Vec<Finding> {
    let directory = source.directory();
    let name = match source {
        Source::Keystores { .. } => "keystores",
        Source::KeyConfigs { .. } => "key configurations",
    };
    let Inspection { keys, problems, passed_over } = source.inspect(importer);
    // The daemon signs with the other keys, and says of such a one what it cannot do: nothing that a start would
    // stumble over.
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
