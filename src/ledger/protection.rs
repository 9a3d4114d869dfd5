//! Slashing protection, on or off.

use super::clearance::{Judged, Verdict};
use super::of_key::OfKey;
use super::order::{Activated, Activation, ActivationOutcome, Past};
use super::watermarks::Request;
use super::{Attention, Fault, Ledger, Lifted, Refusal};
use crate::deadline::Deadline;
use crate::signing_policy::Permitted;

/// Slashing protection: what stands between a permitted duty and its signature.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub(crate) enum Protection {
    /// By a ledger, which is asked for each duty.
    On(Ledger),
    /// None: everything is allowed, nothing is recorded.
    Off(Unprotected),
}

impl Protection {
    /// Asks whether a permitted duty may be signed. Duties that cannot be slashed never wait.
    pub(crate) async fn submit<K: OfKey>(
        &self,
        permitted: Permitted<'_, K>,
        deadline: Deadline,
    ) -> Result<Verdict<K>, Fault> {
        match self {
            Self::On(ledger) => ledger.submit(permitted, deadline).await,
            Self::Off(unprotected) => Ok(unprotected.allow(permitted)),
        }
    }

    /// Asks for several duties at once. They are judged in order and share one commit; the answers come in the same
    /// order.
    pub(crate) async fn submit_all<K: OfKey>(
        &self,
        permitted: Vec<Permitted<'_, K>>,
        deadline: Deadline,
    ) -> Result<Vec<Verdict<K>>, Fault> {
        match self {
            Self::On(ledger) => ledger.submit_all(permitted, deadline).await,
            Self::Off(unprotected) => {
                Ok(permitted.into_iter().map(|permitted| unprotected.allow(permitted)).collect())
            }
        }
    }

    /// Whether what could be slashed is judged.
    pub(crate) fn is_on(&self) -> bool {
        match self {
            Self::On(_) => true,
            Self::Off(_) => false,
        }
    }

    /// Which keys need an operator, by the ledger's records.
    pub(crate) fn attention(&self) -> Attention {
        match self {
            Self::On(ledger) => ledger.attention(),
            Self::Off(_) => Attention::default(),
        }
    }

    /// What the start lifted, where nothing showed that the ledger is the newest.
    pub(crate) fn lifted(&self) -> Option<&Lifted> {
        match self {
            Self::On(ledger) => ledger.opened().lifted.as_ref(),
            Self::Off(_) => None,
        }
    }

    /// What to call when the cores have nothing to do: records that were wanted soon are made at once then.
    pub(crate) fn hurry(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let hurry = match self {
            Self::On(ledger) => Some(ledger.hurry()),
            Self::Off(_) => None,
        };
        move || hurry.iter().for_each(|hurry| hurry())
    }
}

/// Signing without a record, which somebody has asked for in so many words.
#[derive(Debug)]
pub(crate) struct Unprotected(());

impl Unprotected {
    /// To be called where that was asked for, and nowhere else.
    pub(crate) fn accepted() -> Self {
        Self(())
    }

    /// Lets keys sign. Nothing is on record of any of them.
    pub(crate) fn activate<K>(&self, activations: Vec<Activation<K>>) -> Vec<ActivationOutcome<K>> {
        let active = |activation: Activation<K>| ActivationOutcome::Active {
            key: activation.key.map(Activated),
            past: Past::default(),
        };
        activations.into_iter().map(active).collect()
    }

    fn allow<K: OfKey>(&self, permitted: Permitted<'_, K>) -> Verdict<K> {
        if permitted.is_only_once() {
            return Verdict::Refused(Refusal::ExitUnrecorded);
        }
        let judged = Judged::unrecorded(&Request::from(&permitted));
        Verdict::Allowed(judged).for_key(permitted.into_key())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bls::PublicKey;
    use crate::duty::Duty;
    use crate::network::Network;
    use crate::signing_policy::SigningPolicy;

    #[tokio::test]
    async fn without_protection_contradictions_pass() {
        let protection = Protection::Off(Unprotected::accepted());
        for root in ["11", "22"] {
            let duty = Duty::parse(block(root).as_bytes(), &Network::load("mainnet").unwrap()).unwrap();
            let permitted = SigningPolicy::permit_everybody(PublicKey([1; 48]), &duty).unwrap();
            let deadline = Deadline::after(Duration::from_secs(60));
            let Verdict::Allowed(judged) = protection.submit(permitted, deadline).await.unwrap() else {
                panic!("{root}")
            };
            assert_eq!(judged.signing_root(), duty.signing_root());
            judged.cleared().await.unwrap();
        }
        assert!(protection.attention().raw_roots.is_empty());
    }

    /// Blocks of one slot.
    fn block(root: &str) -> String {
        let (zero, root) = ("00".repeat(32), root.repeat(32));
        let chain = "4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95";
        format!(
            r#"{{"type": "BLOCK_V2", "fork_info": {{"fork": {{"previous_version": "0x04000000",
                "current_version": "0x05000000", "epoch": "364032"}}, "genesis_validators_root": "0x{chain}"}},
                "beacon_block": {{"version": "ELECTRA", "block_header": {{"slot": "12000000", "proposer_index": "1",
                "parent_root": "0x{zero}", "state_root": "0x{zero}", "body_root": "0x{root}"}}}}}}"#
        )
    }
}
