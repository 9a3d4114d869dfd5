//! Who may sign what: caller x key x kind of duty, decided before the ledger is asked. Pure.

use crate::bls::PublicKey;
use crate::duty::Duty;

/// A duty that this caller may have signed by this key. Only this module makes one; the ledger asks for it.
#[derive(Debug)]
pub(crate) struct Permitted {
    public_key: PublicKey,
    duty: Duty,
}

impl Permitted {
    pub(crate) fn public_key(&self) -> PublicKey {
        self.public_key
    }

    pub(crate) fn duty(&self) -> &Duty {
        &self.duty
    }
}
