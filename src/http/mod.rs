//! Everything HTTP: listening, who calls, which route, how much body, and how a refusal looks on the wire.
//!
//! The path of a request, each step in the file of its name:
//!
//! 1. `server` accepts a connection, bounded in idle time, and `places` in number; `tls` unwraps it.
//! 2. `caller` says who is at the other end, from the transport alone.
//! 3. `framing` refuses what two parsers could read differently. `guard` refuses foreign `Host`s, browsers and callers without
//!    the token, by what `access` has read from files; `guesses` slows down who tries tokens.
//! 4. `routes` finds the endpoint in one table: method, path, listener role, body limit.
//! 5. `body` reads at most that much, into memory that `room` counts, and only while it keeps coming.
//! 6. `capacity` gives the request its turn among those of its role.
//! 7. [`crate::api`] answers; a refusal becomes a status code in `problem` and nowhere else, and `repeats` counts those that repeat.
//! 8. `answer` holds its room until the client has read it.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod capacity;
pub(crate) mod framing;
pub(crate) mod guard;
pub(crate) mod guesses;
pub(crate) mod negotiation;
pub(crate) mod places;
pub(crate) mod problem;
pub(crate) mod repeats;
pub(crate) mod room;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod tls;
