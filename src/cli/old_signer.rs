//! Signer that is to be replaced: what its options say, as far as it matters here, whichever program it is.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keys::loader::Source;

/// A signer that is to be replaced.
#[derive(Debug)]
pub(super) struct OldSigner {
    /// The program's name.
    pub(super) name: &'static str,
    /// Where it ran.
    pub(super) directory: PathBuf,
    /// Where it answers: HOST:PORT.
    pub(super) address: String,
    /// Where its keys lie.
    pub(super) sources: Vec<Source>,
    /// Where its protection history is, if that is a database.
    pub(super) database: Option<Database>,
    /// Its options that are ones of `serve`: where each was given, our name without dashes, and the text.
    pub(super) options: Vec<(String, String, String)>,
    /// Its options that have no meaning here, each with the reason.
    pub(super) notes: Vec<String>,
    /// What it read from vaults by its options, for the fetcher.
    pub(super) fetch_sources: Vec<FetchSource>,
    /// Its options that have no counterpart here, each with what to do instead.
    pub(super) without_counterpart: Vec<String>,
}

/// A source of the fetcher: the name and the text of its file.
#[derive(Debug)]
pub(super) struct FetchSource {
    pub(super) name: &'static str,
    pub(super) text: String,
}

impl FetchSource {
    /// What the key configurations of a directory name in vaults.
    pub(super) fn of_key_configurations(directory: &Path) -> Self {
        let text = format!(
            "type = \"web3signer\"\ndirectory = {:?}  # for root and the group bls-signer-fetch alone\n\
             #ca_file = \"...\"  # of its vaults, in place of tlsKnownServersPath\n\
             #aws_login = {{ method = \"instance\" }}  # in place of AWS' environment\n",
            directory.display().to_string()
        );
        Self { name: "web3signer", text }
    }
}

/// A PostgreSQL database, with a password that no argument shows. Shown without the password.
pub(super) struct Database {
    /// As libpq reads it.
    pub(super) url: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
}

impl Database {
    /// Takes Java's form of the URL as well, and user and password out of it, wherever they stand. What is named
    /// beside the URL wins.
    pub(super) fn new(url: &str, user: Option<&str>, password: Option<Zeroizing<String>>) -> Self {
        let url = url.strip_prefix("jdbc:").unwrap_or(url);
        let mut database = Self { url: String::new(), user: user.map(str::to_owned), password };
        let (address, query) =
            url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
        let (scheme, rest) = address.split_once("://").unwrap_or(("postgresql", address));
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let host = match authority.rsplit_once('@') {
            None => authority,
            Some((who, host)) => {
                let (user, password) =
                    who.split_once(':').map_or((who, None), |(user, word)| (user, Some(word)));
                database.fall_back_on(user, password);
                host
            }
        };
        database.url = format!("{scheme}://{host}{path}");
        let mut separator = '?';
        for parameter in query.into_iter().flat_map(|query| query.split('&')) {
            match parameter.split_once('=') {
                Some(("user", user)) => database.fall_back_on(user, None),
                Some(("password", password)) => database.fall_back_on("", Some(password)),
                Some(_) | None => {
                    database.url.push(separator);
                    database.url.push_str(parameter);
                    separator = '&';
                }
            }
        }
        database
    }

    fn fall_back_on(&mut self, user: &str, password: Option<&str>) {
        if self.user.is_none() && !user.is_empty() {
            self.user = Some(user.to_owned());
        }
        if self.password.is_none() {
            self.password = password.map(|password| Zeroizing::new(password.to_owned()));
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_s_password_leaves_its_url_in_every_form() {
        for (url, user, bare) in [
            ("jdbc:postgresql://db:5432/web3signer", None, "postgresql://db:5432/web3signer"),
            ("jdbc:postgresql://w3s:s3cret@db/web3signer", Some("w3s"), "postgresql://db/web3signer"),
            (
                "jdbc:postgresql://db/w?user=w3s&sslmode=require&password=s3cret&a=b",
                Some("w3s"),
                "postgresql://db/w?sslmode=require&a=b",
            ),
            (
                "postgresql:///web3signer?host=/run/postgresql",
                None,
                "postgresql:///web3signer?host=/run/postgresql",
            ),
        ] {
            let database = Database::new(url, None, None);
            assert_eq!((database.user.as_deref(), database.url.as_str()), (user, bare), "{url}");
            let password = database.password.as_ref().map(|password| password.as_str());
            assert_eq!(password, url.contains("s3cret").then_some("s3cret"), "{url}");
            assert!(!format!("{database} {database:?}").contains("s3cret"), "{url}");
        }
        let named =
            Database::new("jdbc:postgresql://a:b@db/w", Some("c"), Some(Zeroizing::new("d".to_owned())));
        assert_eq!((named.user.as_deref(), named.password.unwrap().as_str()), (Some("c"), "d"));
    }
}
