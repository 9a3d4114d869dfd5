//! Encryption of new keystores: for the sealed store, the demo and tests.

use std::borrow::Cow;
use std::iter;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use zeroize::Zeroizing;

use super::kdf::Kdf;
use super::wire::{CipherParams, Crypto, Module, Pbkdf2Params, ScryptParams, Wire};
use super::{KeystoreError, apply_cipher, checksum, password};
use crate::keys::SecretKey;

/// How expensive guessing the password is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the daemon makes light keystores only; those of the standard's cost are for tests"
    )
)]
pub(crate) enum KdfCost {
    /// scrypt with the standard's parameters: 256 MiB and most of a second.
    Scrypt,
    /// PBKDF2 with the standard's 262,144 iterations.
    Pbkdf2,
    /// PBKDF2 with one iteration: for a password that has 256 bits of entropy itself, so that nothing would be gained
    /// by more, and for keys that are thrown away.
    Light,
}

/// An EIP-2335 keystore with the secret, as a JSON text on one line.
///
/// # Errors
/// When the kernel gives no random bytes.
pub(crate) fn encrypt(
    secret: &SecretKey,
    password: &str,
    cost: KdfCost,
    derivation_path: Option<&str>,
) -> Result<String, KeystoreError> {
    let salt: [u8; 32] = random()?;
    encrypt_with_salt(secret, password, cost, derivation_path, salt)
}

/// As [`encrypt`] at [`KdfCost::Light`], with a salt of the caller's.
pub(in crate::keys) fn encrypt_light(
    secret: &SecretKey,
    password: &str,
    derivation_path: Option<&str>,
    salt: [u8; 32],
) -> Result<String, KeystoreError> {
    encrypt_with_salt(secret, password, KdfCost::Light, derivation_path, salt)
}

fn encrypt_with_salt(
    secret: &SecretKey,
    password: &str,
    cost: KdfCost,
    derivation_path: Option<&str>,
    salt: [u8; 32],
) -> Result<String, KeystoreError> {
    let password = password::normalized(password);
    let iv: [u8; 16] = random()?;
    let key = cost.kdf(salt)?.derive(password.as_bytes())?;
    let mut ciphertext = Zeroizing::new([0; 32]);
    secret.copy_big_endian(&mut ciphertext);
    apply_cipher(&key, &iv, &mut ciphertext);

    let wire = Wire {
        crypto: Crypto {
            kdf: cost.module(&salt)?,
            checksum: module("sha256", &serde_json::Map::new(), &checksum(&key, &*ciphertext))?,
            cipher: module("aes-128-ctr", &CipherParams { iv: const_hex::encode(iv).into() }, &*ciphertext)?,
        },
        description: None,
        pubkey: Some(const_hex::encode(secret.public_key().0).into()),
        path: Some(derivation_path.unwrap_or("").into()),
        uuid: Some(random_uuid()?.into()),
        version: 4,
    };
    json(&wire)
}

impl KdfCost {
    fn kdf(self, salt: [u8; 32]) -> Result<Kdf, KeystoreError> {
        match self {
            Self::Scrypt => Kdf::scrypt(SCRYPT_N, SCRYPT_R, SCRYPT_P, 32, salt.to_vec()),
            Self::Pbkdf2 => Kdf::pbkdf2(PBKDF2_C, 32, salt.to_vec()),
            Self::Light => Kdf::pbkdf2(1, 32, salt.to_vec()),
        }
    }

    fn module(self, salt: &[u8; 32]) -> Result<Module<'static>, KeystoreError> {
        let salt: Cow<'_, str> = const_hex::encode(salt).into();
        let pbkdf2 = |c, salt| {
            let params = Pbkdf2Params { dklen: 32, c, prf: "hmac-sha256".into(), salt };
            module("pbkdf2", &params, &[])
        };
        match self {
            Self::Scrypt => {
                let params = ScryptParams { dklen: 32, n: SCRYPT_N, p: SCRYPT_P, r: SCRYPT_R, salt };
                module("scrypt", &params, &[])
            }
            Self::Pbkdf2 => pbkdf2(PBKDF2_C, salt),
            Self::Light => pbkdf2(1, salt),
        }
    }
}

fn module(
    function: &'static str,
    params: &impl Serialize,
    message: &[u8],
) -> Result<Module<'static>, KeystoreError> {
    let params: Box<RawValue> = to_raw_value(params).map_err(|error| unwritable(&error))?;
    Ok(Module {
        function: function.into(),
        params: Cow::Owned(params),
        message: const_hex::encode(message).into(),
    })
}

fn json(wire: &Wire<'_>) -> Result<String, KeystoreError> {
    serde_json::to_string(wire).map_err(|error| unwritable(&error))
}

/// Cannot happen with the types above; an error rather than a panic all the same.
fn unwritable(error: &serde_json::Error) -> KeystoreError {
    KeystoreError::Json { problem: error.to_string(), line: 0, column: 0 }
}

/// RFC 9562, version 4.
fn random_uuid() -> Result<String, KeystoreError> {
    let mut bytes: [u8; 16] = random()?;
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let digits = const_hex::encode(bytes);
    let hyphens = [8, 12, 16, 20];
    Ok(digits
        .chars()
        .enumerate()
        .flat_map(|(place, digit)| {
            iter::once('-').filter(move |_| hyphens.contains(&place)).chain(iter::once(digit))
        })
        .collect())
}

fn random<const N: usize>() -> Result<[u8; N], KeystoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeystoreError::Random)?;
    Ok(bytes)
}

/// EIP-2335's own parameters.
const SCRYPT_N: u64 = 1 << 18;
const SCRYPT_R: u64 = 8;
const SCRYPT_P: u64 = 1;
const PBKDF2_C: u64 = 1 << 18;
