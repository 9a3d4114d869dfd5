//! `GET /healthcheck` and `GET /health`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The body of `/healthcheck`, as Web3Signer answers it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Healthcheck {
    pub(crate) status: Status,
    #[serde(default)]
    pub(crate) checks: Vec<Check>,
    pub(crate) outcome: Status,
}

/// One thing that was looked at.
#[derive(Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) id: Cow<'static, str>,
    pub(crate) status: Status,
    /// An object, if there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

impl Check {
    /// A check that is down where there is a problem, which its data then name.
    pub(crate) fn with(id: &'static str, problem: Option<String>, mut data: Map<String, Value>) -> Self {
        let status = if problem.is_some() { Status::Down } else { Status::Up };
        data.extend(problem.map(|problem| ("problem".to_owned(), Value::String(problem))));
        Self { id: id.into(), status, data: Some(Value::Object(data)) }
    }
}

/// Whether it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Up,
    Down,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
        })
    }
}

/// The body of `/health`.
#[derive(Serialize)]
pub(crate) struct Health {
    pub(crate) status: Condition,
    pub(crate) keys_loaded: usize,
}

/// How the daemon is, in the words of `/health`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Condition {
    Healthy,
    Unhealthy,
    /// It stops: requests in hand are answered, new ones are not.
    Draining,
}
