//! Bearer tokens, as OAuth 2.0 gives them (RFC 6749, RFC 7523, RFC 8693).

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::http::{self, Client, Question, encoded};
use crate::trouble::{Kind, Trouble, code};

/// A token, as `Authorization` has it.
#[derive(Clone)]
pub(crate) struct Bearer(Arc<Zeroizing<String>>);

impl Bearer {
    pub(crate) async fn get(&self, client: &mut Client, path: &str) -> Result<http::Answer, Trouble> {
        let headers = [("authorization", self.0.as_str())];
        client.ask(&Question { method: Method::GET, path, headers: &headers, body: "" }).await
    }
}

/// Asks for a token with a form.
pub(crate) async fn by_form(client: Client, path: &str, members: &[(&str, &str)]) -> Result<Bearer, Trouble> {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = form(members);
    ask(client.judging(judge), &Question { method: Method::POST, path, headers: &headers, body: &body }).await
}

/// Asks a machine's own metadata service for a token.
pub(crate) async fn by_metadata(
    client: Client,
    path: &str,
    header: (&'static str, &str),
) -> Result<Bearer, Trouble> {
    ask(client.judging(judge_metadata), &Question { method: Method::GET, path, headers: &[header], body: "" })
        .await
}

async fn ask(mut client: Client, question: &Question<'_>) -> Result<Bearer, Trouble> {
    let (_, body) = client.ask(question).await?;
    let Granted { access_token } = http::json(&body, "the login")?;
    Ok(Bearer(Arc::new(Zeroizing::new(format!("Bearer {}", *access_token)))))
}

/// A form of names and values.
fn form(members: &[(&str, &str)]) -> Zeroizing<String> {
    // Its room is taken at once: a text that grows leaves its old places unwiped.
    let room = members.iter().fold(0_usize, |room, (name, value)| {
        room.saturating_add(name.len()).saturating_add(value.len().saturating_mul(3)).saturating_add(2)
    });
    let mut form = Zeroizing::new(String::with_capacity(room));
    for (name, value) in members {
        let value = Zeroizing::new(encoded(value));
        let separator = if form.is_empty() { "" } else { "&" };
        for piece in [separator, name, "=", &value] {
            form.push_str(piece);
        }
    }
    form
}

/// Whoever is not known, or not allowed, is answered with 400.
fn judge(status: StatusCode, body: &[u8]) -> Result<(), (Kind, String)> {
    match status.as_u16() {
        400 | 401 | 403 | 404 => Err((Kind::Denied, format!("gives no token: {}", refusal(body)))),
        _ => http::by_status(status, body),
    }
}

/// A metadata service that has just started, or is being renewed, says that it is not there.
fn judge_metadata(status: StatusCode, body: &[u8]) -> Result<(), (Kind, String)> {
    match status.as_u16() {
        404 | 410 => Err((Kind::Busy, "gives no token: has this machine an identity?".to_owned())),
        _ => judge(status, body),
    }
}

/// The codes of an error. Its description is a text of the server's, which may repeat what was asked.
fn refusal(body: &[u8]) -> String {
    let Ok(Refusal { error, error_codes }) = serde_json::from_slice(body) else {
        return "it does not say why".to_owned();
    };
    // Entra's own, as its pages list them.
    let codes = error_codes.iter().take(3).map(|code| format!(", AADSTS{code}"));
    std::iter::once(code(&error)).chain(codes).collect()
}

#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded() {
        let form = form(&[("grant_type", "client_credentials"), ("client_secret", "a b&c=d+~\u{e9}")]);
        assert_eq!(*form, "grant_type=client_credentials&client_secret=a%20b%26c%3Dd%2B~%C3%A9");
    }

    #[test]
    fn a_refusal_shows_codes_and_no_text_of_the_server() {
        let body = br#"{"error": "invalid_client", "error_description": "secret-of-mine", "error_codes": [7000215]}"#;
        let (kind, reason) = judge(StatusCode::BAD_REQUEST, body).unwrap_err();
        assert_eq!((kind, reason.as_str()), (Kind::Denied, "gives no token: invalid_client, AADSTS7000215"));
        let (_, reason) = judge(StatusCode::UNAUTHORIZED, b"{\"error\": \"<b>\\n\"}").unwrap_err();
        assert_eq!(reason, "gives no token: b");
        let (_, reason) = judge(StatusCode::UNAUTHORIZED, b"<html>").unwrap_err();
        assert_eq!(reason, "gives no token: it does not say why");
        assert_eq!(judge_metadata(StatusCode::GONE, b"").unwrap_err().0, Kind::Busy);
        assert_eq!(judge(StatusCode::TOO_MANY_REQUESTS, b"").unwrap_err().0, Kind::Busy);
    }
}
