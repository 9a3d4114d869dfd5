//! The daemon as its users meet it: the built binary, over real sockets. One module a family of behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected has to stop and say so"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod abandoned_imports;
mod audit;
mod backup;
mod check_command;
mod client_certificates;
mod clients;
mod command_line;
mod daemon_status;
mod demonstration;
mod deployments;
mod failing_directory;
mod failing_disk;
mod fairness;
mod fetched_keys;
mod file_systems;
#[path = "../support/full_history.rs"]
mod full_history;
mod guards;
mod handed_over_keys;
mod health;
mod history;
mod hostile_protocol;
mod hostile_requests;
mod http_2;
mod key_commands;
mod key_files;
mod keymanager;
mod kill;
mod lifecycle;
mod metrics;
mod migrate;
mod negotiation;
mod networks;
mod one_ledger;
mod packaged_check;
mod packaged_tokens;
mod proof_of_validation;
mod raw_roots;
mod readme;
mod repeated_refusals;
mod roles;
mod rolled_back_ledger;
mod root_commands;
mod sealed_keys;
mod secrets;
mod sign_batch;
mod sign_status;
mod sign_vectors;
mod silent_daemons;
mod slashing;
mod slashing_commands;
mod soak;
mod socket_activation;
mod stalled_clients;
mod stalled_readers;
mod supervision;
mod support;
mod tls;
mod tpm_counter;
mod web3signer;
mod wrong_clock;
