//! `bls-signer client-config CLIENT`: what a validator client must be told so that it signs here.
//!
//! Options are those of the clients' documentation and sources as of November 2026.

use std::fmt;
use std::io;
use std::str::FromStr;

use clap::ValueEnum;
use hyper::Uri;

use super::{Error, output};

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// The validator client
    client: Client,
    /// The URL at which it reaches the signer
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000")]
    url: SignerUrl,
}

/// Prints the options.
pub(super) fn run(options: &Options) -> Result<(), Error> {
    output::show(&mut io::stdout(), text(options.client, &options.url)).map_err(Error::Output)
}

/// Validator clients, and what else speaks the remote signing API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    Lighthouse,
    Teku,
    Lodestar,
    Prysm,
    Nimbus,
    Grandine,
    Vero,
    /// ssv-signer
    Ssv,
}

/// A URL of scheme, host and port alone, without a slash at its end: some clients put their paths behind it as text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SignerUrl(String);

impl FromStr for SignerUrl {
    type Err = WrongUrl;

    fn from_str(text: &str) -> Result<Self, WrongUrl> {
        let uri: Uri = text.parse().map_err(|_| WrongUrl)?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or(WrongUrl)?;
        let is_plain =
            matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        match uri.scheme_str() {
            Some(scheme) if is_web && is_plain => Ok(Self(format!("{scheme}://{authority}"))),
            Some(_) | None => Err(WrongUrl),
        }
    }
}

impl fmt::Display for SignerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not http://HOST:PORT or https://HOST:PORT; no validator client speaks HTTP over a Unix socket")]
struct WrongUrl;

fn text(client: Client, url: &SignerUrl) -> String {
    let options = match client {
        Client::Lighthouse => format!(
            "\
# Lighthouse has no option: its own Keymanager API (lighthouse vc --http) is told each key.
# DATADIR is ~/.lighthouse/NETWORK if you have named no other.
curl -sS {url}/api/v1/eth2/publicKeys |
    jq '{{remote_keys: map({{pubkey: ., url: \"{url}\"}})}}' |
    curl -sS -H \"Authorization: Bearer $(cat DATADIR/validators/api-token.txt)\" -H 'Content-Type: application/json' \\
        -d @- http://127.0.0.1:5062/eth/v1/remotekeys
"
        ),
        Client::Teku => format!(
            "\
--validators-external-signer-url={url}
--validators-external-signer-public-keys=external-signer
# With many keys, more requests at once; by the second name in versions that do not know the first:
# --validators-external-signer-concurrent-limit=512
# --Xvalidators-external-signer-concurrent-limit=512
"
        ),
        Client::Lodestar => format!("--externalSigner.url={url}\n--externalSigner.fetch\n"),
        Client::Prysm => format!(
            "\
--validators-external-signer-url={url}
--validators-external-signer-public-keys={url}/api/v1/eth2/publicKeys
# The same by their aliases:
# --remote-signer-url={url}
# --remote-signer-keys={url}/api/v1/eth2/publicKeys
"
        ),
        Client::Nimbus => format!("--web3-signer-url={url}\n"),
        Client::Grandine => format!(
            "\
--web3signer-urls={url}
# So that keys that come later are noticed; it overwrites what its own Keymanager API changed:
--web3signer-refresh-keys-every-epoch
"
        ),
        Client::Vero => format!("--remote-signer-url={url}\n"),
        Client::Ssv => format!(
            "\
# Variables of ssv-signer, which asks for keys, signs, imports and deletes at one URL: a listener with the role 'all'.
WEB3SIGNER_ENDPOINT={url}
# Beyond loopback such a listener wants client certificates: WEB3SIGNER_KEYSTORE_FILE, and here --tls-client-ca.
"
        ),
    };
    let encrypted = match url.0.starts_with("https:") {
        true => {
            "# The client must trust the signer's certificate: docs/remote-clients.md has its option for that.\n"
        }
        false => "",
    };
    let tokens = "# No client sends a token: let none be asked for there.\n";
    format!("{options}{encrypted}{tokens}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_told_the_url_without_a_slash_at_its_end() {
        let url: SignerUrl = "http://signer:9000/".parse().unwrap();
        for client in Client::value_variants() {
            let text = text(*client, &url);
            assert!(text.contains("http://signer:9000"), "{text}");
            assert!(!text.contains("9000//") && !text.contains("9000/\n"), "{text}");
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        }
    }

    #[test]
    fn what_no_client_can_reach_is_refused() {
        for wrong in [
            "",
            "signer:9000",
            "unix:/run/signer.sock",
            "ftp://signer",
            "http://signer/eth2",
            "http://a:b@signer",
        ] {
            assert_eq!(wrong.parse::<SignerUrl>(), Err(WrongUrl), "{wrong}");
        }
        assert!("https://[::1]:9000".parse::<SignerUrl>().is_ok());
    }

    #[test]
    fn a_certificate_is_spoken_of_where_there_is_one() {
        let of = |url: &str| text(Client::Vero, &url.parse().unwrap());
        assert!(of("https://signer:9000").contains("certificate"));
        assert!(!of("http://signer:9000").contains("certificate"));
    }
}
