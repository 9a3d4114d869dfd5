//! `POST /bls-signer/v1/slashing-protection`: the orders of `bls-signer slashing-protection` to the ledger.
//!
//! A running daemon holds the ledger's file for itself, so the command sends its [`Order`] to the daemon's keymanager
//! listener; without a daemon it carries the same order out on the file.

use std::collections::HashSet;
use std::time::SystemTime;

use super::problem::Problem;
use crate::blocking;
use crate::bls::{BlsError, PublicKey};
use crate::duty::Claim;
use crate::http::response::ApiResponse;
use crate::ledger::{
    self, Exported, HighWatermark, Interchange, InterchangeError, KeyNames, KeyStatus, Lifted, Protection,
    Raised, Refusal, SealedKeystore, Selection,
};
use crate::network::GenesisClock;
use crate::primitives::{Epoch, Slot};
use crate::signer::{AdminError, LedgerAdmin, Signer, way_out};
use crate::text::{self, Bounded};
use crate::wire::slashing_protection::{
    self as wire, Answered, BackupAnswer, Done, Explanation, ExportAnswer, FailedKey, ImportAnswer, Order,
    RaiseAnswer, Request, SealedKey, ShownHighWatermark, ShownJudgement, ShownKey, ShownLift, ShownRefusal,
    ShownStatus, SomeKeys,
};

/// Answers the [`Done`] of the [`Request`] in `body`.
pub(crate) async fn answer(signer: &Signer, body: &[u8]) -> Result<ApiResponse, Problem> {
    let Request { ledger, order } = blocking::in_place_if_large(body.len(), || text::json(body))
        .map_err(|error| Problem::bad_request(format!("the body is no order for the ledger: {error}")))?;
    let Protection::On(own) = &signer.protection else { return Err(Problem::no_ledger()) };
    if ledger.is_some_and(|meant| meant != own.opened().directory) {
        return Err(OrderError::OtherLedger.into());
    }
    let admin = LedgerAdmin { ledger: own, network: &signer.network };
    let done = match order {
        Order::Import(order) => Done::Import(order.carry_out(&admin).await?),
        Order::Export(order) => Done::Export(order.carry_out(&admin).await?),
        Order::Status(order) => Done::Status(order.carry_out(&admin).await?),
        Order::Explain(order) => Done::Explain(order.carry_out(&admin).await?),
        Order::Raise(order) => Done::Raise(order.carry_out(&admin).await?),
        Order::HighWatermark(order) => Done::HighWatermark(order.carry_out(&admin).await?),
        Order::Backup(order) => Done::Backup(order.carry_out(&admin).await?),
    };
    Ok(ApiResponse::json(&done))
}

/// An order that the daemon and the commands carry out alike.
pub(crate) trait CarryOut: Answered {
    /// Does it. What is answered is durable.
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<Self::Answer, OrderError>;
}

impl CarryOut for wire::Import {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<ImportAnswer, OrderError> {
        let interchange = blocking::in_place_if_large(self.interchange.len(), || {
            Interchange::parse(self.interchange.as_bytes())
        })?;
        let imported = admin.import(interchange, selection(&self.keys)?).await?;
        let failed = imported
            .failed
            .into_iter()
            .map(|(public_key, reason)| FailedKey { public_key: public_key.to_string(), reason });
        Ok(ImportAnswer { merged: imported.merged, failed: failed.collect() })
    }
}

impl CarryOut for wire::Export {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<ExportAnswer, OrderError> {
        let Exported { interchange, raw_roots } = admin.export(selection(&self.keys)?).await?;
        Ok(ExportAnswer { interchange, raw_roots: some_keys(&raw_roots) })
    }
}

impl CarryOut for wire::Status {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<ShownStatus, OrderError> {
        let ledger::Status { genesis_validators_root, high_watermark, keys } =
            admin.status(selection(&self.keys)?).await?;
        let opened = admin.ledger.opened();
        Ok(ShownStatus {
            genesis_validators_root: genesis_validators_root.map(|root| root.to_string()),
            high_watermark: high_watermark.into(),
            keys: keys.iter().map(ShownKey::from).collect(),
            lifted_at_start: opened.lifted.as_ref().map(|Lifted { slot, epoch, doubt }| ShownLift {
                slot: slot.to_string(),
                epoch: epoch.to_string(),
                reason: doubt.to_string(),
            }),
            unproven: opened.doubt.as_ref().map(ToString::to_string),
            tpm_counter: opened.counter.as_ref().map(ToString::to_string),
        })
    }
}

impl CarryOut for wire::Explain {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<Explanation, OrderError> {
        let foresight =
            admin.foresee(public_key(&self.key)?, self.slot.map(Slot), self.epoch.map(Epoch)).await?;
        let clock = GenesisClock::of(admin.network);
        let (block, attestation) = (foresight.status.watermark.block, foresight.status.watermark.attestation);
        let present = clock.map(|clock| clock.present(SystemTime::now()));
        Ok(Explanation {
            known: foresight.is_known,
            key: ShownKey::from(&foresight.status),
            high_watermark: foresight.high_watermark.into(),
            present: present.map(|(slot, epoch)| [slot.to_string(), epoch.to_string()]),
            block_since: clock.zip(block).and_then(|(clock, block)| clock.begin_of(block.slot)),
            target_since: clock.zip(attestation).and_then(|(clock, vote)| clock.begin_of_epoch(vote.target)),
            second_judge_not_asked: foresight.second_judge_not_asked,
            judged: foresight.refusals.into_iter().map(|judged| judgement(judged, clock)).collect(),
        })
    }
}

fn judgement((claim, refusal): (Claim, Option<Refusal>), clock: Option<GenesisClock>) -> ShownJudgement {
    let message = match claim {
        Claim::Block { slot } => format!("another block at slot {slot}"),
        Claim::Attestation { source, target } => {
            format!("another attestation with source epoch {source} and target epoch {target}")
        }
        Claim::RawRoot => "a raw root".to_owned(),
        Claim::Unslashable => "a duty that cannot be slashed".to_owned(),
    };
    let refusal = refusal.map(|refusal| ShownRefusal {
        rule: refusal.rule().name().to_owned(),
        reason: refusal.to_string(),
        way_out: way_out(&refusal, clock),
    });
    ShownJudgement { message, refusal }
}

impl CarryOut for wire::Raise {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<RaiseAnswer, OrderError> {
        let keys = selection(&self.keys)?;
        let Raised { raised, still_refused, present } =
            admin.raise(self.slot.map(Slot), self.epoch.map(Epoch), keys, self.far_ahead).await?;
        Ok(RaiseAnswer {
            raised,
            still_refused: some_keys(&still_refused),
            present: present.map(|(slot, epoch)| [slot.to_string(), epoch.to_string()]),
        })
    }
}

impl CarryOut for wire::HighWatermark {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<(), OrderError> {
        Ok(admin.set_high_watermark(self.into()).await?)
    }
}

impl CarryOut for wire::Backup {
    async fn carry_out(self, admin: &LedgerAdmin<'_>) -> Result<BackupAnswer, OrderError> {
        let ledger::Backup { chain, high_watermark, interchange, deleted, raw_root_signed, keystores } =
            admin.ledger.backup().await.map_err(AdminError::from)?;
        let names = |keys: Vec<PublicKey>| keys.iter().map(ToString::to_string).collect();
        let sealed = |keystore: SealedKeystore| SealedKey {
            public_key: keystore.public_key.to_string(),
            keystore: keystore.json,
            derivation_path: keystore.derivation_path,
        };
        Ok(BackupAnswer {
            genesis_validators_root: chain.map(|root| root.to_string()),
            high_watermark: high_watermark.into(),
            interchange,
            deleted: names(deleted),
            raw_root_signed: names(raw_root_signed),
            keystores: keystores.into_iter().map(sealed).collect(),
        })
    }
}

fn selection(keys: &[String]) -> Result<Selection, OrderError> {
    if keys.is_empty() {
        return Ok(Selection::All);
    }
    keys.iter().map(|text| public_key(text)).collect::<Result<HashSet<_>, _>>().map(Selection::Only)
}

fn public_key(text: &str) -> Result<PublicKey, OrderError> {
    text.parse().map_err(|source| OrderError::Key { text: text.to_owned(), source })
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    #[error("'{}' is no public key", Bounded(.text))]
    Key { text: String, source: BlsError },
    #[error("this daemon's ledger is another one than the order is for, so nothing was done")]
    OtherLedger,
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Interchange(error) => error.into(),
            OrderError::Key { .. } => Self::bad_request(error.to_string()),
            OrderError::OtherLedger => Self::conflict(error.to_string()),
            OrderError::Admin(error) => error.into(),
        }
    }
}

fn some_keys(names: &KeyNames) -> Option<SomeKeys> {
    (!names.is_empty()).then(|| SomeKeys { count: names.count(), names: names.to_string() })
}

impl From<wire::HighWatermark> for HighWatermark {
    fn from(wire::HighWatermark { slot, epoch }: wire::HighWatermark) -> Self {
        Self { slot: slot.map(Slot), epoch: epoch.map(Epoch) }
    }
}

impl From<HighWatermark> for wire::HighWatermark {
    fn from(HighWatermark { slot, epoch }: HighWatermark) -> Self {
        Self { slot: slot.map(|slot| slot.0), epoch: epoch.map(|epoch| epoch.0) }
    }
}

impl From<HighWatermark> for ShownHighWatermark {
    fn from(HighWatermark { slot, epoch }: HighWatermark) -> Self {
        Self { slot: slot.map(|slot| slot.to_string()), epoch: epoch.map(|epoch| epoch.to_string()) }
    }
}

impl From<&KeyStatus> for ShownKey {
    fn from(key: &KeyStatus) -> Self {
        let attestation = key.watermark.attestation;
        Self {
            public_key: key.public_key.to_string(),
            deleted: key.deleted,
            raw_root_signed: key.raw_root_signed,
            years_ahead: key.years_ahead,
            block_slot: key.watermark.block.map(|block| block.slot.to_string()),
            source_epoch: attestation.map(|attestation| attestation.source.to_string()),
            target_epoch: attestation.map(|attestation| attestation.target.to_string()),
        }
    }
}
