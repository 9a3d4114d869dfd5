//! Bodies of our own routes, as both ends read and write them: the daemon and the commands that ask it.

pub(crate) mod health;
pub(crate) mod keymanager;
pub(crate) mod slashing_protection;
pub(crate) mod status;
