//! EIP-2335: a BLS secret key encrypted under a password, as a JSON text.
//!
//! Only version 4 with the functions that the standard names is read: scrypt or PBKDF2 with HMAC-SHA-256, SHA-256,
//! AES-128 in counter mode. Everything that can be judged without the password is judged by [`Keystore::parse`], the
//! cost of the key derivation above all: what it would take is known and bounded before a byte is allocated for it.
//! No error shows a secret, a password, or a value out of a keystore that might be one in the wrong place.

mod encrypt;
mod kdf;
mod password;
mod wire;

use std::sync::Arc;

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::kdf::Kdf;
use super::secret::{SecretKey, SecretKeyError};
use crate::bls::PublicKey;
use crate::sys::locked_memory::LockedMemory;

pub(super) use self::encrypt::encrypt_light;
pub(crate) use self::encrypt::{KdfCost, encrypt};
pub(crate) use self::kdf::Weakness;

/// An encrypted key that was read and found to be one we can open, given the password.
#[derive(Debug)]
pub(crate) struct Keystore {
    kdf: Kdf,
    checksum: [u8; 32],
    iv: [u8; 16],
    ciphertext: [u8; 32],
    public_key: Option<PublicKey>,
    derivation_path: Option<Box<str>>,
}

impl Keystore {
    /// Reads a keystore. Members the standard does not know are ignored; a member that comes twice is refused, as are
    /// texts above 64 KiB.
    pub(crate) fn parse(json: &str) -> Result<Self, KeystoreError> {
        wire::read(json)
    }

    /// The key that the keystore says it holds. Not proven before [`Keystore::decrypt`].
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        self.public_key
    }

    /// The EIP-2334 path (`m/12381/3600/0/0/0`), if there is one and it has that form.
    pub(crate) fn derivation_path(&self) -> Option<&str> {
        self.derivation_path.as_deref()
    }

    /// Bytes of working memory that opening it takes.
    pub(crate) fn memory(&self) -> u64 {
        self.kdf.memory()
    }

    /// What is legal about it but weak: worth a warning, no reason to refuse.
    pub(crate) fn weakness(&self) -> Option<Weakness> {
        self.kdf.weakness()
    }

    /// Opens it: derives the decryption key from the password (this takes time and [`Keystore::memory`] bytes), checks
    /// it, decrypts into locked memory, and checks that the secret is that of the public key the keystore names.
    pub(crate) fn decrypt(
        &self,
        password: &str,
        memory: &Arc<LockedMemory>,
    ) -> Result<SecretKey, KeystoreError> {
        let mut plaintext = Zeroizing::new([0; 32]);
        self.plaintext(password, &mut plaintext)?;
        let secret = SecretKey::new(&plaintext, memory)?;
        match self.public_key {
            Some(named) if named != secret.public_key() => {
                Err(KeystoreError::OtherKey { named, derived: secret.public_key() })
            }
            Some(_) | None => Ok(secret),
        }
    }

    /// As [`Keystore::decrypt`], for a keystore that is proven to be this key's, so that nothing has to be derived.
    pub(super) fn decrypt_as(
        &self,
        public_key: PublicKey,
        password: &str,
        memory: &Arc<LockedMemory>,
    ) -> Result<SecretKey, KeystoreError> {
        let mut plaintext = Zeroizing::new([0; 32]);
        self.plaintext(password, &mut plaintext)?;
        Ok(SecretKey::proven(&plaintext, public_key, memory)?)
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.kdf.salt()
    }

    /// Writes it where the caller wipes it: returned by value, it could leave copies on the way.
    fn plaintext(&self, password: &str, plaintext: &mut [u8; 32]) -> Result<(), KeystoreError> {
        let forms = password::forms(password);
        for form in &forms {
            let key = self.kdf.derive(form.as_bytes())?;
            if bool::from(checksum(&key, &self.ciphertext).ct_eq(&self.checksum)) {
                *plaintext = self.ciphertext;
                apply_cipher(&key, &self.iv, plaintext);
                return Ok(());
            }
        }
        Err(KeystoreError::WrongPassword { empty: forms.iter().all(|form| form.is_empty()) })
    }
}

/// Why a keystore cannot be read, opened or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeystoreError {
    /// The text is too long.
    #[error("the keystore has {bytes} bytes; more than {limit} are not read")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// Not JSON, or not of a keystore's shape.
    #[error("the keystore is not valid JSON of a keystore's form: {problem} (line {line}, column {column})")]
    Json {
        /// What is wrong, without any value out of the text.
        problem: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Another version of the format.
    #[error("the keystore has version {0}; only version 4 (EIP-2335) is supported")]
    Version(u64),
    /// A function the standard does not name.
    #[error("the keystore's {module} function {function} is not supported; known are {known}")]
    Function {
        /// `kdf`, `checksum` or `cipher`.
        module: &'static str,
        /// The name in the keystore, if it can be shown.
        function: String,
        /// What is supported.
        known: &'static str,
    },
    /// A member is not hexadecimal.
    #[error("the keystore's {0} is not hexadecimal")]
    Hex(&'static str),
    /// A member has the wrong number of bytes.
    #[error("the keystore's {member} has {bytes} bytes, not {expected}")]
    Length {
        /// Which.
        member: &'static str,
        /// How many it has.
        bytes: usize,
        /// How many it must have.
        expected: &'static str,
    },
    /// The key derivation is impossible, or too expensive to try.
    #[error("the keystore's {parameter} of {value} is refused: {reason}")]
    Kdf {
        /// Which parameter.
        parameter: &'static str,
        /// Its value.
        value: u64,
        /// Why not.
        reason: &'static str,
    },
    /// The checksum does not match.
    #[error("wrong password{}", if *.empty { " (it is empty, apart from control characters)" } else { "" })]
    WrongPassword {
        /// Whether nothing is left of the password when control characters are removed.
        empty: bool,
    },
    /// The keystore lies about its key.
    #[error("the keystore says it holds the key {named}, but it holds {derived}")]
    OtherKey {
        /// `pubkey` of the keystore.
        named: PublicKey,
        /// The public key of the secret in it.
        derived: PublicKey,
    },
    /// What was decrypted cannot be held.
    #[error(transparent)]
    Secret(#[from] SecretKeyError),
    /// No random bytes for salt, IV and identifier.
    #[error("the kernel gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// SHA-256 over the second half of the decryption key and the ciphertext.
fn checksum(key: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    let (_, second_half) = key.split_at(16);
    Sha256::new().chain_update(second_half).chain_update(ciphertext).finalize().into()
}

/// AES-128 in counter mode under the first half of the decryption key: encrypts and decrypts.
fn apply_cipher(key: &[u8; 32], iv: &[u8; 16], bytes: &mut [u8; 32]) {
    let [first_half @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = key;
    Ctr128BE::<Aes128>::new(first_half.into(), iv.into()).apply_keystream(bytes);
}

#[cfg(test)]
mod tests;
