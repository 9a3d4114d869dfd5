//! Backup of a ledger: all that it has on record and the sealed keys, as they stand at one point in the order of
//! events.
//!
//! A backup is an old copy as soon as something is signed. So what is restored is a ledger of its own, with a mark
//! beside it: the next start lifts all watermarks to the present.

use super::Ledger;
use super::fault::Fault;
use super::interchange::Interchange;
use super::order::{ImportRefusal, Selection};
use super::row::KeyState;
use super::sqlite::SealedKeystore;
use super::transaction::AdminTransaction;
use super::watermarks::{HighWatermark, Metadata};
use crate::bls::PublicKey;
use crate::primitives::Root;

/// What a backup is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backup {
    /// The pinned chain, once known.
    pub(crate) chain: Option<Root>,
    pub(crate) high_watermark: HighWatermark,
    /// EIP-3076 JSON of all keys with history; one that no reader takes as long as there is no chain.
    pub(crate) interchange: String,
    /// Keys that were deleted.
    pub(crate) deleted: Vec<PublicKey>,
    /// Keys with which raw roots were signed.
    pub(crate) raw_root_signed: Vec<PublicKey>,
    /// The imported keys, under the seal secret, which is not in here. Copies of key files are left out.
    pub(crate) keystores: Vec<SealedKeystore>,
}

/// What is restored: a backup whose history was read.
#[derive(Debug)]
pub(crate) struct Restoration {
    /// None where no chain was known, and so nothing was signed.
    pub(crate) history: Option<Interchange>,
    pub(crate) high_watermark: HighWatermark,
    pub(crate) deleted: Vec<PublicKey>,
    pub(crate) raw_root_signed: Vec<PublicKey>,
    pub(crate) keystores: Vec<SealedKeystore>,
}

/// Why nothing was restored: the caller's matter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RestoreRefusal {
    #[error(
        "the ledger has {keys} keys on record, so nothing was restored: what it knows may be newer than the backup. If \
         it is lost or damaged, move its directory away first"
    )]
    NotEmpty { keys: usize },
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    #[error("the history of {public_key} cannot be read, so nothing was restored: {reason}")]
    History { public_key: PublicKey, reason: String },
}

impl Ledger {
    /// All of it, consistent, while it is in use.
    pub(crate) fn backup(&self) -> impl Future<Output = Result<Backup, Fault>> + Send + use<> {
        self.order(None, |transaction| {
            let Metadata { chain: _, high_watermark } = transaction.watermarks.head();
            let entries = transaction.watermarks.entries();
            let those = |has: fn(&KeyState) -> bool| {
                entries.iter().filter(|entry| has(entry)).map(|entry| entry.public_key).collect()
            };
            let mut keystores = transaction.keystores(0, usize::MAX)?.into_keystores();
            keystores.retain(|keystore| keystore.copy_of.is_none());
            Ok(Backup {
                // Not the configured one, which only the first record pins.
                chain: transaction.watermarks.pinned_chain().get().copied(),
                high_watermark,
                interchange: transaction.export(|_| true).interchange,
                deleted: those(|entry| entry.deleted),
                raw_root_signed: those(|entry| entry.raw_root_signed),
                keystores,
            })
        })
    }

    /// Puts a backup into an empty ledger, all in one transaction. Says how many keys are on record then.
    pub(crate) fn restore(
        &self,
        restoration: Restoration,
    ) -> impl Future<Output = Result<Result<usize, RestoreRefusal>, Fault>> + Send + use<> {
        self.order(None, move |transaction| Ok(transaction.restore(restoration)))
    }
}

impl AdminTransaction<'_> {
    fn restore(&mut self, restoration: Restoration) -> Result<usize, RestoreRefusal> {
        let Restoration { history, high_watermark, deleted, raw_root_signed, keystores } = restoration;
        let keys = self.watermarks.entries().len();
        if keys > 0 {
            return Err(RestoreRefusal::NotEmpty { keys });
        }
        if let Some(history) = history {
            let unreadable =
                history.histories.iter().find_map(|(key, history)| Some((*key, history.as_ref().err()?)));
            if let Some((public_key, reason)) = unreadable {
                return Err(RestoreRefusal::History { public_key, reason: reason.clone() });
            }
            self.import(history, &Selection::All)?;
        }
        self.watermarks.set_high_watermark(high_watermark);
        for public_key in deleted {
            let entry = self.entry(public_key);
            self.watermarks.put(KeyState { deleted: true, ..entry });
        }
        for public_key in raw_root_signed {
            let entry = self.entry(public_key);
            self.watermarks.put(KeyState { raw_root_signed: true, ..entry });
        }
        keystores.into_iter().for_each(|keystore| self.keep(keystore));
        Ok(self.watermarks.entries().len())
    }
}
