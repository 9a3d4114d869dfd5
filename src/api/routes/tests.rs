//! Tests of the route table.

use super::*;

fn handler(role: Role, method: Method, path: &str) -> Result<Handler, RouteRefusal> {
    find(role, &method, path).map(|matched| matched.route.handler)
}

#[test]
fn a_listener_serves_only_its_role() {
    let keystores = "/eth/v1/keystores";
    let public_keys = "/api/v1/eth2/publicKeys";
    assert_eq!(handler(Role::Keymanager, Method::GET, keystores), Ok(Handler::ListKeystores));
    assert_eq!(handler(Role::All, Method::GET, keystores), Ok(Handler::ListKeystores));
    assert_eq!(handler(Role::Signing, Method::GET, keystores), Err(RouteRefusal::NotFound));
    assert_eq!(handler(Role::Signing, Method::PUT, keystores), Err(RouteRefusal::NotFound));
    assert_eq!(handler(Role::Keymanager, Method::GET, public_keys), Err(RouteRefusal::NotFound));
    for role in [Role::Signing, Role::Keymanager, Role::Metrics, Role::All] {
        assert_eq!(handler(role, Method::GET, "/upcheck"), Ok(Handler::Upcheck));
    }
}

#[test]
fn another_method_names_the_allowed_ones() {
    assert_eq!(
        handler(Role::All, Method::PUT, "/eth/v1/keystores"),
        Err(RouteRefusal::MethodNotAllowed { allowed: "GET, HEAD, POST, DELETE".to_owned() })
    );
}

#[test]
fn head_is_answered_where_get_is() {
    for path in ["/upcheck", "/healthcheck", "/health", "/api/v1/eth2/publicKeys", "/eth/v1/keystores"] {
        assert_eq!(handler(Role::All, Method::HEAD, path), handler(Role::All, Method::GET, path), "{path}");
    }
    assert_eq!(
        handler(Role::All, Method::HEAD, "/api/v1/eth2/sign"),
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
        handler(Role::Signing, Method::GET, &plain_path("//eth/v1/keystores")),
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
        assert_eq!(handler(Role::All, Method::GET, path), Err(RouteRefusal::NotFound), "{path}");
    }
}

#[test]
fn a_path_names_a_key_in_any_spelling_of_it() {
    let named =
        |key: &str| find(Role::All, &Method::POST, &format!("/api/v1/eth2/sign/{key}")).unwrap().public_key;
    let key = PublicKey([0xab; 48]);
    assert_eq!(named(&"aB".repeat(48)), Some(key));
    assert_eq!(named(&format!("0x{}", "Ab".repeat(48))), Some(key));
    assert_eq!(named("0xAb"), None);
    assert!(find(Role::All, &Method::GET, "/upcheck").unwrap().public_key.is_none());
}
