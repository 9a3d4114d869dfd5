//! A request body as a tree: borrowed from the body, bounded, and without any member given twice.
//!
//! [`parse`] makes the tree; [`At`] is a value of it together with its path, so that every refusal names the field.

mod at;
mod path;
mod tree;

pub(super) use at::At;
pub(super) use tree::parse;
