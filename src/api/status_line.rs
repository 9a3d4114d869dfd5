//! The line that `systemctl status` shows: keys, slashing protection, last duty.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use super::Signer;
use crate::ledger::Health;
use crate::supervisor::notify::{Notifier, tell};

/// The line as it is now.
pub(crate) fn status_line(signer: &Signer) -> String {
    let (keys, network) = (signer.custody.ring().len(), signer.network.name());
    let ledger = match signer.ledger.health() {
        Health::Working => "slashing protection on".to_owned(),
        Health::Off => "SLASHING PROTECTION OFF".to_owned(),
        Health::Broken(cause) => format!("slashing protection BROKEN ({cause})"),
    };
    let last_duty = match signer.last_duty.seconds_ago() {
        Some(seconds) => format!("last duty {seconds} s ago"),
        None => "no duty yet".to_owned(),
    };
    format!("{keys} keys on {network}, {ledger}, {last_duty}")
}

/// Keeps the service manager's copy of the line fresh until it is dropped.
pub(crate) async fn keep_telling(signer: Arc<Signer>, notifier: Arc<Notifier>) {
    let mut ticks = interval(EVERY);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let now = status_line(&signer);
        if now != told {
            tell(notifier.status(&now));
            told = now;
        }
    }
}

const EVERY: Duration = Duration::from_secs(10);
