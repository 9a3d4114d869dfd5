//! One request, from its head to its answer: guard, route, negotiate, read, hand to the endpoint.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use super::answer::Answer;
use super::body::{self, LargeBodies};
use super::caller::Caller;
use super::guard::Guard;
use super::guesses::Guesses;
use super::problem::Problem;
use super::routes::{self, Endpoint, Guarded};
use crate::api::{self, Signer};

/// What all connections share.
pub(crate) struct Service {
    signer: Arc<Signer>,
    guard: Guard,
    guesses: Guesses,
    large_bodies: LargeBodies,
    in_flight: Semaphore,
    body_patience: Duration,
}

impl Service {
    /// `max_in_flight` requests are worked on at once, further ones wait; a body must arrive within `body_patience`.
    pub(crate) fn new(
        signer: Arc<Signer>,
        guard: Guard,
        guesses: Guesses,
        max_in_flight: usize,
        body_patience: Duration,
    ) -> Self {
        Self {
            signer,
            guard,
            guesses,
            large_bodies: LargeBodies::new(),
            in_flight: Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS)),
            body_patience,
        }
    }

    /// Answers a request. Every refusal is an answer, so this cannot fail. `stop` turns true when the server stops.
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        request: Request<Incoming>,
        stop: &watch::Receiver<bool>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let answer = match self.try_answer(caller, &head, body, stop).await {
            Ok(answer) => answer,
            Err(problem) => {
                problem.log(caller, &head.method, head.uri.path());
                problem.into_answer()
            }
        };
        answer.into_response()
    }

    async fn try_answer(
        &self,
        caller: &Caller,
        head: &Parts,
        body: Incoming,
        stop: &watch::Receiver<bool>,
    ) -> Result<Answer, Problem> {
        self.guard.admit(head, caller)?;
        let matched = routes::find(caller.role, &head.method, head.uri.path())?;
        let route = matched.route;
        if let Err(refusal) = self.guard.authorise(head, route) {
            if refusal.is_of_a_guess() {
                self.guesses.hold_back(caller, stop).await;
            }
            return Err(refusal.into());
        }
        if !route.produces.satisfies(&head.headers) {
            return Err(Problem::not_acceptable(route.produces));
        }
        if route.body_limit > 0 {
            refuse_other_media(head)?;
        }

        let _turn = match route.guarded {
            // Monitoring is answered also when too much waits, and then most of all.
            Guarded::Open => None,
            Guarded::Token | Guarded::KeymanagerToken => Some(self.turn().await?),
        };
        let body = body::read(body, route.body_limit, &self.large_bodies, self.body_patience).await?;

        let signer = &self.signer;
        match route.endpoint {
            Endpoint::Upcheck => Ok(api::health::upcheck(&head.headers)),
            Endpoint::Healthcheck => Ok(api::health::healthcheck(signer)),
            Endpoint::Health => Ok(api::health::health(signer)),
            Endpoint::PublicKeys => Ok(api::public_keys::list(signer)),
            Endpoint::Sign => {
                api::sign::sign(signer, caller, matched.identifier, &head.headers, &body.bytes).await
            }
            Endpoint::SignBatch => api::sign_batch::sign_batch(signer, caller, &body.bytes).await,
            Endpoint::HighWatermark => api::high_watermark::read(signer).await,
            Endpoint::ListKeystores => Ok(api::keystores::list(signer)),
            Endpoint::ImportKeystores => {
                let signer = Arc::clone(signer);
                to_its_end(async move {
                    let body = body; // Its share of the room for large bodies too.
                    api::keystores::import(&signer, body.bytes).await
                })
                .await
            }
            Endpoint::SlashingProtection => api::slashing_protection::answer(signer, &body.bytes).await,
            Endpoint::ReloadStatus => Ok(api::reload::status(signer)),
            Endpoint::Reload => Ok(api::reload::start(signer)),
            Endpoint::DeleteKeystores => {
                let signer = Arc::clone(signer);
                to_its_end(async move { api::keystores::delete(&signer, &body.bytes).await }).await
            }
        }
    }

    /// Waits until few enough requests are worked on.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        match timeout(LONGEST_WAIT, self.in_flight.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Problem::overloaded(LONGEST_WAIT)),
        }
    }
}

/// For what must not be done by half: an answer that is being made is dropped when its caller goes away, this work is not.
async fn to_its_end(
    work: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
) -> Result<Answer, Problem> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Problem::fault("the signer stopped before the request was carried out", error))?
}

/// A body is JSON, as it is. A missing `Content-Type` passes, since older clients send none; the types that a web
/// page can send without asking, `text/plain` and forms, do not.
fn refuse_other_media(head: &Parts) -> Result<(), Problem> {
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Problem::encoded());
    }
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    let Some(media_type) = types.next() else { return Ok(()) };
    let essence = media_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if types.next().is_none() && essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::not_json())
}

/// How long a request waits for its turn. Validator clients give up after about 5 s.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
