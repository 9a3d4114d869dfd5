//! Fuzz targets, all in one program: `--target=NAME` chooses, everything else is libFuzzer's.
//!
//! A target fails by a panic. None asks only for that: each says what must hold of what was read, and of what a message
//! says that refuses it.

#![no_main]

mod answers;
mod documents;
mod requests;
mod tpm;
mod wal;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// Every target by its name, which is that of its folder in `corpus`.
const TARGETS: [(&str, fn(&[u8])); 11] = [
    ("request", requests::request),
    ("batch", requests::batch),
    ("keystore", documents::keystore),
    ("interchange", documents::interchange),
    ("network", documents::network),
    ("key-config", documents::key_config),
    ("settings", documents::settings),
    ("pkcs12", documents::pkcs12),
    ("wal", wal::wal),
    ("tpm", tpm::tpm),
    ("http", answers::http),
];

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let chosen = std::env::args().find_map(|argument| argument.strip_prefix("--target=").map(str::to_owned));
        let target = TARGETS.iter().find(|(name, _)| Some(*name) == chosen.as_deref());
        let Some((_, target)) = target else {
            eprintln!("--target=NAME is missing; the targets are {:?}", TARGETS.map(|(name, _)| name));
            std::process::exit(2);
        };
        TARGET.get_or_init(|| *target);
    },
    |bytes: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(bytes);
        }
    }
);

/// What every message promises: one line of bounded length, however long or odd the value that it is about.
fn assert_is_a_message(message: &str) {
    assert!(!message.is_empty(), "an empty message");
    assert!(message.len() < 2_048, "a message of {} bytes: {message}", message.len());
    assert!(!message.contains(char::is_control), "a message with a control character: {message:?}");
}
