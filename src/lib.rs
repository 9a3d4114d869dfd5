//! bls-signer: a remote BLS signer for Ethereum validators.
//!
//! A sign request is a chain of values, and each link is a proof (`docs/architecture.md`):
//!
//! ```text
//! bytes --http: read, bounded--> Request --api::routes--> signer::sign    refuse: 400 401 403 404 405 413 415
//! body --duty: hash_tree_root, domain--> Duty (its SigningRoot)           refuse: 400
//! (Client, PublicKey, Duty) --signing_policy--> Permitted                 refuse: 403 404
//! Permitted --ledger: judged in memory--> Judged                          refuse: 412
//! Judged --bls, while one fsync records all that was judged--> HeldSignature
//! HeldSignature --its record is durable: Cleared--> Signature --> 200     fault: 500
//! ```
//!
//! Unsafe code lives in `sys` alone. Below `http`, `api` and `signer` nothing is async but waiting for the ledger, the
//! signing threads and key derivation.

#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod bench_internals;
pub mod bls;
pub mod cli;
pub mod duty;
#[cfg(feature = "fuzz-internals")]
#[doc(hidden)]
pub mod fuzz_internals;
pub mod network;
pub mod primitives;

mod api;
mod blocking;
mod caller;
mod clients;
mod config;
mod credentials;
mod daemon;
mod deadline;
mod der;
mod duty_group;
mod fetch;
mod http;
mod keymanager;
mod keys;
mod ledger;
mod ledger_settings;
mod logging;
mod metrics;
mod mutex;
mod raw_roots;
mod regular_file;
mod repetitions;
mod signer;
mod signing_policy;
mod supervisor;
mod sys;
mod text;
mod tpm;
mod wire;
mod yaml;
