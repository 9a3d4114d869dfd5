//! Daemon: the order of its start and stop.

mod protection;
mod reminders;
mod runtime;
mod status_line;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use self::runtime::{runtime, terminated};

use self::protection::{mended_by_a_restart, protection};
use self::reminders::keep_reminding;
use self::status_line::{keep_telling, status_line};
use crate::api::public_keys::WrittenLists;
use crate::api::service::ApiService;
use crate::api::{Api, Started, reload};
use crate::bls::{self, HashCache, RootTables};
use crate::caller::Share;
use crate::clients::{self, Clients};
use crate::config::{Environment, Settings};
use crate::duty::Priority;
use crate::fetch::{self, FetchUser, NoFetchUser};
use crate::http::access::Access;
use crate::http::capacity::Capacity;
use crate::http::connection::Timeouts;
use crate::http::connection_counts::ConnectionCounts;
use crate::http::guard::{AllowedHosts, Guard};
use crate::http::server::{self, Limits};
use crate::http::tls::{Tls, TlsError};
use crate::http::token_throttle::TokenThrottle;
use crate::keymanager::{self, StartError};
use crate::ledger::{self, Fault, Protection, StoreError};
use crate::network::{Network, NetworkError};
use crate::repetitions::Repetitions;
use crate::signer::pool::SigningPool;
use crate::signer::{Outcomes, RecentDuties, Signer};
use crate::signing_policy::SigningPolicy;
use crate::supervisor::activation::{self, Inherited};
use crate::supervisor::listeners::{self, Listener, SocketFile};
use crate::supervisor::notify::{self, Notifier, tell};
use crate::supervisor::watchdog::{self, Probe};
use crate::sys::hardening::{self, HardeningError};
use crate::text::chain;

/// Runs the daemon until SIGTERM or SIGINT.
pub(crate) fn run(settings: &Settings, inherited: Inherited, environment: &Environment) -> Result<(), Error> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let terminated = terminated()?;
        tokio::pin!(terminated);
        let daemon = tokio::select! {
            daemon = Daemon::start(settings, inherited, environment) => daemon?,
            // Loading keys may take minutes; nothing is lost by breaking it off.
            () = &mut terminated => return Ok(()),
        };
        daemon.serve(terminated).await
    });
    // Key derivations that nobody waits for any more are not waited for either.
    runtime.shutdown_background();
    outcome
}

/// A daemon that has started: it listens, its ledger is read and its keys are loaded. Callers can connect and wait.
pub(crate) struct Daemon {
    api: Arc<Api>,
    service: Arc<ApiService>,
    capacity: Arc<Capacity>,
    listeners: Vec<server::Listener>,
    limits: Limits,
    fetch: Option<(net::UnixListener, FetchUser)>,
    notifier: Arc<Notifier>,
    /// Removed when the daemon goes.
    _socket_files: Vec<SocketFile>,
}

impl Daemon {
    /// Starts in the order that leaves nothing half done.
    pub(crate) async fn start(
        settings: &Settings,
        inherited: Inherited,
        environment: &Environment,
    ) -> Result<Self, Error> {
        // Again, as the kernel may take it back from a process that becomes another user.
        hardening::harden_process()?;
        bls::self_test()?;
        let notifier = Arc::new(Notifier::new(environment)?);
        let opened = listeners::open(settings, inherited)?;
        let clients = Clients::load(&settings.client_sources)?;
        for warning in clients.warnings() {
            tracing::warn!("{warning}");
        }
        let access = Arc::new(access(settings, &clients, &opened.listeners)?);
        let network = Network::load(&settings.network)?;
        let protection = protection(settings, &network, !opened.stored.is_empty())?;
        let keystores = Arc::new(
            keymanager::start(
                &settings.keys,
                &settings.ledger.state_dir,
                opened.stored,
                &protection,
                &notifier,
            )
            .await?,
        );
        let hashes = HashCache::new(root_tables(settings));
        let pool = SigningPool::start(hashes, protection.hurry()).map_err(Error::Pool)?;
        let policy = ArcSwap::from_pointee(SigningPolicy {
            raw_roots: settings.raw_roots,
            proofs_of_validation: settings.proofs_of_validation,
            clients,
        });
        let outcomes = Outcomes::new(&network, protection.is_on(), settings.audit);
        let timeout = settings.signing_timeout;
        let recent_duties = RecentDuties::default();
        let proof_turns = tokio::sync::Mutex::default();
        let signer = Signer {
            network,
            timeout,
            policy,
            protection,
            keystores,
            pool,
            outcomes,
            recent_duties,
            proof_turns,
        };
        let api = Arc::new(Api {
            signer: Arc::new(signer),
            access: Arc::clone(&access),
            client_sources: settings.client_sources.clone(),
            reading_access: tokio::sync::Mutex::default(),
            public_keys: WrittenLists::default(),
            expected_keys: settings.expected_keys,
            connections: Arc::new(ConnectionCounts::default()),
            started: Started { at: SystemTime::now(), clock: Instant::now() },
            faults: Repetitions::default(),
        });

        let guard = Guard::new(
            AllowedHosts::new(&settings.allowed_hosts),
            settings.allowed_origins.clone(),
            Arc::clone(&access),
        );
        let throttle = TokenThrottle::new(settings.limits.connections.get());
        let capacity = Arc::new(Capacity::new(settings.limits.requests.get()));
        let service = Arc::new(ApiService::new(Arc::clone(&api), guard, throttle, Arc::clone(&capacity)));
        let limits = Limits {
            connections: settings.limits.connections.get(),
            timeouts: Timeouts {
                first_request: settings.limits.header_timeout,
                idle: settings.limits.idle_timeout,
            },
        };
        let mut listeners = Vec::new();
        let mut socket_files = Vec::new();
        for Listener { role, socket, description, file } in opened.listeners {
            tracing::info!("listening: {description}");
            let socket = listening_socket(socket, access.tls())
                .map_err(|source| Error::Socket { description, source })?;
            listeners.push(server::Listener { role, socket, is_inherited: opened.inherited });
            socket_files.extend(file);
        }
        let fetch = match opened.fetch {
            Some((socket, file)) => {
                socket_files.extend(file);
                let place = socket.local_addr().ok();
                let path = place.as_ref().and_then(|place| place.as_pathname()).unwrap_or(Path::new("?"));
                tracing::info!("listening: fetch on unix:{}", path.display());
                Some((socket, FetchUser::of(settings.keys.fetch_user.as_deref())?))
            }
            None => None,
        };
        if let Protection::On(ledger) = &api.signer.protection {
            ledger.count().await.map_err(Error::Uncounted)?;
        }
        Ok(Self { api, service, capacity, listeners, limits, fetch, notifier, _socket_files: socket_files })
    }

    /// The address of the first TCP listener, if there is one.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(|listener| match &listener.socket {
            server::Socket::Unix(_) => None,
            server::Socket::Tcp(listener, _) => listener.local_addr().ok(),
        })
    }

    /// What answers requests, and what connections are allowed, without listeners: for a fuzz target.
    #[cfg(feature = "fuzz-internals")]
    pub(crate) fn into_service(self) -> (Arc<ApiService>, Limits) {
        (self.service, self.limits)
    }

    /// Tells the supervisor that we are ready, serves until `stop`, and drains.
    ///
    /// # Errors
    /// The ledger broke and there is a supervisor to start the process again. Without one the daemon goes on with what
    /// needs no ledger, its health red.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let hangups = signal(SignalKind::hangup()).map_err(Error::Signals)?;
        let status = status_line(&self.api);
        tracing::info!("ready: {status}");
        tell(self.notifier.ready(&status));
        let _fetch = self
            .fetch
            .map(|(socket, user)| fetch::Listener::start(socket, user, Arc::clone(&self.api.signer)))
            .transpose()
            .map_err(Error::Fetch)?;
        let _companions = AbortOnDrop::all([
            tokio::spawn(keep_telling(Arc::clone(&self.api), Arc::clone(&self.notifier))),
            tokio::spawn(keep_reminding(Arc::clone(&self.api))),
            tokio::spawn(reload_on(hangups, Arc::clone(&self.api), Arc::clone(&self.notifier))),
        ]);

        let broken = mended_by_a_restart(&self.api.signer.protection, self.notifier.is_supervised());
        let probes = probes(&self.api.signer);
        let (stopping, stopped) = watch::channel(false);
        let serving = server::serve(
            self.listeners,
            self.service,
            self.capacity,
            Arc::clone(&self.api.connections),
            self.limits,
            stopped,
            DRAIN_TIMEOUT,
        );
        tokio::pin!(serving);
        let outcome = tokio::select! {
            () = &mut serving => return Ok(()),
            () = stop => Ok(()),
            cause = broken => Err(Error::LedgerBroke(cause)),
            never = watchdog::feed(&self.notifier, &probes) => match never {},
        };
        tracing::info!("stopping: answering what is in hand");
        tell(self.notifier.stopping("answering what is in hand"));
        stopping.send_replace(true);
        serving.await;
        // Tasks that end with the runtime may hold it still.
        if let Protection::On(ledger) = &self.api.signer.protection {
            ledger.close();
        }
        tracing::info!("stopped");
        self.notifier.settle();
        outcome
    }
}

/// Reloads the key files at each SIGHUP, between `RELOADING=1` and `READY=1` (systemd.service(5),
/// `Type=notify-reload`).
async fn reload_on(mut hangups: Signal, api: Arc<Api>, notifier: Arc<Notifier>) {
    while hangups.recv().await.is_some() {
        tell(notifier.reloading());
        match api.signer.keystores.begin_reload() {
            Some(reload) => reload::run(&api, reload).await,
            None => {
                // What was taken away must not wait for thousands of key files to be read.
                let _ = reload::read_access(&api).await;
                tracing::warn!("SIGHUP while a reload runs: the key files are not read twice");
            }
        }
        tell(notifier.ready(&status_line(&api)));
    }
}

/// Tasks that end with the daemon.
struct AbortOnDrop(Vec<JoinHandle<()>>);

impl AbortOnDrop {
    fn all(tasks: impl IntoIterator<Item = JoinHandle<()>>) -> Self {
        Self(tasks.into_iter().collect())
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// What must work for duties to be signed: a thread that computes a signature, and the thread that records.
fn probes(signer: &Signer) -> [Probe<'_>; 2] {
    [
        Probe::new("signing", || async {
            match signer.pool.run(Share::Daemon, Priority::Block, |_| bls::self_test()).await {
                Ok(tested) => tested.map_err(io::Error::other),
                Err(gone) => Err(io::Error::other(gone)),
            }
        }),
        Probe::new("the slashing protection ledger", || async {
            let Protection::On(ledger) = &signer.protection else { return Ok(()) };
            match ledger.ping().await {
                // Its thread is alive, and when to start again is decided elsewhere.
                Err(Fault::Broken(_)) => Ok(()),
                pong => pong,
            }
        }),
    ]
}

/// Tables, if they are wanted and work: without them duties are signed as well, only slower.
fn root_tables(settings: &Settings) -> RootTables {
    if !settings.shared_root_tables {
        return RootTables::Off;
    }
    match bls::tables_self_test() {
        Ok(()) => RootTables::On,
        Err(error) => {
            tracing::error!(
                "{}: the curve library signs without tables; have the machine examined",
                chain(&error)
            );
            RootTables::Off
        }
    }
}

/// Tokens and TLS; how the listeners are exposed is said loudly, as it cannot be refused.
fn access(settings: &Settings, clients: &Clients, listeners: &[Listener]) -> Result<Access, Error> {
    let mut exposures = Vec::new();
    for listener in listeners {
        let activation::Socket::Tcp(socket) = &listener.socket else { continue };
        let address = socket
            .local_addr()
            .map_err(|source| Error::Socket { description: listener.description.clone(), source })?;
        exposures.extend(settings.exposures(listener.role, address));
    }
    for exposure in &exposures {
        tracing::warn!("{exposure}");
    }
    Ok(Access::load(settings, clients.token_digests(), exposures)?)
}

fn listening_socket(socket: activation::Socket, tls: Option<&Tls>) -> io::Result<server::Socket> {
    Ok(match socket {
        activation::Socket::Unix(listener) => server::Socket::Unix(UnixListener::from_std(listener)?),
        activation::Socket::Tcp(listener) => {
            server::Socket::Tcp(TcpListener::from_std(listener)?, tls.cloned())
        }
    })
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the process cannot be hardened")]
    Hardening(#[from] HardeningError),
    #[error(transparent)]
    SelfTest(#[from] bls::SelfTestError),
    #[error(transparent)]
    Listen(#[from] listeners::Error),
    #[error("the socket {description} cannot be used")]
    Socket { description: String, source: io::Error },
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    #[error("the clients cannot be read")]
    Clients(#[from] clients::LoadError),
    #[error(transparent)]
    FetchUser(#[from] NoFetchUser),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
    #[error(transparent)]
    Keys(#[from] StartError),
    #[error(transparent)]
    Notify(#[from] notify::Error),
    #[error("the signing threads cannot be started")]
    Pool(#[source] io::Error),
    #[error("the thread that serves fetchers cannot be started")]
    Fetch(#[source] io::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error("the slashing protection ledger broke")]
    LedgerBroke(#[source] Arc<StoreError>),
    #[error("the start is not counted")]
    Uncounted(#[source] Fault),
    #[error("signals cannot be waited for")]
    Signals(#[source] io::Error),
}

/// For the requests in hand when we are told to stop. A disk that hangs may take the ledger's last commit as long
/// again; systemd waits for 10 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
