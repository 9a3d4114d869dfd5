//! Hosts of the shared ledger's database, and a link to one of them.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config};

use super::error::Error;
use super::tls::Tls;
use crate::config::{Pooling, SharedLedgerSettings};
use crate::mutex::Mutex;
use crate::regular_file::RegularFile;

/// How to reach each host, in the order in which they are tried.
#[derive(Clone)]
pub(crate) struct Servers {
    settings: SharedLedgerSettings,
}

/// What password and authorities are at this moment.
struct Access {
    hosts: Vec<Config>,
    tls: Tls,
}

impl Servers {
    /// # Errors
    /// The password or the authorities cannot be read. They are read again for each connection, so that new ones need
    /// no restart.
    pub(crate) fn of(settings: &SharedLedgerSettings) -> Result<Self, Error> {
        Access::of(settings)?;
        Ok(Self { settings: settings.clone() })
    }

    pub(super) fn pooling(&self) -> Pooling {
        self.settings.address.pooling()
    }

    /// Connects to the first that takes writes.
    pub(super) async fn connect(&self) -> Result<Link, Error> {
        self.first(async |link| Ok(link)).await
    }

    /// What `open` makes of the first host that takes writes and that `open` takes. Each has a time of its own: one
    /// that takes a connection and says no more keeps nobody from the next.
    ///
    /// # Errors
    /// None is of use. Why the first one is not that could be reached, else why the last could not be.
    pub(super) async fn first<T>(&self, open: impl AsyncFn(Link) -> Result<T, Error>) -> Result<T, Error> {
        let mut why = Error::Closed;
        let mut was_reached = false;
        let Access { hosts, tls } = Access::of(&self.settings)?;
        for host in &hosts {
            let opened = async {
                let link = timeout(CONNECT_TIMEOUT, Link::new(host, tls.clone())).await;
                open(link.map_err(|_| slow(CONNECT_TIMEOUT))??).await
            };
            match timeout(OPEN_TIMEOUT, opened).await.unwrap_or(Err(slow(OPEN_TIMEOUT))) {
                Ok(opened) => return Ok(opened),
                Err(_) if was_reached => {}
                Err(error) => {
                    was_reached = !matches!(error, Error::Connect(_));
                    why = error;
                }
            }
        }
        Err(why)
    }
}

impl Access {
    fn of(settings: &SharedLedgerSettings) -> Result<Self, Error> {
        let mut hosts = settings.address.hosts().to_vec();
        if let Some(path) = &settings.password_file {
            let failed = |source| Error::Password { path: path.clone(), source };
            let file = RegularFile::open_secret(path).map_err(failed)?;
            let password = file.read_text(MAX_PASSWORD_BYTES).map_err(failed)?;
            for host in &mut hosts {
                host.password(password.trim_end_matches(['\r', '\n']));
            }
        }
        let Some(authorities) = &settings.ca else { return Ok(Self { hosts, tls: Tls::none() }) };
        let is_tcp = |host: &&mut Config| matches!(host.get_hosts(), [Host::Tcp(_)]);
        for host in hosts.iter_mut().filter(is_tcp) {
            host.ssl_mode(SslMode::Require);
        }
        Ok(Self { hosts, tls: Tls::by_authorities(authorities)? })
    }
}

/// A connection to the database, which is closed when this is dropped, whatever is under way on it.
pub(super) struct Link {
    pub(super) client: Client,
    ended: watch::Receiver<bool>,
    why: Arc<Mutex<Option<Error>>>,
    task: AbortHandle,
}

impl Link {
    /// Connects. A warning ends the connection: with one the database says that a commit was not waited for, and the
    /// rows that it confirms came before.
    async fn new(host: &Config, tls: Tls) -> Result<Self, Error> {
        let (client, mut connection) = host.connect(tls).await.map_err(Error::Connect)?;
        let (end, ended) = watch::channel(false);
        let why = Arc::new(Mutex::new(None));
        let told = Arc::clone(&why);
        let task = tokio::spawn(async move {
            let reason = loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notice(notice)))
                        if matches!(notice.parsed_severity(), Some(Severity::Warning) | None) =>
                    {
                        break Error::Warned { warning: notice.message().chars().take(200).collect() };
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break Error::Statement(error),
                    None => break Error::Closed,
                }
            };
            *told.lock() = Some(reason);
            // Only now do those who wait for an answer learn that none comes.
            drop(connection);
            end.send_replace(true);
        });
        Ok(Self { client, ended, why, task: task.abort_handle() })
    }

    /// Resolves when the connection has ended.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.clone();
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Why the connection ended, where that says more than `error`.
    pub(super) fn why(&self, error: Error) -> Error {
        self.why.lock().take().unwrap_or(error)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Without this it would wait for the answer to whatever was asked, and that may never come.
        self.task.abort();
    }
}

/// What is asked, for so long at most. Whoever gets an error drops the connection: what was asked may be in force.
pub(super) async fn in_time<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, asked).await.unwrap_or_else(|_| Err(slow(limit)))
}

fn slow(limit: Duration) -> Error {
    Error::Slow { seconds: limit.as_secs() }
}

/// For one host, until it lets in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For one host, what is compared included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_PASSWORD_BYTES: u64 = 4096;
