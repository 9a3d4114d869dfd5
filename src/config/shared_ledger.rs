//! Address of the shared ledger's database, and what is demanded of it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::text::Bounded;

/// The ledger that several hosts share (`shared_ledger` and the options that belong to it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedLedgerSettings {
    pub(crate) address: SharedLedgerAddress,
    pub(crate) durability: Durability,
    /// Without one the database knows the process by its user (`peer`).
    pub(crate) password_file: Option<PathBuf>,
    /// Who vouches for the servers that are reached by TCP, which is encrypted then. Without a file it is not.
    pub(crate) ca: Option<PathBuf>,
}

impl SharedLedgerSettings {
    /// # Errors
    /// Another machine is to be reached without encryption.
    pub(crate) fn new(
        address: SharedLedgerAddress,
        durability: Durability,
        password_file: Option<PathBuf>,
        ca: Option<PathBuf>,
    ) -> Result<Self, SharedLedgerAddressError> {
        let remote = address.hosts.iter().flat_map(Config::get_hosts).find_map(|host| match host {
            Host::Unix(_) => None,
            Host::Tcp(name) if name == "localhost" => None,
            Host::Tcp(name) if name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) => None,
            Host::Tcp(name) => Some(name.clone()),
        });
        match (remote, &ca) {
            (Some(host), None) => Err(SharedLedgerAddressError::Remote { host }),
            (Some(_), Some(_)) | (None, _) => Ok(Self { address, durability, password_file, ca }),
        }
    }
}

/// What makes a record in the shared ledger survive the loss of its database's host (`--shared-ledger-durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// A synchronous standby, whose settings are checked with each statement.
    #[default]
    #[value(help = "PostgreSQL's synchronous replication, checked with each statement")]
    Replicated,
    /// The database's own word: nothing is checked.
    #[value(help = "Whatever the database does: its word is taken, and nothing is checked")]
    Engine,
}

/// What stands between this program and the database (`pooler=` in the address).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Nothing, or what gives each connection one of its own.
    #[default]
    Session,
    /// A pooler that gives each transaction any connection, so that no statement has a name.
    Transaction,
}

/// A PostgreSQL address without a password: `postgres://USER@/DATABASE?host=/DIRECTORY`, with one host or several.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SharedLedgerAddress {
    /// One a host, in the order in which they are tried; at least one.
    hosts: Vec<Config>,
    pooling: Pooling,
}

impl SharedLedgerAddress {
    /// How to connect to each host, but for the password.
    pub(crate) fn hosts(&self) -> &[Config] {
        &self.hosts
    }

    pub(crate) fn pooling(&self) -> Pooling {
        self.pooling
    }
}

impl FromStr for SharedLedgerAddress {
    type Err = SharedLedgerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("jdbc:") {
            return Err(SharedLedgerAddressError::Jdbc);
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(SharedLedgerAddressError::Form);
        }
        let (text, pooling) = without_pooler(text)?;
        // The cause may quote the text.
        let config: Config = text.parse().map_err(|_| SharedLedgerAddressError::Unreadable)?;
        if config.get_password().is_some() {
            return Err(SharedLedgerAddressError::Password);
        }
        if config.get_hosts().is_empty() {
            return Err(SharedLedgerAddressError::NoHost);
        }
        if !config.get_hostaddrs().is_empty() && config.get_hostaddrs().len() != config.get_hosts().len() {
            return Err(SharedLedgerAddressError::HostAddresses);
        }
        if config.get_dbname().is_none() {
            return Err(SharedLedgerAddressError::NoDatabase);
        }
        if config.get_ports().len() > 1 && config.get_ports().len() != config.get_hosts().len() {
            return Err(SharedLedgerAddressError::Ports);
        }
        for host in config.get_hosts() {
            check(host)?;
        }
        let port = |at: usize| config.get_ports().get(at).or(config.get_ports().first()).copied();
        let hosts = config.get_hosts().iter().enumerate();
        let address = |at: usize| config.get_hostaddrs().get(at).copied();
        let host = |(at, host)| of_host(&config, host, address(at), port(at));
        Ok(Self { hosts: hosts.map(host).collect(), pooling })
    }
}

/// The address for PostgreSQL's client, which knows no poolers.
fn without_pooler(text: &str) -> Result<(String, Pooling), SharedLedgerAddressError> {
    let Some((place, options)) = text.split_once('?') else {
        return Ok((text.to_owned(), Pooling::default()));
    };
    let (poolers, others): (Vec<_>, Vec<_>) =
        options.split('&').partition(|option| option.starts_with("pooler="));
    let pooling = match poolers.as_slice() {
        [] | ["pooler=session"] => Pooling::Session,
        ["pooler=transaction"] => Pooling::Transaction,
        _ => return Err(SharedLedgerAddressError::Pooler),
    };
    Ok((format!("{place}?{}", others.join("&")), pooling))
}

fn check(host: &Host) -> Result<(), SharedLedgerAddressError> {
    let has_comma = match host {
        Host::Unix(path) => path.to_string_lossy().contains(','),
        Host::Tcp(name) => name.contains(','),
    };
    if has_comma { Err(SharedLedgerAddressError::Comma) } else { Ok(()) }
}

/// One host's own, because the client's limit for all of them ends when the first takes a connection and says nothing.
fn of_host(all: &Config, host: &Host, address: Option<IpAddr>, port: Option<u16>) -> Config {
    let mut one = Config::new();
    one.application_name("bls-signer")
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .ssl_mode(SslMode::Disable)
        .channel_binding(all.get_channel_binding())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(UNACKNOWLEDGED_TIMEOUT)
        .keepalives_idle(UNACKNOWLEDGED_TIMEOUT)
        .keepalives_interval(CONNECT_TIMEOUT)
        .keepalives_retries(3);
    match host {
        Host::Tcp(name) => one.host(name),
        Host::Unix(path) => one.host_path(path),
    };
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(database) = all.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(address) = address {
        one.hostaddr(address);
    }
    if let Some(port) = port {
        one.port(port);
    }
    one
}

/// Where it is, as an operator knows it.
impl fmt::Display for SharedLedgerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on", self.hosts.first().and_then(Config::get_dbname).unwrap_or_default())?;
        for host in self.hosts.iter().flat_map(Config::get_hosts) {
            match host {
                Host::Tcp(name) => write!(f, " {name}")?,
                Host::Unix(path) => write!(f, " {}", path.display())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SharedLedgerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an address cannot be used. It may have a password in it, so it is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedLedgerAddressError {
    #[error("the shared ledger's address does not begin with postgres://")]
    Form,
    #[error(
        "the shared ledger's address is a JDBC URL: write postgres://USER@HOST/DATABASE. Web3Signer's own database is \
         no shared ledger: bring its history over ('bls-signer migrate web3signer'), and make one in another database \
         ('bls-signer ledger init')"
    )]
    Jdbc,
    #[error(
        "the shared ledger's address cannot be read: it has the form postgres://USER@HOST:PORT/DATABASE?OPTION=VALUE, \
         with '%' and two hexadecimal digits for a special character"
    )]
    Unreadable,
    #[error("the shared ledger's address has a password: give it in shared_ledger_password_file")]
    Password,
    #[error(
        "the shared ledger's host {} is another machine: name the certificate authorities of its database in \
         shared_ledger_ca, so that the connection is encrypted",
        Bounded(host)
    )]
    Remote { host: String },
    #[error("the shared ledger's address names no host: give a name, or host=/DIRECTORY of a Unix socket")]
    NoHost,
    #[error("the shared ledger's address needs one hostaddr for each host, or none")]
    HostAddresses,
    #[error("the shared ledger's address names no database")]
    NoDatabase,
    #[error(
        "the shared ledger's address has several hosts in one: name each by an option of its own, as in \
         host=/DIRECTORY1&host=/DIRECTORY2"
    )]
    Comma,
    #[error("the shared ledger's address has a pooler that is neither 'session' nor 'transaction'")]
    Pooler,
    #[error("the shared ledger's address has neither one port nor one for each host")]
    Ports,
}

/// For each host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// No answer is of use later.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_a_database_and_no_password_and_what_is_remote_is_encrypted() {
        let address = |text: &str| text.parse::<SharedLedgerAddress>();
        let good = address("postgres://bls_signer@/ledger?host=/run/postgresql&port=5433").unwrap();
        assert_eq!(good.to_string(), "ledger on /run/postgresql");
        address("postgresql://bls_signer@127.0.0.1:5432,localhost:5433/ledger").unwrap();
        use SharedLedgerAddressError::*;
        assert!(matches!(address("host=/run"), Err(Form)));
        assert!(matches!(address("jdbc:postgresql://db/web3signer?user=a&password=b"), Err(Jdbc)));
        assert!(matches!(address("postgres://a:b@localhost/ledger"), Err(Password)));
        let settings = |text: &str, ca: Option<&str>| {
            SharedLedgerSettings::new(address(text).unwrap(), Durability::default(), None, ca.map(Into::into))
        };
        assert!(matches!(settings("postgres://a@db1.example/ledger", None), Err(Remote { .. })));
        settings("postgres://a@db1.example/ledger", Some("ca.pem")).unwrap();
        settings("postgres://a@127.0.0.2/ledger", None).unwrap();
        let with_addresses = "postgres://a@one,two/ledger?hostaddr=192.0.2.1,192.0.2.2";
        let with_addresses = address(with_addresses).unwrap();
        assert_eq!(with_addresses.hosts[1].get_hostaddrs(), ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        assert!(matches!(address("postgres://a@one,two/ledger?hostaddr=192.0.2.1"), Err(HostAddresses)));
        assert!(matches!(address("postgres://a@/ledger"), Err(NoHost)));
        assert!(matches!(address("postgres://a@localhost"), Err(NoDatabase)));
        assert!(matches!(address("postgres://a@/ledger?host=/one,/two"), Err(Comma)));
        assert!(matches!(address("postgres://a@/ledger?host=127.0.0.1,localhost"), Err(Comma)));
        assert!(matches!(
            address("postgres://a@/ledger?host=/one&host=/two&port=1&port=2&port=3"),
            Err(Ports)
        ));
    }

    #[test]
    fn each_host_of_an_address_is_tried_by_itself() {
        let address: SharedLedgerAddress =
            "postgres://a@/ledger?host=/one&host=/two&port=1&port=2".parse().unwrap();
        let [one, two] = address.hosts() else { panic!("{address}") };
        assert_eq!(
            (one.get_hosts(), one.get_ports()),
            ([Host::Unix("/one".into())].as_slice(), [1].as_slice())
        );
        assert_eq!(
            (two.get_hosts(), two.get_ports()),
            ([Host::Unix("/two".into())].as_slice(), [2].as_slice())
        );
        assert_eq!((two.get_user(), two.get_dbname()), (Some("a"), Some("ledger")));
        assert_eq!((address.pooling(), one.get_options()), (Pooling::Session, None));
        let pooled: SharedLedgerAddress =
            "postgres://a@/ledger?pooler=transaction&host=/one&port=1".parse().unwrap();
        assert_eq!((pooled.pooling(), pooled.hosts()[0].get_ports()), (Pooling::Transaction, [1].as_slice()));
        assert!(matches!(
            "postgres://a@/ledger?host=/one&pooler=statement".parse::<SharedLedgerAddress>(),
            Err(SharedLedgerAddressError::Pooler)
        ));
        let one_port: SharedLedgerAddress =
            "postgres://a@/ledger?host=/one&host=/two&port=7".parse().unwrap();
        assert!(one_port.hosts().iter().all(|host| host.get_ports() == [7]));
    }

    #[test]
    fn no_error_shows_what_may_be_a_password() {
        for text in [
            "postgres://a:SECRET@localhost/ledger",
            "postgres://a:b?SECRET=c@localhost/ledger",
            "postgres://a@localhost/ledger?password=SECRET",
            "postgres://a:SECRET%zz@localhost/ledger",
            "postgres://a:SECRET/x@db1.example/ledger",
            "postgres://a:b@SECRET@localhost/ledger",
            "a:SECRET@localhost",
        ] {
            let settings = text
                .parse()
                .and_then(|address| SharedLedgerSettings::new(address, Durability::default(), None, None));
            let error = settings.unwrap_err();
            let shown = crate::text::chain(&error);
            assert!(!shown.contains("SECRET"), "{shown}");
        }
    }
}
