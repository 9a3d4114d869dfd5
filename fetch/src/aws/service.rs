//! Questions to AWS' services: signed, and what is wrong with an answer by the service's own names.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::signature::{Keys, Scope, Timestamp, authorization};
use crate::http::{self, Address, Client, Endpoint, Question};
use crate::trouble::{Kind, Trouble, code};

/// The service, asked by one connection.
pub(super) struct Service {
    client: Client,
    region: String,
    keys: Arc<Keys>,
}

impl Service {
    pub(super) fn new(endpoint: Endpoint, region: &str, keys: Arc<Keys>) -> Self {
        Self { client: Client::new(endpoint).judging(judge), region: region.to_owned(), keys }
    }

    pub(super) async fn ask<T>(
        &mut self,
        operation: &str,
        body: &Value,
        read: impl FnOnce(&[u8]) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let body = body.to_string();
        let target = format!("secretsmanager.{operation}");
        let host = self.client.address().authority();
        let scope = Scope { region: &self.region, service: "secretsmanager", time: Timestamp::now() };
        let mut headers =
            vec![("content-type", CONTENT_TYPE), ("host", &*host), ("x-amz-date", scope.time.as_str())];
        headers.extend(self.keys.session_token.iter().map(|token| ("x-amz-security-token", token.as_str())));
        headers.push(("x-amz-target", &target));
        let authorization = authorization(&self.keys, &scope, &headers, &body);
        // The client writes the host.
        headers.retain(|(name, _)| *name != "host");
        headers.push(("authorization", &authorization));
        let question = Question { method: Method::POST, path: "/", headers: &headers, body: &body };
        let (_, answer) = self.client.ask(&question).await?;
        read(&answer)
    }
}

/// The endpoint of a service in a region.
pub(super) fn server(service: &str, region: &str) -> Result<Address, Trouble> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Ok(format!("https://{service}.{region}.{domain}").parse::<Address>()?)
}

/// What the service says is wrong: a name of its own beside a status that is 400 for most of it.
fn judge(status: StatusCode, body: &[u8]) -> Result<(), (Kind, String)> {
    if status.is_success() {
        return Ok(());
    }
    let Ok(Refusal { r#type, message }) = serde_json::from_slice::<Refusal>(body) else {
        // Nothing is found at this path, by another server.
        return http::by_status(
            if status == StatusCode::NOT_FOUND { StatusCode::BAD_REQUEST } else { status },
            body,
        );
    };
    let name = r#type.rsplit('#').next().unwrap_or_default();
    let kind = kind_of(name);
    let message = match kind {
        // It names who may not do what. Of a wrong signature it says what was signed, with the session's token.
        Kind::Denied if name == "AccessDeniedException" => {
            message.unwrap_or_default().chars().take(LONGEST_MESSAGE).collect()
        }
        Kind::Denied => "look at the keys, and at the clock of this host".to_owned(),
        Kind::Unreachable
        | Kind::Timeout
        | Kind::NotFound
        | Kind::Malformed
        | Kind::TooLarge
        | Kind::Busy => String::new(),
    };
    let name = code(name);
    let separator = if message.is_empty() { "" } else { ": " };
    Err((kind, format!("answers {name}{separator}{message}")))
}

/// Of an error of the service, by its name.
pub(super) fn kind_of(name: &str) -> Kind {
    match name {
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "InternalServiceError"
        | "InternalFailure"
        | "ServiceUnavailable" => Kind::Busy,
        "AccessDeniedException"
        | "DecryptionFailure"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Kind::Denied,
        "ResourceNotFoundException" => Kind::NotFound,
        _ => Kind::Malformed,
    }
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    r#type: String,
    #[serde(alias = "Message")]
    message: Option<String>,
}

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const LONGEST_MESSAGE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_judged_by_its_name_and_shows_nothing_that_was_signed() {
        let judged = |status, body: &str| judge(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let fault =
            |name: &str| format!(r#"{{"__type": "com.amazonaws#{name}", "Message": "token=canary"}}"#);
        assert_eq!(judged(200, "{}"), Ok(()));
        for (name, kind) in [
            ("ThrottlingException", Kind::Busy),
            ("InternalServiceError", Kind::Busy),
            ("InvalidSignatureException", Kind::Denied),
            ("ExpiredTokenException", Kind::Denied),
            ("ResourceNotFoundException", Kind::NotFound),
            ("InvalidParameterException", Kind::Malformed),
        ] {
            let (judged, reason) = judged(400, &fault(name)).unwrap_err();
            assert_eq!(judged, kind, "{name}");
            assert!(reason.contains(name) && !reason.contains("canary"), "{reason}");
        }
        assert!(judged(400, &fault("AccessDeniedException")).unwrap_err().1.ends_with(": token=canary"));
        for (status, kind) in [(503, Kind::Busy), (301, Kind::Malformed), (404, Kind::Malformed)] {
            assert_eq!(judged(status, "<html>").unwrap_err().0, kind);
        }
    }
}
