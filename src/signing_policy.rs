//! Policy of what kinds of duty are signed at all, applied before the ledger is asked. Who may call is the listener's
//! matter. Pure.

use crate::bls::PublicKey;
use crate::duty::{Claim, Duty};

/// What is allowed, as configured: the same for every caller and key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SigningPolicy {
    /// Whether roots without their message are refused from everyone (`--raw-roots refuse`).
    pub(crate) refuse_raw_roots: bool,
}

impl SigningPolicy {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;

    #[test]
    fn raw_roots_are_refused_where_that_is_the_policy_and_nothing_else_is() {
        let raw_root = format!(r#"{{"signingRoot": "0x{}", "domain_name": "randao"}}"#, "11".repeat(32));
        let randao = format!(
            r#"{{"type": "RANDAO_REVEAL", "randao_reveal": {{"epoch": "1"}}, "fork_info": {{"fork": {{
                "previous_version": "0x00000001", "current_version": "0x00000001", "epoch": "0"}},
                "genesis_validators_root": "0x{}"}}}}"#,
            "22".repeat(32)
        );
        let permitted = |refuse_raw_roots, body: &str| {
            let duty = Duty::parse(body.as_bytes(), &Network::load("minimal").unwrap()).unwrap();
            SigningPolicy { refuse_raw_roots }
                .permit(PublicKey([1; 48]), duty)
                .map(|permitted| permitted.public_key())
        };
        assert_eq!(permitted(true, &raw_root), Err(Refusal::RawRoot));
        for (refuse_raw_roots, body) in [(false, &raw_root), (true, &randao), (false, &randao)] {
            assert_eq!(permitted(refuse_raw_roots, body), Ok(PublicKey([1; 48])));
        }
    }
}
