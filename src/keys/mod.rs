//! Validator keys: how they are read, kept and used.
//!
//! A secret exists in the clear only in locked memory ([`crate::sys::locked_memory`]) and, wiped after, in the few
//! bytes between a keystore's cipher and there. It never leaves: a [`Key`] signs where the secret lies, and gives the
//! signature up only against the ledger's [`Cleared`](crate::ledger::Cleared).
//!
//! Where to look: `ring` is what requests see; `key` signs; `eth2_keystore` is EIP-2335; `kdf_pool` bounds what opening
//! keystores may cost the host; `import` opens the keystores of one request; `brought` opens what a fetcher brings;
//! `loader` reads the operator's files;
//! `seal` is how imported keys lie on disk; `fd_store` is how keys in memory survive the process.

mod brought;
pub(crate) mod eth2_keystore;
mod fd_store;
mod import;
mod kdf_pool;
mod key;
pub(crate) mod loader;
mod mac;
mod ring;
mod seal;
mod secret;

pub(crate) use self::brought::{BroughtError, BroughtKey, Opened};
pub(crate) use self::fd_store::{FdStore, Inherited};
pub(crate) use self::import::{EncryptedKey, ImportError, Importer};
pub(crate) use self::kdf_pool::{KdfLimits, KdfPool, Urgency};
pub(crate) use self::key::{HeldSignature, Key, OpenedKey, Origin};
pub(crate) use self::ring::{Dismissed, Ring, Snapshot};
pub(crate) use self::seal::{Seal, SealError, SealFileError};
pub(crate) use self::secret::{SecretKey, SecretKeyError};
