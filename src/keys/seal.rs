//! The secret under which imported keys are kept on disk.
//!
//! A sealed key is an EIP-2335 keystore whose password is this secret, as 64 hexadecimal digits. The secret has 256
//! bits of entropy, so one iteration of PBKDF2 protects it as well as a million would, and ten thousand keys open in a
//! moment.
//!
//! The salt is not random: it is a MAC of the public key under the secret. So a keystore that was put under another
//! key's name, or sealed under another secret, is told at once, and the checksum (a hash over derived key and
//! ciphertext) proves the rest: the public key need not be derived from the secret again, which would take ten times as
//! long as all of this.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::eth2_keystore::{Keystore, KeystoreError, encrypt_light};
use super::mac::mac;
use super::secret::SecretKey;
use crate::bls::PublicKey;
use crate::regular_file::{FileError, RegularFile};
use crate::sys::locked_memory::{LockedMemory, LockedMemoryError, SecretCell};
use crate::text;

/// The seal secret, in locked memory.
pub(crate) struct Seal {
    secret: SecretCell,
}

impl Seal {
    /// Reads the secret from its file, which holds nothing else.
    pub(crate) fn from_file(path: &Path, memory: &Arc<LockedMemory>) -> Result<Self, SealFileError> {
        let text = RegularFile::open_secret(path)
            .and_then(|file| file.read_text(MAX_FILE_BYTES))
            .map_err(|source| SealFileError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, memory).map_err(|source| SealFileError::Unusable { path: path.to_owned(), source })
    }

    /// Reads the secret's text: 64 hexadecimal digits in lower case, as `openssl rand -hex 32` prints them, with or
    /// without a line end. Just so, and in no other spelling, it is the password of the sealed keystores.
    pub(crate) fn parse(text: &str, memory: &Arc<LockedMemory>) -> Result<Self, SealError> {
        let text = text::unmarked(text);
        let digits = text.strip_suffix('\n').unwrap_or(text);
        let mut bytes = Zeroizing::new([0; 32]);
        let lower_case =
            digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !lower_case || const_hex::decode_to_slice(digits, &mut *bytes).is_err() {
            return Err(SealError::Form);
        }
        // A credential that was never filled in must not pass for a secret.
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err(SealError::Form);
        }
        Ok(Self { secret: memory.store(&bytes)? })
    }

    /// The text of a new secret, without a line end.
    #[cfg(test)]
    pub(crate) fn generate() -> Result<Zeroizing<String>, SealError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|error| SealError::Keystore(KeystoreError::Random(error)))?;
        Ok(Zeroizing::new(const_hex::encode(*bytes)))
    }

    /// The key as a keystore that only this secret opens.
    pub(crate) fn seal(
        &self,
        secret: &SecretKey,
        derivation_path: Option<&str>,
    ) -> Result<String, SealError> {
        let salt = self.salt(&secret.public_key());
        Ok(encrypt_light(secret, &self.password(), derivation_path, salt)?)
    }

    /// Opens what [`Seal::seal`] made, proving that it is this key's and whole. Takes microseconds.
    pub(crate) fn open(
        &self,
        public_key: &PublicKey,
        keystore: &str,
        memory: &Arc<LockedMemory>,
    ) -> Result<SecretKey, SealError> {
        let keystore = Keystore::parse(keystore)?;
        if !bool::from(keystore.salt().ct_eq(&self.salt(public_key))) {
            return Err(SealError::OtherSecret { public_key: *public_key });
        }
        match keystore.decrypt_as(*public_key, &self.password(), memory) {
            Ok(secret) => Ok(secret),
            Err(KeystoreError::WrongPassword { .. }) => Err(SealError::Damaged { public_key: *public_key }),
            Err(error) => Err(error.into()),
        }
    }

    fn password(&self) -> Zeroizing<String> {
        let mut digits = Zeroizing::new(String::with_capacity(64));
        // Digit by digit: what encodes many bytes at once holds them in wide registers, which end up on the stack.
        let halves = self.secret.expose().iter().flat_map(|byte| [byte >> 4, byte & 0x0F]);
        digits.extend(halves.filter_map(|half| char::from_digit(u32::from(half), 16)));
        digits
    }

    fn salt(&self, public_key: &PublicKey) -> [u8; 32] {
        mac(&self.secret, &[PURPOSE, &public_key.0])
    }
}

/// Why keys cannot be sealed or unsealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The secret is not one.
    #[error(
        "the seal secret must be 64 random hexadecimal digits in lower case: make one with `openssl rand -hex 32`"
    )]
    Form,
    /// Another secret, or a row that was exchanged.
    #[error("the key {public_key} is sealed under another secret")]
    OtherSecret {
        /// Which key.
        public_key: PublicKey,
    },
    /// The right secret, but other bytes.
    #[error("the sealed key {public_key} is damaged")]
    Damaged {
        /// Which key.
        public_key: PublicKey,
    },
    /// Not readable as a keystore, or the key in it cannot be held.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// No locked memory for the secret.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

/// Why the file of the seal secret is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealFileError {
    /// Not there, not for us, or for too many.
    #[error("the seal secret {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// What is in it is no secret, or cannot be held.
    #[error("the seal secret {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SealError,
    },
}

const PURPOSE: &[u8] = b"bls-signer sealed key 1";

/// More than the 64 digits and a line end.
const MAX_FILE_BYTES: u64 = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn opens_what_it_sealed_and_any_keystore_reader_does_with_the_secret_as_password(
            number in 1u8..,
            text in "[0-9a-f]{64}",
        ) {
            let memory = LockedMemory::new().unwrap();
            let seal = Seal::parse(&text, &memory).unwrap();
            let secret = secret(number, &memory);
            let sealed = seal.seal(&secret, Some("m/12381/3600/0/0/0")).unwrap();
            let opened = seal.open(&secret.public_key(), &sealed, &memory).unwrap();
            prop_assert_eq!(opened.to_big_endian(), secret.to_big_endian());
            prop_assert_eq!(opened.public_key(), secret.public_key());
            let plainly = Keystore::parse(&sealed).unwrap().decrypt(&text, &memory).unwrap();
            prop_assert_eq!(plainly.to_big_endian(), secret.to_big_endian());
        }
    }

    #[test]
    fn tells_another_secret_from_another_key_from_damage() {
        let memory = LockedMemory::new().unwrap();
        let seal = Seal::parse(&Seal::generate().unwrap(), &memory).unwrap();
        let other = Seal::parse(&Seal::generate().unwrap(), &memory).unwrap();
        let (one, two) = (secret(1, &memory), secret(2, &memory));
        let sealed = seal.seal(&one, None).unwrap();

        let under_another_secret = other.open(&one.public_key(), &sealed, &memory);
        assert!(matches!(under_another_secret, Err(SealError::OtherSecret { .. })));
        let under_another_name = seal.open(&two.public_key(), &sealed, &memory);
        assert!(matches!(under_another_name, Err(SealError::OtherSecret { .. })));
        // The same salt, the ciphertext of another key.
        let mut forged: serde_json::Value = serde_json::from_str(&sealed).unwrap();
        forged["crypto"]["cipher"]["message"] = serde_json::json!("11".repeat(32));
        let damaged = seal.open(&one.public_key(), &forged.to_string(), &memory);
        assert!(matches!(damaged, Err(SealError::Damaged { .. })));
    }

    #[test]
    fn takes_only_the_spelling_that_is_the_password() {
        let memory = LockedMemory::new().unwrap();
        let good = Seal::generate().unwrap();
        assert!(Seal::parse(&good, &memory).is_ok());
        assert!(Seal::parse(&format!("{}\n", *good), &memory).is_ok());
        let (short, upper) = ("ab".repeat(31), "AB".repeat(32));
        for bad in [
            "",
            "secret",
            &format!("0x{}", *good),
            &upper,
            &short,
            &format!("{}\n\n", *good),
            &"0".repeat(64),
        ] {
            assert!(matches!(Seal::parse(bad, &memory), Err(SealError::Form)), "{bad}");
        }
    }

    #[test]
    fn every_secret_is_another() {
        assert_ne!(*Seal::generate().unwrap(), *Seal::generate().unwrap());
    }

    fn secret(number: u8, memory: &Arc<LockedMemory>) -> SecretKey {
        let mut bytes = [0; 32];
        bytes[31] = number;
        SecretKey::new(&bytes, memory).unwrap()
    }
}
