//! Logins to Google Cloud: a service account's key, a federated token of a workload, or the machine's account.
//!
//! Source: Google's pages "OAuth 2.0 for server to server", "Workload Identity Federation" (STS, version 1) and
//! "about VM metadata".

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Uri;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::http::{Address, Client, Endpoint, encoded};
use crate::oauth::{self, Bearer};
use crate::trouble::{Kind, Trouble};

/// How the fetcher logs in. `address` stands for another one than the usual.
#[derive(Debug, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Login {
    ServiceAccount { key_file: Credential },
    WorkloadIdentity { audience: String, token_file: Credential, address: Option<Address> },
    Metadata { account: Option<String>, address: Option<Address> },
}

/// A service account's key, as Google gives it.
#[derive(Deserialize)]
struct Key {
    client_email: String,
    private_key_id: String,
    /// PKCS#8 in PEM.
    private_key: Zeroizing<String>,
    token_uri: String,
}

impl Login {
    /// Whether its files can be read, and are what they should be.
    pub(super) fn usable(&self) -> Result<(), Trouble> {
        match self {
            Self::ServiceAccount { key_file } => {
                let key = Key::read(key_file)?;
                key.server()?;
                key.assertion(UNIX_EPOCH).map(drop)
            }
            Self::WorkloadIdentity { token_file, .. } => token_file.read().map(drop),
            Self::Metadata { .. } => Ok(()),
        }
    }

    /// Where it is another one than the usual.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::ServiceAccount { .. } => None,
            Self::WorkloadIdentity { address, .. } | Self::Metadata { address, .. } => address.as_ref(),
        }
    }

    pub(super) async fn token(&self, authorities: Option<&Path>) -> Result<Bearer, Trouble> {
        let client = |address: &Address| Endpoint::new(address, authorities, None).map(Client::new);
        match self {
            Self::ServiceAccount { key_file } => {
                let key = Key::read(key_file)?;
                let (address, path) = key.server()?;
                let assertion = key.assertion(SystemTime::now())?;
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", &assertion),
                ];
                oauth::by_form(client(&address)?, &path, &form).await
            }
            Self::WorkloadIdentity { audience, token_file, address } => {
                let subject = token_file.read()?;
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                    ("audience", audience),
                    ("scope", SCOPE),
                    ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                    ("subject_token", &subject),
                ];
                let address = usual_or(address, "https://sts.googleapis.com")?;
                oauth::by_form(client(&address)?, "/v1/token", &form).await
            }
            Self::Metadata { account, address } => {
                let account = encoded(account.as_deref().unwrap_or("default"));
                let path = format!("/computeMetadata/v1/instance/service-accounts/{account}/token");
                let address = usual_or(address, METADATA)?;
                oauth::by_metadata(client(&address)?, &path, ("metadata-flavor", "Google")).await
            }
        }
    }
}

impl Key {
    fn read(file: &Credential) -> Result<Self, Trouble> {
        let text = file.read()?;
        // What is wrong with it is not shown: it may be a part of the key.
        serde_json::from_str(&text).map_err(|_| {
            Trouble::new(Kind::Denied, format!("{file} is no key of a service account: use its JSON form"))
        })
    }

    /// Where a token is asked for.
    fn server(&self) -> Result<(Address, String), Trouble> {
        let server = || {
            let uri: Uri = self.token_uri.parse().ok()?;
            let address: Address = format!("{}://{}", uri.scheme_str()?, uri.authority()?).parse().ok()?;
            address.is_safe().then(|| (address, uri.path().to_owned()))
        };
        let reason = "the service account's key has a `token_uri` that is no https:// address";
        server().ok_or_else(|| Trouble::new(Kind::Denied, reason))
    }

    /// A statement of who asks, signed (RFC 7523; RS256).
    fn assertion(&self, now: SystemTime) -> Result<Zeroizing<String>, Trouble> {
        let denied = |what: &str| Trouble::new(Kind::Denied, format!("the service account's key {what}"));
        let now = now.duration_since(UNIX_EPOCH).map_err(|_| denied("cannot be used before 1970"))?.as_secs();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id});
        let claims = json!({"iss": self.client_email, "scope": SCOPE, "aud": AUDIENCE, "iat": now,
                            "exp": now.saturating_add(LIFETIME_SECONDS)});
        let mut assertion = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let key = PrivateKeyDer::from_pem_slice(self.private_key.as_bytes())
            .map_err(|_| denied("has no `private_key` in PEM"))?;
        let key = any_supported_type(&key)
            .map_err(|_| denied("has a `private_key` of another form than PKCS#8"))?;
        let signer =
            key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(|| denied("is not RSA"))?;
        let signature = signer.sign(assertion.as_bytes()).map_err(|_| denied("does not sign"))?;
        assertion.push('.');
        assertion.push_str(&base64url(signature));
        Ok(Zeroizing::new(assertion))
    }
}

fn usual_or(address: &Option<Address>, usual: &str) -> Result<Address, Trouble> {
    let address = address.clone().map_or_else(|| usual.parse(), Ok);
    address.map_err(|error| Trouble::new(Kind::Malformed, error.to_string()))
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Always this one, wherever the key has the token asked for.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// The only one that Secret Manager has; the account's roles say what it may.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Of a virtual machine or a pod, from within it alone.
const METADATA: &str = "http://169.254.169.254";
/// The longest that Google allows: the clocks may differ.
const LIFETIME_SECONDS: u64 = 3600;
