//! One request, from its head to its answer: guard, route, negotiate, read, take a turn, hand to the endpoint.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tokio::sync::{Notify, watch};

use super::problem::Problem;
use super::routes::{self, Endpoint, Matched, Route};
use crate::api::{self, Signer};
use crate::caller::Caller;
use crate::config::Role;
use crate::http::body;
use crate::http::capacity::{Capacity, OfRole, Turn};
use crate::http::connection_permits::Place;
use crate::http::framing::{self, FramingRefusal};
use crate::http::guard::{Guard, GuardRefusal};
use crate::http::response::{Answer, AnswerBody, Held};
use crate::http::room::Share;
use crate::http::tls::{self, Admission};
use crate::http::token_throttle::{Guesses, Notices};

/// What all connections share.
pub(crate) struct Service {
    signer: Arc<Signer>,
    guard: Guard,
    guesses: Guesses,
    failed_handshakes: Notices,
    capacity: Capacity,
}

/// The connection that a request came on, as far as its answer needs it.
pub(crate) struct Origin<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) admission: &'a Admission,
    pub(crate) place: &'a Place,
    /// Told when the client does not read its answer.
    pub(crate) stalled: &'a Arc<Notify>,
    /// Turns true when the server stops.
    pub(crate) stop: &'a watch::Receiver<bool>,
}

impl Service {
    /// For at most `requests` that are signed for at one time; further ones wait.
    pub(crate) fn new(signer: Arc<Signer>, guard: Guard, guesses: Guesses, requests: usize) -> Self {
        let (failed_handshakes, capacity) = (Notices::default(), Capacity::new(requests));
        Self { signer, guard, guesses, failed_handshakes, capacity }
    }

    /// Breaks off bodies and answers that their clients have not moved for too long.
    pub(crate) fn break_off_stalled(&self) {
        self.capacity.break_off_stalled();
    }

    /// KiB of bodies, answers and what belongs to them.
    pub(crate) fn held_kib(&self) -> usize {
        self.capacity.held_kib()
    }

    /// Answers a request. Every refusal is an answer, so this cannot fail.
    pub(crate) async fn answer(
        &self,
        origin: &Origin<'_>,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        if let Err(refusal) = framing::admit(&head.headers) {
            return self.refuse_framing(origin, &head, refusal);
        }
        let path = routes::plain_path(head.uri.path());
        let admitted = self.admit(origin, &head, &path).await;
        let capacity = self.capacity.of(origin.caller.role);
        let role: Option<Role> = admitted.as_ref().ok().and_then(|matched| matched.route.role());
        let (outcome, share) = match (admitted, capacity.room(role).enter(head_bytes(&head)).await) {
            (Err(problem), room) => (Err(problem), room.ok()),
            (Ok(_), Err(full)) => (Err(full.into()), None),
            (Ok(matched), Ok(share)) => self.carry_out(origin, &head, &matched, body, capacity, share).await,
        };
        let answer = outcome.unwrap_or_else(|problem| {
            problem.log(origin.caller, &head.method, head.uri.path(), &self.signer.repeats);
            problem.into_answer()
        });
        if head.method == Method::HEAD {
            return answer.into_head_response();
        }
        let held = share.map(|mut share| {
            share.shrink(answer.weight());
            let watch = share.watch(LONGEST_UNREAD, Arc::clone(origin.stalled));
            Held { watch, _share: share }
        });
        answer.into_response(held)
    }

    /// Tells the log of a TLS handshake that failed, if the peer has not just been named.
    pub(crate) fn note_failed_handshake(&self, caller: &Caller, error: &io::Error) {
        match tls::refusal(error) {
            // Who looks whether the port is open leaves in the middle.
            None => tracing::debug!(%caller, %error, "a TLS handshake was broken off"),
            Some(reason) => {
                if let Some(refused) = self.failed_handshakes.note(caller.peer) {
                    tracing::warn!(%caller, refused, "TLS handshake refused: {reason}");
                }
            }
        }
    }

    /// What follows such a request on its connection cannot be trusted.
    fn refuse_framing(
        &self,
        origin: &Origin<'_>,
        head: &Parts,
        refusal: FramingRefusal,
    ) -> Response<AnswerBody> {
        let problem = Problem::from(refusal);
        problem.log(origin.caller, &head.method, head.uri.path(), &self.signer.repeats);
        let mut response = problem.into_answer().into_response(None);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// All that a request is refused for before any of its body is read.
    async fn admit<'path>(
        &self,
        origin: &Origin<'_>,
        head: &Parts,
        path: &'path str,
    ) -> Result<Matched<'path>, Problem> {
        let caller = origin.caller;
        self.guard.admit(head, caller)?;
        let matched = routes::find(caller.role, &head.method, path)?;
        let route = matched.route;
        if let Err(refusal) = self.authorise(origin, head, route) {
            if refusal.is_of_a_guess() {
                self.guesses.hold_back(caller, origin.stop).await;
            }
            return Err(refusal.into());
        }
        if !route.produces.satisfies(&head.headers) {
            return Err(Problem::not_acceptable(route.produces));
        }
        if route.body_limit > 0 {
            refuse_other_media(head)?;
        }
        Ok(matched)
    }

    /// Demands that the connection's client certificate is still taken, and the token.
    fn authorise(&self, origin: &Origin<'_>, head: &Parts, route: &Route) -> Result<(), GuardRefusal> {
        if !origin.admission.holds() {
            return Err(GuardRefusal::Certificate);
        }
        self.guard.authorise(head, route)
    }

    async fn carry_out(
        &self,
        origin: &Origin<'_>,
        head: &Parts,
        matched: &Matched<'_>,
        body: Incoming,
        capacity: &OfRole,
        mut share: Share,
    ) -> (Result<Answer, Problem>, Option<Share>) {
        let route = matched.route;
        let body = match body::read(body, route.body_limit, &mut share, body_patience(route)).await {
            Ok(body) => body,
            Err(refusal) => return (Err(refusal.into()), Some(share)),
        };
        // Who was let in may have been shut out while the body was on its way.
        if let Err(refusal) = self.authorise(origin, head, route) {
            return (Err(refusal.into()), Some(share));
        }
        // From here on the connection is not closed for another one.
        let _working = origin.place.work();
        let turn = match capacity.turn(route.endpoint).await {
            Ok(turn) => turn,
            Err(problem) => return (Err(problem), Some(share)),
        };
        let (answer, held) = self.ask(origin.caller, head, matched, body, (turn, share)).await;
        let Some((_turn, mut share)) = held else { return (answer, None) };
        // Before the turn goes to the next: answers that find no room are as few as there are turns.
        let answer = match answer {
            Ok(answer) => share.cover(answer.weight()).await.map(|()| answer).map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        (answer, Some(share))
    }

    /// Hands the request to its endpoint; what it holds stays held until the work is done.
    async fn ask(
        &self,
        caller: &Caller,
        head: &Parts,
        matched: &Matched<'_>,
        body: Bytes,
        held: (Turn, Share),
    ) -> (Result<Answer, Problem>, Option<(Turn, Share)>) {
        let signer = &self.signer;
        let answer = match matched.route.endpoint {
            Endpoint::Upcheck => Ok(api::health::upcheck(&head.headers)),
            Endpoint::Healthcheck => Ok(api::health::healthcheck(signer, caller)),
            Endpoint::Health => Ok(api::health::health(signer)),
            Endpoint::PublicKeys => Ok(api::public_keys::list(signer)),
            Endpoint::Sign => api::sign::sign(signer, caller, matched.identifier, &head.headers, &body).await,
            Endpoint::SignBatch => api::sign_batch::sign_batch(signer, caller, &body).await,
            Endpoint::HighWatermark => api::high_watermark::read(signer).await,
            Endpoint::ListKeystores => Ok(api::keystores::list(signer)),
            Endpoint::ImportKeystores => {
                let signer = Arc::clone(signer);
                return to_its_end(async move { api::keystores::import(&signer, body).await }, held).await;
            }
            Endpoint::SlashingProtection => api::slashing_protection::answer(signer, &body).await,
            Endpoint::ReloadStatus => Ok(api::reload::status(signer)),
            Endpoint::Reload => Ok(api::reload::start(signer)),
            Endpoint::DeleteKeystores => {
                let signer = Arc::clone(signer);
                return to_its_end(async move { api::keystores::delete(&signer, &body).await }, held).await;
            }
        };
        (answer, Some(held))
    }
}

/// How long a body may take in all; [`body::read`] also demands that it keeps coming.
fn body_patience(route: &Route) -> Duration {
    match route.role() {
        Some(Role::Keymanager) => LONGEST_IMPORT_BODY,
        Some(Role::Signing | Role::Metrics | Role::All) | None => LONGEST_BODY,
    }
}

/// About what a request's head takes in memory.
fn head_bytes(head: &Parts) -> usize {
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    headers.fold(head.uri.path().len(), usize::saturating_add)
}

/// For what must not be done by half: an answer that is being made is dropped when its caller goes away, this work is not,
/// nor what it holds.
async fn to_its_end<H: Send + 'static>(
    work: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
    held: H,
) -> (Result<Answer, Problem>, Option<H>) {
    match tokio::spawn(async move { (work.await, held) }).await {
        Ok((answer, held)) => (answer, Some(held)),
        Err(error) => {
            (Err(Problem::fault("the signer stopped before the request was carried out", error)), None)
        }
    }
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

/// For a body to arrive whole.
const LONGEST_BODY: Duration = Duration::from_secs(30);
/// 128 MiB at 1 MiB a second.
const LONGEST_IMPORT_BODY: Duration = Duration::from_secs(128);

/// How long a client may leave its answer unread.
const LONGEST_UNREAD: Duration = Duration::from_secs(10);
