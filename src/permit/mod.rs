//! Which kinds of duty are signed at all, decided before the ledger is asked. Who may call is the listener's matter. Pure.

use crate::bls::PublicKey;
use crate::duty::{Claim, Duty};

/// What is allowed, as configured: the same for every caller and key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Permits {
    /// Whether roots without their message are refused from everyone (`--raw-roots refuse`).
    pub(crate) refuse_raw_roots: bool,
}

impl Permits {
    /// Allows `duty` for `public_key`, or says why not.
    pub(crate) fn permit(&self, public_key: PublicKey, duty: Duty) -> Result<Permitted, Refusal> {
        match duty.claim() {
            Claim::RawRoot if self.refuse_raw_roots => Err(Refusal::RawRoot),
            Claim::RawRoot | Claim::Block { .. } | Claim::Attestation { .. } | Claim::Unslashable => {
                Ok(Permitted { public_key, duty })
            }
        }
    }
}

/// A duty that may be signed by this key. Only this module makes one; the ledger asks for it.
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

/// Why a duty is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// By policy.
    #[error(
        "raw roots are refused here (raw_roots = \"refuse\"): send the message itself, with its type and fork_info"
    )]
    RawRoot,
}
