//! HTTP transport: connections, callers' rights, bodies and the memory that they take. It knows no duty and no key.
//!
//! The path of a request, each step in the file of its name:
//!
//! 1. `server` accepts a connection, which `connection_permits` bounds in number and `connection` in idle time; `tls`
//!    unwraps it.
//! 2. [`crate::caller`] says who is at the other end, from the transport alone.
//! 3. `framing` refuses what two parsers could read differently. `guard` refuses foreign `Host`s, browsers and callers
//!    without the token, by what `access` has read from files; `token_throttle` slows down who tries tokens.
//! 4. [`crate::api::routes`] finds the route in one table: method, path, listener role, body limit.
//! 5. `body` reads at most that much, into memory that `memory_budget` counts, and only while it keeps coming.
//! 6. `capacity` gives the request a permit to be worked on, among those of its role.
//! 7. [`crate::api`] answers, and begins nothing costly once `presence` misses the client; a refusal becomes a status
//!    in [`crate::api::problem`] and nowhere else.
//! 8. `response` holds its memory until the client has read it.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod capacity;
pub(crate) mod connection;
pub(crate) mod connection_counts;
pub(crate) mod connection_permits;
mod fair_semaphore;
pub(crate) mod framing;
pub(crate) mod guard;
pub(crate) mod memory_budget;
pub(crate) mod negotiation;
pub(crate) mod presence;
pub(crate) mod response;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod token_throttle;
