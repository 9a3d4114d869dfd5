//! Clients as `[[client]]` in the configuration file names them, and where they are, to be read again.

use std::path::PathBuf;

use nix::unistd::{Group, User};
use serde::Deserialize;

use super::client_tokens::{ClientTokens, is_token_name};
use super::{Error, RawSettings};
use crate::credentials::Fingerprint;
use crate::duty_group::DutyGroup;
use crate::text::Bounded;

/// Where clients and their tokens are read from, at the start and on a reload.
#[derive(Clone, Debug)]
pub(crate) struct ClientSources {
    pub(crate) config: Option<PathBuf>,
    pub(crate) state_dir: PathBuf,
}

impl ClientSources {
    /// The clients that the configuration file names; `None` if it names none.
    pub(crate) fn read(&self) -> Result<Option<Vec<ClientSettings>>, Error> {
        let Some(path) = &self.config else { return Ok(None) };
        let Some(raw) = RawSettings::from_file(path)?.client else { return Ok(None) };
        Ok(Some(ClientSettings::validate_all(raw)?))
    }

    /// The named tokens in the state directory.
    pub(crate) fn tokens(&self) -> Result<ClientTokens, Error> {
        ClientTokens::read(&self.state_dir)
    }
}

/// One `[[client]]`, valid in itself.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) name: String,
    pub(crate) users: Option<Vec<u32>>,
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) certificates: Option<Vec<Fingerprint>>,
    pub(crate) certificate_names: Option<Vec<String>>,
    /// Names of tokens; there may be none of that name.
    pub(crate) tokens: Option<Vec<String>>,
    pub(crate) keys: KeySelection,
    pub(crate) duties: Vec<DutyGroup>,
    pub(crate) exits: Exits,
}

/// How many voluntary exits a client that is granted them may have signed with each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Exits {
    #[default]
    Any,
    /// One, and that again.
    Once,
}

/// Which keys a client knows of.
#[derive(Clone, Debug)]
pub(crate) enum KeySelection {
    All,
    Listed(Vec<KeyEntry>),
}

/// An item of a list of keys.
#[derive(Clone, Debug)]
pub(crate) enum KeyEntry {
    /// A public key, not yet read.
    Key(String),
    /// An absolute path of a file of public keys.
    File(PathBuf),
}

/// One `[[client]]` as the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawClient {
    name: String,
    user: Option<OneOrMore<Account>>,
    group: Option<OneOrMore<Account>>,
    cert_sha256: Option<OneOrMore<String>>,
    cert_san: Option<OneOrMore<String>>,
    token: Option<OneOrMore<String>>,
    keys: OneOrMore<String>,
    duties: Vec<DutyGroup>,
    exit: Option<Exits>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected one value, or a list of them")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

/// A user or a group, by number or by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a name or a number")]
enum Account {
    Number(u32),
    Name(String),
}

impl ClientSettings {
    fn validate_all(raw: Vec<RawClient>) -> Result<Vec<Self>, Error> {
        if raw.is_empty() {
            return Err(Error::NoClient);
        }
        let mut clients: Vec<Self> = Vec::with_capacity(raw.len());
        for raw in raw {
            let client = raw.name.clone();
            let client =
                Self::validate(raw).map_err(|source| Error::Client { client: shown(&client), source })?;
            if clients.iter().any(|other| other.name == client.name) {
                return Err(Error::Client { client: client.name, source: ClientError::Twice });
            }
            clients.push(client);
        }
        Ok(clients)
    }

    fn validate(raw: RawClient) -> Result<Self, ClientError> {
        let RawClient { name, user, group, cert_sha256, cert_san, token, keys, duties, exit } = raw;
        if !is_token_name(&name) {
            return Err(ClientError::Name);
        }
        if duties.is_empty() {
            return Err(ClientError::NoDuty);
        }
        if exit.is_some() && !duties.contains(&DutyGroup::Exit) {
            return Err(ClientError::NoExit);
        }
        let client = Self {
            name,
            users: each(user, "user", |user| {
                user.id("user", |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
            })?,
            groups: each(group, "group", |group| {
                group.id("group", |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
            })?,
            certificates: each(cert_sha256, "cert_sha256", |text| {
                Fingerprint::parse(&text).ok_or_else(|| ClientError::Fingerprint { text: shown(&text) })
            })?,
            certificate_names: each(cert_san, "cert_san", |text| match text.split_once(':') {
                Some(("DNS" | "URI" | "email", name)) if !name.is_empty() => Ok(text),
                Some(_) | None => Err(ClientError::AlternativeName { text: shown(&text) }),
            })?,
            tokens: each(token, "token", |token| {
                if is_token_name(&token) {
                    Ok(token)
                } else {
                    Err(ClientError::Token { text: shown(&token) })
                }
            })?,
            keys: key_selection(keys)?,
            duties,
            exits: exit.unwrap_or_default(),
        };
        let Self { users, groups, certificates, certificate_names, tokens, .. } = &client;
        let named = users.is_some() || groups.is_some() || certificates.is_some();
        if !named && certificate_names.is_none() && tokens.is_none() {
            return Err(ClientError::Anybody);
        }
        Ok(client)
    }
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// Each alternative of a demand; `None` where it is not made.
fn each<T, U>(
    given: Option<OneOrMore<T>>,
    what: &'static str,
    read: impl FnMut(T) -> Result<U, ClientError>,
) -> Result<Option<Vec<U>>, ClientError> {
    let Some(given) = given else { return Ok(None) };
    let given = given.into_vec();
    if given.is_empty() {
        return Err(ClientError::Empty { what });
    }
    given.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

impl Account {
    /// The number of this account; `look_up` finds that of a name.
    fn id(
        self,
        what: &'static str,
        look_up: impl FnOnce(&str) -> nix::Result<Option<u32>>,
    ) -> Result<u32, ClientError> {
        match self {
            Self::Number(id) => Ok(id),
            Self::Name(name) => match look_up(&name) {
                Ok(Some(id)) => Ok(id),
                Ok(None) => Err(ClientError::Unknown { what, name: shown(&name) }),
                Err(source) => Err(ClientError::LookUp { what, name: shown(&name), source }),
            },
        }
    }
}

fn key_selection(keys: OneOrMore<String>) -> Result<KeySelection, ClientError> {
    let keys = keys.into_vec();
    if keys.iter().any(|key| key == "all") {
        return if keys.len() == 1 { Ok(KeySelection::All) } else { Err(ClientError::AllAndMore) };
    }
    if keys.is_empty() {
        return Err(ClientError::Empty { what: "keys" });
    }
    let entry = |key: String| match key.strip_prefix("file:") {
        None => Ok(KeyEntry::Key(key)),
        Some(path) if path.starts_with('/') => Ok(KeyEntry::File(path.into())),
        Some(path) => Err(ClientError::RelativePath { path: shown(path) }),
    };
    keys.into_iter().map(entry).collect::<Result<_, _>>().map(KeySelection::Listed)
}

/// Short enough for a message.
fn shown(text: &str) -> String {
    crate::text::OneLine(text).to_string()
}

/// What is wrong with one client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("its name must have 1 to 32 letters, digits, dots, hyphens and underscores")]
    Name,
    #[error("another client has this name: give each its own")]
    Twice,
    #[error("it may have nothing signed: name its duties, or leave the client out")]
    NoDuty,
    #[error(
        "exit says how many exits it may have signed, and its duties do not have 'exit': add it, or leave exit out"
    )]
    NoExit,
    #[error("nothing says who it is: give user, group, cert_sha256, cert_san or token")]
    Anybody,
    #[error("{what} is an empty list: nobody could be this client")]
    Empty { what: &'static str },
    #[error("this host has no {what} {}", Bounded(name))]
    Unknown { what: &'static str, name: String },
    #[error("the {what} {} cannot be looked up", Bounded(name))]
    LookUp { what: &'static str, name: String, source: nix::Error },
    #[error(
        "cert_sha256 '{}' is no SHA-256 fingerprint: 'openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE' \
         shows it",
        Bounded(text)
    )]
    Fingerprint { text: String },
    #[error("cert_san '{}' is no alternative name: write DNS:name, URI:uri or email:address", Bounded(text))]
    AlternativeName { text: String },
    #[error(
        "token '{}' is no name of a token: 'bls-signer token list' shows those that there are",
        Bounded(text)
    )]
    Token { text: String },
    #[error("keys names all of them and more: keep one of the two")]
    AllAndMore,
    #[error("keys names file:{}: the path must begin with /", Bounded(path))]
    RelativePath { path: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ClientSettings>, String> {
        let raw = RawSettings::from_toml(text).map_err(|(_, reason)| reason)?;
        ClientSettings::validate_all(raw.client.unwrap()).map_err(|error| crate::text::chain(&error))
    }

    fn with(line: &str) -> String {
        format!("[[client]]\nname = 'vc1'\nkeys = 'all'\nduties = ['attest', 'exit']\n{line}\n")
    }

    #[test]
    fn a_client_is_known_by_each_demand_that_is_made() {
        let all = with(
            "user = ['root', 1001]\ngroup = 0\ncert_san = 'DNS:vc1'\ntoken = ['a', 'b']\n\
             cert_sha256 = '0000000000000000000000000000000000000000000000000000000000000000'",
        );
        let clients = read(&all).unwrap();
        let [client] = clients.as_slice() else { panic!("{clients:?}") };
        assert_eq!(client.users.as_deref(), Some([0, 1001].as_slice()));
        assert_eq!(client.groups.as_deref(), Some([0].as_slice()));
        assert_eq!(client.certificate_names.as_deref(), Some(["DNS:vc1".to_owned()].as_slice()));
        assert_eq!(client.tokens.as_ref().map(Vec::len), Some(2));
        assert_eq!(client.certificates.as_ref().map(Vec::len), Some(1));
        assert_eq!(client.duties, [DutyGroup::Attest, DutyGroup::Exit]);
    }

    #[test]
    fn what_is_no_client_is_refused_by_name_and_reason() {
        for (line, reason) in [
            ("", "nothing says who it is"),
            ("user = []", "user is an empty list"),
            ("user = 'no-such-user'", "no user no-such-user"),
            ("group = 'no-such-group'", "no group no-such-group"),
            ("cert_sha256 = 'AB:CD'", "no SHA-256 fingerprint"),
            ("cert_san = 'vc1.example'", "write DNS:name"),
            ("token = 'two words'", "no name of a token"),
            ("uid = 1", "unknown field `uid`"),
            ("user = 1\nexit = 'twice'", "expected `any` or `once`"),
            (
                "token = 'a'\n[[client]]\nname = 'vc1'\ntoken = 'b'\nkeys = 'all'\nduties = ['attest']",
                "another",
            ),
        ] {
            let error = read(&with(line)).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
        for (keys, reason) in [
            ("[]", "keys is an empty list"),
            ("['all', 'file:/k']", "all of them and more"),
            ("'file:k'", "must begin with /"),
        ] {
            let text = with("token = 'a'").replace("'all'", keys);
            assert!(read(&text).unwrap_err().contains(reason), "{keys}");
        }
        assert!(
            read(&with("token = 'a'").replace("'attest', ", "'all', ")).is_err(),
            "no word for every duty"
        );
        let text = with("token = 'a'\nexit = 'once'");
        assert_eq!(read(&text).unwrap()[0].exits, Exits::Once);
        assert!(read(&text.replace(", 'exit'", "")).unwrap_err().contains("do not have 'exit'"));
        assert!(read("client = []").unwrap_err().contains("client is an empty list"));
    }
}
