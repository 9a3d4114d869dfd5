//! A key as requests see it, and the only ways to a signature.

use std::sync::Arc;

use super::secret::SecretKey;
use crate::bls::{HashCache, HashedText, PublicKey, Signature, SignaturePoint};
use crate::duty::ProofOfValidation;
use crate::ledger::{Activated, Cleared, Judged, OfKey, Withheld};
use crate::signing_policy::Permitted;

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
/// durable; and texts that are no message of any chain.
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
    /// From a source that a fetcher reads; read-only for the Keymanager API.
    Fetched,
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

    /// A key of a source that a fetcher reads, which is the permission to sign, as the operator's files are.
    pub(crate) fn fetched(opened: OpenedKey) -> Self {
        Self { opened, origin: Origin::Fetched }
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
            Origin::File | Origin::Fetched => true,
        }
    }

    /// The opened keystore, to seal it or to hand it over.
    pub(crate) fn opened(&self) -> &OpenedKey {
        &self.opened
    }

    /// Signs a proof of validation for whom the policy permits it. No ledger judges it: the whole text is what is
    /// signed, and no chain signs texts.
    pub(crate) fn sign_proof(permitted: Permitted<'_, Arc<Self>>, proof: &ProofOfValidation) -> Signature {
        permitted.into_key().opened.secret.sign_text(&HashedText::new(proof.text())).into()
    }

    /// Multiplies what was judged for keys, while the records are still on their way to the disk; one signature for
    /// each, in their order. Neighbours with the same root are multiplied together. Key and root come out of the
    /// judgement, so that nothing else can be signed on the strength of it. `waiting`: how many more keys are known to
    /// wait for their turn to sign the same.
    pub(crate) fn presign(
        judged: Vec<Judged<Arc<Self>>>,
        waiting: usize,
        hashes: &HashCache,
    ) -> Vec<HeldSignature> {
        let mut signatures = Vec::with_capacity(judged.len());
        for same_root in judged.chunk_by(|one, next| one.signing_root() == next.signing_root()) {
            let Some(first) = same_root.first() else { continue };
            let hashed = hashes.hashed(&first.signing_root(), same_root.len(), waiting);
            let secrets: Vec<_> = same_root.iter().map(|judged| &judged.key().opened.secret).collect();
            signatures.append(&mut SecretKey::multiply(&secrets, &hashed));
        }
        judged
            .into_iter()
            .zip(signatures)
            .map(|(judged, signature)| HeldSignature { signature, judged })
            .collect()
    }
}

impl OfKey for Key {
    fn public_key(&self) -> PublicKey {
        self.public_key()
    }
}

/// A signature that must not be seen by anybody yet. Dropped without a release, it never was.
#[must_use]
pub(crate) struct HeldSignature {
    signature: SignaturePoint,
    judged: Judged<Arc<Key>>,
}

impl HeldSignature {
    /// Checks signatures of one root together, and computes them again if one is wrong. For many: it takes as long as
    /// some multiplications.
    pub(crate) fn examined(held: Vec<Self>, hashes: &HashCache) -> Vec<Self> {
        let Some(first) = held.first() else { return held };
        let hashed = hashes.hashed(&first.judged.signing_root(), 0, 0); // they were counted before
        let secrets: Vec<_> = held.iter().map(|held| &held.judged.key().opened.secret).collect();
        let signatures = held.iter().map(|held| held.signature).collect();
        let signatures = SecretKey::examined(&secrets, &hashed, signatures);
        held.into_iter().zip(signatures).map(|(held, signature)| Self { signature, ..held }).collect()
    }

    /// Gives the signature up when the record of what was judged is durable.
    ///
    /// # Errors
    /// It must not be given out. The signature is lost.
    pub(crate) async fn release(self) -> Result<Signature, Withheld> {
        let Self { signature, judged } = self;
        judged.cleared().await.map(|_: Cleared| signature.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bls::{RootTables, verify};
    use crate::deadline::Deadline;
    use crate::duty::Duty;
    use crate::ledger::{Protection, Unprotected, Verdict};
    use crate::network::Network;
    use crate::primitives::SigningRoot;
    use crate::signing_policy::SigningPolicy;
    use crate::sys::locked_memory::LockedMemory;

    #[test]
    fn a_signature_is_of_the_key_and_the_root_that_were_judged() {
        let memory = LockedMemory::new().unwrap();
        let hashes = HashCache::new(RootTables::On);
        let duties = [(1, 7), (2, 7), (2, 8), (1, 8), (3, 8), (4, 8), (5, 8), (1, 7)];
        // Alone, and together with others of the same root and of another.
        for size in [1, duties.len()] {
            for duties in duties.chunks(size) {
                let keys: Vec<_> = duties.iter().map(|(number, _)| Arc::new(key(*number, &memory))).collect();
                let judged = keys.iter().zip(duties).map(|(key, (_, byte))| judged(key, *byte)).collect();
                let held = Key::presign(judged, 0, &hashes);
                assert_eq!(held.len(), duties.len());
                for ((key, (_, byte)), held) in keys.iter().zip(duties).zip(held) {
                    let signature = wait(held.release()).unwrap();
                    assert!(verify(&key.public_key(), &SigningRoot([*byte; 32]), &signature));
                }
            }
        }
    }

    /// A raw root judged by a ledger that is off: the whole chain, as a request walks it.
    fn judged(key: &Arc<Key>, byte: u8) -> Judged<Arc<Key>> {
        let root = SigningRoot([byte; 32]);
        let body = format!(r#"{{"signingRoot": "{root}", "domain_name": "randao"}}"#);
        let duty = Duty::parse(body.as_bytes(), &Network::load("mainnet").unwrap()).unwrap();
        let permitted = SigningPolicy::permit_everybody(Arc::clone(key), &duty).unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        match wait(Protection::Off(Unprotected::accepted()).submit(permitted, deadline)).unwrap() {
            Verdict::Allowed(judged) => judged,
            Verdict::Refused(refusal) => panic!("{refusal}"),
        }
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
