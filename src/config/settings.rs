//! Third stage: settings that are complete and do not contradict each other.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::access::TlsFiles;
use super::key_sources::{KeySources, keystores, seal_file};
use super::listen::ip_address;
use super::tpm_counter::tpm_counter;
use super::{
    Address, Audit, ClientSources, Durability, Environment, Error, ExpectedKeys, ListenSpec, LogFormat,
    LogLevel, OpenKeymanager, RawSettings, Role, SharedLedgerSettings, StateFs, Switch, Tls, TokenSources,
    Tokens, UnprovenStart,
};
use crate::raw_roots::RawRoots;
use crate::regular_file::RegularFile;
use crate::tpm::NvCounter;

/// Everything the daemon is told.
#[derive(Clone)]
pub(crate) struct Settings {
    /// What to listen on where systemd hands no sockets over.
    pub(crate) listen: Vec<ListenSpec>,
    /// Whether somebody chose `listen`, rather than the default.
    pub(crate) listen_chosen: bool,
    pub(crate) tls: Option<Tls>,
    /// The bearer tokens that requests must carry, and where they are, to be read again.
    pub(crate) tokens: Tokens,
    pub(crate) token_sources: TokenSources,
    /// Where it stands who may have what signed.
    pub(crate) client_sources: ClientSources,
    /// Host names without port that TCP requests may name; `*` for any.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins that requests may name, as they name them.
    pub(crate) allowed_origins: Vec<String>,
    /// Whether anybody on the network may manage keys, as somebody has said.
    pub(crate) allow_open_keymanager: bool,
    /// A network's name or the path of a consensus `config.yaml`, as given.
    pub(crate) network: String,
    pub(crate) ledger: LedgerSettings,
    /// Refuse slots more than two years ahead of clock and records, where the network's genesis is known.
    pub(crate) refuse_far_future: bool,
    /// For how long a request to sign is of use; none: for as long as the duty says, by network and fork.
    pub(crate) signing_timeout: Option<Duration>,
    pub(crate) raw_roots: RawRoots,
    /// Sign proofs of validation.
    pub(crate) proofs_of_validation: bool,
    /// Multiply with tables, rather than by the curve library alone.
    pub(crate) shared_root_tables: bool,
    pub(crate) keys: KeySources,
    pub(crate) expected_keys: ExpectedKeys,
    pub(crate) limits: Limits,
    pub(crate) log_level: LogLevel,
    pub(crate) audit: Audit,
    pub(crate) log_format: LogFormat,
    /// What is allowed but deserves a word in the log.
    pub(crate) warnings: Vec<String>,
}

/// Slashing protection and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerSettings {
    /// The directory of the ledger and the sealed keys; it may not exist yet.
    pub(crate) state_dir: PathBuf,
    /// The directories of the ledger's anchors, as far as the surroundings have a place for them.
    pub(crate) anchors: Vec<PathBuf>,
    /// What a start does about a ledger that nothing shows to be the newest.
    pub(crate) unproven: UnprovenStart,
    /// What the state directory may lie on.
    pub(crate) state_fs: StateFs,
    pub(crate) slashing_protection: bool,
    /// Refuse to start without an existing ledger: nobody said otherwise, or keys may have signed before.
    pub(crate) required: bool,
    /// The ledger that other hosts share, beside this one's.
    pub(crate) shared: Option<SharedLedgerSettings>,
    /// What counts its sessions outside of all disks.
    pub(crate) tpm_counter: Option<NvCounter>,
}

impl LedgerSettings {
    /// The device that a process has to have access to, for the counter.
    pub(crate) fn tpm_device(&self) -> Option<&Path> {
        self.tpm_counter.as_ref().map(|counter| counter.device.as_path())
    }
}

/// What callers together may take of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections: NonZeroUsize,
    /// Requests worked on at one time.
    pub(crate) requests: NonZeroUsize,
    /// For a request's head to arrive.
    pub(crate) header_timeout: Duration,
    /// Until a connection without a request is closed.
    pub(crate) idle_timeout: Duration,
}

impl Settings {
    /// Fills in the defaults and checks every rule. Reads files only to see that they can be used.
    /// `config`: the file that `raw` was read from, if there is one.
    pub(super) fn validate(
        raw: RawSettings,
        config: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        if let Some(link) = RawSettings::service_link(environment) {
            warnings.push(format!(
                "{link} is set for a service named bls-signer and is no option: give the port with --port, and the \
                 service another name or the pod 'enableServiceLinks: false'"
            ));
        }
        for variable in RawSettings::unknown_variables(environment) {
            warnings.push(format!("the environment variable {variable} is no option of bls-signer"));
        }
        let listen_chosen = raw.listen.is_some() || raw.host.is_some() || raw.port.is_some();
        let token_files = raw.auth_token_file.unwrap_or_default();
        let token_sources = TokenSources::new(raw.auth_token, token_files, environment)?;
        let tokens = token_sources.read()?;
        if tokens.any_is_short() {
            warnings.push("an auth token is shorter than 16 characters and may be guessed".to_owned());
        }
        let tls = Tls::validate(TlsFiles {
            certificate: raw.tls_cert,
            key: raw.tls_key,
            keystore: raw.tls_keystore_file,
            keystore_password: raw.tls_keystore_password_file,
            client_ca: raw.tls_client_ca,
            client_crl: raw.tls_client_crl,
            known_clients: raw.tls_known_clients_file,
        })?;
        // Others' servers take such a key, so it is no reason to stay down.
        if let Some((what, secret)) = tls.as_ref().map(|tls| tls.identity.secret()) {
            let exposed = RegularFile::open_secret(secret).err();
            warnings.extend(exposed.map(|exposed| format!("{what}: {exposed}")));
        }
        let seal = seal_file(raw.seal_file, environment)?;
        let keys = KeySources {
            // Sealed keys are on disk: nothing is gained by a second place that knows them.
            fd_store: raw.fd_store.map_or(seal.is_none(), Switch::is_on),
            seal_file: seal,
            keystores: keystores(raw.keystores_path, raw.keystores_passwords_path)?,
            key_config: raw.key_config_path,
            fetch_socket: raw.fetch_socket,
            fetch_user: raw.fetch_user,
            kdf_memory_mib: raw.kdf_memory.unwrap_or(KDF_MEMORY_MIB),
        };
        let ledger = ledger(
            raw.slashing_protection,
            raw.require_ledger,
            raw.unproven,
            raw.state_fs,
            &keys,
            raw.state_dir,
            environment,
        )?;
        let shared = shared_ledger(
            raw.shared_ledger,
            raw.shared_ledger_durability,
            raw.shared_ledger_password_file,
            raw.shared_ledger_ca,
            environment,
        )?;
        if shared.is_some() && !ledger.slashing_protection {
            return Err(Error::Conflict { first: "--shared-ledger", second: "--slashing-protection off" });
        }
        let tpm_counter = tpm_counter(raw.tpm_counter, raw.tpm_device)?;
        let ledger = LedgerSettings { shared, tpm_counter, ..ledger };
        let settings = Self {
            listen: listen(raw.listen, raw.host, raw.port)?,
            listen_chosen,
            tls,
            tokens,
            token_sources,
            allowed_hosts: allowed_hosts(raw.http_host_allowlist)?,
            allowed_origins: allowed_origins(raw.http_origin_allowlist.unwrap_or_default())?,
            allow_open_keymanager: raw.allow_open_keymanager.is_some_and(Switch::is_on),
            network: raw.network.unwrap_or_else(|| "mainnet".to_owned()),
            client_sources: ClientSources { config, state_dir: ledger.state_dir.clone() },
            ledger,
            refuse_far_future: raw.refuse_far_future.is_none_or(Switch::is_on),
            signing_timeout: raw.signing_timeout.map(seconds),
            raw_roots: raw.raw_roots.unwrap_or_default(),
            proofs_of_validation: raw.proofs_of_validation.is_some_and(Switch::is_on),
            shared_root_tables: raw.shared_root_tables.is_none_or(Switch::is_on),
            keys,
            expected_keys: raw.expected_keys.unwrap_or_default(),
            limits: Limits {
                connections: raw.max_connections.unwrap_or(CONNECTIONS),
                requests: raw.max_requests.unwrap_or(REQUESTS),
                header_timeout: raw.header_timeout.map_or(HEADER_TIMEOUT, seconds),
                idle_timeout: raw.idle_timeout.map_or(IDLE_TIMEOUT, seconds),
            },
            log_level: raw.log_level.unwrap_or_default(),
            audit: raw.audit.unwrap_or_default(),
            log_format: raw.log_format.unwrap_or_default(),
            warnings,
        };
        for spec in &settings.listen {
            settings.refuse_open_keymanager(spec)?;
        }
        Ok(settings)
    }

    /// Whether this listener would let anybody on the network manage keys. Asked for configured listeners
    /// here, and again for those that systemd hands over.
    pub(crate) fn refuse_open_keymanager(&self, spec: &ListenSpec) -> Result<(), OpenKeymanager> {
        let Address::Tcp(address) = spec.address else { return Ok(()) };
        let guarded = self.allow_open_keymanager
            || self.tokens.keymanager.is_some()
            || self.tls.as_ref().is_some_and(|tls| tls.demands_client_certificate());
        if guarded || address.ip().to_canonical().is_loopback() || !spec.role.manages_keys() {
            return Ok(());
        }
        Err(OpenKeymanager { role: spec.role, address })
    }
}

fn listen(
    listen: Option<Vec<ListenSpec>>,
    host: Option<String>,
    port: Option<u16>,
) -> Result<Vec<ListenSpec>, Error> {
    if let Some(listen) = listen {
        if host.is_some() || port.is_some() {
            return Err(Error::Conflict { first: "--listen", second: "--host or --port" });
        }
        if listen.is_empty() {
            return Err(Error::NoListener);
        }
        return Ok(listen);
    }
    let ip = match host {
        Some(host) => ip_address(&host).ok_or(Error::Host { host })?,
        None => Ipv4Addr::LOCALHOST.into(),
    };
    let address = Address::Tcp(SocketAddr::new(ip, port.unwrap_or(PORT)));
    Ok(vec![ListenSpec { role: Role::All, address }])
}

fn allowed_hosts(hosts: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let Some(hosts) = hosts else {
        return Ok(ALLOWED_HOSTS.iter().map(|&host| host.to_owned()).collect());
    };
    for entry in &hosts {
        let name = !entry.is_empty() && !entry.contains(['/', ':', ' ', '[', ']']);
        if !name && ip_address(entry).is_none() {
            return Err(Error::AllowedHost { entry: entry.clone() });
        }
    }
    Ok(hosts)
}

/// Exact origins (RFC 6454, 6.2): scheme, host and perhaps a port. No pattern, and not `null`, which any sandboxed page
/// is.
fn allowed_origins(origins: Vec<String>) -> Result<Vec<String>, Error> {
    for entry in &origins {
        let authority = entry.strip_prefix("http://").or_else(|| entry.strip_prefix("https://"));
        let is_plain = |host: &str| {
            let fits = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*,\\\"'".contains(&byte);
            !host.is_empty() && host.bytes().all(fits)
        };
        if !authority.is_some_and(is_plain) {
            return Err(Error::AllowedOrigin { entry: entry.clone() });
        }
    }
    Ok(origins)
}

fn ledger(
    slashing_protection: Option<Switch>,
    require_ledger: Option<Switch>,
    unproven: Option<UnprovenStart>,
    state_fs: Option<StateFs>,
    keys: &KeySources,
    state_dir: Option<PathBuf>,
    environment: &Environment,
) -> Result<LedgerSettings, Error> {
    let slashing_protection = slashing_protection.is_none_or(Switch::is_on);
    if require_ledger.is_some_and(Switch::is_on) && !slashing_protection {
        return Err(Error::Conflict { first: "--require-ledger", second: "--slashing-protection off" });
    }
    let required = require_ledger.is_none_or(Switch::is_on) || keys.outlive_the_process();
    let state_dir = state_dir.or_else(|| environment.state_directory()).ok_or(Error::NoStateDirectory)?;
    let anchors =
        [environment.runtime_directory(), environment.cache_directory()].into_iter().flatten().collect();
    let (unproven, state_fs) = (unproven.unwrap_or_default(), state_fs.unwrap_or_default());
    Ok(LedgerSettings {
        state_dir,
        anchors,
        unproven,
        state_fs,
        slashing_protection,
        required,
        shared: None,
        tpm_counter: None,
    })
}

fn shared_ledger(
    address: Option<String>,
    durability: Option<Durability>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    environment: &Environment,
) -> Result<Option<SharedLedgerSettings>, Error> {
    let given = match (&durability, &password_file, &ca) {
        (Some(_), _, _) => Some("--shared-ledger-durability"),
        (None, Some(_), _) => Some("--shared-ledger-password-file"),
        (None, None, Some(_)) => Some("--shared-ledger-ca"),
        (None, None, None) => None,
    };
    match (address, given) {
        (None, Some(given)) => Err(Error::Incomplete { given, missing: "--shared-ledger" }),
        (None, None) => Ok(None),
        (Some(address), _) => {
            let password_file = password_file.or_else(|| environment.credential("shared-ledger-password"));
            let durability = durability.unwrap_or_default();
            Ok(Some(SharedLedgerSettings::new(address.parse()?, durability, password_file, ca)?))
        }
    }
}

fn seconds(seconds: NonZeroU32) -> Duration {
    Duration::from_secs(seconds.get().into())
}

const PORT: u16 = 8080;
const ALLOWED_HOSTS: &[&str] = &["localhost", "127.0.0.1", "[::1]"];
/// Two of the usual scrypt keystores (n = 262144, r = 8: 256 MiB) at a time.
const KDF_MEMORY_MIB: NonZeroU32 = NonZeroU32::new(512).unwrap();
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
const REQUESTS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than two epochs: a client's pooled connection is not closed under it between two duties.
const IDLE_TIMEOUT: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests;
