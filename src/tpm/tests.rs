//! A TPM that answers as it should, late, never, or with garbage: over a Unix socket, as an emulator has one.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_counter_is_read_and_raised() {
    let (counter, tpm) = answering(&[PUBLIC, VALUE_42, DONE, VALUE_43]);
    let reading = counter.read(WITHIN).unwrap().unwrap();
    assert_eq!(reading, Reading { mark: CounterMark([0x22; 32]), value: Some(42) });
    assert_eq!(counter.increment(WITHIN).unwrap(), 43);
    let asked: Vec<_> = tpm.join().unwrap().iter().map(|command| command[6..10].to_vec()).collect();
    assert_eq!(asked, [[0, 0, 1, 0x69], [0, 0, 1, 0x4E], [0, 0, 1, 0x34], [0, 0, 1, 0x4E]]);
}

#[test]
fn a_tpm_that_is_busy_is_asked_again() {
    let (counter, tpm) = answering(&["80010000000a00000922", "80010000000a00000920", PUBLIC, VALUE_42]);
    assert_eq!(counter.read(WITHIN).unwrap().unwrap().value, Some(42));
    assert_eq!(tpm.join().unwrap().len(), 4);
}

#[test]
fn an_index_that_is_not_there_has_no_reading() {
    let (counter, _tpm) = answering(&["80010000000a0000018b"]);
    assert_eq!(counter.read(WITHIN).unwrap(), None);
}

#[test]
fn what_cannot_be_an_answer_is_none() {
    for wrong in [
        "00",
        "80010000000b0000000000",
        "8001ffffffff00000000",
        "80010000000900000000",
        "80020000001d00000000 0000000a 0008 000000000000002a 0000 01 0000",
    ] {
        let (counter, _tpm) = answering(&[wrong]);
        let failed = counter.read(WITHIN).unwrap_err();
        assert!(matches!(failed, TpmError::Answer { .. } | TpmError::Io { .. }), "{wrong}: {failed:?}");
        assert!(!failed.is_configuration());
    }
}

#[test]
fn a_tpm_that_does_not_answer_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let device = directory.path().join("tpm");
    let _listener = UnixListener::bind(&device).unwrap();
    let counter = NvCounter { device, index: index() };
    let failed = counter.read(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(failed, TpmError::Silent { .. }), "{failed:?}");
    assert!(!failed.is_configuration());
}

#[test]
fn a_device_that_is_not_there_is_a_matter_of_configuration() {
    let failed = NvCounter { device: "/nonexistent/tpm".into(), index: index() }.read(WITHIN).unwrap_err();
    assert!(matches!(failed, TpmError::NoDevice { .. }), "{failed:?}");
    assert!(failed.is_configuration());
}

#[test]
fn an_owner_with_a_password_is_told_from_other_refusals() {
    let (counter, _tpm) = answering(&["80010000000a000009a2", "80010000000a0000014b"]);
    let mark = CounterMark([0; 32]);
    assert!(matches!(counter.define(mark, WITHIN), Err(TpmError::Owner { .. })));
    assert!(matches!(counter.define(mark, WITHIN), Err(TpmError::Refused { .. })));
}

/// A TPM that gives these answers, one a connection, and its commands.
fn answering(answers: &[&str]) -> (NvCounter, JoinHandle<Vec<Vec<u8>>>) {
    let directory = tempfile::tempdir().unwrap();
    let device = directory.path().join("tpm");
    let listener = UnixListener::bind(&device).unwrap();
    let answers: Vec<_> =
        answers.iter().map(|answer| const_hex::decode(answer.replace(' ', "")).unwrap()).collect();
    let tpm = thread::spawn(move || {
        let _directory = directory;
        let answer = |answer: Vec<u8>| {
            let (mut connection, _) = listener.accept().unwrap();
            let mut command = vec![0; 256];
            let length = connection.read(&mut command).unwrap();
            command.truncate(length);
            // In two parts.
            let (start, end) = answer.split_at(answer.len() / 2);
            connection.write_all(start).unwrap();
            connection.write_all(end).unwrap();
            command
        };
        answers.into_iter().map(answer).collect()
    });
    (NvCounter { device, index: index() }, tpm)
}

fn index() -> NvIndex {
    "0x01800b15".parse().unwrap()
}

const PUBLIC: &str = "80010000 005e 00000000 002e 01800b15 000b 22040014 0020 \
    2222222222222222222222222222222222222222222222222222222222222222 0008 0022 000b \
    7777777777777777777777777777777777777777777777777777777777777777";
const VALUE_42: &str = "80020000001d00000000 0000000a 0008 000000000000002a 0000 01 0000";
const VALUE_43: &str = "80020000001d00000000 0000000a 0008 000000000000002b 0000 01 0000";
const DONE: &str = "80020000001300000000 00000000 0000 01 0000";
