//! First stage: what one source says, every option optional. Each field is a flag, a variable and a key of the file.

mod file;
mod variables;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::clients::RawClient;
use super::tokens::{TokenFile, token_files};
use super::{
    Audit, AuthToken, Durability, ExpectedKeys, ListenSpec, LogFormat, LogLevel, StateFs, Switch,
    UnprovenStart,
};
use crate::raw_roots::RawRoots;
use crate::tpm::NvIndex;

/// The options of the daemon, as one source gives them.
#[derive(Args, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSettings {
    /// Listen for a role: ROLE=unix:/path or ROLE=host:port [default: --host and --port]
    ///
    /// Roles are signing, keymanager, metrics and all; health is on each. Give it once for each listener. Sockets that
    /// systemd hands over take its place.
    #[arg(long, value_name = "ROLE=ADDR", value_delimiter = ',', help_heading = LISTENING)]
    pub(crate) listen: Option<Vec<ListenSpec>>,
    /// Address to serve everything on: an IP address or localhost [default: 127.0.0.1]
    #[arg(long, value_name = "HOST", help_heading = LISTENING)]
    pub(crate) host: Option<String>,
    /// Port to serve everything on; 0 takes a free one [default: 8080]
    #[arg(long, value_name = "PORT", help_heading = LISTENING)]
    pub(crate) port: Option<u16>,

    /// Certificate chain for TLS on TCP listeners (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_key: Option<PathBuf>,
    /// Key and certificate chain in one file, a PKCS#12 store as Web3Signer has it, in place of the two above
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_keystore_file: Option<PathBuf>,
    /// File with the password of that store in its first line
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_keystore_password_file: Option<PathBuf>,
    /// Demand client certificates that these authorities signed (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Lists of the certificates that these authorities have revoked (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_client_crl: Option<PathBuf>,
    /// Demand client certificates with these fingerprints: lines of a name and a SHA-256, as for Web3Signer
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    pub(crate) tls_known_clients_file: Option<PathBuf>,
    /// Bearer token that requests must carry, all but health and metrics; other users can see it here: use a file
    #[arg(long, value_name = "TOKEN", value_parser = token, help_heading = ACCESS)]
    pub(crate) auth_token: Option<AuthToken>,
    /// File with the bearer token; signing=FILE or keymanager=FILE for the routes of one role [default: the systemd
    /// credentials auth-token, auth-token-signing and auth-token-keymanager]
    ///
    /// Give it once for each role. A FILE without a role holds for every one that has none of its own. Every user may
    /// not read it, and only its owner may write it.
    #[arg(long, value_name = "[ROLE=]FILE", value_delimiter = ',', help_heading = ACCESS)]
    #[serde(default, deserialize_with = "token_files")]
    pub(crate) auth_token_file: Option<Vec<TokenFile>>,
    // Not a doc comment: rustdoc would take the address for a link.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', help_heading = ACCESS, help = HOST_ALLOWLIST)]
    pub(crate) http_host_allowlist: Option<Vec<String>>,
    /// Origins that requests may name, such as http://tool.example:8000, for tools that name one although they are no
    /// browsers
    /// [default: none]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', help_heading = ACCESS)]
    pub(crate) http_origin_allowlist: Option<Vec<String>>,
    /// Let everybody who reaches a TCP address import and delete keys there, without token or client certificate.
    /// Without it such a listener is refused, but on loopback [default: off]
    #[arg(long, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          help_heading = ACCESS)]
    pub(crate) allow_open_keymanager: Option<Switch>,

    /// Network of the validators: a name or the path of a consensus config.yaml [default: mainnet]
    #[arg(long, value_name = "NETWORK", help_heading = SIGNING)]
    pub(crate) network: Option<String>,
    /// Directory of the slashing-protection ledger and the sealed keys
    /// [default: $STATE_DIRECTORY; for root and the service's user where the package is installed, the package's; else
    /// $XDG_STATE_HOME/bls-signer or ~/.local/state/bls-signer]
    #[arg(long, value_name = "DIRECTORY", help_heading = SIGNING)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Refuse what could get a validator slashed [default: on]
    #[arg(long, value_name = "SWITCH", help_heading = SIGNING)]
    pub(crate) slashing_protection: Option<Switch>,
    /// Do not start without an existing ledger, which 'slashing-protection init' creates. Off: create an empty one if
    /// there is none; not with --keystores-path, --key-config-path or --seal-file [default: on]
    #[arg(long, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          help_heading = SIGNING)]
    pub(crate) require_ledger: Option<Switch>,
    /// What a start does about a ledger that nothing shows to be the newest: after a long time without power, or one
    /// that was restored or moved [default: lift]
    #[arg(long, value_name = "WHAT", help_heading = SIGNING)]
    pub(crate) unproven: Option<UnprovenStart>,
    /// What the state directory may lie on [default: local]
    #[arg(long, value_name = "WHERE", help_heading = SIGNING)]
    pub(crate) state_fs: Option<StateFs>,
    /// Counter of the ledger's sessions in the memory of this host's TPM, which no disk that is put back takes along:
    /// an index such as 0x01800b15 [default: none]
    ///
    /// 'slashing-protection tpm-counter' makes it.
    #[arg(long, value_name = "INDEX", help_heading = SIGNING)]
    pub(crate) tpm_counter: Option<NvIndex>,
    /// The TPM's device, or an emulator's Unix socket [default: /dev/tpmrm0]
    #[arg(long, value_name = "FILE", help_heading = SIGNING)]
    pub(crate) tpm_device: Option<PathBuf>,
    /// Ledger that this host shares with others, beside its own: postgres://USER@/DATABASE?host=/DIRECTORY, without a
    /// password [default: none]
    ///
    /// What can be slashed is signed when both have it on record. 'bls-signer ledger init' makes one.
    #[arg(long, value_name = "ADDRESS", help_heading = SIGNING)]
    pub(crate) shared_ledger: Option<String>,
    /// What makes a record there survive the loss of a database host [default: replicated]
    #[arg(long, value_name = "DURABILITY", help_heading = SIGNING)]
    pub(crate) shared_ledger_durability: Option<Durability>,
    /// Password of the role there [default: the systemd credential shared-ledger-password; else none, for peer
    /// authentication]
    #[arg(long, value_name = "FILE", help_heading = SIGNING)]
    pub(crate) shared_ledger_password_file: Option<PathBuf>,
    /// Certificate authorities (PEM) of its servers, which are reached by TLS then [default: none]
    #[arg(long, value_name = "FILE", help_heading = SIGNING)]
    pub(crate) shared_ledger_ca: Option<PathBuf>,
    /// Whether to sign roots that come without their duty [default: unprotected-keys]
    #[arg(long, value_name = "POLICY", help_heading = SIGNING)]
    pub(crate) raw_roots: Option<RawRoots>,
    /// Sign proofs of validation: texts that show a monitor, such as DAppNode's, who holds a key [default: off]
    #[arg(long, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_missing_value = "on",
          help_heading = SIGNING)]
    pub(crate) proofs_of_validation: Option<Switch>,

    /// Refuse blocks and attestations more than two years ahead of clock and records, where the network's genesis is
    /// known: a broken client could otherwise lock a key until then [default: on]
    #[arg(long, value_name = "SWITCH", help_heading = SIGNING)]
    pub(crate) refuse_far_future: Option<Switch>,
    /// Multiply faster by roots that several keys sign, with tables that are checked. Off: every signature is the curve
    /// library's own 'sign' [default: on]
    #[arg(long, value_name = "SWITCH", help_heading = SIGNING)]
    pub(crate) shared_root_tables: Option<Switch>,
    /// Secret that seals imported keys on disk [default: the systemd credential seal; else keys live in memory only]
    #[arg(long, value_name = "FILE", help_heading = KEYS)]
    pub(crate) seal_file: Option<PathBuf>,
    /// Directory of EIP-2335 keystores to load
    #[arg(long, value_name = "DIRECTORY", help_heading = KEYS)]
    pub(crate) keystores_path: Option<PathBuf>,
    /// Their passwords: one file for all, or a directory of NAME.txt, NAME or 0xPUBKEY
    #[arg(long, value_name = "PATH", help_heading = KEYS)]
    pub(crate) keystores_passwords_path: Option<PathBuf>,
    /// Directory of Web3Signer key configuration files (YAML)
    #[arg(long, value_name = "DIRECTORY", help_heading = KEYS)]
    pub(crate) key_config_path: Option<PathBuf>,
    /// Unix socket at which bls-signer-fetch brings keys [default: none; systemd's bls-signer-fetch.socket]
    #[arg(long, value_name = "FILE", help_heading = KEYS)]
    pub(crate) fetch_socket: Option<PathBuf>,
    /// User who may bring keys there, by name or number [default: bls-signer-fetch, where there is such a user, else
    /// the daemon's own]
    #[arg(long, value_name = "USER", help_heading = KEYS)]
    pub(crate) fetch_user: Option<String>,
    /// Hand keys in memory to systemd's file descriptor store, so that they survive a restart [default: on without a
    /// seal secret]
    #[arg(long, value_name = "SWITCH", help_heading = KEYS)]
    pub(crate) fd_store: Option<Switch>,
    /// Memory for decrypting keystores, in MiB [default: 512]
    #[arg(long, value_name = "MIB", help_heading = KEYS)]
    pub(crate) kdf_memory: Option<NonZeroU32>,
    /// Keys without which health is red: any, all (one of each key file, and one at least) or a number [default: any]
    #[arg(long, value_name = "KEYS", help_heading = KEYS)]
    pub(crate) expected_keys: Option<ExpectedKeys>,

    /// Connections open at one time on each listener, a quarter of it where no signatures are asked for; then idle ones
    /// are closed for new ones [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) max_connections: Option<NonZeroUsize>,
    /// Requests signed for at one time, on the listeners of each role; more wait [default: 512]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) max_requests: Option<NonZeroUsize>,
    /// Seconds that a request's head may take [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = LIMITS)]
    pub(crate) header_timeout: Option<NonZeroU32>,
    /// Seconds after which an idle connection is closed [default: 900]
    #[arg(long, value_name = "SECONDS", help_heading = LIMITS)]
    pub(crate) idle_timeout: Option<NonZeroU32>,
    /// Seconds after which a request to sign is answered 500 [default: the part of a slot that its duty has, 4 s for an
    /// attestation on mainnet]
    #[arg(long, value_name = "SECONDS", help_heading = LIMITS)]
    pub(crate) signing_timeout: Option<NonZeroU32>,

    /// How much to log [default: info]
    #[arg(long, value_name = "LEVEL", ignore_case = true, help_heading = LOGGING)]
    pub(crate) log_level: Option<LogLevel>,
    /// Which decisions about signatures to log, with key, duty, caller and reason [default: refusals]
    #[arg(long, value_name = "WHICH", help_heading = LOGGING)]
    pub(crate) audit: Option<Audit>,
    /// What log lines look like [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = LOGGING)]
    pub(crate) log_format: Option<LogFormat>,

    /// Who may have what signed; in the file alone.
    #[arg(skip)]
    pub(crate) client: Option<Vec<RawClient>>,
}

/// Never fails, because clap shows a value that its parser refuses.
fn token(text: &str) -> Result<AuthToken, std::convert::Infallible> {
    Ok(AuthToken::unchecked(text.to_owned()))
}

const LISTENING: &str = "Listening";
const ACCESS: &str = "Access";
const SIGNING: &str = "Signing";
const KEYS: &str = "Keys";
const LIMITS: &str = "Limits";
const LOGGING: &str = "Logging";

const HOST_ALLOWLIST: &str =
    "Host names that TCP requests may name; * for any [default: localhost,127.0.0.1,[::1]]";
