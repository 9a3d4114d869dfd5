//! The key derivation of a keystore: parameters that were checked, and what they cost.

use std::fmt;

use pbkdf2::pbkdf2_hmac;
use scrypt::Params;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeystoreError;

/// A key derivation whose cost is known to be bearable.
#[derive(Debug)]
pub(super) enum Kdf {
    Scrypt {
        /// Cost, a power of two above 1.
        n: u64,
        /// Block size.
        r: u32,
        /// Parallelisation.
        p: u32,
        salt: Vec<u8>,
    },
    Pbkdf2 {
        /// Iterations.
        c: u32,
        salt: Vec<u8>,
    },
}

impl Kdf {
    /// Checks scrypt's parameters: possible at all (RFC 7914, section 6), at most 1 GiB of memory, at most eight times
    /// the work of the standard's parameters.
    pub(super) fn scrypt(n: u64, r: u64, p: u64, dklen: u64, salt: Vec<u8>) -> Result<Self, KeystoreError> {
        check_dklen(dklen)?;
        check_salt(&salt)?;
        if n < 2 || !n.is_power_of_two() {
            return refuse("scrypt n", n, "it must be a power of two above 1");
        }
        let (Ok(narrow_r @ 1..), Ok(narrow_p @ 1..)) = (u32::try_from(r), u32::try_from(p)) else {
            return match u32::try_from(r) {
                Ok(1..) => refuse("scrypt p", p, "it must be at least 1 and fit 32 bits"),
                Ok(0) | Err(_) => refuse("scrypt r", r, "it must be at least 1 and fit 32 bits"),
            };
        };
        // n < 2^(128 * r / 8)
        if u64::from(n.ilog2()) >= r.saturating_mul(16) {
            return refuse("scrypt n", n, "it is too large for its r");
        }
        let memory = scrypt_memory(n, r, p);
        if memory > MAX_MEMORY_BYTES {
            return refuse("scrypt memory (128 * r * (n + p))", memory, "more than 1 GiB is not tried");
        }
        let work = n.saturating_mul(r).saturating_mul(p);
        if work > MAX_SCRYPT_WORK {
            return refuse("scrypt work (n * r * p)", work, "more than 16777216 is not tried");
        }
        Ok(Self::Scrypt { n, r: narrow_r, p: narrow_p, salt })
    }

    /// Checks PBKDF2's parameters: at least one iteration, at most 64 times the standard's number.
    pub(super) fn pbkdf2(c: u64, dklen: u64, salt: Vec<u8>) -> Result<Self, KeystoreError> {
        check_dklen(dklen)?;
        check_salt(&salt)?;
        match u32::try_from(c) {
            Ok(c @ 1..=MAX_ITERATIONS) => Ok(Self::Pbkdf2 { c, salt }),
            Ok(_) | Err(_) => {
                refuse("pbkdf2 c", c, "it must be at least 1, and more than 16777216 is not tried")
            }
        }
    }

    /// Bytes of working memory.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::Scrypt { n, r, p, .. } => scrypt_memory(*n, u64::from(*r), u64::from(*p)),
            Self::Pbkdf2 { .. } => 0,
        }
    }

    pub(super) fn salt(&self) -> &[u8] {
        match self {
            Self::Scrypt { salt, .. } | Self::Pbkdf2 { salt, .. } => salt,
        }
    }

    pub(super) fn weakness(&self) -> Option<Weakness> {
        match self {
            Self::Scrypt { n, r, p, .. } => {
                let work = n.saturating_mul(u64::from(*r)).saturating_mul(u64::from(*p));
                (work < STANDARD_SCRYPT_WORK).then_some(Weakness::Scrypt { work })
            }
            Self::Pbkdf2 { c, .. } => {
                (*c < STANDARD_ITERATIONS).then_some(Weakness::Pbkdf2 { iterations: *c })
            }
        }
    }

    /// The first 32 bytes of the derived key, all that EIP-2335 uses. They are the same whatever `dklen` is.
    pub(super) fn derive(&self, password: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let mut key = Zeroizing::new([0; 32]);
        match self {
            Self::Pbkdf2 { c, salt } => pbkdf2_hmac::<Sha256>(password, salt, *c, &mut *key),
            Self::Scrypt { n, r, p, salt } => {
                let impossible = KeystoreError::Kdf {
                    parameter: "scrypt n",
                    value: *n,
                    reason: "together with its r and p it is impossible",
                };
                let Ok(log_n) = u8::try_from(n.ilog2()) else { return Err(impossible) };
                let Ok(params) = Params::new(log_n, *r, *p, key.len()) else { return Err(impossible) };
                scrypt::scrypt(password, salt, &params, &mut *key).map_err(|_| impossible)?;
            }
        }
        Ok(key)
    }
}

/// A derivation that is legal, but easier to guess passwords against than the standard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    /// PBKDF2 with few iterations.
    Pbkdf2 {
        /// How many.
        iterations: u32,
    },
    /// scrypt with little work.
    Scrypt {
        /// n * r * p.
        work: u64,
    },
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pbkdf2 { iterations } => write!(
                f,
                "the keystore's password is protected by {iterations} iterations of PBKDF2 only \
                 (the standard's: {STANDARD_ITERATIONS})"
            ),
            Self::Scrypt { work } => write!(
                f,
                "the keystore's password is protected by scrypt with n * r * p = {work} only \
                 (the standard's: {STANDARD_SCRYPT_WORK})"
            ),
        }
    }
}

/// EIP-2335 needs 32 bytes; a longer derived key has them at its start. scrypt and PBKDF2 alike.
fn check_dklen(dklen: u64) -> Result<(), KeystoreError> {
    if (32..=1024).contains(&dklen) {
        return Ok(());
    }
    refuse("dklen", dklen, "it must be 32, and must not be above 1024")
}

fn check_salt(salt: &[u8]) -> Result<(), KeystoreError> {
    if salt.len() <= MAX_SALT_BYTES {
        return Ok(());
    }
    Err(KeystoreError::Length { member: "kdf salt", bytes: salt.len(), expected: "at most 1024" })
}

/// The vector of n blocks, the p blocks it works on, one block to mix. Saturates instead of overflowing.
fn scrypt_memory(n: u64, r: u64, p: u64) -> u64 {
    r.saturating_mul(128).saturating_mul(n.saturating_add(p).saturating_add(1))
}

fn refuse<T>(parameter: &'static str, value: u64, reason: &'static str) -> Result<T, KeystoreError> {
    Err(KeystoreError::Kdf { parameter, value, reason })
}

/// 1 GiB, and room for the blocks beside the vector. The standard's parameters take a quarter.
const MAX_MEMORY_BYTES: u64 = (1 << 30) + (1 << 20);

/// n * r * p of EIP-2335's own scrypt parameters (262144, 8, 1), and the most that is tried.
const STANDARD_SCRYPT_WORK: u64 = 1 << 21;
const MAX_SCRYPT_WORK: u64 = STANDARD_SCRYPT_WORK << 3;

/// EIP-2335's own number of PBKDF2 iterations, and the most that is tried.
const STANDARD_ITERATIONS: u32 = 1 << 18;
const MAX_ITERATIONS: u32 = STANDARD_ITERATIONS << 6;

const MAX_SALT_BYTES: usize = 1024;
