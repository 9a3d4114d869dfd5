//! `bls-signer demo`: the whole way of a key, from a keystore to verified signatures, against a daemon of its own.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use blst::min_pk;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::client::{Client, ClientError, Reply, Target};
use crate::bls::{self, PublicKey, Signature};
use crate::config::{self, Address, Environment, ListenSpec, RawSettings, Role, Settings, Switch};
use crate::daemon::{self, Daemon};
use crate::keys::eth2_keystore::{self, KdfCost, KeystoreError};
use crate::keys::{SecretKey, SecretKeyError};
use crate::primitives::SigningRoot;
use crate::supervisor::activation::Inherited;
use crate::sys::locked_memory::{LockedMemory, LockedMemoryError};
use crate::text::chain;

/// Runs the demonstration; with `once` it ends after the last step, otherwise it serves until Ctrl-C.
pub(crate) fn run(once: bool) -> Result<(), DemoError> {
    let directory = Scratch::new()?;
    let socket = directory.path.join("signer.sock");
    // Nothing of the caller's environment: a demonstration looks the same everywhere.
    let environment = Environment::default();
    let settings = settings(&directory.path, &socket, &environment).map_err(DemoError::Config)?;
    let runtime = daemon::runtime()?;
    say(if once {
        "It ends by itself after step 4."
    } else {
        "After step 4 the daemon goes on serving, for you to repeat the steps: Ctrl-C ends it. (With --once it ends \
         there.)"
    })?;
    runtime.block_on(async {
        let interrupted = daemon::terminated()?;
        let daemon = Daemon::start(&settings, Inherited::default(), &environment).await?;
        let url = format!("http://{}", daemon.tcp_address().ok_or(DemoError::NoAddress)?);
        let stop = Notify::new();
        let steps = async {
            let result = walk_through(&directory.path, &socket, &url).await;
            if result.is_ok() && !once {
                say(&format!("\nIt goes on serving at {} and {url} until Ctrl-C.", socket.display()))?;
                interrupted.await;
            }
            result
        };
        let (result, served) = tokio::join!(
            async {
                let result = steps.await;
                stop.notify_one();
                result
            },
            daemon.serve(stop.notified())
        );
        result?;
        served.map_err(DemoError::from)
    })
}

fn settings(directory: &Path, socket: &Path, environment: &Environment) -> Result<Settings, config::Error> {
    let flags = RawSettings {
        listen: Some(vec![
            ListenSpec { role: Role::Signing, address: Address::Unix(socket.to_owned()) },
            ListenSpec { role: Role::All, address: Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()) },
        ]),
        state_dir: Some(directory.join("state")),
        require_ledger: Some(Switch::Off),
        ..RawSettings::default()
    };
    config::load(None, flags, environment)
}

async fn walk_through(directory: &Path, socket: &Path, url: &str) -> Result<(), DemoError> {
    let at_socket = Client { target: Target::Unix(socket.to_owned()), token: None };
    let at_port = Client { target: Target::Tcp(url.trim_start_matches("http://").to_owned()), token: None };
    say(&format!(
        "A daemon is running. Signing API: {}; everything: {url}; its state: {}",
        socket.display(),
        directory.display()
    ))?;

    heading(1, "Make a fresh key, kept as an EIP-2335 keystore")?;
    let (public_key, keystore, password) = fresh_keystore()?;
    let import = directory.join("import.json");
    let body = json!({ "keystores": [keystore], "passwords": [password.as_str()] }).to_string();
    write_file(&import, &body)?;
    say(&format!("{public_key}, in {}", import.display()))?;

    heading(2, "Import it over the Keymanager API")?;
    repeat_with(&format!(
        "curl -sH 'Content-Type: application/json' -d @{} {url}/eth/v1/keystores",
        import.display()
    ))?;
    let reply = expect_ok(at_port.send(Method::POST, "/eth/v1/keystores", Some(body)).await?)?;
    if member(&reply, "/data/0/status")? != "imported" {
        return Err(DemoError::Unexpected { body: reply.body });
    }
    say(&reply.body)?;

    let path = format!("/api/v1/eth2/sign/{public_key}");
    for (number, what, request, root) in [
        (3, "an attestation", include_str!("attestation.json"), ATTESTATION_ROOT),
        (4, "a block", include_str!("block.json"), BLOCK_ROOT),
    ] {
        heading(number, &format!("Sign {what} through the Unix socket, and verify the signature"))?;
        let file = directory.join(format!("request-{number}.json"));
        write_file(&file, request)?;
        repeat_with(&format!(
            "curl -sH 'Content-Type: application/json' -H 'Accept: application/json' --unix-socket {} -d @{} \
             http://localhost{path}",
            socket.display(),
            file.display()
        ))?;
        let reply = expect_ok(at_socket.send(Method::POST, &path, Some(request.to_owned())).await?)?;
        say(&reply.body)?;
        let signature: Signature = member(&reply, "/signature")?
            .parse()
            .map_err(|_| DemoError::Unexpected { body: reply.body.clone() })?;
        if !bls::verify(&public_key, &SigningRoot(root), &signature) {
            return Err(DemoError::Verification { what });
        }
        say(&format!("verified: it is {public_key}'s signature over {}", SigningRoot(root)))?;
    }
    Ok(())
}

/// A key from the system's random source, as a keystore that is cheap to open: it lives for minutes.
fn fresh_keystore() -> Result<(PublicKey, String, Zeroizing<String>), DemoError> {
    let mut material = Zeroizing::new([0; 32]);
    getrandom::fill(material.as_mut()).map_err(DemoError::Random)?;
    let secret = min_pk::SecretKey::key_gen(material.as_ref(), &[])
        .map_err(|_| DemoError::Random(getrandom::Error::UNEXPECTED))?;
    let mut password = Zeroizing::new([0; 16]);
    getrandom::fill(password.as_mut()).map_err(DemoError::Random)?;
    let password = Zeroizing::new(const_hex::encode(password.as_ref()));
    let bytes = Zeroizing::new(secret.to_bytes());
    let secret = SecretKey::new(&bytes, &LockedMemory::new()?)?;
    let keystore = eth2_keystore::encrypt(&secret, &password, KdfCost::Light, None)?;
    Ok((secret.public_key(), keystore, password))
}

fn member(reply: &Reply, pointer: &str) -> Result<String, DemoError> {
    serde_json::from_str::<Value>(&reply.body)
        .ok()
        .and_then(|value| value.pointer(pointer)?.as_str().map(str::to_owned))
        .ok_or_else(|| DemoError::Unexpected { body: reply.body.clone() })
}

fn expect_ok(reply: Reply) -> Result<Reply, DemoError> {
    if reply.status == StatusCode::OK {
        Ok(reply)
    } else {
        Err(DemoError::Status { status: reply.status, body: reply.body })
    }
}

fn heading(number: u32, text: &str) -> Result<(), DemoError> {
    say(&format!("\n{number}. {text}"))
}

fn repeat_with(command: &str) -> Result<(), DemoError> {
    say(&format!("$ {command}"))
}

fn say(text: &str) -> Result<(), DemoError> {
    writeln!(io::stdout(), "{text}").map_err(DemoError::Output)
}

fn write_file(path: &Path, text: &str) -> Result<(), DemoError> {
    fs::write(path, text).map_err(|source| DemoError::Scratch { path: path.to_owned(), source })
}

/// A directory of our own that goes when the demonstration ends.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self, DemoError> {
        let path = std::env::temp_dir().join(format!("bls-signer-demo-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|source| DemoError::Scratch { path: path.clone(), source })?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(
                error = chain(&error),
                path = %self.path.display(),
                "the demonstration's directory could not be removed"
            );
        }
    }
}

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the demonstration's daemon cannot be configured")]
    Config(#[source] config::Error),
    #[error("the demonstration's daemon failed")]
    Daemon(#[from] daemon::Error),
    #[error("the demonstration's daemon has no TCP address")]
    NoAddress,
    #[error("{} cannot be written", path.display())]
    Scratch { path: PathBuf, source: io::Error },
    #[error("the system's random source failed")]
    Random(getrandom::Error),
    #[error("the key cannot be held")]
    Memory(#[from] LockedMemoryError),
    #[error("the key cannot be made")]
    Key(#[from] SecretKeyError),
    #[error("the keystore cannot be made")]
    Keystore(#[from] KeystoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the daemon answered {status}: {body}")]
    Status { status: StatusCode, body: String },
    #[error("the daemon's answer is not what it should be: {body}")]
    Unexpected { body: String },
    #[error("the signature of {what} does not verify")]
    Verification { what: &'static str },
    #[error("the standard output cannot be written")]
    Output(#[source] io::Error),
}

/// The signing roots of the two messages, as another implementation computed them.
const ATTESTATION_ROOT: [u8; 32] = root(b"dc8131cb3ffc850531a3716540d49560fe3075999b6864658e4bc40e33122ddf");
const BLOCK_ROOT: [u8; 32] = root(b"0468e300bd2e81757f18cc456817d61cae0723ccc700d7c6d55d989dbedb9d70");

const fn root(hex: &[u8]) -> [u8; 32] {
    match const_hex::const_decode_to_array(hex) {
        Ok(root) => root,
        Err(_) => [0; 32],
    }
}
