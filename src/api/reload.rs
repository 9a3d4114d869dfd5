//! `POST /reload` and `GET /reload`: read clients, tokens, certificates and key files again; the answers are
//! Web3Signer's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Api;
use super::problem::{RELOAD_BEGUN, RELOAD_RUNNING};
use crate::http::response::ApiResponse;
use crate::keymanager::{Operation, Reload, ReloadStatus};
use crate::signer::Signer;
use crate::signing_policy::SigningPolicy;
use crate::text::chain;

/// `POST`: 202 when a reload has begun, 409 while another one runs. `status` and its words are Web3Signer's.
pub(crate) fn start(api: &Arc<Api>) -> ApiResponse {
    #[derive(Serialize)]
    struct Started {
        code: u16,
        status: &'static str,
        message: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'static str>,
    }
    let Some(reload) = api.signer.keystores.begin_reload() else {
        let message = "a reload is already in progress: ask again when GET /reload says that it has ended";
        let answer =
            Started { code: RELOAD_RUNNING.as_u16(), status: "error", message, error: Some(message) };
        return ApiResponse::json(&answer).with_status(RELOAD_RUNNING);
    };
    let api = Arc::clone(api);
    tokio::spawn(async move { run(&api, reload).await });
    let answer = Started {
        code: RELOAD_BEGUN.as_u16(),
        status: "accepted",
        message: "the reload has begun",
        error: None,
    };
    ApiResponse::json(&answer).with_status(RELOAD_BEGUN)
}

/// Reads clients, tokens and certificates again, then the key files.
pub(crate) async fn run(api: &Api, reload: Reload) {
    let access = read_access(api).await;
    reload.run(&api.signer.protection, access.err()).await;
}

/// Reads clients, tokens and certificates again, and tells the log. An error is the text for `GET /reload`: why is for
/// the log alone, as it names files.
pub(crate) async fn read_access(api: &Api) -> Result<(), &'static str> {
    const FAILED: &str =
        "clients, tokens and certificates could not be read again, so those from before hold: see the log";
    // One at a time: an older reading must not take the place of a newer one.
    let _turn = api.reading_access.lock().await;
    let (access, sources) = (Arc::clone(&api.access), api.client_sources.clone());
    let policy = api.signer.policy.load_full();
    let read = move || {
        let clients = policy.clients.reload(&sources).map_err(|error| chain(&error))?;
        access.reload(clients.token_digests()).map_err(|error| chain(&error))?;
        Ok(SigningPolicy {
            raw_roots: policy.raw_roots,
            proofs_of_validation: policy.proofs_of_validation,
            clients,
        })
    };
    let error: String = match spawn_blocking(read).await.map_err(|error| chain(&error)) {
        Ok(Ok(renewed)) => {
            for warning in renewed.clients.warnings() {
                tracing::warn!("{warning}");
            }
            api.signer.policy.store(Arc::new(renewed));
            api.access.note_reading(true);
            tracing::info!("clients, tokens and certificates read");
            return Ok(());
        }
        Ok(Err(error)) | Err(error) => error,
    };
    api.access.note_reading(false);
    tracing::error!(
        "clients, tokens and certificates could not be read again, so those from before hold: {error}"
    );
    Err(FAILED)
}

/// `GET`: `{status, lastOperationTime?, lastError?}`, the time as RFC 3339.
pub(crate) fn status(signer: &Signer) -> ApiResponse {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_operation_time: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_error: Option<String>,
    }
    let ReloadStatus { operation, last_operation, last_error } = signer.keystores.reload_status();
    let status = match operation {
        Operation::Idle => "idle",
        Operation::Running => "running",
        Operation::Completed => "completed",
        Operation::CompletedWithErrors => "completed_with_errors",
        Operation::Failed => "failed",
    };
    let last_operation_time = last_operation.and_then(rfc3339);
    ApiResponse::json(&Status { status, last_operation_time, last_error })
}

/// The time in seconds, if it has a form: a clock before 1970 or beyond 9999 shows none.
fn rfc3339(time: SystemTime) -> Option<String> {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_1970 < YEAR_10000).then(|| humantime::format_rfc3339_seconds(time).to_string())
}

/// Its first second, since 1970.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_form_is_not_shown() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(at(253_402_300_799).as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(at(253_402_300_800), None);
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
