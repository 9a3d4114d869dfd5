//! SimpleSerialize's `hash_tree_root`, straight from the JSON form of a message.
//!
//! The consensus types are tables ([`containers`]) that read like the specification, and one function walks a table
//! and a JSON value together. So a message is hashed exactly as it was read, limits may depend on the preset, and the
//! progressive types of Gloas are three more rows. Nothing is serialised: a signer never needs the bytes.
//!
//! Source: consensus-specs, `ssz/simple-serialize.md`; EIP-7495 and EIP-7916 for the progressive types.

pub(super) mod containers;
mod merkle;
mod schema;

pub(super) use merkle::{Chunk, hash};
pub(super) use schema::{Length, Schema, hash_tree_root};
