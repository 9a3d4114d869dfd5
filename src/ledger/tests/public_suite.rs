//! The public EIP-3076 suite (eth-clients/slashing-protection-interchange-tests), which other implementations share.
//!
//! It is data of others and not part of this repository. It is looked for in `$SLASHING_INTERCHANGE_SUITE` (a directory
//! of its JSON files), else in `shared/vectors/slashing-interchange` beside the checkout.

use std::path::PathBuf;

use serde::Deserialize;

use super::*;
use crate::ledger::{Interchange, Selection};

#[test]
fn every_step_of_the_public_suite_goes_as_expected_of_minimal_data() {
    run_suite(|chain, directory| {
        Ledger::open(Settings { genesis_validators_root: Some(chain), ..settings(directory) }).unwrap()
    });
}

/// Runs all cases, each on a ledger of its own chain in a directory of its own.
pub(in crate::ledger::tests) fn run_suite(open: impl Fn(Root, &Path) -> Ledger) {
    let Some(directory) = suite() else {
        eprintln!(
            "SKIPPED: the public slashing protection suite was not found; set SLASHING_INTERCHANGE_SUITE"
        );
        return;
    };
    let (mut files, mut steps, mut messages) = (0, 0, 0);
    for file in std::fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case: Case = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        files += 1;
        steps += case.steps.len();
        messages += run(&case, &open);
    }
    assert!(files >= 38, "{} holds only {files} cases", directory.display());
    println!("public suite: {files} cases, {steps} steps (imports) and {messages} messages as expected");
}

/// Runs a case; says how many messages it asked for.
fn run(case: &Case, open: impl Fn(Root, &Path) -> Ledger) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let chain = Root(const_hex::decode_to_array(&case.genesis_validators_root).unwrap());
    let ledger = open(chain, directory.path());
    let mut messages = 0;
    for (number, step) in case.steps.iter().enumerate() {
        let place = format!("{}, step {number}", case.name);
        let imported = Interchange::parse(step.interchange.get().as_bytes())
            .map_err(drop)
            .and_then(|interchange| wait(ledger.import(interchange, Selection::All)).unwrap().map_err(drop))
            .is_ok_and(|imported| imported.failed.is_empty());
        assert_eq!(imported, step.should_succeed, "import of {place}");
        let blocks =
            step.blocks.iter().map(|block| (block, Claim::Block { slot: Slot(number_of(&block.slot)) }));
        let attestations = step.attestations.iter().map(|vote| {
            let (source, target) = (number_of(&vote.source_epoch), number_of(&vote.target_epoch));
            (vote, Claim::Attestation { source: Epoch(source), target: Epoch(target) })
        });
        for (message, claim) in blocks.chain(attestations) {
            let request = Request {
                only_once: false,
                public_key: message.pubkey.parse().unwrap(),
                signing_root: SigningRoot(
                    const_hex::decode_to_array(message.signing_root.as_deref().unwrap()).unwrap(),
                ),
                claim,
                chain: Some(chain),
            };
            let verdict = ask(&ledger, request).unwrap();
            assert_eq!(verdict.is_ok(), message.should_succeed, "{claim:?} of {place}: {verdict:?}");
            messages += 1;
        }
    }
    messages
}

fn suite() -> Option<PathBuf> {
    let beside = || {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
        Some(checkout.parent()?.join("shared/vectors/slashing-interchange"))
    };
    std::env::var_os("SLASHING_INTERCHANGE_SUITE")
        .map(PathBuf::from)
        .or_else(beside)
        .filter(|path| path.is_dir())
}

fn number_of(text: &Option<String>) -> u64 {
    text.as_deref().unwrap().parse().unwrap()
}

#[derive(Deserialize)]
struct Case {
    name: String,
    genesis_validators_root: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    should_succeed: bool,
    interchange: Box<serde_json::value::RawValue>,
    blocks: Vec<Message>,
    attestations: Vec<Message>,
}

/// A block or an attestation to sign.
#[derive(Deserialize)]
struct Message {
    pubkey: String,
    slot: Option<String>,
    source_epoch: Option<String>,
    target_epoch: Option<String>,
    signing_root: Option<String>,
    should_succeed: bool,
}
