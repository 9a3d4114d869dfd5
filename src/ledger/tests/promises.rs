//! What the ledger has promised to its callers, and whether a restart from some disk keeps it.

use std::collections::BTreeMap;

use super::fault_vfs::FaultVfs;
use super::*;
use crate::ledger::rules::{SignedAttestation, SignedBlock, Watermark};
use crate::ledger::{Activation, Counting, Interchange, SealedKeystore, Selection, Unproven};

/// An entry on the vfs between what the files saw.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// An order that changes whether this key is deleted was sent: until it is answered, both may be found.
    Asked(PublicKey),
    /// The answer was given.
    Promised(Promise),
}

/// What an answer commits the ledger to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    public_key: PublicKey,
    watermark: Watermark,
    deleted: Option<bool>,
    /// A raw root was signed: no block and no attestation may be, until the key's watermarks are lifted.
    raw_root: bool,
    /// A signature left for this message: from now on the ledger must never allow its contradiction.
    signed: Option<Request>,
}

/// All promises in force at some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    keys: BTreeMap<PublicKey, (Watermark, Option<bool>, bool)>,
    last: Option<Request>,
}

impl Promises {
    pub(super) fn note(&mut self, mark: Mark) {
        match mark {
            Mark::Asked(public_key) => self.keys.entry(public_key).or_default().1 = None,
            Mark::Promised(Promise { public_key, watermark, deleted, raw_root, signed }) => {
                let key = self.keys.entry(public_key).or_default();
                key.0 = key.0.merged(watermark);
                key.1 = deleted.or(key.1);
                key.2 |= raw_root;
                self.last = signed.or(self.last);
            }
        }
    }

    /// Opens what is in the directory and looks for a promise that it does not keep.
    pub(super) fn check(&self, directory: &Path, counting: Counting) -> Result<(), String> {
        let strict = Settings {
            missing: Missing::Refuse,
            counting,
            unproven: Unproven::Refuse,
            anchors: vec![directory.join("anchors")],
            ..settings(directory)
        };
        let ledger = Ledger::open(strict).map_err(|error| format!("does not open: {error:?}"))?;
        let found = wait(ledger.status(Selection::All)).map_err(|fault| format!("no status: {fault}"))?;
        let found = found.keys.iter().map(|key| (key.public_key, key)).collect::<BTreeMap<_, _>>();
        for (public_key, (watermark, deleted, _)) in &self.keys {
            let held = found.get(public_key).map(|key| key.watermark).unwrap_or_default();
            let joined = held.merged(*watermark);
            if numbers(&joined) != numbers(&held) {
                return Err(format!("forgot {watermark:?} of {public_key}, holds {held:?}"));
            }
            let is_deleted = found.get(public_key).is_some_and(|key| key.deleted);
            if deleted.is_some_and(|deleted| deleted != is_deleted) {
                return Err(format!("{public_key} is deleted: {is_deleted}, promised: {deleted:?}"));
            }
        }
        for (public_key, (_, _, raw_root)) in &self.keys {
            let is_marked = found.get(public_key).is_some_and(|key| key.raw_root_signed);
            if *raw_root && !is_marked {
                return Err(format!("forgot that a raw root was signed with {public_key}"));
            }
        }
        let Some(mut contradiction) = self.last else { return Ok(()) };
        contradiction.signing_root = SigningRoot([0xFF; 32]);
        if matches!(contradiction.claim, Claim::RawRoot) {
            contradiction = Request { public_key: contradiction.public_key, ..block(0, 1 << 40, 0xFF) };
        }
        match ask(&ledger, contradiction) {
            Ok(Err(_)) => Ok(()),
            Ok(Ok(_)) => Err(format!("signed a contradiction of {:?}", self.last)),
            Err(fault) => Err(format!("cannot judge: {fault:?}")),
        }
    }
}

/// A few epochs in the life of three keys: blocks, attestations, repeats, history in, watermarks up, keys out and in.
///
/// Each answer is marked on the vfs. Ends early, with the number of steps done, when the ledger breaks.
pub(super) fn live(ledger: &Ledger, vfs: &FaultVfs, epochs: std::ops::Range<u64>) -> Result<(), Fault> {
    for epoch in epochs {
        let vote = |key: u8| attestation(key, epoch - 1, epoch, u8::try_from(epoch % 250).unwrap());
        let votes = vec![vote(1), vote(2), vote(2), vote(3)];
        let verdicts = wait(ledger.judge_all(&votes))?;
        for (request, verdict) in votes.into_iter().zip(verdicts) {
            clear(vfs, request, verdict)?;
        }
        let proposal = block(1, epoch * 32, u8::try_from(epoch % 250).unwrap());
        clear(vfs, proposal, wait(ledger.judge(&proposal))?)?;
        match epoch % 8 {
            2 => {
                let raw_root = raw_root(u8::try_from(100 + epoch % 50).unwrap(), 1);
                clear(vfs, raw_root, wait(ledger.judge(&raw_root))?)?;
            }
            3 => {
                let json = wait(ledger.export(Selection::All))?.interchange;
                let history = Interchange::parse(json.replace("\"32\"", "\"33\"").as_bytes()).unwrap();
                wait(ledger.import(history, Selection::All))?.unwrap();
            }
            4 => {
                let floor = Slot(epoch * 32 + 5);
                wait(ledger.raise(Some(floor), None, Selection::All))?;
                let block = Some(SignedBlock { slot: floor, signing_root: None });
                promise(vfs, 1, Watermark { block, attestation: None }, None);
            }
            5 => {
                vfs.mark(Mark::Asked(public_key(3)));
                wait(ledger.delete(&[Deletion { public_key: public_key(3), active: true }]))?;
                promise(vfs, 3, Watermark::default(), Some(true));
                vfs.mark(Mark::Asked(public_key(3)));
                let keystore = SealedKeystore {
                    public_key: public_key(3),
                    json: "{}".repeat(400),
                    derivation_path: None,
                    copy_of: None,
                    source: None,
                };
                let activation = Activation::of(public_key(3), Some(keystore));
                wait(ledger.activate(vec![activation], None))?.unwrap();
                promise(vfs, 3, Watermark::default(), Some(false));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Waits for the record, and marks the signature that may leave now.
pub(super) fn clear(vfs: &FaultVfs, request: Request, verdict: Verdict) -> Result<(), Fault> {
    let judged = match verdict {
        Verdict::Allowed(judged) => judged,
        Verdict::Refused(refusal) => panic!("{request:?}: {refusal}"),
    };
    cleared_or_refused(wait(judged.cleared()))?.unwrap();
    let signing_root = Some(request.signing_root);
    let watermark = match request.claim {
        Claim::Block { slot } => {
            Watermark { block: Some(SignedBlock { slot, signing_root }), attestation: None }
        }
        Claim::Attestation { source, target } => {
            let attestation = Some(SignedAttestation { source, target, signing_root });
            Watermark { block: None, attestation }
        }
        Claim::RawRoot | Claim::Unslashable => Watermark::default(),
    };
    vfs.mark(Mark::Promised(Promise {
        public_key: request.public_key,
        watermark,
        deleted: None,
        raw_root: matches!(request.claim, Claim::RawRoot),
        signed: Some(request),
    }));
    Ok(())
}

fn promise(vfs: &FaultVfs, key: u8, watermark: Watermark, deleted: Option<bool>) {
    let public_key = public_key(key);
    vfs.mark(Mark::Promised(Promise { public_key, watermark, deleted, raw_root: false, signed: None }));
}

fn numbers(watermark: &Watermark) -> (Option<Slot>, Option<(Epoch, Epoch)>) {
    (
        watermark.block.map(|block| block.slot),
        watermark.attestation.map(|attestation| (attestation.source, attestation.target)),
    )
}
