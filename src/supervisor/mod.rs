//! TODO(supervisor)
