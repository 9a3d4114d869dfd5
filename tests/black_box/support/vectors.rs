//! The vectors in `tests/vectors`, made by another implementation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// One line of `sign-requests.jsonl`: a request without a root, and the root and signature that it must lead to.
#[derive(Debug, Deserialize)]
pub struct Vector {
    pub id: String,
    pub network: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub secret_key: String,
    pub public_key: String,
    pub request: serde_json::Value,
    pub signing_root: String,
    pub signature: String,
}

/// All of them, by network.
pub fn sign_vectors() -> BTreeMap<String, Vec<Vector>> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sign-requests.jsonl");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut by_network = BTreeMap::<_, Vec<Vector>>::new();
    for line in text.lines() {
        let vector: Vector = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        by_network.entry(vector.network.clone()).or_default().push(vector);
    }
    by_network
}
