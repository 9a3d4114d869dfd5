//! What the tests stand on: a real daemon process, a raw HTTP client, test keys and sample requests.

mod client;
mod command;
mod daemon;
mod fetcher;
mod keys;
mod layouts;
pub mod package;
mod preload;
mod samples;
mod vectors;

pub use client::{Address, Answer, Connection, Request};
pub use command::{command, ended, json_of, on, run, said, socket, text};
pub use daemon::binary;
pub use daemon::{Daemon, Setup, State, init};
pub use fetcher::Fetcher;
pub use keys::Key;
pub use layouts::LAYOUTS;
pub use preload::build_preload;
pub use samples::{
    aggregation_slot, attestation, attestation_on_hoodi, block_header, randao_reveal, sync_committee_message,
};
pub use vectors::{Vector, sign_vectors};
