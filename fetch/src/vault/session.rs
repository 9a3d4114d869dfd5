//! Logins to a vault, and the tokens that they give.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::http::{self, Client, Question, encoded};
use crate::trouble::{Kind, Trouble};

/// How the fetcher logs in to a vault.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Login {
    Token { token_file: Credential },
    Approle { mount: Option<String>, role_id: String, secret_id_file: Credential },
    Kubernetes { mount: Option<String>, role: String, jwt_file: Credential },
    Certificate { mount: Option<String>, role: Option<String>, cert_file: PathBuf, key_file: Credential },
}

/// A token, and the namespace that it is of.
#[derive(Clone)]
pub(super) struct Session {
    token: Arc<Zeroizing<String>>,
    namespace: Option<String>,
    /// Whether it is ours to give back.
    is_own: bool,
}

impl Login {
    /// Whether its files can be read. Those of a certificate are read with the endpoint.
    pub(super) fn usable(&self) -> Result<(), Trouble> {
        match self {
            Self::Token { token_file: file }
            | Self::Approle { secret_id_file: file, .. }
            | Self::Kubernetes { jwt_file: file, .. } => file.read().map(drop),
            Self::Certificate { .. } => Ok(()),
        }
    }

    pub(super) async fn log_in(
        &self,
        client: &mut Client,
        namespace: Option<&str>,
    ) -> Result<Session, Trouble> {
        let (mount, body) = match self {
            Self::Token { token_file } => {
                let token = Arc::new(token_file.read()?);
                return Ok(Session { token, namespace: namespace.map(str::to_owned), is_own: false });
            }
            Self::Approle { mount, role_id, secret_id_file } => {
                let secret_id = secret_id_file.read()?;
                let body = json!({"role_id": role_id, "secret_id": *secret_id});
                (mount.as_deref().unwrap_or("approle"), body)
            }
            Self::Kubernetes { mount, role, jwt_file } => {
                let jwt = jwt_file.read()?;
                (mount.as_deref().unwrap_or("kubernetes"), json!({"role": role, "jwt": *jwt}))
            }
            Self::Certificate { mount, role, .. } => (
                mount.as_deref().unwrap_or("cert"),
                role.as_ref().map_or_else(|| json!({}), |role| json!({"name": role})),
            ),
        };
        let body = Zeroizing::new(body.to_string());
        let path = format!("/v1/auth/{}/login", encoded(mount));
        let headers: Vec<_> =
            namespace.map(|namespace| ("x-vault-namespace", namespace)).into_iter().collect();
        let question = Question { method: Method::POST, path: &path, headers: &headers, body: &body };
        let (_, answer) = client.ask(&question).await.map_err(|trouble| match trouble.kind {
            // A wrong role or secret is answered with 400.
            Kind::Malformed => Trouble::new(Kind::Denied, format!("the login failed: {trouble}")),
            Kind::Unreachable
            | Kind::Timeout
            | Kind::Denied
            | Kind::NotFound
            | Kind::TooLarge
            | Kind::Busy => trouble,
        })?;
        let LoginAnswer { auth: Auth { client_token } } = http::json(&answer, "the login")?;
        Ok(Session { token: Arc::new(client_token), namespace: namespace.map(str::to_owned), is_own: true })
    }
}

impl Session {
    pub(super) async fn get(&self, client: &mut Client, path: &str) -> Result<http::Answer, Trouble> {
        client.ask(&Question { method: Method::GET, path, headers: &self.headers(), body: "" }).await
    }

    /// Gives the token back, if a login gave it.
    pub(super) async fn log_out(self, mut client: Client) {
        if self.is_own {
            let path = "/v1/auth/token/revoke-self";
            let headers = self.headers();
            // It ends by itself otherwise.
            let _ = client.ask(&Question { method: Method::POST, path, headers: &headers, body: "" }).await;
        }
    }

    fn headers(&self) -> Vec<(&'static str, &str)> {
        let namespace = self.namespace.as_deref().map(|namespace| ("x-vault-namespace", namespace));
        std::iter::once(("x-vault-token", self.token.as_str())).chain(namespace).collect()
    }
}

#[derive(Deserialize)]
struct LoginAnswer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Zeroizing<String>,
}
