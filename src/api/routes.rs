//! Route table: the whole API on one screen, and who answers each route.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use hyper::Method;
use hyper::body::Bytes;
use hyper::http::request::Parts;

use super::problem::Problem;
use super::{
    Api,
    health::{self, HealthQuestion},
    high_watermark, keystores, metrics, public_keys, reload, sign, sign_batch, sign_proof,
    slashing_protection, status,
};
use crate::bls::PublicKey;
use crate::clients::Requester;
use crate::config::Role;
use crate::credentials::TokenDigest;
use crate::http::capacity::Workload::{self, Batch, Import};
use crate::http::connection::Connection;
use crate::http::guard::Guarded;
use crate::http::negotiation::Produces::{self, Exposition, Json, JsonAlways, JsonOrText, TextOrJson};
use crate::http::response::ApiResponse;
use crate::wire;

/// Every route: method, path, who answers, and where it differs from what [`Route::new`] says, the role of the
/// listeners that serve it, how large its body may be, what it produces and how many of its like are worked on at one
/// time.
pub(crate) const ROUTES: &[Route] = &[
    get("/upcheck", Handler::Upcheck).produces(TextOrJson),
    get("/healthcheck", Handler::Healthcheck),
    get("/health", Handler::Health),
    get("/metrics", Handler::Metrics).for_metrics(),
    get("/api/v1/eth2/publicKeys", Handler::PublicKeys).for_signing().produces(Json),
    post("/api/v1/eth2/sign", Handler::SignBatch).for_signing().body(32 * MIB).of(Batch).produces(Json),
    post("/api/v1/eth2/sign/{pubkey}", Handler::Sign).for_signing().body(32 * MIB).produces(JsonOrText),
    post("/api/v1/eth2/ext/sign/{pubkey}", Handler::SignProof).for_signing().body(4 * KIB),
    get("/api/v1/eth2/highWatermark", Handler::HighWatermark).for_signing(),
    post(wire::slashing_protection::PATH, Handler::SlashingProtection).for_keymanager().body(128 * MIB),
    get(wire::status::PATH, Handler::Status).for_keymanager(),
    get("/reload", Handler::ReloadStatus).for_keymanager().produces(Json),
    post("/reload", Handler::Reload).for_keymanager().produces(Json),
    get(wire::keymanager::PATH, Handler::ListKeystores).for_keymanager(),
    post(wire::keymanager::PATH, Handler::ImportKeystores).for_keymanager().body(128 * MIB).of(Import),
    delete(wire::keymanager::PATH, Handler::DeleteKeystores).for_keymanager().body(4 * MIB),
];

/// One row of [`ROUTES`].
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// A literal path; `{pubkey}` as the last segment stands for one segment.
    pub(crate) path: &'static str,
    /// The listeners that serve it, whose capacity its requests use; `None` for all of them.
    pub(crate) role: Option<Role>,
    pub(crate) guarded: Guarded,
    /// In bytes.
    pub(crate) body_limit: u64,
    pub(crate) produces: Produces,
    pub(crate) workload: Workload,
    pub(crate) handler: Handler,
}

/// Who answers a route: one function each in [`crate::api`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    Upcheck,
    Healthcheck,
    Health,
    Metrics,
    PublicKeys,
    Sign,
    SignBatch,
    SignProof,
    HighWatermark,
    ListKeystores,
    ImportKeystores,
    DeleteKeystores,
    SlashingProtection,
    Status,
    ReloadStatus,
    Reload,
}

impl Handler {
    /// Answers a request; what it holds stays held until the work is done.
    pub(crate) async fn answer<H: Send + 'static>(
        self,
        api: &Arc<Api>,
        request: RoutedRequest<'_>,
        held: H,
    ) -> (Result<ApiResponse, Problem>, Option<H>) {
        let RoutedRequest { connection, head, token, arrived, public_key, body } = request;
        let caller = &connection.caller;
        let requester = Requester { caller, token };
        let signer = &api.signer;
        let answer = match self {
            Self::Upcheck => Ok(health::upcheck(&head.headers)),
            Self::Healthcheck => {
                question(api, connection, head).map(|asked| health::healthcheck(api, caller, asked))
            }
            Self::Health => question(api, connection, head).map(|asked| health::health(api, asked)),
            Self::Metrics => metrics::metrics(api, &head.headers),
            Self::PublicKeys => public_keys::list(api, requester),
            Self::Sign => sign::sign(signer, requester, arrived, public_key, &head.headers, &body).await,
            Self::SignBatch => sign_batch::sign_batch(signer, requester, arrived, &body).await,
            Self::SignProof => sign_proof::sign_proof(signer, requester, public_key, &body).await,
            Self::HighWatermark => high_watermark::read(signer, requester).await,
            Self::ListKeystores => Ok(keystores::list(signer)),
            Self::ImportKeystores => {
                let signer = Arc::clone(signer);
                let (_answer, presence) = connection.client.expect_answer();
                let work = async move { keystores::import(&signer, body, presence).await };
                return to_its_end(work, held).await;
            }
            Self::SlashingProtection => slashing_protection::answer(signer, &body).await,
            Self::Status => question(api, connection, head).map(|asked| status::status(api, asked)),
            Self::ReloadStatus => Ok(reload::status(signer)),
            Self::Reload => Ok(reload::start(api)),
            Self::DeleteKeystores => {
                let signer = Arc::clone(signer);
                return to_its_end(async move { keystores::delete(&signer, &body).await }, held).await;
            }
        };
        (answer, Some(held))
    }
}

fn question(api: &Api, connection: &Connection, head: &Parts) -> Result<HealthQuestion, Problem> {
    HealthQuestion::new(api, head.uri.query(), connection.is_draining())
}

/// A request that is here whole, as its handler needs it.
pub(crate) struct RoutedRequest<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) head: &'a Parts,
    /// Of the bearer token, if it is one that the route asks for.
    pub(crate) token: Option<TokenDigest>,
    /// When its last byte was here.
    pub(crate) arrived: Instant,
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) body: Bytes,
}

/// For what must not be done by half: an answer that is being made is dropped when its caller goes away, this work is
/// not, nor what it holds.
async fn to_its_end<H: Send + 'static>(
    work: impl Future<Output = Result<ApiResponse, Problem>> + Send + 'static,
    held: H,
) -> (Result<ApiResponse, Problem>, Option<H>) {
    match tokio::spawn(async move { (work.await, held) }).await {
        Ok((answer, held)) => (answer, Some(held)),
        Err(error) => {
            (Err(Problem::fault("the signer stopped before the request was carried out", error)), None)
        }
    }
}

/// A request's route and the key that its path names.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) route: &'static Route,
    /// None where the path has none, and where it is no public key, so that no key can have it.
    pub(crate) public_key: Option<PublicKey>,
}

/// The path with repeated slashes merged and without one at its end. Clients put `/api/...` behind a base URL that ends
/// in a slash, and Web3Signer's router (Vert.x-Web) takes both as we do. Guards and routes see nothing else.
pub(crate) fn plain_path(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(without_last_slash(path));
    }
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    Cow::Owned(without_last_slash(&merged).to_owned())
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path)
}

/// Finds the route of a request that came in on a listener of this role. Its path is [plain](plain_path);
/// beyond that it is taken as it is, nothing is decoded or folded. HEAD is answered where GET is (RFC 9110, 9.1).
pub(crate) fn find(role: Role, method: &Method, path: &str) -> Result<Matched, RouteRefusal> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(|route| route.is_served_on(role)) {
        let Some(pubkey) = route.matches(path) else { continue };
        if route.method == wanted {
            return Ok(Matched { route, public_key: pubkey.parse().ok() });
        }
        allowed.push(route.method.as_str());
        if route.method == Method::GET {
            allowed.push(Method::HEAD.as_str());
        }
    }
    Err(if allowed.is_empty() {
        RouteRefusal::NotFound
    } else {
        RouteRefusal::MethodNotAllowed { allowed: allowed.join(", ") }
    })
}

const fn get(path: &'static str, handler: Handler) -> Route {
    Route::new(Method::GET, path, handler)
}

const fn post(path: &'static str, handler: Handler) -> Route {
    Route::new(Method::POST, path, handler)
}

const fn delete(path: &'static str, handler: Handler) -> Route {
    Route::new(Method::DELETE, path, handler)
}

impl Route {
    /// A route that every listener serves without a token, for monitoring; it takes no body and answers JSON.
    const fn new(method: Method, path: &'static str, handler: Handler) -> Self {
        Self {
            method,
            path,
            role: None,
            guarded: Guarded::Open,
            body_limit: 0,
            produces: JsonAlways,
            workload: Workload::Monitoring,
            handler,
        }
    }

    const fn for_signing(mut self) -> Self {
        self.role = Some(Role::Signing);
        self.guarded = Guarded::Token;
        self.workload = Workload::Signature;
        self
    }

    const fn for_keymanager(mut self) -> Self {
        self.role = Some(Role::Keymanager);
        self.guarded = Guarded::KeymanagerToken;
        self.workload = Workload::Administration;
        self
    }

    /// Without a token: a Prometheus sends none, and no key and no duty can be told from metrics.
    const fn for_metrics(mut self) -> Self {
        self.role = Some(Role::Metrics);
        self.produces(Exposition)
    }

    const fn body(mut self, limit: u64) -> Self {
        self.body_limit = limit;
        self
    }

    const fn produces(mut self, produces: Produces) -> Self {
        self.produces = produces;
        self
    }

    const fn of(mut self, workload: Workload) -> Self {
        self.workload = workload;
        self
    }

    fn is_served_on(&self, listener: Role) -> bool {
        listener == Role::All || self.role.is_none_or(|role| role == listener)
    }

    /// The segment that stands for `{pubkey}`, empty where the path has none; `None` if this is another path.
    fn matches<'path>(&self, path: &'path str) -> Option<&'path str> {
        match self.path.strip_suffix("{pubkey}") {
            None => (self.path == path).then_some(""),
            Some(prefix) => path.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.contains('/')),
        }
    }
}

/// Why a request has no route.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteRefusal {
    #[error("no such route on this listener")]
    NotFound,
    #[error("this route answers {allowed} only")]
    MethodNotAllowed { allowed: String },
}

impl From<RouteRefusal> for Problem {
    fn from(refusal: RouteRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            RouteRefusal::NotFound => Self::not_found(message),
            RouteRefusal::MethodNotAllowed { allowed } => Self::method_not_allowed(message, &allowed),
        }
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
