//! The vectors that several tests start from.

use bls_signer::duty::{Duty, Refusal};
use bls_signer::network::Network;
use serde_json::Value;

/// A request without a root, and the root it has.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) network: Network,
    pub(crate) request: Value,
    pub(crate) signing_root: String,
    /// The whole line, for what only one file has.
    pub(crate) line: Value,
}

impl Case {
    pub(crate) fn type_name(&self) -> &str {
        self.request["type"].as_str().unwrap()
    }
}

/// 111 requests of every type up to sync contributions, with keys and signatures.
pub(crate) fn specification() -> Vec<Case> {
    read(include_str!("../vectors/sign-requests.jsonl"))
}

/// Requests with random content, also of the Gloas types.
pub(crate) fn lodestar() -> Vec<Case> {
    read(include_str!("../vectors/lodestar-requests.jsonl"))
}

/// One small request of each type, under its settled names.
pub(crate) fn one_of_each_type() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let settled = |case: &Case| !case.line["tags"].to_string().contains("older-name");
    for case in specification().into_iter().chain(lodestar()).filter(settled) {
        let smaller = |other: &Case| case.request.to_string().len() < other.request.to_string().len();
        match cases.iter().position(|other| other.type_name() == case.type_name()) {
            Some(place) if smaller(&cases[place]) => cases[place] = case,
            Some(_) => {}
            None => cases.push(case),
        }
    }
    assert_eq!(cases.len(), 18);
    cases
}

pub(crate) fn case_of(type_name: &str) -> Case {
    one_of_each_type().into_iter().find(|case| case.type_name() == type_name).unwrap()
}

pub(crate) fn parse(request: &Value, network: &Network) -> Result<Duty, Refusal> {
    Duty::parse(request.to_string().as_bytes(), network)
}

pub(crate) fn network(name: &str) -> Network {
    Network::by_name(name).unwrap()
}

fn read(text: &str) -> Vec<Case> {
    text.lines().map(read_line).collect()
}

fn read_line(line: &str) -> Case {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    Case {
        id: text("id"),
        network: network(&text("network")),
        request: line["request"].clone(),
        signing_root: text("signing_root"),
        line,
    }
}
