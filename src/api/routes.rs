//! The whole API on one screen.

use std::borrow::Cow;

use hyper::Method;

use crate::api::slashing_protection;
use crate::config::Role;
use crate::http::negotiation::Produces;

/// Every route: method, path, the role of the listeners that serve it, whether it asks for the token, how large its
/// body may be, what it produces, and who answers.
#[rustfmt::skip]
pub(crate) const ROUTES: &[Route] = &[
    Route { method: Method::GET,    path: "/upcheck",                          role: None,                   guarded: Guarded::Open,            body_limit: 0,      produces: Produces::TextOrJson, endpoint: Endpoint::Upcheck },
    Route { method: Method::GET,    path: "/healthcheck",                      role: None,                   guarded: Guarded::Open,            body_limit: 0,      produces: Produces::JsonAlways, endpoint: Endpoint::Healthcheck },
    Route { method: Method::GET,    path: "/health",                           role: None,                   guarded: Guarded::Open,            body_limit: 0,      produces: Produces::JsonAlways, endpoint: Endpoint::Health },
    Route { method: Method::GET,    path: "/api/v1/eth2/publicKeys",           role: Some(Role::Signing),    guarded: Guarded::Token,           body_limit: 0,      produces: Produces::Json,       endpoint: Endpoint::PublicKeys },
    Route { method: Method::POST,   path: "/api/v1/eth2/sign",                 role: Some(Role::Signing),    guarded: Guarded::Token,           body_limit: 32*MIB, produces: Produces::Json,       endpoint: Endpoint::SignBatch },
    Route { method: Method::POST,   path: "/api/v1/eth2/sign/{identifier}",    role: Some(Role::Signing),    guarded: Guarded::Token,           body_limit: 32*MIB, produces: Produces::JsonOrText, endpoint: Endpoint::Sign },
    Route { method: Method::GET,    path: "/api/v1/eth2/highWatermark",        role: Some(Role::Signing),    guarded: Guarded::Token,           body_limit: 0,      produces: Produces::JsonAlways, endpoint: Endpoint::HighWatermark },
    Route { method: Method::POST,   path: slashing_protection::PATH,           role: Some(Role::Keymanager), guarded: Guarded::KeymanagerToken, body_limit: 128*MIB,produces: Produces::JsonAlways, endpoint: Endpoint::SlashingProtection },
    Route { method: Method::GET,    path: "/reload",                           role: Some(Role::Keymanager), guarded: Guarded::KeymanagerToken, body_limit: 0,      produces: Produces::Json,       endpoint: Endpoint::ReloadStatus },
    Route { method: Method::POST,   path: "/reload",                           role: Some(Role::Keymanager), guarded: Guarded::KeymanagerToken, body_limit: 0,      produces: Produces::Json,       endpoint: Endpoint::Reload },
    Route { method: Method::GET,    path: "/eth/v1/keystores",                 role: Some(Role::Keymanager), guarded: Guarded::KeymanagerToken, body_limit: 0,      produces: Produces::JsonAlways, endpoint: Endpoint::ListKeystores },
    Route { method: Method::POST,   path: "/eth/v1/keystores",                 role: Some(Role::Keymanager), guarded: Guarded::KeymanagerToken, body_limit: 128*MIB,produces: Produces::JsonAlways, endpoint: Endpoint::ImportKeystores },
    Route { method: Method::DELETE, path: "/eth/v1/keystores",                 role: Some(Role::Keymanager), guarded: Guarded::KeymanagerToken, body_limit: 4*MIB,  produces: Produces::JsonAlways, endpoint: Endpoint::DeleteKeystores },
];

/// One row of [`ROUTES`].
#[derive(Debug)]
pub(crate) struct Route {
    method: Method,
    /// A literal path; `{identifier}` as the last segment stands for one segment.
    path: &'static str,
    /// The listeners that serve it; `None` for all of them.
    role: Option<Role>,
    pub(crate) guarded: Guarded,
    /// In bytes.
    pub(crate) body_limit: u64,
    pub(crate) produces: Produces,
    pub(crate) endpoint: Endpoint,
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

/// Who answers a route: one function each in [`crate::api`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Upcheck,
    Healthcheck,
    Health,
    PublicKeys,
    Sign,
    SignBatch,
    HighWatermark,
    ListKeystores,
    ImportKeystores,
    DeleteKeystores,
    SlashingProtection,
    ReloadStatus,
    Reload,
}

/// A request's route and the path segment that stood for `{identifier}`, empty where the path has none.
#[derive(Debug)]
pub(crate) struct Matched<'path> {
    pub(crate) route: &'static Route,
    pub(crate) identifier: &'path str,
}

/// The path with repeated slashes merged and without one at its end. Clients put `/api/...` behind a base URL that ends in a
/// slash, and Web3Signer's router (Vert.x-Web) takes both as we do. Guards and routes see nothing else.
pub(crate) fn plain_path(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(without_last_slash(path));
    }
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    Cow::Owned(without_last_slash(&merged).to_owned())
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path)
}

/// Finds the route of a request that came in on a listener of this role. Its path is [plain](plain_path);
/// beyond that it is taken as it is, nothing is decoded or folded. HEAD is answered where GET is (RFC 9110, 9.1).
pub(crate) fn find<'path>(
    role: Role,
    method: &Method,
    path: &'path str,
) -> Result<Matched<'path>, RouteRefusal> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(|route| route.is_served_on(role)) {
        let Some(identifier) = route.matches(path) else { continue };
        if route.method == wanted {
            return Ok(Matched { route, identifier });
        }
        allowed.push(route.method.as_str());
        if route.method == Method::GET {
            allowed.push(Method::HEAD.as_str());
        }
    }
    Err(if allowed.is_empty() {
        RouteRefusal::NotFound
    } else {
        RouteRefusal::MethodNotAllowed { allowed: allowed.join(", ") }
    })
}

impl Route {
    /// Whose capacity its requests use; `None` for what every listener answers.
    pub(crate) fn role(&self) -> Option<Role> {
        self.role
    }

    fn is_served_on(&self, listener: Role) -> bool {
        listener == Role::All || self.role.is_none_or(|role| role == listener)
    }

    /// The identifier, or an empty one where the path has none; `None` if this is another path.
    fn matches<'path>(&self, path: &'path str) -> Option<&'path str> {
        match self.path.strip_suffix("{identifier}") {
            None => (self.path == path).then_some(""),
            Some(prefix) => path.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.contains('/')),
        }
    }
}

/// Why a request has no route.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteRefusal {
    #[error("no such route on this listener")]
    NotFound,
    #[error("this route answers {allowed} only")]
    MethodNotAllowed { allowed: String },
}

const MIB: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(role: Role, method: Method, path: &str) -> Result<Endpoint, RouteRefusal> {
        find(role, &method, path).map(|matched| matched.route.endpoint)
    }

    #[test]
    fn a_listener_serves_only_its_role() {
        let keystores = "/eth/v1/keystores";
        let public_keys = "/api/v1/eth2/publicKeys";
        assert_eq!(endpoint(Role::Keymanager, Method::GET, keystores), Ok(Endpoint::ListKeystores));
        assert_eq!(endpoint(Role::All, Method::GET, keystores), Ok(Endpoint::ListKeystores));
        assert_eq!(endpoint(Role::Signing, Method::GET, keystores), Err(RouteRefusal::NotFound));
        assert_eq!(endpoint(Role::Signing, Method::PUT, keystores), Err(RouteRefusal::NotFound));
        assert_eq!(endpoint(Role::Keymanager, Method::GET, public_keys), Err(RouteRefusal::NotFound));
        for role in [Role::Signing, Role::Keymanager, Role::Metrics, Role::All] {
            assert_eq!(endpoint(role, Method::GET, "/upcheck"), Ok(Endpoint::Upcheck));
        }
    }

    #[test]
    fn another_method_names_the_allowed_ones() {
        assert_eq!(
            endpoint(Role::All, Method::PUT, "/eth/v1/keystores"),
            Err(RouteRefusal::MethodNotAllowed { allowed: "GET, HEAD, POST, DELETE".to_owned() })
        );
    }

    #[test]
    fn head_is_answered_where_get_is() {
        for path in ["/upcheck", "/healthcheck", "/health", "/api/v1/eth2/publicKeys", "/eth/v1/keystores"] {
            assert_eq!(
                endpoint(Role::All, Method::HEAD, path),
                endpoint(Role::All, Method::GET, path),
                "{path}"
            );
        }
        assert_eq!(
            endpoint(Role::All, Method::HEAD, "/api/v1/eth2/sign"),
            Err(RouteRefusal::MethodNotAllowed { allowed: "POST".to_owned() })
        );
    }

    #[test]
    fn slashes_that_mean_nothing_go_and_nothing_else_is_changed() {
        for (path, merged) in [
            ("//upcheck", "/upcheck"),
            ("/api///v1//eth2/sign//0xab", "/api/v1/eth2/sign/0xab"),
            ("/upcheck//", "/upcheck"),
            ("/upcheck/", "/upcheck"),
            ("/api/v1/eth2/sign/0xab/", "/api/v1/eth2/sign/0xab"),
            ("////", "/"),
            ("", ""),
            ("/./upcheck", "/./upcheck"),
            ("/%2f/upcheck", "/%2f/upcheck"),
        ] {
            assert_eq!(plain_path(path), merged);
            assert_eq!(plain_path(merged), merged);
        }
        // It opens no route of another role.
        assert_eq!(
            endpoint(Role::Signing, Method::GET, &plain_path("//eth/v1/keystores")),
            Err(RouteRefusal::NotFound)
        );
    }

    /// But for slashes that mean nothing, which are gone before.
    #[test]
    fn a_path_has_one_spelling() {
        for path in [
            "/upcheck/",
            "//upcheck",
            "/Upcheck",
            "/%75pcheck",
            "/./upcheck",
            "",
            "/",
            "/api/v1/eth2/sign/",
            "/api/v1/eth2/sign/a/b",
        ] {
            assert_eq!(endpoint(Role::All, Method::GET, path), Err(RouteRefusal::NotFound), "{path}");
        }
        assert_eq!(find(Role::All, &Method::POST, "/api/v1/eth2/sign/0xAb").unwrap().identifier, "0xAb");
    }
}
