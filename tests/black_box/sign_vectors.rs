//! Requests without a root lead to the signatures that another implementation made, as JSON and as text.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Connection, Daemon, Key, Request, Vector, sign_vectors};

#[test]
fn signs_every_mainnet_vector() {
    signs_every_vector_of("mainnet", 70);
}

#[test]
fn signs_every_gnosis_vector() {
    signs_every_vector_of("gnosis", 18);
}

#[test]
fn signs_every_minimal_vector() {
    signs_every_vector_of("minimal", 20);
}

#[test]
fn signs_every_sepolia_vector() {
    signs_every_vector_of("sepolia", 2);
}

#[test]
fn signs_every_chiado_vector() {
    signs_every_vector_of("chiado", 1);
}

#[test]
fn no_vector_is_left_out() {
    let counts: BTreeMap<_, _> =
        sign_vectors().into_iter().map(|(network, list)| (network, list.len())).collect();
    let tested = [("chiado", 1), ("gnosis", 18), ("mainnet", 70), ("minimal", 20), ("sepolia", 2)];
    assert_eq!(counts, tested.into_iter().map(|(network, count)| (network.to_owned(), count)).collect());
}

/// The vectors were not made as the history of validators, so a later one may contradict an earlier one of the same key:
/// protection is off, as what is tested here is roots and signatures.
fn signs_every_vector_of(network: &str, count: usize) {
    let vectors = sign_vectors().remove(network).unwrap_or_default();
    assert_eq!(vectors.len(), count);
    let daemon = Daemon::start(&["--network", network, "--slashing-protection", "off"]);
    let keys: BTreeMap<_, _> =
        vectors.iter().map(|vector| (&vector.public_key, Key::from_hex(&vector.secret_key))).collect();
    daemon.import(&keys.values().collect::<Vec<_>>());

    let mut connection = Connection::open(&daemon.socket());
    for vector in &vectors {
        for request in
            [vector.request.clone(), with_root(vector, "signingRoot"), with_root(vector, "signing_root")]
        {
            assert_signs(&mut connection, vector, &request);
        }
    }
}

fn assert_signs(connection: &mut Connection, vector: &Vector, request: &Value) {
    let path = format!("/api/v1/eth2/sign/{}", vector.public_key);
    let what = format!("vector {} ({})", vector.id, vector.kind);

    let text = connection.exchange(&Request::post(&path, request.to_string()).header("Accept", "text/plain"));
    assert_eq!((text.status, text.text()), (200, vector.signature.as_str()), "{what}: {text:?}");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");

    let json =
        connection.exchange(&Request::post(&path, request.to_string()).header("Accept", "application/json"));
    assert_eq!((json.status, json.json()), (200, json!({"signature": vector.signature})), "{what}: {json:?}");
    assert_eq!(json.header("content-type"), Some("application/json; charset=utf-8"), "{what}");
}

fn with_root(vector: &Vector, name: &str) -> Value {
    let mut request = vector.request.clone();
    request[name] = json!(vector.signing_root);
    request
}
