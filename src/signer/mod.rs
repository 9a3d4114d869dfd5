//! Signing without HTTP: the threads that multiply, and what is noted of signatures and refusals.

pub(crate) mod newer_forks;
pub(crate) mod pool;
pub(crate) mod repeats;
