//! Everything HTTP: listening, who calls, which route, how much body, and how a refusal looks on the wire.
//!
//! The path of a request, each step in the file of its name:
//!
//! 1. `server` accepts a connection, bounded in number and idle time; `tls` unwraps it.
//! 2. `caller` says who is at the other end, from the transport alone.
//! 3. `guard` refuses foreign `Host`s, browsers and callers without the token; `guesses` slows down who tries tokens.
//! 4. `routes` finds the endpoint in one table: method, path, listener role, body limit.
//! 5. `body` reads at most that much, in bounded time.
//! 6. [`crate::api`] answers; a refusal becomes a status code in `problem` and nowhere else.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod guard;
pub(crate) mod guesses;
pub(crate) mod negotiation;
pub(crate) mod problem;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod tls;
