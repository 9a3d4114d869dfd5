//! Keys that another process brings, as raw scalars or as keystores: opened, and held against the names they come with.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::eth2_keystore::Keystore;
use super::import::{ImportError, Importer};
use super::kdf_pool::Urgency;
use super::key::OpenedKey;
use super::loader::ContentHash;
use super::secret::{Scalar, SecretKey, SecretKeyError};
use crate::bls::PublicKey;
use crate::sys::locked_memory::LockedMemory;

/// A key as it was brought. A raw one lies in locked memory from here on.
pub(crate) struct BroughtKey {
    /// What the source calls it.
    name: String,
    material: Material,
    content: ContentHash,
    /// The public key that it is said to have.
    named: Option<PublicKey>,
}

enum Material {
    Raw(Scalar),
    Keystore { text: String, password: Zeroizing<String> },
}

/// What became of a key that was brought.
pub(crate) enum Opened {
    /// The same was brought before, and is served.
    Known(PublicKey),
    New(OpenedKey),
}

impl BroughtKey {
    /// A raw key: 64 hexadecimal digits, big endian, with or without `0x`. The caller wipes them.
    ///
    /// # Errors
    /// When they are no secret key, or locked memory has run out.
    pub(crate) fn raw(
        name: String,
        digits: &str,
        named: Option<PublicKey>,
        memory: &Arc<LockedMemory>,
    ) -> Result<Self, SecretKeyError> {
        let scalar = Scalar::from_hex(digits, memory)?;
        Ok(Self { name, content: ContentHash(scalar.digest()), material: Material::Raw(scalar), named })
    }

    /// An EIP-2335 keystore and its password.
    pub(crate) fn keystore(
        name: String,
        text: &str,
        password: Zeroizing<String>,
        named: Option<PublicKey>,
    ) -> Self {
        let content = ContentHash::of(&[b"keystore", text.as_bytes()]);
        Self { name, material: Material::Keystore { text: text.to_owned(), password }, content, named }
    }

    /// What the source calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the same key is known by when it comes again.
    pub(crate) fn content(&self) -> ContentHash {
        self.content
    }
}

impl Importer {
    /// Opens each on its own, behind signing; same order, same length. `known` tells the key of a content that is
    /// served.
    pub(crate) fn open_brought(
        &self,
        keys: &[BroughtKey],
        known: &(dyn Fn(&ContentHash) -> Option<PublicKey> + Sync),
    ) -> Vec<Result<Opened, BroughtError>> {
        self.pool().map(keys, Urgency::Background, |key| {
            let opened = match known(&key.content) {
                Some(public_key) => Opened::Known(public_key),
                None => Opened::New(self.open(&key.material)?),
            };
            let public_key = opened.public_key();
            match key.named {
                Some(named) if named != public_key => Err(BroughtError::OtherKey { named, public_key }),
                Some(_) | None => Ok(opened),
            }
        })
    }

    fn open(&self, material: &Material) -> Result<OpenedKey, BroughtError> {
        match material {
            Material::Raw(scalar) => Ok(OpenedKey::new(SecretKey::of(scalar, self.memory())?, None)),
            Material::Keystore { text, password } => {
                let keystore = Keystore::parse(text).map_err(ImportError::from)?;
                Ok(self.unlock(&keystore, password)?)
            }
        }
    }
}

impl Opened {
    pub(crate) fn public_key(&self) -> PublicKey {
        match self {
            Self::Known(public_key) => *public_key,
            Self::New(key) => key.public_key(),
        }
    }
}

/// Why a key that was brought is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BroughtError {
    #[error(transparent)]
    Secret(#[from] SecretKeyError),
    #[error(transparent)]
    Keystore(#[from] ImportError),
    #[error("the secret is that of {public_key}, but it came as {named}: correct it where it is kept")]
    OtherKey { named: PublicKey, public_key: PublicKey },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KdfLimits, KdfPool};

    #[test]
    fn a_key_is_taken_under_its_own_name_alone() {
        let memory = LockedMemory::new().unwrap();
        let importer = Importer::new(Arc::clone(&memory), Arc::new(KdfPool::new(KdfLimits::default())));
        let digits = |number: u8| format!("0x{number:064x}");
        let brought =
            |number, named| BroughtKey::raw("k".to_owned(), &digits(number), named, &memory).unwrap();
        let open = |key| importer.open_brought(&[key], &|_| None).remove(0);
        let one = open(brought(1, None)).map(|opened| opened.public_key()).unwrap();
        assert!(matches!(open(brought(1, Some(one))), Ok(Opened::New(_))));
        assert!(
            matches!(open(brought(2, Some(one))), Err(BroughtError::OtherKey { named, .. }) if named == one)
        );
        let again = importer.open_brought(&[brought(1, None)], &|_| Some(one)).remove(0);
        assert!(matches!(again, Ok(Opened::Known(known)) if known == one));
        for wrong in ["", "0x", "0", &"0".repeat(64), &"f".repeat(64), &"1".repeat(66)] {
            assert!(BroughtKey::raw("k".to_owned(), wrong, None, &memory).is_err(), "{wrong}");
        }
    }
}
