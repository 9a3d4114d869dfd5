//! Keys that come and go, history in and out, watermarks by command.

use std::collections::HashSet;

use super::*;
use crate::ledger::order::{Imported, KeystorePage, ResealRefusal};
use crate::ledger::{
    Activated, Activation, ActivationOutcome, DeletionStatus, HighWatermark, ImportRefusal, Interchange,
    Past, SealedKeystore, Selection,
};

#[test]
fn an_imported_history_is_in_force_at_once_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        let imported = wait(ledger.import(history(1, 10, 3, 5), Selection::All)).unwrap();
        assert_eq!(imported, Ok(Imported { merged: 1, failed: Vec::new() }));
        refuse(&ledger, block(1, 10, 1));
    }
    let ledger = open(directory.path());
    refuse(&ledger, block(1, 10, 1));
    refuse(&ledger, attestation(1, 3, 5, 1));
    sign(&ledger, block(1, 11, 1));
    sign(&ledger, attestation(1, 3, 6, 1));
}

#[test]
fn an_older_history_lowers_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(1, 3, 5, 1));
    wait(ledger.import(history(1, 9, 2, 4), Selection::All)).unwrap().unwrap();
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(1, 3, 5, 1));
    assert_eq!(refuse(&ledger, block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    assert_eq!(
        refuse(&ledger, attestation(1, 2, 6, 2)),
        Refusal::SourceBelow { source_epoch: Epoch(2), highest: Epoch(3) }
    );
}

#[test]
fn a_history_of_another_chain_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    sign(&ledger, block(1, 10, 1));
    let foreign = interchange(Root([0xEE; 32]), &[entry(1, 99, 1, 2)]);
    let refusal = ImportRefusal::OtherChain { theirs: Root([0xEE; 32]), pinned: CHAIN };
    assert_eq!(wait(ledger.import(foreign.clone(), Selection::All)).unwrap(), Err(refusal));
    assert_eq!(wait(ledger.activate(vec![activation(2)], Some(foreign))).unwrap(), Err(refusal));
    sign(&ledger, block(1, 11, 1));
    assert_eq!(wait(ledger.status(Selection::All)).unwrap().keys.len(), 1);
}

#[test]
fn an_import_pins_the_chain_if_it_brings_history() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let other = Root([0xEE; 32]);
    wait(ledger.import(interchange(other, &[]), Selection::All)).unwrap().unwrap();
    let stranger = Selection::Only(HashSet::from([public_key(9)]));
    wait(ledger.import(interchange(other, &[entry(1, 1, 1, 2)]), stranger)).unwrap().unwrap();
    assert_eq!(wait(ledger.status(Selection::All)).unwrap().genesis_validators_root, None);
    wait(ledger.import(history(1, 10, 3, 5), Selection::All)).unwrap().unwrap();
    assert_eq!(
        refuse(&ledger, Request { chain: Some(other), ..block(1, 11, 1) }),
        Refusal::OtherChain { requested: other, pinned: CHAIN }
    );
}

#[test]
fn a_history_that_cannot_be_merged_keeps_its_key_alone_from_being_activated() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let unreadable = entry(1, 1, 1, 2).replace("\"slot\":\"1\"", "\"slot\":\"one\"");
    let history = interchange(CHAIN, &[unreadable, entry(2, 20, 1, 2), entry(3, 30, 1, 2)]);
    let activations = vec![kept_activation(1), kept_activation(2), activation(4)];
    let activated = wait(ledger.activate(activations, Some(history.clone()))).unwrap().unwrap();
    let active = |key| active(key, Past::default());
    assert!(
        matches!(&activated[0], ActivationOutcome::Unmergeable { reason } if reason.contains("signed_blocks"))
    );
    assert_eq!(activated[1..], [active(2), active(4)]);
    let kept = wait(ledger.keystores(0, 10)).unwrap();
    assert_eq!(kept.keystores, [keystore(2)]);
    refuse(&ledger, block(2, 20, 1));
    // Only what concerns the activations was merged.
    sign(&ledger, block(3, 1, 1));

    let imported = wait(ledger.import(history, Selection::All)).unwrap().unwrap();
    assert_eq!(imported.merged, 2);
    assert_eq!(imported.failed.len(), 1);
    refuse(&ledger, block(3, 30, 1));
}

#[test]
fn a_deleted_key_signs_nothing_until_it_is_activated_again() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        wait(ledger.activate(vec![kept_activation(1)], None)).unwrap().unwrap();
        sign(&ledger, block(1, 10, 1));
        let report = wait(ledger.delete(&[deletion(1, true)])).unwrap();
        assert_eq!(report.keys, [DeletionStatus::Deleted]);
        assert!(report.interchange.contains(r#""slot":"10""#), "{}", report.interchange);
        assert_eq!(refuse(&ledger, block(1, 11, 1)), Refusal::Deleted { public_key: public_key(1) });
        assert_eq!(refuse(&ledger, raw_root(1, 1)), Refusal::Deleted { public_key: public_key(1) });
    }
    let ledger = open(directory.path());
    assert_eq!(refuse(&ledger, block(1, 11, 1)), Refusal::Deleted { public_key: public_key(1) });
    assert!(wait(ledger.keystores(0, 10)).unwrap().keystores.is_empty());

    let activated = wait(ledger.activate(vec![activation(1)], None)).unwrap().unwrap();
    assert_eq!(activated, [active(1, Past { deleted: true, raw_root_signed: false })]);
    assert_eq!(refuse(&ledger, block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    sign(&ledger, block(1, 11, 1));
}

#[test]
fn statuses_of_deleted_keys_are_right_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        let report = wait(ledger.delete(&[
            deletion(1, true),
            deletion(2, true),
            deletion(1, true),
            deletion(2, true),
            deletion(3, false),
        ]))
        .unwrap();
        // Key 2 never signed: once it is gone, nothing is known of it.
        assert_eq!(
            report.keys,
            [
                DeletionStatus::Deleted,
                DeletionStatus::Deleted,
                DeletionStatus::NotActive,
                DeletionStatus::NotFound,
                DeletionStatus::NotFound
            ]
        );
    }
    let ledger = open(directory.path());
    let deletions = vec![deletion(1, false), deletion(2, false), deletion(3, false)];
    let report = wait(ledger.delete(&deletions)).unwrap();
    assert_eq!(report.keys, [DeletionStatus::NotActive, DeletionStatus::NotFound, DeletionStatus::NotFound]);
    let again = Interchange::parse(report.interchange.as_bytes()).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(refuse(&ledger, block(2, 1, 1)), Refusal::Deleted { public_key: public_key(2) });
}

#[test]
fn a_kept_keystore_makes_a_key_that_could_not_be_loaded_deletable() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    wait(ledger.activate(vec![kept_activation(1)], None)).unwrap().unwrap();
    assert_eq!(wait(ledger.delete(&[deletion(1, false)])).unwrap().keys, [DeletionStatus::Deleted]);
    assert!(wait(ledger.keystores(0, 10)).unwrap().keystores.is_empty());
}

#[test]
fn a_deleted_keystore_leaves_no_bytes_behind() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        wait(ledger.activate(vec![kept_activation(1)], None)).unwrap().unwrap();
        assert!(on_disk(directory.path(), &keystore(1).json));
        wait(ledger.delete(&[deletion(1, true)])).unwrap();
    }
    assert!(!on_disk(directory.path(), &keystore(1).json));
}

#[test]
fn what_is_exported_protects_elsewhere() {
    let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let ledger = open(here.path());
    sign(&ledger, block(1, 10, 1));
    sign(&ledger, attestation(1, 3, 5, 1));
    sign(&ledger, attestation(2, 4, 6, 1));
    let both = wait(ledger.export(Selection::All)).unwrap();
    assert_eq!(Interchange::parse(both.interchange.as_bytes()).unwrap().len(), 2);
    let one = wait(ledger.export(Selection::Only(HashSet::from([public_key(1)])))).unwrap();

    let ledger = open(there.path());
    let one = Interchange::parse(one.interchange.as_bytes()).unwrap();
    assert_eq!(wait(ledger.import(one, Selection::All)).unwrap().unwrap().merged, 1);
    refuse(&ledger, block(1, 10, 2));
    refuse(&ledger, attestation(1, 3, 5, 2));
    sign(&ledger, attestation(2, 0, 1, 1));
}

#[test]
fn raising_lifts_and_never_lowers() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        sign(&ledger, attestation(1, 3, 5, 1));
        sign(&ledger, block(2, 100, 1));
        let only = |keys: &[u8]| Selection::Only(keys.iter().map(|key| public_key(*key)).collect());
        assert_eq!(wait(ledger.raise(Some(Slot(50)), Some(Epoch(4)), only(&[1, 2]))).unwrap().raised, 2);
        assert_eq!(wait(ledger.raise(Some(Slot(7)), None, Selection::All)).unwrap().raised, 0);
        assert_eq!(wait(ledger.raise(Some(Slot(7)), None, only(&[3]))).unwrap().raised, 1);
    }
    let ledger = open(directory.path());
    refuse(&ledger, block(1, 50, 1));
    sign(&ledger, block(1, 51, 1));
    assert_eq!(
        refuse(&ledger, attestation(1, 3, 6, 2)),
        Refusal::SourceBelow { source_epoch: Epoch(3), highest: Epoch(4) }
    );
    assert_eq!(
        refuse(&ledger, attestation(1, 4, 5, 2)),
        Refusal::TargetNotAbove { target_epoch: Epoch(5), highest: Epoch(5) }
    );
    sign(&ledger, block(2, 100, 1));
    refuse(&ledger, attestation(2, 4, 4, 1));
    sign(&ledger, attestation(2, 4, 5, 1));
    refuse(&ledger, block(3, 7, 1));
}

#[test]
fn nothing_is_signed_at_or_beyond_the_high_watermark() {
    let directory = tempfile::tempdir().unwrap();
    let stop = HighWatermark { slot: Some(Slot(20)), epoch: Some(Epoch(6)) };
    {
        let ledger = open(directory.path());
        sign(&ledger, block(1, 10, 1));
        wait(ledger.set_high_watermark(stop)).unwrap();
        assert_eq!(
            refuse(&ledger, block(1, 20, 1)),
            Refusal::StoppedAtSlot { slot: Slot(20), stop: Slot(20) }
        );
    }
    let ledger = open(directory.path());
    assert_eq!(wait(ledger.status(Selection::All)).unwrap().high_watermark, stop);
    assert_eq!(
        refuse(&ledger, attestation(1, 5, 6, 1)),
        Refusal::StoppedAtEpoch { epoch: Epoch(6), stop: Epoch(6) }
    );
    sign(&ledger, attestation(1, 4, 5, 1));
    wait(ledger.set_high_watermark(HighWatermark::default())).unwrap();
    sign(&ledger, block(1, 20, 1));
    sign(&ledger, attestation(1, 5, 6, 1));
}

#[test]
fn kept_keystores_come_back_page_by_page_and_are_resealed_together() {
    let directory = tempfile::tempdir().unwrap();
    {
        let ledger = open(directory.path());
        sign(&ledger, block(9, 1, 1));
        wait(ledger.activate((1..=5).map(kept_activation).collect(), None)).unwrap().unwrap();
        wait(ledger.keep(vec![SealedKeystore { copy_of: Some([7; 32]), ..keystore(6) }])).unwrap();
        wait(ledger.forget(vec![public_key(2), public_key(200)])).unwrap();
    }
    let ledger = open(directory.path());
    let (mut keys, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        let KeystorePage { keystores, next: following } = wait(ledger.keystores(start, 2)).unwrap();
        assert!(keystores.len() <= 2);
        keys.extend(keystores);
        next = following;
    }
    let copy = SealedKeystore { copy_of: Some([7; 32]), ..keystore(6) };
    assert_eq!(keys, [keystore(1), keystore(3), keystore(4), keystore(5), copy]);

    let resealed = |key: SealedKeystore| SealedKeystore { json: format!("new {}", key.json), ..key };
    let changed = wait(ledger.reseal(vec![resealed(keystore(1))])).unwrap();
    // Copies do not count: what they are copies of is elsewhere.
    assert_eq!(changed, Err(ResealRefusal::Changed { kept: 4, given: 1 }));
    let new = keys.into_iter().map(resealed).collect::<Vec<_>>();
    wait(ledger.reseal(new.clone())).unwrap().unwrap();
    assert_eq!(wait(ledger.keystores(0, 10)).unwrap().keystores, new);
    let imported = &new[..4];
    wait(ledger.reseal(imported.to_vec())).unwrap().unwrap();
    assert_eq!(wait(ledger.keystores(0, 10)).unwrap().keystores, imported);
}

#[test]
fn more_keystores_than_one_transaction_takes_are_kept_and_forgotten_to_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let copies: Vec<_> =
        (1..=255).map(|key| SealedKeystore { copy_of: Some([key; 32]), ..keystore(key) }).collect();
    wait(ledger.keep(copies.clone())).unwrap();
    assert_eq!(wait(ledger.keystores(0, 300)).unwrap().keystores, copies);
    assert!(on_disk(directory.path(), "sealed\": 255,"));
    wait(ledger.forget(copies.iter().map(|copy| copy.public_key).collect())).unwrap();
    assert_eq!(wait(ledger.keystores(0, 300)).unwrap().keystores, []);
    assert!(!on_disk(directory.path(), "sealed\":"), "nothing lives on in the log either");
}

fn activation(key: u8) -> Activation<PublicKey> {
    Activation::of(public_key(key), None)
}

fn kept_activation(key: u8) -> Activation<PublicKey> {
    Activation::of(public_key(key), Some(keystore(key)))
}

fn active(key: u8, past: Past) -> ActivationOutcome<PublicKey> {
    ActivationOutcome::Active { key: Some(Activated(public_key(key))), past }
}

fn keystore(key: u8) -> SealedKeystore {
    SealedKeystore {
        public_key: public_key(key),
        json: format!("{{\"sealed\": {key}, \"{}\": 1}}", "x".repeat(700)),
        derivation_path: Some(format!("m/12381/3600/{key}/0/0")),
        copy_of: None,
        source: None,
    }
}

fn deletion(key: u8, active: bool) -> Deletion {
    Deletion { public_key: public_key(key), active }
}

fn history(key: u8, slot: u64, source: u64, target: u64) -> Interchange {
    interchange(CHAIN, &[entry(key, slot, source, target)])
}

fn entry(key: u8, slot: u64, source: u64, target: u64) -> String {
    format!(
        r#"{{"pubkey":"{key}","signed_blocks":[{{"slot":"{slot}"}}],"signed_attestations":[{attestation}]}}"#,
        key = public_key(key),
        attestation = format_args!(r#"{{"source_epoch":"{source}","target_epoch":"{target}"}}"#),
    )
}

fn interchange(chain: Root, entries: &[String]) -> Interchange {
    let json = format!(
        r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"{chain}"}},"data":[{}]}}"#,
        entries.join(",")
    );
    Interchange::parse(json.as_bytes()).unwrap()
}

fn on_disk(directory: &Path, text: &str) -> bool {
    // By another process: closing a descriptor of the open file in this one would drop its lock.
    std::process::Command::new("grep")
        .args(["--recursive", "--quiet", "--binary-files=text", "--fixed-strings", "--", text])
        .arg(directory)
        .status()
        .unwrap()
        .success()
}
