//! Slashing protection of the daemon: how it is set up at the start, and when the ledger's end is the daemon's.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::{Settings, UnprovenStart};
use crate::ledger::{
    self, Attention, Ledger, Lifted, Missing, Protection, StoreError, Unprotected, Unproven,
};
use crate::ledger_settings;
use crate::network::Network;
use crate::text::chain;

/// `has_keys`: a process before this one left keys with the service manager. What they signed is on record somewhere.
pub(super) fn protection(
    settings: &Settings,
    network: &Network,
    has_keys: bool,
) -> Result<Protection, ledger::OpenError> {
    if !settings.ledger.slashing_protection {
        let state_dir = &settings.ledger.state_dir;
        let has_ledger = ledger::is_in(state_dir);
        if has_ledger {
            ledger::mark_unproven(state_dir, "a daemon was started without slashing protection")?;
        }
        tracing::warn!(
            "SLASHING PROTECTION IS OFF: nothing stops this signer from signing what gets validators slashed, and \
             nothing is recorded. {}",
            if has_ledger {
                "When it is switched on again, the ledger's watermarks are lifted to the present (--unproven)"
            } else {
                "Before it is switched on again, lift the keys' watermarks to the present (`bls-signer \
                 slashing-protection raise`)"
            }
        );
        return Ok(Protection::Off(Unprotected::accepted()));
    }
    let missing = if settings.ledger.required || has_keys { Missing::Refuse } else { Missing::Create };
    let unproven = match settings.ledger.unproven {
        UnprovenStart::Lift => Unproven::Lift,
        UnprovenStart::Refuse => Unproven::Refuse,
    };
    let settings_of_ledger = ledger_settings::with_shared(settings, network, missing)?;
    let ledger = Ledger::open(ledger::Settings { unproven, ..settings_of_ledger })?;
    let opened = ledger.opened();
    if opened.is_new {
        tracing::warn!(
            "there was no slashing protection ledger, so a NEW, EMPTY one was created: {opened}. Keys that have signed \
             anywhere before need their history in it first (`bls-signer slashing-protection import` or `raise`)"
        );
    } else {
        tracing::info!("the slashing protection ledger is {opened}");
    }
    if let Some(counter) = &opened.counter {
        tracing::info!("the ledger's sessions are counted: {counter}");
    }
    if let Some(Lifted { slot, epoch, doubt }) = &opened.lifted {
        tracing::warn!(
            "nothing shows that the ledger is the newest ({doubt}), so ALL WATERMARKS WERE LIFTED to the present: no \
             block up to slot {slot} and no attestation with a target up to epoch {epoch} is signed"
        );
    }
    if settings.ledger.anchors.is_empty() && !opened.is_new {
        tracing::warn!(
            "there is no place for an anchor of the ledger, so an older copy of it would not be noticed: set \
             XDG_RUNTIME_DIR and HOME, or RUNTIME_DIRECTORY and CACHE_DIRECTORY"
        );
    }
    let Attention { raw_roots, far_ahead } = ledger.attention();
    if !raw_roots.is_empty() {
        tracing::warn!(
            "raw roots were signed with {} keys, so their blocks and attestations are refused until their watermarks \
             are lifted to the present (bls-signer slashing-protection raise): {raw_roots}",
            raw_roots.count()
        );
    }
    if !far_ahead.is_empty() {
        tracing::warn!(
            "the records of {} keys lie years ahead of this host's clock, so that only what lies above them is signed. \
             Is the clock right? (docs/slashing-protection.md, \"A record far ahead\"): {far_ahead}",
            far_ahead.count()
        );
    }
    Ok(Protection::On(ledger))
}

/// Resolves when the ledger is broken and a new process could go on with it. Without a supervisor nobody would start
/// one.
///
/// Where nothing can be written, as on a full disk, no process can start: this one then goes on with what needs no
/// ledger.
pub(super) async fn mended_by_a_restart(protection: &Protection, supervised: bool) -> Arc<StoreError> {
    let Protection::On(ledger) = protection else { return pending().await };
    let cause = ledger.broken().await;
    tracing::error!(
        cause = chain(cause.as_ref()),
        "the slashing protection ledger broke: no block, no attestation and no raw root is signed"
    );
    if !supervised {
        pending::<()>().await;
    }
    let mut told = false;
    loop {
        sleep(BROKEN_LEDGER_TIME).await;
        match ledger.can_be_opened_again().await {
            Ok(()) => return cause,
            Err(error) if !told => {
                tracing::error!(
                    error = chain(&error),
                    "the ledger's directory cannot be written, so a restart would not help until it can: is the disk \
                     full?"
                );
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// How long a broken ledger is there to be seen, in health and in answers, before the process ends.
const BROKEN_LEDGER_TIME: Duration = Duration::from_secs(5);
