//! Importer of keystores: opens those of one request, several at a time, within the host's means.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::eth2_keystore::{Keystore, KeystoreError, Weakness};
use super::kdf_pool::{KdfPool, OverBudget, Urgency};
use super::key::OpenedKey;
use crate::sys::locked_memory::LockedMemory;

/// Opens keystores into locked memory. Cheap to clone; blocks, so async code calls it from `spawn_blocking`.
#[derive(Clone)]
pub(crate) struct Importer {
    memory: Arc<LockedMemory>,
    pool: Arc<KdfPool>,
}

/// A keystore's JSON text and the password that is said to open it.
pub(crate) struct EncryptedKey {
    /// The JSON text.
    pub(crate) keystore: String,
    /// Its password, as typed.
    pub(crate) password: Zeroizing<String>,
}

impl Importer {
    pub(crate) fn new(memory: Arc<LockedMemory>, pool: Arc<KdfPool>) -> Self {
        Self { memory, pool }
    }

    /// Opens each on its own: one that fails says why and touches none beside it. Same order, same length.
    ///
    /// Those that are not begun when they are not wanted any more are left alone. Nothing here knows which keys are
    /// loaded: duplicates, history and the ring are the caller's steps.
    pub(crate) fn open_all(
        &self,
        items: &[EncryptedKey],
        are_wanted: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Result<OpenedKey, ImportError>> {
        self.pool.map(items, Urgency::Background, |item| {
            let keystore = Keystore::parse(&item.keystore)?;
            self.unlock_wanted(&keystore, &item.password, are_wanted)
        })
    }

    /// Opens one keystore when the pool has the memory for it.
    pub(crate) fn unlock(&self, keystore: &Keystore, password: &str) -> Result<OpenedKey, ImportError> {
        self.unlock_wanted(keystore, password, &|| true)
    }

    fn unlock_wanted(
        &self,
        keystore: &Keystore,
        password: &str,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<OpenedKey, ImportError> {
        let secret = self.pool.with_memory(keystore.memory(), || {
            // Asked only now: the wait for memory may have been long.
            if is_wanted() {
                Ok(keystore.decrypt(password, &self.memory)?)
            } else {
                Err(ImportError::Unwanted)
            }
        })??;
        if let Some(weakness) = keystore.weakness() {
            warn_of(&secret.public_key(), weakness);
        }
        Ok(OpenedKey::new(secret, keystore.derivation_path().map(Into::into)))
    }

    pub(crate) fn memory(&self) -> &Arc<LockedMemory> {
        &self.memory
    }

    pub(crate) fn pool(&self) -> &Arc<KdfPool> {
        &self.pool
    }
}

/// Why a keystore did not become a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The keystore, or the password for it.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// It would take more memory than there is for this.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// Nobody waited for it any more.
    #[error("the keystore was not opened, as the client had left: import it again")]
    Unwanted,
}

fn warn_of(public_key: &crate::bls::PublicKey, weakness: Weakness) {
    tracing::warn!(%public_key, "{weakness}");
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::keys::eth2_keystore::{KdfCost, encrypt};
    use crate::keys::{KdfLimits, SecretKey};

    #[test]
    fn opens_the_good_ones_beside_bad_ones_in_order() {
        let importer = importer(KdfLimits::default());
        let good = |number: u8| item(&importer, number, "secret", "secret");
        let items = vec![
            good(1),
            item(&importer, 2, "secret", "other"),
            EncryptedKey { keystore: "{".into(), password: Zeroizing::new(String::new()) },
            good(3),
            good(1),
        ];
        let outcome = importer.open_all(&items, &|| true);
        let keys: Vec<Option<String>> = outcome
            .iter()
            .map(|result| result.as_ref().ok().map(|key| key.public_key().to_string()))
            .collect();
        assert_eq!(
            keys,
            [1, 0, 0, 3, 1]
                .map(|number| (number != 0).then(|| secret(number, &importer).public_key().to_string()))
        );
        let wrong = outcome.get(1).and_then(|result| result.as_ref().err());
        assert!(matches!(wrong, Some(ImportError::Keystore(KeystoreError::WrongPassword { empty: false }))));
    }

    #[test]
    fn begins_none_that_is_not_wanted_any_more() {
        let importer = importer(KdfLimits { threads: NonZeroUsize::MIN, ..KdfLimits::default() });
        let items: Vec<_> = (1..=4).map(|number| item(&importer, number, "secret", "secret")).collect();
        let asked = AtomicUsize::new(0);
        let outcome = importer.open_all(&items, &|| asked.fetch_add(1, Ordering::Relaxed) < 2);
        let is_unwanted = |outcome: &Result<OpenedKey, _>| matches!(outcome, Err(ImportError::Unwanted));
        assert_eq!(outcome.iter().map(is_unwanted).collect::<Vec<_>>(), [false, false, true, true]);
        assert!(outcome.iter().take(2).all(Result::is_ok));
    }

    #[test]
    fn refuses_a_keystore_that_needs_more_than_the_budget() {
        let importer = importer(KdfLimits { memory: 256 << 20, ..KdfLimits::default() });
        // The vector alone is 256 MiB; the blocks beside it do not fit.
        let keystore = include_str!("../../tests/vectors/eip2335.json");
        let all: Vec<serde_json::Value> = serde_json::from_str(keystore).unwrap();
        let scrypt = all[0]["keystore"].to_string();
        let outcome = importer.unlock(&Keystore::parse(&scrypt).unwrap(), "testpassword");
        assert!(matches!(outcome, Err(ImportError::OverBudget(OverBudget { .. }))));
    }

    fn item(importer: &Importer, number: u8, encrypted_under: &str, password: &str) -> EncryptedKey {
        let keystore = encrypt(&secret(number, importer), encrypted_under, KdfCost::Light, None).unwrap();
        EncryptedKey { keystore, password: Zeroizing::new(password.to_owned()) }
    }

    fn secret(number: u8, importer: &Importer) -> SecretKey {
        let mut bytes = [0; 32];
        bytes[31] = number;
        SecretKey::new(&bytes, &importer.memory).unwrap()
    }

    fn importer(limits: KdfLimits) -> Importer {
        Importer::new(LockedMemory::new().unwrap(), Arc::new(KdfPool::new(limits)))
    }
}
