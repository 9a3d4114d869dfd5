//! HashiCorp Vault and OpenBao: key-value stores of version 1 and 2, by token, AppRole, Kubernetes or certificate.
//!
//! Source: the HTTP API pages of OpenBao and Vault ("KV secrets engine", "AppRole", "Kubernetes", "TLS certificate").

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::http::{self, Address, Client, ClientCertificate, Endpoint, Question};
use crate::source::Login;
use crate::trouble::{Kind, Trouble};
use crate::value::{self, Item};

/// A folder of a key-value store, with all folders below it.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) address: Address,
    pub(crate) ca_file: Option<PathBuf>,
    /// The store.
    pub(crate) mount: String,
    pub(crate) is_version_2: bool,
    /// The folder, without slashes at its ends; empty for all of the store.
    pub(crate) path: String,
    /// The member of a secret that has the key, or several, one a line.
    pub(crate) field: String,
    pub(crate) namespace: Option<String>,
    pub(crate) login: Login,
}

impl fmt::Display for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} of {}", self.mount, self.path, self.address)
    }
}

/// A token, and the namespace that it is of.
#[derive(Clone)]
struct Session {
    token: Arc<Zeroizing<String>>,
    namespace: Option<String>,
    /// Whether it is ours to give back.
    is_own: bool,
}

impl Session {
    fn headers(&self) -> Vec<(&'static str, &str)> {
        let namespace = self.namespace.as_deref().map(|namespace| ("x-vault-namespace", namespace));
        std::iter::once(("x-vault-token", self.token.as_str())).chain(namespace).collect()
    }

    async fn get(&self, client: &mut Client, path: &str) -> Result<http::Answer, Trouble> {
        client.ask(&Question { method: Method::GET, path, headers: &self.headers(), body: "" }).await
    }
}

/// A reading that is under way.
pub(crate) struct Reading {
    items: mpsc::Receiver<Vec<Item>>,
    session: Session,
    client: Client,
    _readers: JoinSet<()>,
}

impl Reading {
    /// The next keys; `None` when all have come.
    pub(crate) async fn next(&mut self) -> Option<Vec<Item>> {
        self.items.recv().await
    }

    /// Gives the token back.
    pub(crate) async fn log_out(mut self) {
        if self.session.is_own {
            let path = "/v1/auth/token/revoke-self";
            let headers = self.session.headers();
            let question = Question { method: Method::POST, path, headers: &headers, body: "" };
            // It ends by itself otherwise.
            let _ = self.client.ask(&question).await;
        }
    }
}

impl Vault {
    /// Whether its files can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        match &self.login {
            Login::Token { token_file } => drop(token_file.read()?),
            Login::Approle { secret_id_file, .. } => drop(secret_id_file.read()?),
            Login::Kubernetes { jwt_file, .. } => drop(jwt_file.read()?),
            Login::Certificate { .. } => {}
        }
        self.endpoint().map(drop)
    }

    /// Logs in, lists all, and begins to read it, by several connections.
    pub(crate) async fn read(&self) -> Result<Reading, Trouble> {
        let endpoint = self.endpoint()?;
        let mut client = Client::new(endpoint.clone());
        let session = self.log_in(&mut client).await?;
        let names = self.list(&mut client, &session).await?;
        let (sender, items) = mpsc::channel(READ_AHEAD);
        let mut readers = JoinSet::new();
        let names = Arc::new(Mutex::new(names.into_iter()));
        for _ in 0..READERS {
            let mut reader = Reader {
                client: Client::new(endpoint.clone()),
                session: session.clone(),
                is_version_2: self.is_version_2,
                data: if self.is_version_2 { format!("{}/data", self.mount) } else { self.mount.clone() },
                field: self.field.clone(),
            };
            let (names, sender) = (Arc::clone(&names), sender.clone());
            readers.spawn(async move {
                loop {
                    let Some(name) = names.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    let items = match reader.read(&name).await {
                        Ok(items) => items,
                        Err(trouble) => vec![Item::Missing { name, trouble }],
                    };
                    if sender.send(items).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Reading { items, session, client, _readers: readers })
    }

    fn endpoint(&self) -> Result<Endpoint, Trouble> {
        let certificate = match &self.login {
            Login::Certificate { cert_file, key_file, .. } => {
                Some(ClientCertificate { chain: cert_file, key: key_file })
            }
            Login::Token { .. } | Login::Approle { .. } | Login::Kubernetes { .. } => None,
        };
        Endpoint::new(&self.address, self.ca_file.as_deref(), certificate)
    }

    async fn log_in(&self, client: &mut Client) -> Result<Session, Trouble> {
        let (mount, body) = match &self.login {
            Login::Token { token_file } => {
                let token = Arc::new(token_file.read()?);
                return Ok(Session { token, namespace: self.namespace.clone(), is_own: false });
            }
            Login::Approle { mount, role_id, secret_id_file } => {
                let secret_id = secret_id_file.read()?;
                let body = json!({"role_id": role_id, "secret_id": *secret_id});
                (mount.as_deref().unwrap_or("approle"), body)
            }
            Login::Kubernetes { mount, role, jwt_file } => {
                let jwt = jwt_file.read()?;
                (mount.as_deref().unwrap_or("kubernetes"), json!({"role": role, "jwt": *jwt}))
            }
            Login::Certificate { mount, role, .. } => (
                mount.as_deref().unwrap_or("cert"),
                role.as_ref().map_or_else(|| json!({}), |role| json!({"name": role})),
            ),
        };
        let body = Zeroizing::new(body.to_string());
        let path = format!("/v1/auth/{}/login", encoded(mount));
        let headers: Vec<_> =
            self.namespace.as_deref().map(|namespace| ("x-vault-namespace", namespace)).into_iter().collect();
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
        Ok(Session { token: Arc::new(client_token), namespace: self.namespace.clone(), is_own: true })
    }

    /// The names of all secrets below the folder, by their whole paths in the store.
    async fn list(&self, client: &mut Client, session: &Session) -> Result<Vec<String>, Trouble> {
        let metadata =
            if self.is_version_2 { format!("{}/metadata", self.mount) } else { self.mount.clone() };
        let mut names = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            let path = format!("/v1/{}/{}?list=true", encoded(&metadata), encoded(&folder));
            let (status, body) = session.get(client, &path).await?;
            // An empty folder is not there.
            if status == StatusCode::NOT_FOUND {
                continue;
            }
            let Listed { data: Keys { keys } } = http::json(&body, "a folder")?;
            for key in keys {
                let separator = if folder.is_empty() { "" } else { "/" };
                match key.strip_suffix('/') {
                    Some(below) => folders.push(format!("{folder}{separator}{below}")),
                    None => names.push(format!("{folder}{separator}{key}")),
                }
            }
            if names.len().saturating_add(folders.len()) > MOST_NAMES {
                let reason = format!("there are more than {MOST_NAMES} secrets: make several sources of it");
                return Err(Trouble::new(Kind::TooLarge, reason));
            }
        }
        Ok(names)
    }
}

/// One of those that read secrets at the same time.
struct Reader {
    client: Client,
    session: Session,
    is_version_2: bool,
    data: String,
    field: String,
}

impl Reader {
    async fn read(&mut self, name: &str) -> Result<Vec<Item>, Trouble> {
        let path = format!("/v1/{}/{}", encoded(&self.data), encoded(name));
        let (status, body) = self.session.get(&mut self.client, &path).await?;
        if status == StatusCode::NOT_FOUND {
            // A version that was deleted is listed still, and its operator has taken it away.
            return match serde_json::from_slice::<Deleted>(&body) {
                Ok(Deleted { data: DeletedData { metadata } }) if self.is_version_2 && metadata.is_some() => {
                    Ok(Vec::new())
                }
                Ok(_) | Err(_) => Err(Trouble::new(Kind::NotFound, "it was listed and is not there")),
            };
        }
        let members = if self.is_version_2 {
            http::json::<Secret<Version<'_>>>(&body, name)?.data.data
        } else {
            http::json::<Secret<HashMap<String, &RawValue>>>(&body, name)?.data
        };
        Ok(items(name, &members, &self.field))
    }
}

/// A secret with a keystore and a password is that, whatever `field` says.
fn items(name: &str, members: &HashMap<String, &RawValue>, field: &str) -> Vec<Item> {
    let text = |member: &str| {
        let value = members.get(member)?;
        serde_json::from_str::<Zeroizing<String>>(value.get()).ok()
    };
    let none = |reason: &str| vec![value::missing(name.to_owned(), reason)];
    if let (Some(keystore), Some(password)) = (members.get("keystore"), text("password")) {
        return match value::keystore(name.to_owned(), keystore, &password) {
            Ok(item) => vec![item],
            Err(reason) => none(reason),
        };
    }
    let Some(value) = text(field) else {
        return none("it has no text under the name that `field` says, and no keystore with a password");
    };
    let public_key = text("public_key").or_else(|| text("pubkey")).map(|key| key.to_string());
    match (public_key, value.trim()) {
        (Some(public_key), digits) if !digits.contains('\n') => {
            match value::raw(name.to_owned(), Some(public_key), digits) {
                Ok(item) => vec![item],
                Err(reason) => none(reason),
            }
        }
        (_, "") => none("it is empty"),
        (_, lines) => value::items(name, lines),
    }
}

/// A path for a request: all but letters, digits and what RFC 3986 calls unreserved is encoded; slashes stay.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[derive(Deserialize)]
struct LoginAnswer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Listed {
    data: Keys,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Secret<D> {
    data: D,
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    data: HashMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Deleted {
    data: DeletedData,
}

#[derive(Deserialize)]
struct DeletedData {
    metadata: Option<serde::de::IgnoredAny>,
}

/// Connections to one server.
const READERS: usize = 16;
/// Answers that wait for the signer.
const READ_AHEAD: usize = 64;
/// What one source of the signer's may have.
const MOST_NAMES: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(members: &str, field: &str) -> Vec<Item> {
        let members: HashMap<String, &RawValue> = serde_json::from_str(members).unwrap();
        items("n", &members, field)
    }

    #[test]
    fn a_secret_is_a_key_several_or_a_keystore() {
        let digits = "ab".repeat(32);
        let one = of(&format!(r#"{{"value": "0x{digits}\n", "public_key": "0x01"}}"#), "value");
        assert!(matches!(&*one, [Item::Raw { public_key: Some(key), .. }] if key == "0x01"));
        assert_eq!(of(&format!(r#"{{"key": "{digits}\n0x{digits}"}}"#), "key").len(), 2);
        for keystore in [r#"{"version": 4}"#, r#""{\"version\": 4}""#] {
            let items = of(&format!(r#"{{"keystore": {keystore}, "password": "p"}}"#), "value");
            assert!(matches!(&*items, [Item::Keystore { keystore, .. }] if keystore == "{\"version\": 4}"));
        }
        for wrong in
            ["{}", r#"{"value": 1}"#, r#"{"value": ""}"#, r#"{"value": "<html>"}"#, r#"{"keystore": {}}"#]
        {
            assert!(matches!(&*of(wrong, "value"), [Item::Missing { .. }]), "{wrong}");
        }
    }

    #[test]
    fn a_path_is_encoded_but_for_its_slashes() {
        assert_eq!(encoded("a/b c?d#e%2F\u{e9}"), "a/b%20c%3Fd%23e%252F%C3%A9");
    }
}
