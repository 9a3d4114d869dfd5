//! Log lines that are due by the clock and by no request: refusals that were only counted, a certificate that ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval};

use crate::api::Api;
use crate::http::tls::{Expiry, Validity};

/// Tells the log until it is dropped.
pub(crate) async fn keep_reminding(api: Arc<Api>) {
    let mut looks = interval(CHECK_INTERVAL);
    let mut warned: Option<Instant> = None;
    loop {
        looks.tick().await;
        for (key, counted) in api.signer.outcomes.take_counted_refusals() {
            tracing::warn!(
                %key,
                "refused: {counted} more like the last line for this key, within a minute of it"
            );
        }
        for (client, counted) in api.signer.outcomes.take_counted_by_client() {
            tracing::warn!(
                %client,
                "refused: {counted} more like the last line for this client, within a minute of it"
            );
        }
        let counted = api.signer.outcomes.take_counted_strangers();
        if counted > 0 {
            tracing::warn!(
                "refused: {counted} more requests of callers that are no clients, within a minute"
            );
        }
        for (fault, counted) in api.faults.settle() {
            tracing::error!("{counted} more requests met this within a minute of its last line: {fault}");
        }
        let counted = api.signer.outcomes.take_counted_faults();
        if counted > 0 {
            tracing::error!("not signed: {counted} more like the last such line, within a minute of it");
        }
        if warned.is_none_or(|warned| warned.elapsed() >= WARNING_INTERVAL) {
            api.access.certificate_expiry().inspect(|expiry| warn(*expiry));
            warned = Some(Instant::now());
        }
    }
}

fn warn(expiry: Expiry) {
    match expiry.at(SystemTime::now()) {
        Validity::Long => {}
        Validity::Ending { days } => {
            tracing::warn!("the TLS certificate ends in {days} days, at {expiry}: renew it and reload");
        }
        Validity::Over => {
            tracing::error!(
                "the TLS certificate has ended, at {expiry}: clients refuse it; renew it and reload"
            );
        }
    }
}

const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
