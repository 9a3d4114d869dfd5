//! Guard of the requests: the allow-lists of `Host` and `Origin`, no browsers, the bearer token.

use std::net::Ipv6Addr;
use std::sync::Arc;

use hyper::Version;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;

use super::access::Access;
use crate::caller::{Caller, Peer};
use crate::config::{AuthToken, Tokens};
use crate::credentials::TokenDigest;

/// The checks that come before a handler.
pub(crate) struct Guard {
    hosts: AllowedHosts,
    /// The exact values of `Origin` that pass.
    origins: Vec<String>,
    access: Arc<Access>,
}

impl Guard {
    pub(crate) fn new(hosts: AllowedHosts, origins: Vec<String>, access: Arc<Access>) -> Self {
        Self { hosts, origins, access }
    }

    /// Refuses requests that a web page may have caused: a foreign `Host` (DNS rebinding), an `Origin`.
    pub(crate) fn admit(&self, request: &Parts, caller: &Caller) -> Result<(), GuardRefusal> {
        if request.headers.contains_key(SEC_FETCH_SITE) || !self.allows_origin(request) {
            return Err(GuardRefusal::Browser);
        }
        match caller.peer {
            Peer::Unix { .. } => Ok(()),
            Peer::Tcp(_) => self.hosts.admit(request),
        }
    }

    /// Some tools name an origin though they are no browsers. No answer says that one is allowed (CORS), so no page of
    /// it can read one.
    fn allows_origin(&self, request: &Parts) -> bool {
        let mut origins = request.headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => {
                self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
            }
            (Some(_), Some(_)) => false,
        }
    }

    /// Demands the bearer token that guards a route, where one is configured; for signatures a client's own does
    /// as well. Answers the digest of the right token. A header that nobody asked for is not judged.
    pub(crate) fn authorise(
        &self,
        request: &Parts,
        guarded: Guarded,
    ) -> Result<Option<TokenDigest>, GuardRefusal> {
        let tokens = self.access.tokens();
        let (token, of_clients, wrong) = match guarded {
            Guarded::Open => return Ok(None),
            Guarded::Token => (&tokens.signing, tokens.clients.as_slice(), GuardRefusal::WrongToken),
            Guarded::KeymanagerToken => (&tokens.keymanager, &[][..], GuardRefusal::WrongKeymanagerToken),
        };
        if token.is_none() && of_clients.is_empty() {
            return Ok(None);
        }
        let mut credentials = request.headers.get_all(AUTHORIZATION).iter();
        let Some(value) = credentials.next() else {
            // Clients may be known by other things than a token.
            return if token.is_some() { Err(GuardRefusal::Token) } else { Ok(None) };
        };
        if credentials.next().is_some() {
            return Err(wrong);
        }
        let value = value.to_str().unwrap_or_default();
        let (scheme, given) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(GuardRefusal::Token);
        }
        let given = TokenDigest::of(given.trim());
        if given.is_one_of(token.iter().chain(of_clients)) { Ok(Some(given)) } else { Err(wrong) }
    }
}

/// Whether a route asks for the token, if one is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// No: monitoring has none.
    Open,
    /// Yes; 401 without it and with a wrong one.
    Token,
    /// Yes; 401 without it, 403 with a wrong one, as the Keymanager API says.
    KeymanagerToken,
}

/// The bearer tokens by the role of the route that asks for them, kept as their hashes only.
pub(crate) struct TokenDigests {
    signing: Option<TokenDigest>,
    keymanager: Option<TokenDigest>,
    /// Of the clients that have one of their own.
    clients: Vec<TokenDigest>,
}

impl TokenDigests {
    pub(crate) fn of(tokens: &Tokens, clients: &[TokenDigest]) -> Self {
        let digest = |token: &Option<AuthToken>| token.as_ref().map(|token| TokenDigest::of(token.reveal()));
        Self {
            signing: digest(&tokens.signing),
            keymanager: digest(&tokens.keymanager),
            clients: clients.to_vec(),
        }
    }
}

/// The host names that a TCP request may name, without port.
#[derive(Clone, Debug)]
pub(crate) enum AllowedHosts {
    Any,
    Listed(Vec<String>),
}

impl AllowedHosts {
    /// From names as configured; `*` or `all` allows every host.
    pub(crate) fn new(names: &[String]) -> Self {
        if names.iter().any(|name| name == "*" || name.eq_ignore_ascii_case("all")) {
            return Self::Any;
        }
        Self::Listed(names.iter().map(|name| name.trim_matches(['[', ']']).to_ascii_lowercase()).collect())
    }

    fn admit(&self, request: &Parts) -> Result<(), GuardRefusal> {
        let mut hosts = request.headers.get_all(HOST).iter();
        let named = match (request.uri.authority(), hosts.next()) {
            // HTTP/2 puts the host into the request's authority.
            (Some(authority), None) => authority.as_str(),
            (None, Some(header)) => header.to_str().map_err(|_| GuardRefusal::Host)?,
            // An absolute form overrides the header (RFC 9112, 3.2.2), so both must be allowed.
            (Some(authority), Some(header)) => {
                self.admit_name(authority.as_str())?;
                header.to_str().map_err(|_| GuardRefusal::Host)?
            }
            // HTTP/1.0 had none (load balancers probe so), and where every host is allowed none is missed.
            (None, None) => {
                return match self {
                    Self::Any if request.version == Version::HTTP_10 => Ok(()),
                    Self::Any | Self::Listed(_) => Err(GuardRefusal::NoHost),
                };
            }
        };
        if hosts.next().is_some() {
            return Err(GuardRefusal::RepeatedHost);
        }
        self.admit_name(named)
    }

    fn admit_name(&self, named: &str) -> Result<(), GuardRefusal> {
        let Self::Listed(allowed) = self else { return Ok(()) };
        let host = host(named).ok_or(GuardRefusal::Host)?;
        if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {
            Ok(())
        } else {
            Err(GuardRefusal::Host)
        }
    }
}

/// The host of an authority without user information, `host`, `host:port`, `[v6]` or `[v6]:port`: `[::1]:80` gives
/// `::1`. Nothing that stands beside the host is passed over, as another reader might take it for the host.
fn host(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok())?,
        None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?,
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardRefusal {
    #[error("Host not authorized: add it to --http-host-allowlist if it is yours")]
    Host,
    #[error("the request names no Host")]
    NoHost,
    #[error("the request names more than one Host")]
    RepeatedHost,
    #[error(
        "requests with Sec-Fetch-Site, or with an Origin that --http-origin-allowlist does not name, are refused: \
         this is no service for browsers"
    )]
    Browser,
    /// It was taken when the connection began, but has been taken away since, or has expired.
    #[error("the client certificate of this connection is not accepted any more: see the signer's log")]
    Certificate,
    #[error("this route needs the signer's token: send 'Authorization: Bearer TOKEN'")]
    Token,
    #[error("the token is wrong")]
    WrongToken,
    /// The same where the Keymanager API wants another status for it.
    #[error("the token is wrong")]
    WrongKeymanagerToken,
}

impl GuardRefusal {
    /// Whether it answers somebody who may be trying one token after the other.
    pub(crate) fn is_of_a_guess(self) -> bool {
        match self {
            Self::WrongToken | Self::WrongKeymanagerToken => true,
            Self::Host
            | Self::NoHost
            | Self::RepeatedHost
            | Self::Browser
            | Self::Certificate
            | Self::Token => false,
        }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn admit(allowed: &[&str], host: Option<&str>) -> Result<(), GuardRefusal> {
        let mut request = Request::builder().uri("/upcheck");
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let names: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        AllowedHosts::new(&names).admit(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn hosts_are_compared_without_port_and_case() {
        let allowed = ["localhost", "127.0.0.1", "[::1]"];
        for host in ["localhost", "LocalHost:9000", "127.0.0.1:1", "[::1]:9000", "[::1]"] {
            assert_eq!(admit(&allowed, Some(host)), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "::1", "[::2]"]
        {
            assert_eq!(admit(&allowed, Some(host)), Err(GuardRefusal::Host), "{host}");
        }
        for host in [
            "localhost:80@evil.com",
            "localhost:evil.com",
            "localhost@evil.com",
            "evil.com@localhost",
            "localhost:80:80",
            "localhost: 80",
            "localhost/",
            "[::1]evil.com",
            "[::1]:evil.com",
            "[::1]80",
            "[::1",
            "[[::1]]",
            "[localhost]:80",
            "[127.0.0.1]",
        ] {
            assert_eq!(admit(&allowed, Some(host)), Err(GuardRefusal::Host), "{host}");
        }
        assert_eq!(admit(&allowed, None), Err(GuardRefusal::NoHost));
        assert_eq!(admit(&["*"], Some("anything.example")), Ok(()));
    }
}
