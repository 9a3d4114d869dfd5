//! Addresses of servers, and paths as a request has them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use serde::Deserialize;

/// A server's address: `https://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address {
    is_plain: bool,
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoAddress(text.chars().take(LONGEST_SHOWN).collect());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            Some(_) | None => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self {
            is_plain,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(usual_port(is_plain)),
        })
    }
}

impl TryFrom<String> for Address {
    type Error = NoAddress;

    fn try_from(text: String) -> Result<Self, NoAddress> {
        text.parse()
    }
}

impl Address {
    /// Whether nothing is encrypted on the way.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether keys may go this way: encrypted, within this host, or from what its cloud has on its link.
    pub(crate) fn is_safe(&self) -> bool {
        !self.is_plain || self.host == "localhost" || self.bare_host().parse().is_ok_and(is_near)
    }

    /// What stands in `Host`: the port only where it is another than the usual one.
    pub(crate) fn authority(&self) -> String {
        let Self { is_plain, host, port } = self;
        if *port == usual_port(*is_plain) { host.clone() } else { format!("{host}:{port}") }
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_plain { "http" } else { "https" }, self.authority())
    }
}

/// A text that is no server's address.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no address: use https://HOST or https://HOST:PORT")]
pub(crate) struct NoAddress(String);

/// Loopback, link-local, or the IPv6 addresses of AWS' metadata services (EC2 User Guide).
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || matches!(ip.segments(), [0xfd00, 0x0ec2, 0, ..]),
    }
}

fn usual_port(is_plain: bool) -> u16 {
    if is_plain { 80 } else { 443 }
}

/// A path for a request: all but letters, digits and what RFC 3986 calls unreserved is encoded; slashes stay.
pub(crate) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

const LONGEST_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_but_for_its_slashes() {
        assert_eq!(encoded("a/b c?d#e%2F\u{e9}"), "a/b%20c%3Fd%23e%252F%C3%A9");
    }

    #[test]
    fn an_address_is_safe_when_it_is_encrypted_or_near() {
        for (text, shown, is_safe) in [
            ("https://vault.example", "https://vault.example", true),
            ("https://vault.example:443/", "https://vault.example", true),
            ("https://[2001:db8::1]:8200", "https://[2001:db8::1]:8200", true),
            ("http://127.0.0.1:8200", "http://127.0.0.1:8200", true),
            ("http://[::1]", "http://[::1]", true),
            ("http://169.254.169.254", "http://169.254.169.254", true),
            ("http://[fd00:ec2::23]", "http://[fd00:ec2::23]", true),
            ("http://[fd00::1]", "http://[fd00::1]", false),
            ("http://vault.example", "http://vault.example", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_safe()), (shown, is_safe));
        }
        for wrong in ["", "vault.example", "ftp://a", "https://user@a", "https://a/b", "https://a?b"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
