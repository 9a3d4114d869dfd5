//! Logins to AWS: where the keys that sign requests come from.
//!
//! Source: "AssumeRoleWithWebIdentity" (STS API Reference), "Use the Instance Metadata Service" (EC2 User Guide) and
//! "Container credential provider" (AWS SDKs Reference Guide).

use std::path::Path;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::service::server;
use super::signature::Keys;
use crate::credential::Credential;
use crate::http::{self, Address, Client, Endpoint, Judge, Question, encoded};
use crate::trouble::{Kind, Trouble, code};

/// How the fetcher logs in to AWS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Login {
    Keys {
        access_key_id: String,
        secret_access_key_file: Credential,
        session_token_file: Option<Credential>,
    },
    /// A file of the form of `~/.aws/credentials`.
    Profile {
        file: Credential,
        profile: Option<String>,
    },
    /// A token of an OpenID provider, such as a Kubernetes cluster, for a role.
    WebIdentity {
        role_arn: String,
        token_file: Credential,
        session_name: Option<String>,
        /// STS, where it is another than the region's.
        address: Option<Address>,
    },
    /// The role of the EC2 instance.
    Instance {
        address: Option<Address>,
    },
    /// What ECS or EKS gives a container.
    Container {
        address: Address,
        path: String,
        token_file: Option<Credential>,
    },
}

impl Login {
    /// Whether its files can be read.
    pub(crate) fn usable(&self) -> Result<(), Trouble> {
        match self {
            Self::Keys { secret_access_key_file: file, .. } | Self::WebIdentity { token_file: file, .. } => {
                file.read().map(drop)
            }
            Self::Profile { file, profile } => of_profile(file, profile.as_deref()).map(drop),
            Self::Container { token_file: Some(file), .. } => file.read().map(drop),
            Self::Container { token_file: None, .. } | Self::Instance { .. } => Ok(()),
        }
    }

    /// The address that keys come from, where it is named.
    pub(crate) fn address(&self) -> Option<&Address> {
        match self {
            Self::WebIdentity { address, .. } | Self::Instance { address } => address.as_ref(),
            Self::Container { address, .. } => Some(address),
            Self::Keys { .. } | Self::Profile { .. } => None,
        }
    }

    pub(super) async fn log_in(&self, region: &str, ca_file: Option<&Path>) -> Result<Keys, Trouble> {
        match self {
            Self::Keys { access_key_id, secret_access_key_file, session_token_file } => Ok(Keys {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key_file.read()?,
                session_token: session_token_file.as_ref().map(Credential::read).transpose()?,
            }),
            Self::Profile { file, profile } => of_profile(file, profile.as_deref()),
            Self::WebIdentity { role_arn, token_file, session_name, address } => {
                let address = address.clone().map_or_else(|| server("sts", region), Ok)?;
                let session = session_name.as_deref().unwrap_or("bls-signer-fetch");
                let endpoint = Endpoint::new(&address, ca_file, None)?;
                of_web_identity(endpoint, role_arn, session, &token_file.read()?).await
            }
            Self::Instance { address } => {
                of_instance(&address.clone().map_or_else(|| INSTANCE_METADATA.parse(), Ok)?).await
            }
            Self::Container { address, path, token_file } => {
                let token = token_file.as_ref().map(Credential::read).transpose()?;
                let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
                let mut client = Client::new(Endpoint::new(address, None, None)?).probing(METADATA_TIMEOUT);
                let question = Question { method: Method::GET, path, headers: &headers, body: "" };
                let (_, answer) = found(client.ask(&question).await?, "the container's credentials")?;
                http::json::<Role>(&answer, "the container's credentials").map(Role::keys)
            }
        }
    }
}

fn of_profile(file: &Credential, profile: Option<&str>) -> Result<Keys, Trouble> {
    let name = profile.unwrap_or("default");
    let denied = |what: &str| Trouble::new(Kind::Denied, format!("the profile {name} in {file} {what}"));
    let text = file.read()?;
    let mut is_it = false;
    let mut is_there = false;
    let (mut access_key_id, mut secret_access_key, mut session_token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let section = section.trim();
            is_it = section.strip_prefix("profile ").map_or(section, str::trim) == name;
            is_there |= is_it;
        } else if let Some((member, value)) = line.split_once('=').filter(|_| is_it) {
            let value = value.trim();
            match member.trim() {
                "aws_access_key_id" => access_key_id = Some(value.to_owned()),
                "aws_secret_access_key" => secret_access_key = Some(Zeroizing::new(value.to_owned())),
                "aws_session_token" => session_token = Some(Zeroizing::new(value.to_owned())),
                _ => {}
            }
        }
    }
    if !is_there {
        return Err(denied("is not there"));
    }
    Ok(Keys {
        access_key_id: access_key_id.ok_or_else(|| denied("has no aws_access_key_id"))?,
        secret_access_key: secret_access_key.ok_or_else(|| denied("has no aws_secret_access_key"))?,
        session_token,
    })
}

async fn of_web_identity(
    endpoint: Endpoint,
    role: &str,
    session: &str,
    token: &str,
) -> Result<Keys, Trouble> {
    let mut client = Client::new(endpoint).judging(JUDGE_STS);
    // In a form a slash is encoded as all else.
    let field = |text: &str| Zeroizing::new(encoded(text).replace('/', "%2F"));
    let body = Zeroizing::new(format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
        *field(role),
        *field(session),
        *field(token)
    ));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/xml")];
    let question = Question { method: Method::POST, path: "/", headers: &headers, body: &body };
    let (_, answer) = client.ask(&question).await?;
    let address = client.address();
    let malformed =
        || Trouble::new(Kind::Malformed, format!("{address}: the answer has no keys of the role"));
    let text = std::str::from_utf8(&answer).map_err(|_| malformed())?;
    let element = |name| element(text, name).ok_or_else(malformed);
    Ok(Keys {
        access_key_id: element("AccessKeyId")?.to_owned(),
        secret_access_key: Zeroizing::new(element("SecretAccessKey")?.to_owned()),
        session_token: Some(Zeroizing::new(element("SessionToken")?.to_owned())),
    })
}

/// By version 2 of the service: a session first.
async fn of_instance(address: &Address) -> Result<Keys, Trouble> {
    let mut client = Client::new(Endpoint::new(address, None, None)?).probing(METADATA_TIMEOUT);
    let headers = [("x-aws-ec2-metadata-token-ttl-seconds", "60")];
    let question = Question { method: Method::PUT, path: "/latest/api/token", headers: &headers, body: "" };
    let (_, session) = found(client.ask(&question).await?, "a session of the instance's metadata")?;
    let malformed = |what| Trouble::new(Kind::Malformed, format!("{address}: {what} is no text"));
    let session = std::str::from_utf8(&session).map_err(|_| malformed("the session"))?;

    let headers = [("x-aws-ec2-metadata-token", session)];
    let folder = "/latest/meta-data/iam/security-credentials/";
    let ask = |path| Question { method: Method::GET, path, headers: &headers, body: "" };
    let (_, role) =
        found(client.ask(&ask(folder)).await?, "a role of the instance: attach an instance profile")?;
    let role = std::str::from_utf8(&role).map_err(|_| malformed("the role"))?;
    let path = format!("{folder}{}", encoded(role.lines().next().unwrap_or_default()));
    let (_, answer) = found(client.ask(&ask(&path)).await?, "keys of the instance's role")?;
    http::json::<Role>(&answer, "the instance's role").map(Role::keys)
}

fn found(answer: http::Answer, what: &str) -> Result<http::Answer, Trouble> {
    if answer.0 == StatusCode::NOT_FOUND {
        return Err(Trouble::new(Kind::Denied, format!("there is not {what}")));
    }
    Ok(answer)
}

/// Keys of a role as metadata services give them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl Role {
    fn keys(self) -> Keys {
        let Self { access_key_id, secret_access_key, token } = self;
        Keys { access_key_id, secret_access_key, session_token: token }
    }
}

/// STS explains in XML; a token that expired is answered with 400.
const JUDGE_STS: Judge = |status, body| {
    if status.is_success() {
        return Ok(());
    }
    let error = std::str::from_utf8(body).ok().and_then(|text| element(text, "Code"));
    match error {
        Some("IDPCommunicationError" | "Throttling" | "RequestLimitExceeded") => {
            Err((Kind::Busy, "cannot check the token now".to_owned()))
        }
        Some(error) if status.is_client_error() => {
            Err((Kind::Denied, format!("does not give the role: {}", code(error))))
        }
        Some(_) | None => http::by_status(status, body),
    }
};

/// The text of the first element of that name, which has no other in it.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

const INSTANCE_METADATA: &str = "http://169.254.169.254";
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_profile_is_found_by_its_name() {
        let path = std::env::temp_dir().join(format!("bls-signer-fetch-profile-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).unwrap();
        file.write_all(
            b"# keys\n[default]\naws_access_key_id=A\naws_secret_access_key = s/+=\n\n[ other ]\n\
              aws_access_key_id = B\naws_secret_access_key = t\naws_session_token = u\nregion = x\n[profile empty]\n",
        )
        .unwrap();
        let credential: Credential = toml::Value::String(path.display().to_string()).try_into().unwrap();
        let keys = of_profile(&credential, None).unwrap();
        assert_eq!((keys.access_key_id.as_str(), keys.secret_access_key.as_str()), ("A", "s/+="));
        assert!(keys.session_token.is_none());
        let keys = of_profile(&credential, Some("other")).unwrap();
        assert_eq!((keys.access_key_id.as_str(), keys.secret_access_key.as_str()), ("B", "t"));
        assert_eq!(keys.session_token.unwrap().as_str(), "u");
        let reason = |name| of_profile(&credential, Some(name)).map(drop).unwrap_err().reason;
        assert!(reason("empty").ends_with("has no aws_access_key_id"));
        assert!(reason("nobody").ends_with("is not there"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn sts_says_why_in_xml() {
        let judged = |status, body: &str| JUDGE_STS(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let expired = "<ErrorResponse><Error><Code>ExpiredTokenException</Code></Error></ErrorResponse>";
        assert_eq!(judged(200, ""), Ok(()));
        assert_eq!(
            judged(400, expired),
            Err((Kind::Denied, "does not give the role: ExpiredTokenException".to_owned()))
        );
        assert_eq!(judged(503, "<html>").unwrap_err().0, Kind::Busy);
        assert_eq!(judged(400, "<Code>IDPCommunicationError</Code>").unwrap_err().0, Kind::Busy);
        assert_eq!(judged(302, "").unwrap_err().0, Kind::Malformed);
    }
}
