//! A key as requests see it, and the only way to a signature.

use super::secret::SecretKey;
use crate::bls::{HashedRoot, PublicKey, Signature};
use crate::ledger::{Activated, Cleared, Judged, OfKey};
use crate::primitives::SigningRoot;

/// A secret out of its keystore, which cannot sign. A [`Key`] can, and is made of it in one of the ways that are there.
pub(crate) struct OpenedKey {
    secret: SecretKey,
    derivation_path: Option<Box<str>>,
}

impl OpenedKey {
    /// `derivation_path` is the keystore's EIP-2334 path, if it has one.
    pub(crate) fn new(secret: SecretKey, derivation_path: Option<Box<str>>) -> Self {
        Self { secret, derivation_path }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.secret.public_key()
    }

    pub(crate) fn derivation_path(&self) -> Option<&str> {
        self.derivation_path.as_deref()
    }

    /// The secret, to seal it.
    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

impl OfKey for OpenedKey {
    fn public_key(&self) -> PublicKey {
        self.public_key()
    }
}

/// A key that may sign. It signs only what the ledger has judged, and the signature comes out only when the record is
/// durable.
pub(crate) struct Key {
    opened: OpenedKey,
    origin: Origin,
}

/// Where a key came from, which decides who may take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Imported over the Keymanager API, which may also delete it.
    Imported,
    /// From a directory or key configuration file of the operator's; read-only for the Keymanager API.
    File,
}

impl Key {
    /// A key of the Keymanager API: the ledger has it on record as active, with the history that it brought.
    pub(crate) fn imported(activated: Activated<OpenedKey>) -> Self {
        Self { opened: activated.into_key(), origin: Origin::Imported }
    }

    /// A key that the process before imported, and had when it ended.
    pub(super) fn inherited(opened: OpenedKey) -> Self {
        Self { opened, origin: Origin::Imported }
    }

    /// A key of the operator's files, which are the permission to sign. What the ledger has on record of it, a deletion
    /// too, decides each request.
    pub(super) fn of_file(opened: OpenedKey) -> Self {
        Self { opened, origin: Origin::File }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.opened.public_key()
    }

    pub(crate) fn derivation_path(&self) -> Option<&str> {
        self.opened.derivation_path()
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the Keymanager API must not delete it.
    pub(crate) fn is_readonly(&self) -> bool {
        match self.origin {
            Origin::Imported => false,
            Origin::File => true,
        }
    }

    /// The opened keystore, to seal it or to hand it over.
    pub(crate) fn opened(&self) -> &OpenedKey {
        &self.opened
    }

    /// Multiplies while the record is still on its way to the disk. What comes back is of no use before
    /// [`HeldSignature::release`].
    ///
    /// The judgement is the permission to begin. That key and root are those of the record is checked at the release.
    pub(crate) fn presign(&self, hashed: &HashedRoot, _judged: &Judged) -> HeldSignature {
        HeldSignature {
            public_key: self.public_key(),
            signing_root: hashed.signing_root(),
            signature: self.opened.secret.multiply(hashed),
        }
    }
}

/// A signature that must not be seen by anybody yet. Dropped without a release, it never was.
#[must_use]
pub(crate) struct HeldSignature {
    public_key: PublicKey,
    signing_root: SigningRoot,
    signature: Signature,
}

impl HeldSignature {
    /// Gives the signature up against the proof that the record of this key and this root is durable.
    ///
    /// # Errors
    /// When the proof is for another key or root: a fault of this program. The signature is lost.
    pub(crate) fn release(self, cleared: Cleared) -> Result<Signature, ReleaseError> {
        if cleared.public_key() != self.public_key {
            return Err(ReleaseError::Key { held: self.public_key, cleared: cleared.public_key() });
        }
        if cleared.signing_root() != self.signing_root {
            return Err(ReleaseError::Root { held: self.signing_root, cleared: cleared.signing_root() });
        }
        Ok(self.signature)
    }
}

/// A signature and a proof that do not belong together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// The proof is for another key.
    #[error("the signature is by {held}, but what was cleared is for {cleared}: it is withheld")]
    Key {
        /// Who signed.
        held: PublicKey,
        /// Who was cleared to sign.
        cleared: PublicKey,
    },
    /// The proof is for another message.
    #[error("the signature is over {held}, but what was cleared is {cleared}: it is withheld")]
    Root {
        /// What was signed.
        held: SigningRoot,
        /// What was cleared.
        cleared: SigningRoot,
    },
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bls::verify;
    use crate::duty::Duty;
    use crate::ledger::{Ledger, Verdict};
    use crate::network::Network;
    use crate::signing_policy::SigningPolicy;
    use crate::sys::locked_memory::LockedMemory;

    #[test]
    fn a_signature_comes_out_against_its_own_clearance() {
        let key = key(1, &LockedMemory::new().unwrap());
        let (judged, root) = judged(&key, 7);
        let held = key.presign(&HashedRoot::new(&root), &judged);
        let signature = held.release(cleared(judged)).unwrap();
        assert!(verify(&key.public_key(), &root, &signature));
    }

    #[test]
    fn a_signature_over_another_root_than_the_cleared_one_is_withheld() {
        let key = key(1, &LockedMemory::new().unwrap());
        let (judged, _) = judged(&key, 7);
        let held = key.presign(&HashedRoot::new(&SigningRoot([8; 32])), &judged);
        let error = held.release(cleared(judged)).unwrap_err();
        assert!(matches!(error, ReleaseError::Root { .. }), "{error}");
    }

    #[test]
    fn a_signature_by_another_key_than_the_cleared_one_is_withheld() {
        let memory = LockedMemory::new().unwrap();
        let (one, two) = (key(1, &memory), key(2, &memory));
        let (judged, root) = judged(&one, 7);
        let held = two.presign(&HashedRoot::new(&root), &judged);
        let error = held.release(cleared(judged)).unwrap_err();
        assert!(matches!(error, ReleaseError::Key { .. }), "{error}");
    }

    /// A raw root judged by a ledger that is off: the whole chain, as a request walks it.
    fn judged(key: &Key, byte: u8) -> (Judged, SigningRoot) {
        let root = SigningRoot([byte; 32]);
        let body = format!(r#"{{"signingRoot": "{root}", "domain_name": "randao"}}"#);
        let duty = Duty::parse(body.as_bytes(), &Network::load("mainnet").unwrap()).unwrap();
        let permitted = SigningPolicy::default().permit(key.public_key(), duty).unwrap();
        match wait(Ledger::off().submit(&permitted)).unwrap() {
            Verdict::Allowed(judged) => (judged, root),
            Verdict::Refused(refusal) => panic!("{refusal}"),
        }
    }

    fn cleared(judged: Judged) -> Cleared {
        wait(judged.cleared()).unwrap()
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn key(number: u8, memory: &Arc<LockedMemory>) -> Key {
        let mut bytes = [0; 32];
        bytes[31] = number;
        Key::inherited(OpenedKey::new(SecretKey::new(&bytes, memory).unwrap(), None))
    }
}
