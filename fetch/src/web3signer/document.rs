//! One key configuration of Web3Signer's: where its key is, and how to log in there.
//!
//! Source: Web3Signer's documentation, "Signing key configuration file parameters". Members that a type does not need
//! are ignored, as Web3Signer does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::http::{Address, NoAddress};
use crate::yaml::{Mapping, Shown, Text, YamlError};
use crate::{aws, azure, vault};

/// A key that is a secret of a store.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) store: Store,
    /// By the store's own name for it.
    pub(super) secret: String,
    /// Whether the file itself has what opens the store.
    pub(super) has_credential: bool,
}

/// A store with a login to it: what those have in common that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Store {
    Vault {
        address: Address,
        known_servers: Option<PathBuf>,
        mount: String,
        field: String,
        login: vault::Login,
    },
    /// Without a login it is the environment's: the source's file has another one for it.
    Aws {
        region: String,
        address: Option<Address>,
        login: Option<aws::Login>,
    },
    Azure {
        vault: String,
        login: azure::Login,
    },
}

/// Why a document names no such key. Shows no value that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoEntry {
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(
        "its type {0} is not known: it is hashicorp, aws-secret or azure-secret, or a file's, which the signer reads"
    )]
    Type(String),
    #[error("its keyType is not BLS")]
    KeyType,
    #[error("{member} {value} is not known")]
    Mode { member: &'static str, value: String },
    #[error(transparent)]
    Address(#[from] NoAddress),
    #[error(
        "{0} is no way for a key, which must not cross a network in the clear: set tlsEnabled, and what it needs"
    )]
    Plain(Address),
    #[error("keyPath is not /v1/STORE/data/PATH, as a key-value store of version 2 has it")]
    KeyPath,
    #[error("tlsKnownServersPath is not a whole path")]
    KnownServers,
}

/// What a document says; nothing where its key is in a file, which the signer reads itself.
pub(super) fn read(document: &Mapping<'_>, file: &Path) -> Result<Option<Entry>, NoEntry> {
    let key_type = document.text("keyType")?;
    if key_type.is_some_and(|key_type| !key_type.eq_ignore_ascii_case("BLS")) {
        return Err(NoEntry::KeyType);
    }
    match &*needed(document, "type")? {
        "file-raw" | "file-keystore" => Ok(None),
        "hashicorp" => hashicorp(document, file).map(Some),
        "aws-secret" => aws_secret(document, file).map(Some),
        "azure-secret" => azure_secret(document, file).map(Some),
        other => Err(NoEntry::Type(Shown(other).to_string())),
    }
}

fn hashicorp(document: &Mapping<'_>, file: &Path) -> Result<Entry, NoEntry> {
    let host = needed(document, "serverHost")?;
    let port = document.text("serverPort")?;
    let is_tls = document.text("tlsEnabled")?.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let scheme = if is_tls { "https" } else { "http" };
    let port = port.as_deref().unwrap_or(VAULT_PORT);
    let address = safe(format!("{scheme}://{}:{port}", &*host).parse()?)?;
    let known_servers = document.text("tlsKnownServersPath")?.filter(|_| is_tls);
    let known_servers = known_servers.map(|path| PathBuf::from(&*path));
    if known_servers.as_deref().is_some_and(Path::is_relative) {
        return Err(NoEntry::KnownServers);
    }
    let path = needed(document, "keyPath")?;
    let path = path.trim_start_matches('/').strip_prefix("v1/").ok_or(NoEntry::KeyPath)?;
    let (mount, secret) = path.split_once("/data/").ok_or(NoEntry::KeyPath)?;
    let mode = document.text("authMethod")?;
    let login = match mode.as_deref().unwrap_or("TOKEN") {
        "TOKEN" => vault::Login::Token { token_file: credential(document, "token", file)? },
        "KUBERNETES" => {
            let jwt_file = document.text("kubernetesServiceAccountTokenPath")?;
            let mount = document.text("kubernetesAuthPath")?;
            vault::Login::Kubernetes {
                mount: mount.map(|mount| mount.trim_matches('/').trim_start_matches("auth/").to_owned()),
                role: needed(document, "kubernetesRole")?.to_owned(),
                jwt_file: PathBuf::from(jwt_file.as_deref().unwrap_or(SERVICE_ACCOUNT_TOKEN)).into(),
            }
        }
        other => return Err(unknown("authMethod", other)),
    };
    let field = document.text("keyName")?.map_or_else(crate::value::usual_field, |name| name.to_owned());
    let has_credential = matches!(login, vault::Login::Token { .. });
    let store = Store::Vault { address, known_servers, mount: mount.to_owned(), field, login };
    Ok(Entry { store, secret: secret.to_owned(), has_credential })
}

fn aws_secret(document: &Mapping<'_>, file: &Path) -> Result<Entry, NoEntry> {
    let address = document.text("endpointOverride")?.map(|text| safe(text.parse()?)).transpose()?;
    let mode = document.text("authenticationMode")?;
    let login = match mode.as_deref().unwrap_or("SPECIFIED") {
        "SPECIFIED" => Some(aws::Login::Keys {
            access_key_id: needed(document, "accessKeyId")?.to_owned(),
            secret_access_key_file: credential(document, "secretAccessKey", file)?,
            session_token_file: None,
        }),
        "ENVIRONMENT" => None,
        other => return Err(unknown("authenticationMode", other)),
    };
    let has_credential = login.is_some();
    let store = Store::Aws { region: needed(document, "region")?.to_owned(), address, login };
    Ok(Entry { store, secret: needed(document, "secretName")?.to_owned(), has_credential })
}

fn azure_secret(document: &Mapping<'_>, file: &Path) -> Result<Entry, NoEntry> {
    let mode = document.text("authenticationMode")?;
    let client_id = || needed(document, "clientId").map(|text| text.to_owned());
    let login = match mode.as_deref().unwrap_or("CLIENT_SECRET") {
        "CLIENT_SECRET" => azure::Login::ClientSecret {
            tenant: needed(document, "tenantId")?.to_owned(),
            client_id: client_id()?,
            client_secret_file: credential(document, "clientSecret", file)?,
            address: None,
        },
        "USER_ASSIGNED_MANAGED_IDENTITY" => {
            azure::Login::ManagedIdentity { client_id: Some(client_id()?), address: None }
        }
        "SYSTEM_ASSIGNED_MANAGED_IDENTITY" => {
            azure::Login::ManagedIdentity { client_id: None, address: None }
        }
        other => return Err(unknown("authenticationMode", other)),
    };
    let has_credential = matches!(login, azure::Login::ClientSecret { .. });
    let store = Store::Azure { vault: needed(document, "vaultName")?.to_owned(), login };
    Ok(Entry { store, secret: needed(document, "secretName")?.to_owned(), has_credential })
}

fn needed<'t>(document: &Mapping<'t>, member: &'static str) -> Result<Text<'t>, NoEntry> {
    document.text(member)?.ok_or(NoEntry::Missing(member))
}

fn credential(document: &Mapping<'_>, member: &'static str, file: &Path) -> Result<Credential, NoEntry> {
    let text = Arc::new(Zeroizing::new(needed(document, member)?.trim().to_owned()));
    Ok(Credential::Within { file: file.to_owned(), text })
}

fn safe(address: Address) -> Result<Address, NoEntry> {
    if address.is_safe() { Ok(address) } else { Err(NoEntry::Plain(address)) }
}

fn unknown(member: &'static str, value: &str) -> NoEntry {
    NoEntry::Mode { member, value: Shown(value).to_string() }
}

const VAULT_PORT: &str = "8200";
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<Option<Entry>, NoEntry> {
        let document = crate::yaml::documents(text).next().unwrap()?;
        read(&document, Path::new("/k.yaml"))
    }

    #[test]
    fn each_type_names_its_store_and_its_login() {
        let vault = "type: hashicorp\nkeyType: BLS\nserverHost: vault\ntlsEnabled: true\n\
                     keyPath: /v1/team/kv/data/validators/a\ntoken: canary\n";
        let Entry { store, secret, has_credential } = entry(vault).unwrap().unwrap();
        assert_eq!((secret.as_str(), has_credential), ("validators/a", true));
        assert!(!format!("{store:?}").contains("canary"), "no secret is shown");
        let Store::Vault { address, mount, field, .. } = store else { panic!("{store:?}") };
        assert_eq!(
            (address.to_string().as_str(), mount.as_str(), field.as_str()),
            ("https://vault:8200", "team/kv", "value")
        );
        let kubernetes = vault.replace("token: canary", "authMethod: KUBERNETES\nkubernetesRole: r");
        assert!(!entry(&kubernetes).unwrap().unwrap().has_credential);

        let aws =
            "type: aws-secret\nregion: eu-central-1\naccessKeyId: A\nsecretAccessKey: s\nsecretName: a/b\n";
        assert!(matches!(entry(aws).unwrap().unwrap().store, Store::Aws { login: Some(_), .. }));
        let environment = format!("{aws}authenticationMode: ENVIRONMENT\n");
        assert!(matches!(entry(&environment).unwrap().unwrap().store, Store::Aws { login: None, .. }));

        let azure =
            "type: azure-secret\nvaultName: v\nsecretName: s\ntenantId: t\nclientId: c\nclientSecret: x\n";
        assert!(entry(azure).unwrap().unwrap().has_credential);
        let machine = format!("{azure}authenticationMode: SYSTEM_ASSIGNED_MANAGED_IDENTITY\n");
        assert!(!entry(&machine).unwrap().unwrap().has_credential);
        assert!(entry("type: file-raw\nprivateKey: x\n").unwrap().is_none());

        for (wrong, reason) in [
            (vault.replace("tlsEnabled: true", "tlsEnabled: false"), "http://vault:8200 is no way"),
            (vault.replace("/data/", "/"), "keyPath is not"),
            (vault.replace("token", "tokken"), "token is missing"),
            (format!("{vault}tlsKnownServersPath: k\n"), "tlsKnownServersPath is not a whole path"),
            (format!("{vault}authMethod: LDAP\n"), "authMethod \"LDAP\" is not known"),
            (aws.replace("region", "religion"), "region is missing"),
            (azure.replace("vaultName", "vault"), "vaultName is missing"),
            ("type: yubihsm2\n".to_owned(), "its type \"yubihsm2\" is not known"),
            ("type: aws-secret\nkeyType: SECP256K1\n".to_owned(), "its keyType is not BLS"),
        ] {
            let error = entry(&wrong).unwrap_err().to_string();
            assert!(error.starts_with(reason) && !error.contains("canary"), "{error}");
        }
    }
}
