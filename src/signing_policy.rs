//! Policy of what kinds of duty are signed at all, applied before the ledger is asked. Who may call is the listener's
//! matter. Pure.

use crate::duty::{Claim, Duty};
use crate::raw_roots::RawRoots;

/// What is allowed, as configured: the same for every caller and key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SigningPolicy {
    pub(crate) raw_roots: RawRoots,
}

impl SigningPolicy {
    /// Allows `duty` for `key`, or says why not.
    pub(crate) fn permit<'a, K>(&self, key: K, duty: &'a Duty) -> Result<Permitted<'a, K>, Refusal> {
        match duty.claim() {
            Claim::RawRoot => match self.raw_roots {
                RawRoots::Refuse => Err(Refusal::RawRoot),
                // Whether the key has history is the ledger's to know.
                RawRoots::UnprotectedKeys | RawRoots::Allow => Ok(Permitted { key, duty }),
            },
            Claim::Block { .. } | Claim::Attestation { .. } | Claim::Unslashable => {
                Ok(Permitted { key, duty })
            }
        }
    }
}

/// A duty that may be signed by this key. Only this module makes one; the ledger asks for it.
#[derive(Debug)]
pub(crate) struct Permitted<'a, K> {
    key: K,
    duty: &'a Duty,
}

impl<K> Permitted<'_, K> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn into_key(self) -> K {
        self.key
    }

    pub(crate) fn duty(&self) -> &Duty {
        self.duty
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
    use crate::bls::PublicKey;
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
        let permitted = |raw_roots, body: &str| {
            let duty = Duty::parse(body.as_bytes(), &Network::load("minimal").unwrap()).unwrap();
            SigningPolicy { raw_roots }.permit(PublicKey([1; 48]), &duty).map(Permitted::into_key)
        };
        assert_eq!(permitted(RawRoots::Refuse, &raw_root), Err(Refusal::RawRoot));
        for policy in [RawRoots::UnprotectedKeys, RawRoots::Allow] {
            assert_eq!(permitted(policy, &raw_root), Ok(PublicKey([1; 48])), "{policy:?}");
        }
        for policy in [RawRoots::UnprotectedKeys, RawRoots::Allow, RawRoots::Refuse] {
            assert_eq!(permitted(policy, &randao), Ok(PublicKey([1; 48])), "{policy:?}");
        }
    }
}
