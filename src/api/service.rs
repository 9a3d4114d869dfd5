//! Path of a request from its head to its answer: guard, route, negotiate, read, wait for a permit, hand to the
//! handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use super::Api;
use super::problem::Problem;
use super::routes::{self, Matched, Route, RoutedRequest};
use crate::caller::Share;
use crate::clients::Requester;
use crate::config::Role;
use crate::credentials::TokenDigest;
use crate::http::body;
use crate::http::capacity::{Capacity, RoleCapacity, Workload};
use crate::http::connection::{Connection, Scope, Service};
use crate::http::framing::{self, FramingRefusal};
use crate::http::guard::{Guard, GuardRefusal};
use crate::http::memory_budget::Reservation;
use crate::http::response::{ApiResponse, Held, ResponseBody};
use crate::http::token_throttle::TokenThrottle;

/// Answers requests by the route table.
pub(crate) struct ApiService {
    api: Arc<Api>,
    guard: Guard,
    throttle: TokenThrottle,
    capacity: Arc<Capacity>,
}

impl Service for ApiService {
    async fn answer(&self, connection: &Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        let (head, body) = request.into_parts();
        if let Err(refusal) = framing::admit(&head.headers) {
            return self.refuse_framing(connection, &head, refusal);
        }
        let path = routes::plain_path(head.uri.path());
        let admitted = self.admit(connection, &head, &path).await;
        let capacity = self.capacity.of(connection.caller.role);
        let (role, share) = match &admitted {
            Ok(Admitted { matched, share }) => (matched.route.role, share.clone()),
            Err(_) => (None, connection.caller.share()),
        };
        let max_wait = self.api.signer.least_time_limit();
        let reserved = capacity.memory(role).reserve(head_bytes(&head), share, max_wait).await;
        let (outcome, reservation) = match (admitted, reserved) {
            (Err(problem), reserved) => (Err(problem), reserved.ok()),
            (Ok(_), Err(full)) => (Err(full.into()), None),
            (Ok(admitted), Ok(reservation)) => {
                self.carry_out(connection, &head, &admitted, body, capacity, reservation).await
            }
        };
        let answer = outcome.unwrap_or_else(|problem| {
            problem.log(&connection.caller, &head.method, head.uri.path(), &self.api.faults);
            problem.into_api_response()
        });
        if head.method == Method::HEAD {
            return answer.into_head_response();
        }
        let held = reservation.map(|mut reservation| {
            reservation.shrink(answer.weight());
            let watch = reservation.watch(MAX_UNREAD_TIME, Arc::clone(&connection.stalled));
            Held { watch, _reservation: reservation }
        });
        answer.into_response(held)
    }
}

impl ApiService {
    pub(crate) fn new(api: Arc<Api>, guard: Guard, throttle: TokenThrottle, capacity: Arc<Capacity>) -> Self {
        Self { api, guard, throttle, capacity }
    }

    /// What follows such a request on its connection cannot be trusted.
    fn refuse_framing(
        &self,
        connection: &Connection,
        head: &Parts,
        refusal: FramingRefusal,
    ) -> Response<ResponseBody> {
        let problem = Problem::from(refusal);
        problem.log(&connection.caller, &head.method, head.uri.path(), &self.api.faults);
        let mut response = problem.into_api_response().into_response(None);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// All that a request is refused for before any of its body is read.
    async fn admit(&self, connection: &Connection, head: &Parts, path: &str) -> Result<Admitted, Problem> {
        let caller = &connection.caller;
        self.guard.admit(head, caller)?;
        let matched = routes::find(caller.role, &head.method, path)?;
        let route = matched.route;
        if connection.scope == Scope::Monitoring && route.workload != Workload::Monitoring {
            return Err(Problem::stopping());
        }
        let token = match self.authorise(connection, head, route) {
            Ok(token) => token,
            Err(refusal) => {
                if refusal.is_of_a_guess() {
                    self.throttle.hold_back(caller, &connection.stop).await;
                }
                return Err(refusal.into());
            }
        };
        // Who is no client sends no body.
        let share = match route.role {
            Some(Role::Signing) => self.api.signer.grant(Requester { caller, token })?.share(),
            Some(Role::Keymanager | Role::Metrics | Role::All) | None => caller.share(),
        };
        if !route.produces.satisfies(&head.headers) {
            return Err(Problem::not_acceptable(route.produces));
        }
        if route.body_limit > 0 {
            refuse_other_media(head)?;
        }
        Ok(Admitted { matched, share })
    }

    /// Demands that the connection's client certificate is still taken, and the token.
    fn authorise(
        &self,
        connection: &Connection,
        head: &Parts,
        route: &Route,
    ) -> Result<Option<TokenDigest>, GuardRefusal> {
        if !connection.admission.holds() {
            return Err(GuardRefusal::Certificate);
        }
        self.guard.authorise(head, route.guarded)
    }

    async fn carry_out(
        &self,
        connection: &Connection,
        head: &Parts,
        Admitted { matched, share }: &Admitted,
        body: Incoming,
        capacity: &RoleCapacity,
        mut reservation: Reservation,
    ) -> (Result<ApiResponse, Problem>, Option<Reservation>) {
        let route = matched.route;
        let body = match body::read(body, route.body_limit, &mut reservation, body_patience(route)).await {
            Ok(body) => body,
            Err(refusal) => return (Err(refusal.into()), Some(reservation)),
        };
        let arrived = Instant::now();
        // A caller that was let in may have been shut out while the body was on its way.
        let token = match self.authorise(connection, head, route) {
            Ok(token) => token,
            Err(refusal) => return (Err(refusal.into()), Some(reservation)),
        };
        // From here on the connection is not closed for another one.
        let _working = connection.permit.work(share);
        let permit = match capacity.in_flight_permit(route.workload, share, reservation.max_wait()).await {
            Ok(permit) => permit,
            Err(overloaded) => return (Err(overloaded.into()), Some(reservation)),
        };
        let request =
            RoutedRequest { connection, head, token, arrived, public_key: matched.public_key, body };
        let (answer, held) = route.handler.answer(&self.api, request, (permit, reservation)).await;
        let Some((_permit, mut reservation)) = held else { return (answer, None) };
        // Before the permit goes to the next: answers that find no memory are as few as there are permits.
        let answer = match answer {
            Ok(answer) => reservation.cover(answer.weight()).await.map(|()| answer).map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        (answer, Some(reservation))
    }
}

/// A request that is not refused for its head: its route, and in whose share it is.
struct Admitted {
    matched: Matched,
    share: Share,
}

/// How long a body may take in all; [`body::read`] also demands that it keeps coming.
fn body_patience(route: &Route) -> Duration {
    match route.role {
        Some(Role::Keymanager) => MAX_IMPORT_BODY_TIME,
        Some(Role::Signing | Role::Metrics | Role::All) | None => MAX_BODY_TIME,
    }
}

/// About what a request's head takes in memory.
fn head_bytes(head: &Parts) -> usize {
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    headers.fold(head.uri.path().len(), usize::saturating_add)
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
const MAX_BODY_TIME: Duration = Duration::from_secs(30);
/// 128 MiB at 1 MiB a second.
const MAX_IMPORT_BODY_TIME: Duration = Duration::from_secs(128);

/// How long a client may leave its answer unread.
const MAX_UNREAD_TIME: Duration = Duration::from_secs(10);
