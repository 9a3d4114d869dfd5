//! BLS signatures as Ethereum uses them: public keys in G1, signatures in G2, proof-of-possession scheme.
//!
//! Source: draft-irtf-cfrg-bls-signature-05, ciphersuite `BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_`;
//! consensus-specs, `specs/phase0/beacon-chain.md`, "BLS signatures".

mod hash_cache;

use std::fmt;
use std::str::FromStr;

use blst::{BLST_ERROR, min_pk};

use crate::primitives::SigningRoot;
use crate::sys::curve::{self, HashedMessage};

pub(crate) use hash_cache::{HashCache, RepeatedHash};

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

/// A signing root hashed to the curve: half the work of a signature, the same for every key that signs the root.
#[derive(Clone, Copy)]
pub struct HashedRoot {
    root: SigningRoot,
    point: HashedMessage,
}

impl HashedRoot {
    /// Hashes a signing root to G2.
    pub fn new(root: &SigningRoot) -> Self {
        Self { root: *root, point: HashedMessage::new(&root.0, CIPHERSUITE) }
    }

    /// The root that was hashed.
    pub fn signing_root(&self) -> SigningRoot {
        self.root
    }

    /// The other half: multiplies by a secret scalar (little endian), in constant time.
    pub(crate) fn multiply(&self, scalar: &[u8; 32]) -> Signature {
        Signature(self.point.multiply(scalar))
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

/// Signs and verifies a known message, so that a curve library built for another processor is found at start and not at
/// the first duty.
pub(crate) fn self_test() -> Result<(), SelfTestError> {
    let mut scalar = [0; 32];
    if let Some(byte) = scalar.first_mut() {
        *byte = 1;
    }
    let (root, public_key) = (SigningRoot([0x5a; 32]), PublicKey(curve::public_key(&scalar)));
    let signature = HashedRoot::new(&root).multiply(&scalar);
    let sum = aggregate(&[signature, signature]).map_err(SelfTestError::Aggregate)?;
    let other = SigningRoot([0xa5; 32]);
    if public_key != GENERATOR
        || !verify(&public_key, &root, &signature)
        || verify(&public_key, &other, &signature)
        || sum == signature
    {
        return Err(SelfTestError::Wrong);
    }
    Ok(())
}

/// The curve library does not work on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfTestError {
    #[error("the BLS self-test cannot aggregate: the curve library does not work on this processor")]
    Aggregate(#[source] BlsError),
    #[error("the BLS self-test failed: the curve library does not work on this processor")]
    Wrong,
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

/// The public key of the secret key 1: the generator of G1, compressed (BLS12-381 parameters, RFC 9380 section 8.8.1).
const GENERATOR: PublicKey = PublicKey([
    0x97, 0xf1, 0xd3, 0xa7, 0x31, 0x97, 0xd7, 0x94, 0x26, 0x95, 0x63, 0x8c, 0x4f, 0xa9, 0xac, 0x0f, 0xc3,
    0x68, 0x8c, 0x4f, 0x97, 0x74, 0xb9, 0x05, 0xa1, 0x4e, 0x3a, 0x3f, 0x17, 0x1b, 0xac, 0x58, 0x6c, 0x55,
    0xe8, 0x3f, 0xf9, 0x7a, 0x1a, 0xef, 0xfb, 0x3a, 0xf0, 0x0a, 0xdb, 0x22, 0xc6, 0xbb,
]);
