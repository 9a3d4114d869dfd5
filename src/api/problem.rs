//! Status codes: the only place where a refusal or a fault becomes one, and JSON.
//!
//! A refusal is the caller's matter: 4xx, normal, logged at debug level. A fault is ours: 500, logged as an error, and
//! its details stay in the log. On the sign route no other status than 200, 400, 401, 403, 404, 405, 406, 412, 413,
//! 415 and 500 is ever sent: Prysm parses any status that it does not know as a signature.

use std::error::Error;

use hyper::header::{ALLOW, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use tokio::task::yield_now;

use crate::caller::Caller;
use crate::http::body::BodyRefusal;
use crate::http::capacity::Overloaded;
use crate::http::framing::FramingRefusal;
use crate::http::guard::GuardRefusal;
use crate::http::memory_budget::BudgetExhausted;
use crate::http::negotiation::Produces;
use crate::http::response::ApiResponse;
use crate::keymanager::ImportFault;
use crate::repetitions::{MoreLikeThis, Occurrence, Repetitions};
use crate::signer::pool::PoolClosed;
use crate::signer::{AdminError, SignError, SignFault, SignRefusal};
use crate::text::OneLine;
use crate::text::chain;
use crate::{duty, ledger, signing_policy};

impl ApiResponse {
    /// The JSON form of `value`.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::written(serde_json::to_vec(value))
    }

    /// The JSON form of a list that may be long, of what `form` makes of its items: others have their turn while it is
    /// written.
    pub(crate) async fn json_list<I, T: Serialize>(items: Vec<I>, form: fn(I) -> T) -> Self {
        let (mut body, mut items) = (vec![b'['], items.into_iter());
        while items.len() > 0 {
            for item in items.by_ref().take(ITEMS_AT_A_TIME) {
                if let Err(error) = serde_json::to_writer(&mut body, &form(item)) {
                    return Self::written(Err(error));
                }
                body.push(b',');
            }
            yield_now().await;
        }
        if body.last() == Some(&b',') {
            body.pop();
        }
        body.push(b']');
        Self::raw_json(body)
    }

    /// Our own types cannot fail to serialise; if one did, the answer is 500, not a panic.
    fn written(body: serde_json::Result<Vec<u8>>) -> Self {
        match body {
            Ok(body) => Self::raw_json(body),
            Err(error) => {
                tracing::error!(error = chain(&error), "an answer could not be written as JSON");
                Self::raw_json(UNWRITTEN).with_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// Of a health route.
pub(crate) fn health_status(is_up: bool) -> StatusCode {
    if is_up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Of a reload that has begun.
pub(crate) const RELOAD_BEGUN: StatusCode = StatusCode::ACCEPTED;

/// Of a reload that has not, as another one runs.
pub(crate) const RELOAD_RUNNING: StatusCode = StatusCode::CONFLICT;

/// A request that is not answered with what it asked for.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// For the caller: what failed, with which value, and what to do. Never a path, a password or SQL.
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
    cause: Cause,
}

impl Problem {
    pub(crate) fn not_acceptable(produces: Produces) -> Self {
        let media_type = match produces {
            Produces::TextOrJson => "text/plain or application/json",
            Produces::Exposition => "text/plain or application/openmetrics-text",
            Produces::Json | Produces::JsonAlways | Produces::JsonOrText => "application/json",
        };
        Self::refusal(
            StatusCode::NOT_ACCEPTABLE,
            format!("this route answers {media_type}; change the Accept header"),
        )
    }

    pub(crate) fn not_json() -> Self {
        Self::refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON: send 'Content-Type: application/json'",
        )
    }

    pub(crate) fn encoded() -> Self {
        Self::refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "compressed bodies are not read: drop Content-Encoding",
        )
    }

    pub(crate) fn protection_off() -> Self {
        Self::refusal(StatusCode::NOT_FOUND, "slashing protection is off, so there are no watermarks")
    }

    /// Not 404: that is what listeners answer that do not serve the route.
    pub(crate) fn no_ledger() -> Self {
        Self::refusal(StatusCode::BAD_REQUEST, "slashing protection is off, so the signer has no ledger")
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::refusal(StatusCode::BAD_REQUEST, message)
    }

    /// Of a request that comes when the signer is stopping. Its status is one that the sign route may send.
    pub(crate) fn stopping() -> Self {
        let message =
            "the signer is stopping and takes nothing new: ask again, when the next one has started";
        Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::refusal(StatusCode::NOT_FOUND, message)
    }

    /// `allowed`: the methods that are.
    pub(crate) fn method_not_allowed(message: impl Into<String>, allowed: &str) -> Self {
        let problem = Self::refusal(StatusCode::METHOD_NOT_ALLOWED, message);
        match HeaderValue::try_from(allowed) {
            Ok(allowed) => problem.with_header(ALLOW, allowed),
            Err(_) => problem,
        }
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::refusal(StatusCode::CONFLICT, message)
    }

    /// A fault of ours: the caller gets `message`, the log gets `cause` too.
    pub(crate) fn fault(message: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause = Cause::Fault(chain(cause.into().as_ref()));
        let message = OneLine(message.into()).to_string();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message, header: None, cause }
    }

    fn refusal(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: OneLine(message.into()).to_string(), header: None, cause: Cause::Refusal }
    }

    fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Logs it, unless the signer has. Faults with the same message to callers are counted in `faults` for a minute.
    pub(crate) fn log(&self, caller: &Caller, method: &Method, path: &str, faults: &Repetitions<String>) {
        let status = self.status.as_u16();
        let message = &self.message;
        match &self.cause {
            Cause::Logged => {}
            Cause::Fault(cause) => match faults.note(message.clone()) {
                Occurrence::Line { counted } => {
                    let counted = MoreLikeThis(counted);
                    tracing::error!(%caller, %method, path, status, cause, "{message}{counted}");
                }
                Occurrence::Counted => tracing::debug!(%caller, %method, path, status, cause, "{message}"),
            },
            Cause::Refusal => tracing::debug!(%caller, %method, path, status, "refused: {message}"),
        }
    }

    pub(crate) fn into_api_response(self) -> ApiResponse {
        let answer = ApiResponse::json(&self).with_status(self.status);
        match self.header {
            Some((name, value)) => answer.with_header(name, value),
            None => answer,
        }
    }
}

/// Whose matter a problem is, and what the log is still to be told of it.
#[derive(Debug)]
enum Cause {
    /// The caller's.
    Refusal,
    /// Ours; this is what the message to the caller leaves out.
    Fault(String),
    /// Noted as an outcome by the signer.
    Logged,
}

/// As callers see it: `code`, `message`, and the message again as `error`, where Nimbus looks for it.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("Problem", 3)?;
        body.serialize_field("code", &self.status.as_u16())?;
        body.serialize_field("message", &self.message)?;
        body.serialize_field("error", &self.message)?;
        body.end()
    }
}

impl From<GuardRefusal> for Problem {
    fn from(refusal: GuardRefusal) -> Self {
        let status = match refusal {
            GuardRefusal::NoHost | GuardRefusal::RepeatedHost => StatusCode::BAD_REQUEST,
            GuardRefusal::Token | GuardRefusal::WrongToken => StatusCode::UNAUTHORIZED,
            GuardRefusal::Host
            | GuardRefusal::Browser
            | GuardRefusal::Certificate
            | GuardRefusal::WrongKeymanagerToken => StatusCode::FORBIDDEN,
        };
        let problem = Self::refusal(status, refusal.to_string());
        if status == StatusCode::UNAUTHORIZED {
            return problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        problem
    }
}

impl From<BodyRefusal> for Problem {
    fn from(refusal: BodyRefusal) -> Self {
        let status = match refusal {
            BodyRefusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // Not 408: see the module's list of statuses.
            BodyRefusal::TooSlow { .. } | BodyRefusal::Stalled | BodyRefusal::Broken(_) => {
                StatusCode::BAD_REQUEST
            }
            BodyRefusal::NoMemory(full) => return full.into(),
        };
        Self::refusal(status, refusal.to_string())
    }
}

impl From<BudgetExhausted> for Problem {
    fn from(full: BudgetExhausted) -> Self {
        Self::fault(full.to_string(), "bodies that arrive and answers that nobody reads take all the room")
    }
}

impl From<Overloaded> for Problem {
    fn from(overloaded: Overloaded) -> Self {
        Self::fault(overloaded.to_string(), "too many requests in flight")
    }
}

impl From<FramingRefusal> for Problem {
    fn from(refusal: FramingRefusal) -> Self {
        Self::bad_request(refusal.to_string())
    }
}

impl From<duty::Refusal> for Problem {
    fn from(refusal: duty::Refusal) -> Self {
        let status = match refusal {
            duty::Refusal::Json(_)
            | duty::Refusal::Missing { .. }
            | duty::Refusal::Invalid { .. }
            | duty::Refusal::RootMismatch { .. } => StatusCode::BAD_REQUEST,
            // As the ledger has it for a chain that only it knows.
            duty::Refusal::OtherChain { .. } => StatusCode::PRECONDITION_FAILED,
        };
        Self::refusal(status, refusal.to_string())
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        let problem = match error {
            SignError::Refused(refusal) => refusal.into(),
            SignError::Failed(fault) => fault.into(),
        };
        Self { cause: Cause::Logged, ..problem }
    }
}

impl From<SignRefusal> for Problem {
    fn from(refusal: SignRefusal) -> Self {
        match refusal {
            SignRefusal::Duty(refusal) => refusal.into(),
            SignRefusal::NoPublicKey => Self::not_found(refusal.to_string()),
            SignRefusal::Policy(refusal) => refusal.into(),
            SignRefusal::SlashingProtection(refusal) => refusal.into(),
        }
    }
}

impl From<SignFault> for Problem {
    fn from(fault: SignFault) -> Self {
        match fault {
            SignFault::Ledger(fault) => fault.into(),
            SignFault::Pool(closed) => closed.into(),
            SignFault::PoolBusy(busy) => Self::fault(busy.to_string(), busy),
            SignFault::TooLate(_) => Self::fault(
                "the signer is overloaded: there was no signature in time. The same message can be asked for again",
                fault,
            ),
        }
    }
}

impl From<PoolClosed> for Problem {
    fn from(closed: PoolClosed) -> Self {
        Self::fault("the signature could not be computed: see the signer's log", closed)
    }
}

impl From<signing_policy::Refusal> for Problem {
    fn from(refusal: signing_policy::Refusal) -> Self {
        let status = match refusal {
            signing_policy::Refusal::ForeignKey { .. } | signing_policy::Refusal::UnknownKey { .. } => {
                StatusCode::NOT_FOUND
            }
            signing_policy::Refusal::Stranger
            | signing_policy::Refusal::Duty { .. }
            | signing_policy::Refusal::RawRoot
            | signing_policy::Refusal::ProofOfValidation => StatusCode::FORBIDDEN,
        };
        Self::refusal(status, refusal.to_string())
    }
}

impl From<ledger::Refusal> for Problem {
    fn from(refusal: ledger::Refusal) -> Self {
        Self::refusal(StatusCode::PRECONDITION_FAILED, refusal.to_string())
    }
}

impl From<ledger::Fault> for Problem {
    fn from(fault: ledger::Fault) -> Self {
        let message = "slashing protection is not available, so no block, no attestation and no raw root is signed: \
                       see the signer's log";
        Self::fault(message, fault)
    }
}

impl From<ledger::InterchangeError> for Problem {
    fn from(error: ledger::InterchangeError) -> Self {
        let reason = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        Self::bad_request(format!("{error}{reason}"))
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Import(refusal) => refusal.into(),
            AdminError::FarAhead { .. } | AdminError::NoKeys => Self::bad_request(error.to_string()),
            AdminError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ledger::ImportRefusal> for Problem {
    fn from(refusal: ledger::ImportRefusal) -> Self {
        Self::bad_request(refusal.to_string())
    }
}

impl From<ImportFault> for Problem {
    fn from(fault: ImportFault) -> Self {
        match fault {
            ImportFault::Open(error) => Self::fault("the keystores could not be opened", error),
            ImportFault::Seal(error) => {
                Self::fault("the keys cannot be sealed, so none was imported: see the signer's log", error)
            }
        }
    }
}

/// So many items of a list are written in a tenth of a millisecond.
const ITEMS_AT_A_TIME: usize = 128;

/// The body where none could be written.
const UNWRITTEN: &str =
    r#"{"code":500,"message":"the answer could not be written","error":"the answer could not be written"}"#;
