//! Values that belong to one key.

use std::sync::Arc;

use crate::bls::PublicKey;

/// A value that is about one key and says which.
pub(crate) trait OfKey {
    fn public_key(&self) -> PublicKey;
}

impl OfKey for PublicKey {
    fn public_key(&self) -> PublicKey {
        *self
    }
}

impl<K: OfKey> OfKey for Arc<K> {
    fn public_key(&self) -> PublicKey {
        K::public_key(self)
    }
}
