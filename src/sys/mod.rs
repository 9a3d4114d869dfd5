//! The only place with unsafe code: the curve library's FFI, locked memory, process hardening and limits.
//!
//! Each block states why it is sound; everything that leaves this module is safe to call.
#![allow(unsafe_code)]

pub(crate) mod curve;
pub(crate) mod hardening;
pub(crate) mod inherited;
pub(crate) mod locked_memory;
pub(crate) mod open_files;
pub(crate) mod peer_groups;
