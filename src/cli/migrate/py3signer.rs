//! Options of a py3signer: the shape that this program's first design had.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser as _;

use super::Error;
use crate::cli::old_signer::OldSigner;
use crate::keys::loader::Source;

/// Its command line, as of its version of February 2026.
#[derive(clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct CommandLine {
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    #[arg(long, short, default_value_t = 8080)]
    port: u16,
    #[arg(long)]
    tls_cert: Option<PathBuf>,
    #[arg(long)]
    tls_key: Option<PathBuf>,
    #[arg(long)]
    log_level: Option<String>,
    #[arg(long)]
    auth_token: Option<String>,
    #[arg(long, default_value = "127.0.0.1")]
    metrics_host: String,
    #[arg(long, default_value_t = 8081)]
    metrics_port: u16,
    #[arg(long, visible_alias = "data-dir")]
    key_store_path: Option<PathBuf>,
    #[arg(long, requires = "keystores_passwords_path")]
    keystores_path: Option<PathBuf>,
    #[arg(long, requires = "keystores_path")]
    keystores_passwords_path: Option<PathBuf>,
    #[arg(long, short)]
    workers: Option<u32>,
}

/// Reads the command line of a py3signer that ran in this directory, which relative paths start at.
///
/// # Errors
/// It cannot be read.
pub(super) fn old_signer(directory: PathBuf, arguments: Vec<OsString>) -> Result<OldSigner, Error> {
    let line = CommandLine::try_parse_from(arguments).map_err(Error::Py3Signer)?;
    let address = format!("{}:{}", line.host, line.port);
    let option = |origin: &str, long: &str, text: String| (origin.to_owned(), long.to_owned(), text);
    let metrics = format!("all={address},metrics={}:{}", line.metrics_host, line.metrics_port);
    let mut options = vec![option("--host, --port, --metrics-host, --metrics-port", "listen", metrics)];
    for (long, file) in [("tls-cert", &line.tls_cert), ("tls-key", &line.tls_key)] {
        let whole = file.iter().map(|file| directory.join(file).display().to_string());
        options.extend(whole.map(|file| option(&format!("--{long}"), long, file)));
    }
    options.extend(line.log_level.map(|level| {
        let level = level.to_ascii_lowercase();
        option("--log-level", "log-level", if level == "critical" { "error".to_owned() } else { level })
    }));
    let workers = line.workers.map(|_| "--workers has no meaning here: signing has a thread for each core");
    let token = line.auth_token.map(|_| {
        "--auth-token is not taken over, as it would stand in a file for every user: write it into a file of its own, \
         and give that with auth_token_file"
    });
    let mut sources = Vec::new();
    for (keystores, passwords) in [
        (line.key_store_path.as_ref(), line.key_store_path.as_ref()),
        (line.keystores_path.as_ref(), line.keystores_passwords_path.as_ref()),
    ] {
        if let (Some(keystores), Some(passwords)) = (keystores, passwords) {
            let (keystores, passwords) = (directory.join(keystores), directory.join(passwords));
            sources.push(Source::Keystores { directory: keystores, passwords });
        }
    }
    Ok(OldSigner {
        name: "py3signer",
        directory,
        address,
        sources,
        database: None,
        options,
        notes: workers.into_iter().chain(token).map(str::to_owned).collect(),
        fetch_sources: Vec::new(),
        without_counterpart: Vec::new(),
    })
}
