//! Why a body is not understood. Always the caller's matter.

use crate::network::NamedRoot;
use crate::primitives::{Root, SigningRoot};
use crate::text::Bounded;

/// Why a request to sign is refused before anyone asks whether it may be signed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is not one JSON object, names a member twice, is nested too deep or has too many values.
    #[error("the body is not a usable JSON object: {}", Bounded(.0))]
    Json(#[from] serde_json::Error),
    /// A field that the message needs is absent or null.
    #[error("{field} is missing")]
    Missing {
        /// The path of the field from the top of the body.
        field: String,
    },
    /// A field has a value that is not allowed there.
    #[error("{field} {problem}")]
    Invalid {
        /// The path of the field from the top of the body.
        field: String,
        /// What is wrong, with the value.
        problem: String,
    },
    /// The message is of another chain than this signer's.
    #[error(
        "the request is for the chain with genesis validators root {}, but this signer protects the chain with {}: set \
         its option `network` to the validators' network (without it, that is mainnet), and use one signer and one \
         state directory for each",
        NamedRoot(*.requested), NamedRoot(*.configured)
    )]
    OtherChain {
        /// The root in the request.
        requested: Root,
        /// The configured network's root.
        configured: Root,
    },
    /// The root that the caller computed is not the root of the message in the body.
    #[error("the signing root of this message is {computed}, but the request gives {given}")]
    RootMismatch {
        /// The root computed here.
        computed: SigningRoot,
        /// The root in the request.
        given: Root,
    },
}
