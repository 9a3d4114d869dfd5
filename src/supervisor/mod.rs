//! All that speaks to systemd: the sockets it hands over, what it is told about our state, and its watchdog.
//!
//! Without systemd every part does the plain thing: we bind the sockets, notifications go nowhere.

pub(crate) mod activation;
pub(crate) mod listeners;
pub(crate) mod notify;
pub(crate) mod watchdog;
