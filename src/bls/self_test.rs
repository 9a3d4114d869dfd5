//! Self-tests: the curve library and what is built on it, on this processor.

use super::hashed_root::hash;
use super::{BlsError, PublicKey, Signature, aggregate, verify};
use crate::primitives::SigningRoot;
use crate::sys::curve::{self, Comb, CombError, JointTable, Window};

/// Signs and verifies a known message, so that a curve library built for another processor is found at start and not at
/// the first duty.
pub(crate) fn self_test() -> Result<(), SelfTestError> {
    let scalar = small(1);
    let (root, public_key) = (SigningRoot([0x5a; 32]), PublicKey(curve::public_key(&scalar)));
    let signature = Signature::from(hash(&root).multiply(&scalar));
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

/// Multiplies by 1, 2, the group order less 2 and a random key with tables, and compares with the curve library. Takes
/// as long as six signatures.
pub(crate) fn tables_self_test() -> Result<(), TablesSelfTestError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(TablesSelfTestError::Random)?;
    let [.., highest] = &mut random;
    *highest &= 0x3f; // below the group order
    let point = hash(&SigningRoot([0x5a; 32]));
    let comb = Comb::new(&point, Window::Small)?;
    let joint = JointTable::new(&point).ok_or(CombError::Infinity)?;
    let scalars = [small(1), small(2), GROUP_ORDER_LESS_2, random];
    let by_comb = comb.multiply(&scalars.each_ref());
    for (scalar, by_comb) in scalars.iter().zip(by_comb) {
        let expected = Some(point.multiply(scalar));
        if by_comb != expected || joint.multiply(scalar) != expected {
            return Err(TablesSelfTestError::Wrong);
        }
    }
    Ok(())
}

/// A small number as a scalar, little endian.
fn small(number: u8) -> [u8; 32] {
    let mut scalar = [0; 32];
    let [lowest, ..] = &mut scalar;
    *lowest = number;
    scalar
}

/// The curve library does not work on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfTestError {
    #[error("the BLS self-test cannot aggregate: the curve library does not work on this processor")]
    Aggregate(#[source] BlsError),
    #[error("the BLS self-test failed: the curve library does not work on this processor")]
    Wrong,
}

/// Multiplications with tables do not work on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TablesSelfTestError {
    #[error("there are no random numbers for the self-test of tables: {0}")]
    Random(getrandom::Error),
    #[error("the self-test of tables cannot compute one")]
    Comb(#[from] CombError),
    #[error("the self-test of tables gave another signature than the curve library")]
    Wrong,
}

/// The group order less 2, little endian.
const GROUP_ORDER_LESS_2: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53, 0x05,
    0xd8, 0xa1, 0x09, 0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

/// The public key of the secret key 1: the generator of G1, compressed (BLS12-381 parameters, RFC 9380 section 8.8.1).
const GENERATOR: PublicKey = PublicKey([
    0x97, 0xf1, 0xd3, 0xa7, 0x31, 0x97, 0xd7, 0x94, 0x26, 0x95, 0x63, 0x8c, 0x4f, 0xa9, 0xac, 0x0f, 0xc3,
    0x68, 0x8c, 0x4f, 0x97, 0x74, 0xb9, 0x05, 0xa1, 0x4e, 0x3a, 0x3f, 0x17, 0x1b, 0xac, 0x58, 0x6c, 0x55,
    0xe8, 0x3f, 0xf9, 0x7a, 0x1a, 0xef, 0xfb, 0x3a, 0xf0, 0x0a, 0xdb, 0x22, 0xc6, 0xbb,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_library_and_the_tables_pass() {
        self_test().unwrap();
        tables_self_test().unwrap();
    }
}
