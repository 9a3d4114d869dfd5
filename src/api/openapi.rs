//! Agreement of `docs/openapi.yaml` with the route table. What the routes answer is compared by `tests/openapi`.

use std::collections::BTreeSet;

use super::routes::{ROUTES, Route};
use crate::config::Role;
use crate::duty::Kind;
use crate::duty_group::DutyGroup;
use crate::http::guard::Guarded;

const DOCUMENT: &str = include_str!("../../docs/openapi.yaml");

/// What both say of a route.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Operation {
    path: String,
    method: String,
    role: String,
    needs_token: bool,
    /// None where the route takes no body.
    max_body_bytes: Option<u64>,
}

#[test]
fn the_document_and_the_table_have_the_same_routes() {
    let documented = documented(DOCUMENT);
    assert_eq!(documented.len(), ROUTES.len(), "an operation stands twice, or one is missing");
    assert_eq!(documented.into_iter().collect::<BTreeSet<_>>(), ROUTES.iter().map(in_table).collect());
}

#[test]
fn the_document_has_the_version_of_the_program() {
    assert!(DOCUMENT.contains(&format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_document_has_every_type_of_message() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::RawRoot) {
        let (alone, first, other) = (format!("const: {kind}}}"), format!("[{kind},"), format!(", {kind}]"));
        assert!([alone, first, other].iter().any(|form| DOCUMENT.contains(form.as_str())), "{kind}");
    }
}

#[test]
fn the_document_has_every_group_of_duties() {
    let names: Vec<_> = DutyGroup::ALL.iter().map(|group| group.name()).collect();
    assert!(DOCUMENT.contains(&format!("DutyGroup:\n      enum: [{}]\n", names.join(", "))));
}

fn in_table(route: &Route) -> Operation {
    let role = match route.role {
        None => "every",
        Some(Role::Signing) => "signing",
        Some(Role::Keymanager) => "keymanager",
        Some(Role::Metrics) => "metrics",
        Some(Role::All) => "all",
    };
    Operation {
        path: route.path.to_owned(),
        method: route.method.as_str().to_ascii_lowercase(),
        role: role.to_owned(),
        needs_token: route.guarded != Guarded::Open,
        max_body_bytes: (route.body_limit > 0).then_some(route.body_limit),
    }
}

/// By their indentation: two for a path, four for a method, six for what it has.
fn documented(document: &str) -> Vec<Operation> {
    let mut operations = Vec::<Operation>::new();
    let mut path = "";
    let of_paths = document.lines().skip_while(|line| *line != "paths:").skip(1);
    for line in of_paths.take_while(|line| line.starts_with(' ')) {
        let text = line.trim_start();
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match (line.len().abs_diff(text.len()), name, operations.last_mut()) {
            (2, ..) => path = name,
            (4, method, _) => operations.push(Operation {
                path: path.to_owned(),
                method: method.to_owned(),
                needs_token: true,
                ..Operation::default()
            }),
            (6, "x-role", Some(operation)) => operation.role = value.trim().to_owned(),
            (6, "security", Some(operation)) => operation.needs_token = value.trim() != "[]",
            (6, "x-max-body-bytes", Some(operation)) => {
                operation.max_body_bytes = Some(value.trim().parse().unwrap());
            }
            _ => {}
        }
    }
    operations
}
