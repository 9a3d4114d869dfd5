//! Proofs of validation: a text signed with one key, for who is granted that.

use super::error::SignError;
use super::outcome::{Latencies, Outcome, Stopwatch};
use super::{Grant, Signer};
use crate::blocking;
use crate::bls::{PublicKey, Signature};
use crate::duty::{self, ProofOfValidation};
use crate::keys::Key;

impl Signer {
    /// Signs the text that was read with this key, for this client, and notes what came of it. One at a time: a monitor
    /// asks for all keys at once, and duties come first.
    pub(crate) async fn sign_proof(
        &self,
        grant: &Grant<'_>,
        public_key: Option<PublicKey>,
        read: Result<ProofOfValidation, duty::Refusal>,
    ) -> Result<Signature, SignError> {
        let mut latencies = Latencies::default();
        let (proof, result) = match read {
            Ok(proof) => {
                let result = self.sign_text(grant, public_key, &proof, &mut latencies).await;
                (Some(proof), result)
            }
            Err(refusal) => (None, Err(refusal.into())),
        };
        let (duty, error) = (proof.as_ref().map(ProofOfValidation::duty), result.as_ref().err());
        self.outcomes.note(&Outcome { grant, public_key, duty, error, latencies }, &self.network);
        result
    }

    async fn sign_text(
        &self,
        grant: &Grant<'_>,
        public_key: Option<PublicKey>,
        proof: &ProofOfValidation,
        latencies: &mut Latencies,
    ) -> Result<Signature, SignError> {
        let mut stopwatch = Stopwatch::start();
        let _turn = self.proof_turns.lock().await;
        let permitted = self.permitted(grant, public_key, proof.duty())?;
        latencies.judge = stopwatch.lap();
        let signature = blocking::in_place(|| Key::sign_proof(permitted, proof));
        latencies.multiply = stopwatch.lap();
        self.still_permitted(grant, public_key, proof.duty())?;
        Ok(signature)
    }
}
