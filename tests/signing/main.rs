//! Signing roots and signatures against vectors made by other implementations, and what is refused on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    missing_docs
)]

mod chains;
mod clients;
mod forms;
mod hostile;
mod lodestar;
mod networks;
mod raw_roots;
mod refusals;
mod requests;
mod spelling;
mod vectors;
