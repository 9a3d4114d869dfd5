//! Orders on a ledger: what they do and say, and when they are refused.

use std::time::SystemTime;

use clap::Parser;

use super::*;
use crate::ledger;
use crate::network::Network;
use crate::signer::AdminError;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Runs a command line on the ledger in `directory`; gives what it printed and how it ended.
fn slashing_protection(directory: &Path, arguments: &[&str]) -> (String, Result<(), Error>) {
    let line = Line::try_parse_from([&["slashing-protection"], arguments].concat()).unwrap();
    let variables =
        [("BLS_SIGNER_STATE_DIR", directory.join("state")), ("BLS_SIGNER_NETWORK", "hoodi".into())];
    let mut output = Vec::new();
    let outcome = run(line.command, &variables.into_iter().collect(), &mut output);
    (String::from_utf8(output).unwrap(), outcome)
}

fn done(directory: &Path, arguments: &[&str]) -> String {
    let (output, outcome) = slashing_protection(directory, arguments);
    assert!(outcome.is_ok(), "{arguments:?}: {outcome:?}");
    output
}

fn failed(directory: &Path, arguments: &[&str]) -> Error {
    slashing_protection(directory, arguments).1.unwrap_err()
}

fn history(slots: [&str; 2]) -> String {
    let keys = [("11", slots[0]), ("22", slots[1])].map(|(key, slot)| {
        format!(
            r#"{{"pubkey": "{}", "signed_blocks": [{{"slot": "{slot}"}}],
                "signed_attestations": [{{"source_epoch": "2", "target_epoch": "3"}}]}}"#,
            key.repeat(48)
        )
    });
    let chain = Network::by_name("hoodi").unwrap().genesis_validators_root().unwrap();
    format!(
        r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{chain}"}},
            "data": [{}]}}"#,
        keys.join(",")
    )
}

#[test]
fn history_goes_in_and_out() {
    let directory = tempfile::tempdir().unwrap();
    let [file, out] = ["in.json", "out.json"].map(|name| directory.path().join(name));
    let [file, out] = [file.to_str().unwrap(), out.to_str().unwrap()];
    fs::write(file, history(["10", "20"])).unwrap();
    assert!(done(directory.path(), &["import", file]).contains("the history of 2 keys"));
    assert_eq!(done(directory.path(), &["export", "--output", out]), "");
    let printed = done(directory.path(), &["export"]);
    assert_eq!(fs::read_to_string(out).unwrap(), printed);
    assert_eq!(ledger::Interchange::parse(printed.as_bytes()).unwrap().len(), 2);
    let one = done(directory.path(), &["export", "--key", &"22".repeat(48)]);
    assert!(one.contains(r#""slot":"20""#) && !one.contains(r#""slot":"10""#), "{one}");
    assert!(matches!(failed(directory.path(), &["export", "--output", out]), Error::Write { .. }));
}

#[test]
fn an_import_that_fails_in_part_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("in.json");
    fs::write(&file, history(["10", "twenty"])).unwrap();
    let (output, outcome) = slashing_protection(directory.path(), &["import", file.to_str().unwrap()]);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Partial { failed: 1, of: 2, missing: None }));
    assert!(output.contains("0x2222") && output.contains("NOT imported"), "{output}");
    assert!(done(directory.path(), &["status"]).contains("keys                     1 (0 of them deleted)"));
}

#[test]
fn a_named_key_without_a_history_is_told_and_nothing_is_made_of_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [file, out] = ["in.json", "out.json"].map(|name| directory.path().join(name));
    let [file, out] = [file.to_str().unwrap(), out.to_str().unwrap()];
    fs::write(file, history(["10", "20"])).unwrap();
    let [known, unknown] = ["22", "33"].map(|byte| byte.repeat(48));

    let told = |(output, outcome): (String, Result<(), Error>)| {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, Error::NoHistory(_)), "{error:?}");
        assert!(error.to_string().contains(&unknown) && !error.to_string().contains(&known), "{error}");
        output
    };
    let run = |arguments: &[&str]| slashing_protection(directory.path(), arguments);
    assert_eq!(told(run(&["import", "--key", &unknown, file])), "");
    assert!(!directory.path().join("state").exists());
    let output = told(run(&["import", "--key", &unknown, "--key", &known, file]));
    assert!(output.contains("the history of 1 keys"), "{output}");

    assert_eq!(told(run(&["export", "--key", &unknown])), "");
    assert_eq!(told(run(&["export", "--key", &unknown, "--output", out])), "");
    assert!(!Path::new(out).exists());
    let output = told(run(&["export", "--key", &unknown, "--key", &known]));
    assert_eq!(ledger::Interchange::parse(output.as_bytes()).unwrap().len(), 1);

    fs::write(file, history(["10", "twenty"])).unwrap();
    let error = run(&["import", "--key", &unknown, "--key", &known, file]).1.unwrap_err();
    assert!(matches!(error, Error::Partial { failed: 1, of: 1, missing: Some(_) }), "{error:?}");
}

#[test]
fn watermarks_are_shown_and_lifted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("in.json");
    fs::write(&file, history(["10", "20"])).unwrap();
    done(directory.path(), &["import", file.to_str().unwrap()]);
    let place = format!("in {}", directory.path().join("state").display());
    assert_eq!(
        done(directory.path(), &["raise", "--slot", "15"]),
        format!("raised the watermarks of 1 keys in the ledger {place}\n")
    );
    done(directory.path(), &["raise", "--epoch", "9", "--key", &"33".repeat(48)]);
    assert_eq!(
        done(directory.path(), &["high-watermark", "--slot", "99"]),
        format!("the ledger {place}: no block is signed at or beyond slot 99\n")
    );
    let status: serde_json::Value =
        serde_json::from_str(&done(directory.path(), &["status", "--json"])).unwrap();
    let slots = status["keys"].as_array().unwrap().iter().map(|key| key["block_slot"].as_str());
    assert_eq!(slots.collect::<Vec<_>>(), [Some("15"), Some("20"), None]);
    assert_eq!(status["keys"][2]["source_epoch"], "9");
    assert_eq!(status["high_watermark"]["slot"], "99");
    done(directory.path(), &["high-watermark", "--remove"]);
    assert!(done(directory.path(), &["status"]).contains("slot none, epoch none"));
}

#[test]
fn a_watermark_far_beyond_the_present_is_lifted_to_only_when_it_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("in.json");
    fs::write(&file, history(["10", "20"])).unwrap();
    done(directory.path(), &["import", file.to_str().unwrap()]);
    let clock = crate::network::GenesisClock::of(&Network::by_name("hoodi").unwrap()).unwrap();
    let now = clock.slot_at(SystemTime::now());
    let (slot, epoch) = (now.0.to_string(), (now.0 / 32).to_string());
    let (next_month, swapped) =
        ((now.0 + 31 * 7200).to_string(), ["raise", "--slot", &epoch, "--epoch", &slot]);

    for arguments in [&["raise", "--slot", &next_month][..], &swapped] {
        let error = failed(directory.path(), arguments);
        assert!(matches!(error, Error::Order(OrderError::Admin(AdminError::FarAhead { .. }))), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(arguments.last().unwrap()) && said.contains("--yes"), "{said}");
        assert!(said.contains("on hoodi it is slot"), "{said}");
    }
    let tomorrow = (now.0 + 7200).to_string();
    done(directory.path(), &["raise", "--slot", &tomorrow, "--epoch", &epoch]);
    done(directory.path(), &[&swapped[..], &["--yes"]].concat());
}

#[test]
fn only_init_and_import_create_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in
        [&["export"][..], &["status"], &["raise", "--slot", "1"], &["high-watermark", "--remove"]]
    {
        let error = failed(directory.path(), arguments);
        assert!(matches!(error, Error::Open(OpenError::Missing { .. })), "{error:?}");
    }
    assert!(!directory.path().join("state").exists());
    done(directory.path(), &["init"]);
    done(directory.path(), &["init"]);
    let error = failed(directory.path(), &["raise", "--slot", "1"]);
    assert!(matches!(error, Error::Order(OrderError::Admin(AdminError::NoKeys))), "{error:?}");
}

#[test]
fn a_daemon_that_is_named_is_asked_whether_its_ledger_lies_here_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = format!("unix:{}", directory.path().join("keymanager.sock").display());
    for arguments in [&["init"][..], &["status"]] {
        let error = failed(directory.path(), &[arguments, &["--connect", &nowhere]].concat());
        assert!(matches!(error, Error::Daemon(connect::Error::Client(_))), "{error:?}");
    }
    assert!(!directory.path().join("state").exists());
}

#[test]
fn a_command_must_say_how_far() {
    for arguments in [&["raise"][..], &["high-watermark"], &["high-watermark", "--remove", "--slot", "1"]] {
        assert!(
            Line::try_parse_from([&["slashing-protection"], arguments].concat()).is_err(),
            "{arguments:?}"
        );
    }
}
