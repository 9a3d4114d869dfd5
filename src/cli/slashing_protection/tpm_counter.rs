//! `bls-signer slashing-protection tpm-counter`: makes the counter of a ledger's sessions in a TPM, or takes it away.

use std::io::Write;

use super::ledger_access::{LedgerAccess, LedgerArgs};
use super::{Error, say};
use crate::config::Environment;
use crate::ledger::{CounterChange, Missing, ShownCounter};

#[derive(clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    ledger_args: LedgerArgs,
    /// Take the counter away: the ledger is not counted any more
    #[arg(long)]
    remove: bool,
}

pub(super) fn run(options: Options, environment: &Environment, output: &mut dyn Write) -> Result<(), Error> {
    let Options { ledger_args, remove } = options;
    let change = if remove { CounterChange::Remove } else { CounterChange::Make };
    let opened = ledger_args.open_for_counter(change, Missing::Refuse, environment)?;
    let LedgerAccess::File { ledger, directory, .. } = opened else { return Err(Error::CounterInUse) };
    let directory = directory.display();
    match &ledger.opened().counter {
        None => say(
            output,
            &format!(
                "the sessions of the ledger in {directory} are not counted any more: take tpm_counter out of the \
                 configuration before the next start"
            ),
        ),
        Some(counter) => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Error::Runtime)?;
            runtime.block_on(ledger.count()).map_err(Error::NotCounted)?;
            let (ShownCounter::Counts { counter, .. } | ShownCounter::NotYet(counter)) = counter;
            say(
                output,
                &format!("the sessions of the ledger in {directory} are counted from now on, by {counter}"),
            )
        }
    }
}
