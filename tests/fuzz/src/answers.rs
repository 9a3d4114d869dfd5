//! Bytes on a connection, of HTTP/1 or HTTP/2, and what the daemon answers.

use std::sync::LazyLock;

use bls_signer::fuzz_internals::Answers;

/// Whatever comes is answered by a status that the daemon knows, and never by a fault of its own. The first byte is the
/// listener's role.
pub fn http(bytes: &[u8]) {
    static ANSWERS: LazyLock<Answers> = LazyLock::new(|| Answers::new(&std::env::temp_dir()).unwrap());
    let Some((role, bytes)) = bytes.split_first() else { return };
    let role = match role {
        b's' => "signing",
        b'k' => "keymanager",
        b'm' => "metrics",
        _ => "all",
    };
    let answer = ANSWERS.to(role, bytes).unwrap();
    if bytes.starts_with(HTTP_2) || answer.is_empty() {
        return;
    }
    let mut answer = &*String::from_utf8_lossy(&answer);
    while let Some(rest) = answer.strip_prefix(CONTINUE) {
        answer = rest;
    }
    let status =
        answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3));
    let is_known = status.is_some_and(|status| STATUSES.contains(&status));
    assert!(is_known || answer.is_empty(), "{answer}");
}

/// Sent before the body to a client that waits for it (RFC 9110, 15.2.1).
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// The first bytes of HTTP/2 (RFC 9113, 3.4), as far as they tell it from HTTP/1.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

/// All but 500; 414 and 431 are the HTTP library's own.
const STATUSES: &[&str] = &[
    "200", "202", "400", "401", "403", "404", "405", "406", "408", "409", "412", "413", "414", "415", "431",
    "503",
];
