//! All that speaks to systemd: the sockets it hands over, what it is told about our state, and the journal.
//!
//! Without systemd every part does the plain thing: we bind the sockets, notifications go nowhere, logs go to stderr.

pub(crate) mod activation;
pub(crate) mod listeners;
pub(crate) mod logging;
pub(crate) mod notify;
pub(crate) mod open_files;
pub(crate) mod watchdog;
