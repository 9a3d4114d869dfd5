//! What reads bytes of others, for the fuzz targets of `tests/fuzz`; it is `pub(crate)` otherwise.
//!
//! No interface: nothing else may use it, and it changes when a reader does. It hands out what was understood as plain
//! values, so that a target can compare, and every error as the text that a message would show. There is no key and no
//! way to a signature.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::api::service::ApiService;
use crate::api::sign_batch::Batch;
use crate::bls::PublicKey;
use crate::caller::{Caller, Peer};
use crate::config::{self, Address, Environment, ListenSpec, RawSettings, Role, Switch};
use crate::daemon::Daemon;
use crate::http::connection::{Connection, Scope};
use crate::http::connection_permits::ConnectionPermits;
use crate::http::presence::ClientSocket;
use crate::http::server::{Limits, http_builder};
use crate::http::tls::{Admission, pkcs12};
use crate::keys::eth2_keystore;
use crate::keys::loader::key_config_paths;
use crate::ledger::{self, Interchange};
use crate::supervisor::activation::Inherited;
use crate::sys::locked_memory::LockedMemory;
use crate::tpm;

/// Reads an EIP-2335 keystore up to the point where a key would be derived: the bytes that this would take, or why not.
pub fn keystore(json: &str) -> Result<u64, String> {
    let keystore = eth2_keystore::Keystore::parse(json).map_err(|error| error.to_string())?;
    // What the loader asks of each.
    let _ = (keystore.public_key(), keystore.derivation_path(), keystore.weakness());
    Ok(keystore.memory())
}

/// Reads a PKCS#12 store up to the point where a key would be derived: how many elements it has.
pub fn pkcs12_store(bytes: &[u8]) -> Result<usize, String> {
    pkcs12::elements(bytes).map_err(|error| unbounded_chain(&error))
}

/// Reads what a PKCS#12 store keeps encrypted, in the same way.
pub fn pkcs12_bags(bytes: &[u8]) -> Result<usize, String> {
    pkcs12::protected_bags(bytes).map_err(|error| unbounded_chain(&error))
}

/// Reads an EIP-3076 file: what a ledger would take of it, as such a file again, and the keys whose history cannot be
/// read, each with the reason.
pub fn interchange(json: &[u8]) -> Result<(String, Vec<String>), String> {
    taken_of(Interchange::parse(json))
}

/// As [`interchange`], from a stream.
pub fn interchange_stream(json: &[u8]) -> Result<(String, Vec<String>), String> {
    taken_of(Interchange::read(json))
}

fn taken_of(read: Result<Interchange, ledger::InterchangeError>) -> Result<(String, Vec<String>), String> {
    let interchange = read.map_err(|error| unbounded_chain(&error))?;
    let reasons = interchange.unreadable().into_iter().map(|(_, reason)| reason.to_owned()).collect();
    Ok((interchange.minimal(|_| true), reasons))
}

/// Where a ledger's log is damaged, in bytes from its start, if what was on record lies at or beyond.
pub fn log_damage(log: &[u8], database: &[u8]) -> Option<usize> {
    ledger::log_damage(log, database)
}

/// Reads bytes as a TPM's answer to each command of a counter: a value where there is one, or what is wrong.
pub fn tpm_answer(bytes: &[u8]) -> Vec<Result<Option<u64>, String>> {
    let read = tpm::read_answer(bytes);
    read.into_iter().map(|read| read.map_err(|error| unbounded_chain(&error))).collect()
}

/// Reads one source of settings: an error is a line and a reason.
pub fn settings(toml: &str) -> Result<(), (usize, String)> {
    RawSettings::from_toml(toml).map(drop)
}

/// Readers that keep secrets in locked memory.
pub struct KeyConfigs(Arc<LockedMemory>);

impl KeyConfigs {
    /// With memory of their own.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self(LockedMemory::new()?))
    }

    /// Reads the documents of a key configuration file that lies in `directory`: the keystore that each names, if it
    /// names one.
    pub fn read(&self, text: &str, directory: &Path) -> Vec<Result<Option<PathBuf>, String>> {
        key_config_paths(text, directory, &self.0)
    }
}

/// A request of many keys, as it is understood.
pub struct SignBatch {
    /// As they stand there.
    pub identifiers: Vec<String>,
    /// One for each identifier, where it is one.
    pub public_keys: Vec<Option<PublicKey>>,
    /// The request to sign, unread.
    pub signing_request: String,
}

/// Reads the body of a request of many keys.
pub fn sign_batch(body: &[u8]) -> Result<SignBatch, String> {
    let batch = Batch::parse(body).map_err(|refusal| refusal.to_string())?;
    Ok(SignBatch {
        identifiers: batch.identifiers.iter().map(|identifier| identifier.clone().into_owned()).collect(),
        public_keys: batch.public_keys,
        signing_request: batch.signing_request.get().to_owned(),
    })
}

/// The daemon's answers, without sockets: no key, no ledger, no token.
pub struct Answers {
    runtime: Runtime,
    service: Arc<ApiService>,
    http: auto::Builder<TokioExecutor>,
    limits: Limits,
    permits: Arc<ConnectionPermits>,
    stop: watch::Sender<bool>,
}

impl Answers {
    /// Of a daemon with this state directory, which listens there and is never connected to.
    pub fn new(state: &Path) -> Result<Self, Box<dyn Error>> {
        let socket = Address::Unix(state.join("socket"));
        let flags = RawSettings {
            state_dir: Some(state.to_owned()),
            slashing_protection: Some(Switch::Off),
            listen: Some(vec![ListenSpec { role: Role::All, address: socket }]),
            ..RawSettings::default()
        };
        let environment = Environment::default();
        let settings = config::load(None, flags, &environment)?;
        // One thread, so that a request always takes the same way.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let starting = Daemon::start(&settings, Inherited::default(), &environment);
        let (service, limits) = runtime.block_on(starting)?.into_service();
        Ok(Self {
            runtime,
            service,
            http: http_builder(limits),
            limits,
            permits: ConnectionPermits::new(limits.connections),
            stop: watch::channel(false).0,
        })
    }

    /// All that is answered on a connection from this host to a listener of this role (`signing`, `keymanager`,
    /// `metrics` or `all`), if its client sends these bytes and says that there are no more.
    pub fn to(&self, role: &str, bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
        let role = role.parse()?;
        let peer = Peer::Tcp(([127, 0, 0, 1], 1).into());
        let (client, server) = tokio::io::duplex(IN_FLIGHT_BYTES);
        self.runtime.block_on(async {
            let caller = Caller { role, peer, groups: Arc::default(), certificate: None };
            let permit = self.permits.take(&caller.share()).await;
            let stop = self.stop.subscribe();
            let probed = ClientSocket::default();
            let connection =
                Connection::new(caller, Admission::Open, permit, probed, stop, Scope::Everything);
            let serving =
                connection.serve(server, Arc::clone(&self.service), &self.http, self.limits.timeouts);
            let (mut incoming, mut outgoing) = tokio::io::split(client);
            let mut answers = Vec::new();
            // A server that refuses a request need not read it to its end.
            let sending = async { outgoing.write_all(bytes).await.and(outgoing.shutdown().await) };
            let (_, _, _) = tokio::join!(serving, sending, incoming.read_to_end(&mut answers));
            Ok(answers)
        })
    }
}

/// An error with its causes as they are, where a log line would be cut.
fn unbounded_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

const IN_FLIGHT_BYTES: usize = 16 * 1024;
