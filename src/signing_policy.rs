//! Policy of who may have which duty signed with which key, asked before the key is looked up and before the ledger.
//! Pure.

use std::sync::Arc;

use crate::bls::PublicKey;
use crate::clients::{Client, ClientName, Clients, Requester};
use crate::duty::{Claim, Duty, Kind};
use crate::raw_roots::RawRoots;

/// What is allowed, as configured.
#[derive(Debug, Default)]
pub(crate) struct SigningPolicy {
    pub(crate) raw_roots: RawRoots,
    /// Whether proofs of validation are signed.
    pub(crate) proofs_of_validation: bool,
    pub(crate) clients: Clients,
}

impl SigningPolicy {
    /// The client that the requester is.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn client_of(&self, requester: &Requester<'_>) -> Result<&Arc<Client>, Refusal> {
        self.clients.client_of(requester).ok_or(Refusal::Stranger)
    }

    /// Allows `duty` for this client's key, or says why not. `find` looks a key up. It is asked for the client's own
    /// keys only, so that another one's is no different from one that there is not.
    ///
    /// # Errors
    /// The client may not have it signed, or there is no such key.
    pub(crate) fn permit<'a, K>(
        &self,
        client: &Client,
        public_key: PublicKey,
        duty: &'a Duty,
        find: impl FnOnce(&PublicKey) -> Option<K>,
    ) -> Result<Permitted<'a, K>, Refusal> {
        if !client.sees(&public_key) {
            return Err(Refusal::ForeignKey { public_key });
        }
        let key = find(&public_key).ok_or(Refusal::UnknownKey { public_key })?;
        if !client.may_have_signed(duty.kind()) {
            return Err(Refusal::Duty { kind: duty.kind(), client: client.name().cloned() });
        }
        if duty.kind() == Kind::ProofOfValidation && !self.proofs_of_validation {
            return Err(Refusal::ProofOfValidation);
        }
        let only_once = client.has_one_of(duty.kind());
        match duty.claim() {
            Claim::RawRoot => match self.raw_roots {
                RawRoots::Refuse => Err(Refusal::RawRoot),
                // Whether the key has history is the ledger's to know.
                RawRoots::UnprotectedKeys | RawRoots::Allow => Ok(Permitted { key, duty, only_once }),
            },
            Claim::Block { .. } | Claim::Attestation { .. } | Claim::Unslashable => {
                Ok(Permitted { key, duty, only_once })
            }
        }
    }

    /// Allows `duty` for a key that has been looked up, to everybody.
    #[cfg(any(test, feature = "bench-internals"))]
    pub(crate) fn permit_everybody<'a, K>(key: K, duty: &'a Duty) -> Result<Permitted<'a, K>, Refusal> {
        let policy = Self::default();
        let Some(everybody) = policy.clients.first() else { return Err(Refusal::Stranger) };
        policy.permit(everybody, PublicKey([0; 48]), duty, |_| Some(key))
    }
}

/// A duty that may be signed by this key. Only this module makes one; the ledger asks for it.
#[derive(Debug)]
pub(crate) struct Permitted<'a, K> {
    key: K,
    duty: &'a Duty,
    only_once: bool,
}

impl<K> Permitted<'_, K> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn into_key(self) -> K {
        self.key
    }

    /// Whether the client may have this one signed with the key and no other of its kind: the ledger knows.
    pub(crate) fn is_only_once(&self) -> bool {
        self.only_once
    }

    pub(crate) fn duty(&self) -> &Duty {
        self.duty
    }
}

/// Why a duty is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The caller is no client.
    #[error(
        "this caller is none of the clients that the signer's configuration names: ask its operator for a [[client]] \
         that fits its user, certificate or token"
    )]
    Stranger,
    /// The key is none of the client's, whether it is there or not.
    #[error("{}", NoSuchKey(public_key))]
    ForeignKey { public_key: PublicKey },
    #[error("{}", NoSuchKey(public_key))]
    UnknownKey { public_key: PublicKey },
    /// Its duties do not include it.
    #[error("{kind} is not among the duties that the client {} may have signed", Name(client))]
    Duty { kind: Kind, client: Option<ClientName> },
    /// For everybody.
    #[error(
        "raw roots are refused here (raw_roots = \"refuse\"): send the message itself, with its type and fork_info"
    )]
    RawRoot,
    /// For everybody.
    #[error(
        "proofs of validation are not signed here: ask the signer's operator for proofs_of_validation = \"on\" \
         (Web3Signer's --Xsigning-ext-enabled=true), if the monitor is one of the operator's own choice"
    )]
    ProofOfValidation,
}

/// One text, so that nobody can tell another client's key from one that there is not.
struct NoSuchKey<'a>(&'a PublicKey);

impl std::fmt::Display for NoSuchKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the signer has no key {}: import it, or check the public key", self.0)
    }
}

struct Name<'a>(&'a Option<ClientName>);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("that is everybody"),
        }
    }
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
        let permitted = |raw_roots, body: &str| {
            let duty = Duty::parse(body.as_bytes(), &Network::load("minimal").unwrap()).unwrap();
            let policy = SigningPolicy { raw_roots, ..SigningPolicy::default() };
            let everybody = policy.clients.first().unwrap();
            policy.permit(everybody, PublicKey([1; 48]), &duty, |key| Some(*key)).map(Permitted::into_key)
        };
        assert_eq!(permitted(RawRoots::Refuse, &raw_root), Err(Refusal::RawRoot));
        for policy in [RawRoots::UnprotectedKeys, RawRoots::Allow] {
            assert_eq!(permitted(policy, &raw_root), Ok(PublicKey([1; 48])), "{policy:?}");
        }
        for policy in [RawRoots::UnprotectedKeys, RawRoots::Allow, RawRoots::Refuse] {
            assert_eq!(permitted(policy, &randao), Ok(PublicKey([1; 48])), "{policy:?}");
        }
    }

    #[test]
    fn another_clients_key_reads_like_one_that_there_is_not() {
        let public_key = PublicKey([3; 48]);
        assert_eq!(
            Refusal::ForeignKey { public_key }.to_string(),
            Refusal::UnknownKey { public_key }.to_string()
        );
    }
}
