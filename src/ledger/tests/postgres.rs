//! The ledger beside one on PostgreSQL: its suite, and what two hosts and a database do to each other.
//!
//! Ignored unless asked for, since they start a PostgreSQL of their own: `cargo test --lib ledger::tests::postgres --
//! --ignored`, as the layer `shared-ledger` of `tests/run` does.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::postgres_server::{Database, Host, fail_in_time};
use super::*;
use crate::config::Durability;
use crate::ledger::full_history::{History, Message};
use crate::ledger::postgres::{self, SharedLedger};
use crate::ledger::refusal::Recorded;
use crate::ledger::{Activation, HighWatermark, Selection};

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn what_one_host_has_signed_another_is_refused_by_its_numbers_and_the_identical_message_passes_on_both() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(block(1, 10, 1));
    two.sign(block(1, 10, 1));
    let refused = |host: &Host, request| host.refuse(request);
    assert_eq!(refused(&two, block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    one.sign(block(2, 10, 1));
    let elsewhere = Refusal::SignedElsewhere { record: Recorded::Slot(Slot(10)) };
    assert_eq!(refused(&two, block(2, 10, 2)), elsewhere);
    two.sign(attestation(1, 2, 3, 1));
    assert_eq!(
        refused(&one, attestation(1, 1, 4, 1)),
        Refusal::SignedElsewhere { record: Recorded::Epoch(Epoch(2)) }
    );
    // Its own ledger has the one that was refused on record.
    one.sign(attestation(1, 2, 5, 1));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_late_refusal_in_a_batch_is_that_keys_alone_and_a_second_message_of_a_key_waits_for_the_next_batch() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(attestation(2, 0, 5, 9));
    let votes =
        [attestation(1, 0, 1, 1), attestation(2, 0, 5, 1), attestation(3, 0, 1, 1), attestation(3, 1, 2, 1)];
    let outcomes = wait(async {
        let mut outcomes = Vec::new();
        for verdict in two.ledger.judge_all(&votes).await.unwrap() {
            outcomes.push(match verdict {
                Verdict::Allowed(judged) => cleared_or_refused(judged.cleared().await).unwrap().is_ok(),
                Verdict::Refused(refusal) => panic!("{refusal}"),
            });
        }
        outcomes
    });
    assert_eq!(outcomes, [true, false, true, true]);
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn the_public_suite_goes_as_expected_through_a_shared_ledger() {
    alone::public_suite::run_suite(|chain, directory| {
        let settings = Settings { genesis_validators_root: Some(chain), ..settings(directory) };
        fs::create_dir_all(&settings.directory).unwrap();
        let shared = Database::of(chain).settings(Durability::Engine, "bls_signer");
        let shared = SharedLedger::start(&shared, Some(chain), &settings.directory).unwrap();
        Ledger::open(Settings { second_judge: Some(shared), ..settings }).unwrap()
    });
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn ten_thousand_keys_join_by_one_statement_and_a_row_a_key_is_all_that_stays() {
    let database = Database::new();
    let directory = tempfile::tempdir().unwrap();
    let chain = const_hex::encode(CHAIN.0);
    let keys = (0u32..10_000).map(|number| {
        let mut key = [7; 48];
        key[..4].copy_from_slice(&number.to_be_bytes());
        format!(
            r#"{{"pubkey":"0x{}","signed_blocks":[],
                 "signed_attestations":[{{"source_epoch":"1","target_epoch":"2"}}]}}"#,
            const_hex::encode(key)
        )
    });
    let history = format!(
        r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"0x{chain}"}},"data":[{}]}}"#,
        keys.collect::<Vec<_>>().join(",")
    );
    let history = crate::ledger::Interchange::parse(history.as_bytes()).unwrap();
    let old = open(directory.path());
    wait(old.import(history, Selection::All)).unwrap().unwrap();
    drop(old);
    let host = database.host_in(directory);
    host.sign_in_the_end(block(1, 10, 1));
    assert_eq!(database.count("SELECT count(*) FROM bls_signer.keys"), 10_001);
    // Ten votes of each key, as the judging statement writes them.
    for epoch in 3..13 {
        database.owner(&format!(
            "UPDATE bls_signer.keys SET source_epoch = 1, target_epoch = {epoch}, attestation_root = NULL"
        ));
        database.owner("VACUUM bls_signer.keys");
    }
    let bytes = database.count("SELECT pg_total_relation_size('bls_signer.keys')");
    assert!(bytes <= 8 << 20, "{bytes} bytes");
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_ledger_with_history_brings_it_in_and_a_new_one_takes_it_over() {
    let database = Database::new();
    let old = tempfile::tempdir().unwrap();
    sign(&open(old.path()), block(1, 10, 1));
    let (one, two) = (database.host_in(old), database.host());
    assert_eq!(wait(two.ledger.status(Selection::All)).unwrap().keys.len(), 1);
    assert_eq!(two.refuse(block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    one.sign(block(1, 10, 1));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn an_order_on_one_host_is_in_force_on_the_other_and_a_restart_does_not_bring_back_what_was_undone() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(block(1, 10, 1));
    two.sign(block(1, 20, 1));
    let deletion = Deletion { public_key: public_key(1), active: true };
    let report = wait(one.ledger.delete(&[deletion])).unwrap();
    assert!(report.interchange.contains("\"20\""), "what the other host signed: {}", report.interchange);
    assert_eq!(two.refuse(block(1, 21, 1)), Refusal::Deleted { public_key: public_key(1) });
    wait(two.ledger.activate(vec![Activation::of(public_key(1), None)], None)).unwrap().unwrap();
    two.sign(block(1, 22, 1));

    let stop = HighWatermark { slot: Some(Slot(30)), epoch: None };
    wait(one.ledger.set_high_watermark(stop)).unwrap();
    assert_eq!(two.refuse(block(1, 30, 1)), Refusal::StoppedAtSlot { slot: Slot(30), stop: Slot(30) });
    assert_eq!(wait(two.ledger.status(Selection::All)).unwrap().high_watermark, stop);
    let directory = one.stop();
    wait(two.ledger.set_high_watermark(HighWatermark::default())).unwrap();
    // It still has the deletion and the stop in its own file.
    let _one = database.host_in(directory);
    two.sign(block(1, 31, 1));
    wait(two.ledger.raise(Some(Slot(50)), None, Selection::All)).unwrap();
    assert!(matches!(two.refuse(block(1, 50, 1)), Refusal::BlockNotAbove { .. }));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_stop_that_was_set_while_a_host_was_without_the_shared_ledger_holds_for_all_when_it_joins_again() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(block(1, 10, 1));
    let directory = one.stop();
    let alone = open(directory.path());
    let stop = HighWatermark { slot: Some(Slot(30)), epoch: None };
    wait(alone.set_high_watermark(stop)).unwrap();
    drop(alone);
    two.sign(block(1, 30, 1));
    let one = database.host_in(directory);
    assert_eq!(wait(one.ledger.status(Selection::All)).unwrap().high_watermark, stop);
    assert_eq!(two.refuse(block(1, 31, 1)), Refusal::StoppedAtSlot { slot: Slot(31), stop: Slot(30) });
    // What the other removes since does not come back with this one.
    let directory = one.stop();
    wait(two.ledger.set_high_watermark(HighWatermark::default())).unwrap();
    let one = database.host_in(directory);
    assert_eq!(wait(one.ledger.status(Selection::All)).unwrap().high_watermark, HighWatermark::default());
    two.sign(block(1, 32, 1));
    assert_eq!(database.count("SELECT count(*) FROM bls_signer.head WHERE stop_slot IS NULL"), 1);
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn without_synchronous_replication_nothing_is_granted_and_health_says_why() {
    let database = Database::new();
    let host = database.host_with(Durability::Replicated, tempfile::tempdir().unwrap());
    let cause = host.until_away();
    assert!(cause.contains("synchronous_standby_names"), "{cause}");
    assert!(matches!(fail(&host.ledger, block(1, 10, 1)), Fault::SecondJudgeAway { .. }));
    sign(&host.ledger, request(1, 1, Claim::Unslashable));
    assert_eq!(database.count("SELECT count(*) FROM bls_signer.keys WHERE block_slot IS NOT NULL"), 0);
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn connections_that_are_ended_are_made_again_and_the_same_message_passes() {
    let database = Database::new();
    let host = database.host();
    host.sign(block(1, 10, 1));
    for slot in 11..15 {
        database.end_connections();
        // The first may have met the end of its connection.
        host.sign_in_the_end(block(1, slot, 1));
        host.refuse(block(1, slot, 2));
    }
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_database_that_lost_a_grant_stops_the_host_until_the_loss_is_accepted() {
    let database = Database::new();
    let host = database.host();
    host.sign(block(1, 10, 1));
    host.sign(attestation(1, 2, 3, 1));
    database.owner("DELETE FROM bls_signer.keys");
    database.end_connections();
    let cause = host.until_away_because("LOST");
    assert!(cause.contains("accept-loss"), "{cause}");
    assert!(fail_in_time(&host.ledger, block(1, 11, 1)));
    // Over a restart too, which knows of no grant any more.
    let host = database.host_in(host.stop());
    host.until_away_because("LOST");
    database.runtime().block_on(postgres::accept_loss(&database.owners(), Slot(20), Epoch(5))).unwrap();
    host.sign_in_the_end(block(2, 21, 1));
    assert!(matches!(host.refuse(block(3, 20, 1)), Refusal::SignedElsewhere { .. }));
    assert!(matches!(host.refuse(attestation(3, 4, 6, 1)), Refusal::SignedElsewhere { .. }));
    // Its own ledger has the one that was refused on record.
    host.sign(attestation(3, 5, 7, 1));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_ledger_of_another_chain_or_another_schema_or_in_another_database_is_said_and_nothing_granted() {
    let database = Database::new();
    let host = database.host();
    host.sign(block(1, 10, 1));
    let directory = host.stop();
    let other = Database::new();
    let host = other.host_in(directory);
    assert!(host.until_away().contains("has joined"), "{}", host.until_away());

    database.owner("UPDATE bls_signer.head SET schema_version = 2");
    let host = database.host();
    assert!(host.until_away().contains("schema version 2"));
    database.owner(
        "UPDATE bls_signer.head
         SET schema_version = 1, genesis_validators_root = decode(repeat('01', 32), 'hex')",
    );
    host.until_away_because("genesis validators root");
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn no_shared_ledger_is_made_in_the_database_of_web3signer() {
    let database = Database::new();
    database
        .owner("CREATE TABLE low_watermarks (validator_id int); CREATE TABLE signed_attestations (id int)");
    let made = database.runtime().block_on(postgres::initialize(&database.owners(), CHAIN));
    assert!(made.unwrap_err().to_string().contains("migrate web3signer"));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn three_hosts_that_ask_for_contradictions_at_once_sign_none() {
    let database = Database::new();
    let hosts = [database.host(), database.host(), database.host()];
    let history = std::sync::Mutex::new(History::default());
    let signed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (host, root) in hosts.iter().zip(1..) {
            let (history, signed) = (&history, &signed);
            scope.spawn(move || {
                for height in 1..60 {
                    for key in 1..6 {
                        let vote = attestation(key, height / 2, height + u64::from(root) % 2, root);
                        for request in [block(key, height, root), vote] {
                            if let Ok(Ok(_)) = ask(&host.ledger, request) {
                                signed.fetch_add(1, Ordering::Relaxed);
                                let (key, root) = (request.public_key.0, request.signing_root.0);
                                let message = match request.claim {
                                    Claim::Block { slot } => Message::Block { slot: slot.0, root },
                                    Claim::Attestation { source, target } => {
                                        Message::Attestation { source: source.0, target: target.0, root }
                                    }
                                    Claim::RawRoot | Claim::Unslashable => panic!("nobody asks for it"),
                                };
                                let mut history = history.lock().unwrap();
                                assert_eq!(history.contradiction(key, message), None);
                                history.sign(key, message);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(signed.into_inner() > 100);
}
