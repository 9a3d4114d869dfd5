//! BLS signatures as Ethereum uses them: public keys in G1, signatures in G2, proof-of-possession scheme.
//!
//! Source: draft-irtf-cfrg-bls-signature-05, ciphersuite `BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_`;
//! consensus-specs, `specs/phase0/beacon-chain.md`, "BLS signatures".

mod comb_cache;
mod hash_cache;
mod hashed_root;
mod self_test;

use std::fmt;
use std::str::FromStr;

use blst::{BLST_ERROR, min_pk};

use crate::primitives::SigningRoot;

pub(crate) use crate::sys::curve::SignaturePoint;

pub(crate) use self::hash_cache::{HashCache, RootState, RootTables};
pub use self::hashed_root::HashedRoot;
pub(crate) use self::hashed_root::HashedText;
pub(crate) use self::hashed_root::failed_checks;
pub(crate) use self::self_test::{SelfTestError, self_test, tables_self_test};

/// A compressed public key (48 bytes), the name of a validator's key everywhere in this program.
///
/// Parsing takes 96 hexadecimal digits in either case, with or without `0x`; display is `0x` and lower case. That the
/// bytes are a point of the group is only checked where it matters, by [`PublicKey::validate`] and [`verify`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 48]);

impl PublicKey {
    /// Checks that the bytes are a point of the right subgroup and not infinity (`KeyValidate` of the draft).
    pub fn validate(&self) -> Result<(), BlsError> {
        min_pk::PublicKey::key_validate(&self.0).map(|_| ()).map_err(BlsError::PublicKey)
    }
}

impl FromStr for PublicKey {
    type Err = BlsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const_hex::decode_to_array(text).map(Self).map_err(|_| BlsError::PublicKeyHex)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode_prefixed(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A compressed signature (96 bytes). Shown as `0x` and 192 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 96]);

impl From<SignaturePoint> for Signature {
    fn from(point: SignaturePoint) -> Self {
        Self(point.compressed())
    }
}

impl FromStr for Signature {
    type Err = BlsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const_hex::decode_to_array(text).map(Self).map_err(|_| BlsError::SignatureHex)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode_prefixed(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `signature` is `public_key`'s over `root`. Malformed points verify as false.
pub fn verify(public_key: &PublicKey, root: &SigningRoot, signature: &Signature) -> bool {
    let Ok(public_key) = min_pk::PublicKey::key_validate(&public_key.0) else { return false };
    let Ok(signature) = min_pk::Signature::from_bytes(&signature.0) else { return false };
    signature.verify(true, &root.0, CIPHERSUITE, &[], &public_key, false) == BLST_ERROR::BLST_SUCCESS
}

/// Aggregates signatures into one (`Aggregate` of the draft). An empty list is an error.
pub fn aggregate(signatures: &[Signature]) -> Result<Signature, BlsError> {
    let points = signatures
        .iter()
        .map(|signature| min_pk::Signature::from_bytes(&signature.0).map_err(BlsError::Signature))
        .collect::<Result<Vec<_>, _>>()?;
    let sum = min_pk::AggregateSignature::aggregate(&points.iter().collect::<Vec<_>>(), true)
        .map_err(BlsError::Signature)?;
    Ok(Signature(sum.to_signature().to_bytes()))
}

/// What can be wrong with a public key or a signature.
#[derive(Debug, thiserror::Error)]
pub enum BlsError {
    /// The text is not a public key's hexadecimal form.
    #[error("a BLS public key has 96 hexadecimal digits, with or without 0x")]
    PublicKeyHex,
    /// The bytes are no valid public key.
    #[error("the public key is not a valid point: {0:?}")]
    PublicKey(BLST_ERROR),
    /// The text is not a signature's hexadecimal form.
    #[error("a BLS signature has 192 hexadecimal digits, with or without 0x")]
    SignatureHex,
    /// The bytes are no valid signature.
    #[error("the signature is not a valid point: {0:?}")]
    Signature(BLST_ERROR),
}

/// The domain separation tag of Ethereum's signatures.
const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
