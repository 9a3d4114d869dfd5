//! The fetcher: reads keys where operators keep them, and brings them to bls-signer.
//!
//! A process of its own, so that the signer needs no network. It keeps nothing: a key goes from the source's answer
//! into the signer's socket. A task a source asks it (`tend`), over its own connection (`signer`): a command
//! (`command`), or a store (`provider`) whose entries several read at a time (`reading`, over `http`). What a source
//! says becomes keys in `value`.

mod aws;
mod azure;
mod command;
mod credential;
mod gcp;
mod http;
mod log;
mod oauth;
mod provider;
mod reading;
mod signer;
mod source;
mod tend;
mod trouble;
mod value;
mod vault;
mod web3signer;
#[allow(dead_code, unreachable_pub, reason = "the daemon, whose reader it is, asks for more")]
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::log::{chain, say};
use self::source::Source;

/// Reads validator keys where operators keep them, and brings them to bls-signer (docs/fetch.md)
#[derive(Parser)]
#[command(name = "bls-signer-fetch", version)]
struct Arguments {
    /// Directory of the sources, one NAME.toml each
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/bls-signer/sources.d", global = true)]
    sources: PathBuf,
    /// The signer's fetch socket
    #[arg(long, value_name = "FILE", default_value = "/run/bls-signer/fetch.sock", global = true)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the sources, now and then again, until SIGTERM; SIGHUP has them read and asked again. This is the default
    Serve,
    /// Ask each source once
    Once,
    /// Read the sources' files and say what is wrong with them; nothing is asked
    Check {
        /// One JSON object a line and source, for programs
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Arguments { sources, socket, command } = Arguments::parse();
    // No core, and no other process of this user looks in.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        say(&format!("the process cannot be closed to others: {error}"));
        return ExitCode::FAILURE;
    }
    let outcome = match command.unwrap_or(Command::Serve) {
        Command::Check { json } => check(&sources, json),
        Command::Serve => in_runtime(serve(&sources, Arc::from(socket))),
        Command::Once => in_runtime(once(&sources, Arc::from(socket))),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(work: impl Future<Output = io::Result<ExitCode>>) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let outcome = runtime.block_on(work);
    // A command that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

fn check(directory: &Path, json: bool) -> io::Result<ExitCode> {
    let mut has_errors = false;
    for (name, source) in source::read_all(directory)? {
        let checked = source.and_then(|source| source.usable().map(|()| source));
        has_errors |= checked.is_err();
        let line = match (checked, json) {
            (Ok(source), false) => format!("{name}: {source}"),
            (Err(error), false) => format!("{name}: WRONG: {}", chain(&error)),
            (Ok(source), true) => {
                let (says, sealed) = (source.to_string(), source.sealed.to_string());
                json!({"source": name, "says": says, "sealed": sealed}).to_string()
            }
            (Err(error), true) => json!({"source": name, "wrong": chain(&error)}).to_string(),
        };
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(if has_errors { ExitCode::from(CONFIGURATION) } else { ExitCode::SUCCESS })
}

async fn serve(directory: &Path, socket: Arc<Path>) -> io::Result<ExitCode> {
    let mut hangups = signal(SignalKind::hangup())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    loop {
        // Dropped with all its tasks when the files are read again; the signer takes no key away for that.
        let mut tasks = JoinSet::new();
        for source in sources(directory)? {
            tasks.spawn(tend::serve(source, Arc::clone(&socket)));
        }
        tokio::select! {
            _ = hangups.recv() => say("the sources are read and asked again"),
            _ = terminated.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupted.recv() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn once(directory: &Path, socket: Arc<Path>) -> io::Result<ExitCode> {
    let mut tasks = JoinSet::new();
    for source in sources(directory)? {
        let socket = Arc::clone(&socket);
        tasks.spawn(async move { tend::once(&source, &socket).await });
    }
    let mut all_complete = true;
    while let Some(ended) = tasks.join_next().await {
        all_complete &= ended.unwrap_or(false);
    }
    Ok(if all_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Those that can be read; what is wrong with one stops no other.
fn sources(directory: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (name, source) in source::read_all(directory)? {
        match source {
            Ok(source) => sources.push(source),
            Err(error) => say(&format!("{name}: the source is left out: {}", chain(&error))),
        }
    }
    if sources.is_empty() {
        say(&format!("no source can be used in {}: write one, and reload", directory.display()));
    }
    Ok(sources)
}

/// Most of the time goes into waiting and TLS.
const THREADS: usize = 2;
/// `EX_CONFIG`.
const CONFIGURATION: u8 = 78;
