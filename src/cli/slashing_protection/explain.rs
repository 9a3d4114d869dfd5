//! `bls-signer explain`: what is on record of one key, what would be refused, and how to go on.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;

use super::ledger_access::LedgerArgs;
use super::{Error, say};
use crate::bls::PublicKey;
use crate::config::Environment;
use crate::ledger::Missing;
use crate::wire::slashing_protection::{
    Explain, Explanation, ShownHighWatermark, ShownJudgement, ShownRefusal,
};

/// Which key, and which of its duties.
#[derive(Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    ledger_args: LedgerArgs,
    /// The public key
    #[arg(value_name = "KEY")]
    key: PublicKey,
    /// A block at this slot [default: the present one, where the network's clock is known]
    #[arg(long, value_name = "SLOT")]
    slot: Option<u64>,
    /// An attestation with this target epoch [default: the present one]
    #[arg(long, value_name = "EPOCH")]
    epoch: Option<u64>,
}

/// Asks the daemon that holds the ledger, or reads the file where none does.
pub(in crate::cli) fn run(
    options: Options,
    environment: &Environment,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let Options { ledger_args, key, slot, epoch } = options;
    let ledger = ledger_args.open(Missing::Refuse, environment)?;
    let explanation = ledger.carry_out(Explain { key: key.to_string(), slot, epoch })?;
    let held = match ledger.holds(&key)? {
        None => "no daemon runs here, so nothing is signed now: start it, see 'bls-signer check'".to_owned(),
        Some(true) => "the daemon has it".to_owned(),
        Some(false) => {
            "the daemon does NOT have it and answers 404: import it ('bls-signer keys import'), or make \
                        its file readable and reload ('bls-signer status' says what is wrong with key files)"
                .to_owned()
        }
    };
    say(output, &text(&explanation, &held, &ledger.to_string()))
}

fn text(explanation: &Explanation, held: &str, ledger: &str) -> String {
    let Explanation {
        known,
        key,
        high_watermark,
        present,
        block_since,
        target_since,
        second_judge_not_asked,
        judged,
    } = explanation;
    let mut text = format!("{}\n{:<12} {held}\n{:<12} {ledger}\n", key.public_key, "key", "ledger");
    if *second_judge_not_asked {
        let _ = writeln!(
            text,
            "{:<12} of this host alone: the second judge was not asked and may refuse more",
            ""
        );
    }
    if let Some([slot, epoch]) = present {
        let _ = writeln!(text, "{:<12} slot {slot}, epoch {epoch}, by this host's clock", "present");
    }
    let since = |since: &Option<String>| since.as_ref().map(|since| format!(", {since}")).unwrap_or_default();
    let block = match &key.block_slot {
        None => "no block".to_owned(),
        Some(slot) => format!("a block at slot {slot}{}", since(block_since)),
    };
    let vote = match (&key.source_epoch, &key.target_epoch) {
        (Some(source), Some(target)) => {
            format!("attestations up to source {source} and target {target}{}", since(target_since))
        }
        (None | Some(_), None | Some(_)) => "no attestation".to_owned(),
    };
    let unknown = if *known { "" } else { " (the ledger has never heard of this key)" };
    let _ = writeln!(text, "{:<12} {block}{unknown}\n{:<12} {vote}", "on record", "");
    let state = [
        (key.deleted, "deleted from this signer".to_owned()),
        (key.raw_root_signed, "raw roots were signed with it, which may have said anything".to_owned()),
        (key.years_ahead.is_some(), format!("its record lies {} YEARS AHEAD", key.years_ahead.unwrap_or(0))),
    ];
    for (_, state) in state.into_iter().filter(|(holds, _)| *holds) {
        let _ = writeln!(text, "{:<12} {state}", "state");
    }
    let ShownHighWatermark { slot, epoch } = high_watermark;
    for (what, stop) in [("slot", slot), ("epoch", epoch)] {
        if let Some(stop) = stop {
            let _ = writeln!(
                text,
                "{:<12} nothing is signed at or beyond {what} {stop} (high watermark)",
                "stop"
            );
        }
    }
    for ShownJudgement { message, refusal } in judged {
        match refusal {
            None => {
                let _ = writeln!(text, "\n{message}: would be signed, by what the ledger knows");
            }
            Some(ShownRefusal { rule, reason, way_out }) => {
                let _ = writeln!(
                    text,
                    "\n{message}: would be REFUSED by the rule {rule}\n  why: {reason}\n  do:  {way_out}"
                );
            }
        }
    }
    if judged.is_empty() {
        text.push_str("\nthe network's clock is not known: say with --slot or --epoch what it is about\n");
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::slashing_protection::ShownKey;

    #[test]
    fn a_second_judge_who_was_not_asked_is_spoken_of() {
        let explanation = |second_judge_not_asked| Explanation {
            known: false,
            key: ShownKey {
                public_key: "0xab".to_owned(),
                deleted: false,
                raw_root_signed: false,
                years_ahead: None,
                block_slot: None,
                source_epoch: None,
                target_epoch: None,
            },
            high_watermark: ShownHighWatermark { slot: None, epoch: None },
            present: None,
            block_since: None,
            target_since: None,
            second_judge_not_asked,
            judged: Vec::new(),
        };
        let said = |not_asked| text(&explanation(not_asked), "held", "ledger").contains("may refuse more");
        assert!(said(true) && !said(false));
    }
}
