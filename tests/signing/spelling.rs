//! The same message in every spelling that is allowed has the same root.

use serde_json::{Map, Value, json};

use crate::vectors::{Case, lodestar, parse, specification};

#[test]
fn numbers_may_be_json_integers() {
    for_every_case(|text| {
        if is_number(text) { text.parse::<u64>().map_or(json!(text), Value::from) } else { json!(text) }
    });
}

#[test]
fn hexadecimal_may_be_upper_case() {
    for_every_case(|text| match text.strip_prefix("0x") {
        Some(digits) => json!(format!("0x{}", digits.to_uppercase())),
        None => json!(text),
    });
}

#[test]
fn hexadecimal_may_lack_its_prefix() {
    for_every_case(|text| json!(text.strip_prefix("0x").unwrap_or(text)));
}

#[test]
fn the_type_may_be_in_any_case() {
    for mut case in all() {
        case.request["type"] = json!(case.type_name().to_lowercase());
        assert_same_root(&case, &case.request);
    }
}

#[test]
fn members_nobody_knows_are_ignored_at_any_depth() {
    for case in all() {
        assert_same_root(&case, &with_strangers(&case.request));
    }
}

#[test]
fn escapes_in_texts_are_read() {
    for case in specification() {
        // The first character of every text and name as an escape: the reader cannot borrow from the body then.
        let body = case.request.to_string();
        let mut escaped = String::new();
        let mut inside = false;
        for (index, character) in body.char_indices() {
            if inside && body[..index].ends_with('"') && character != '"' {
                escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            } else {
                escaped.push(character);
            }
            inside ^= character == '"';
        }
        assert_ne!(escaped, body);
        let duty = bls_signer::duty::Duty::parse(escaped.as_bytes(), &case.network).unwrap();
        assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
    }
}

#[test]
fn short_roots_are_padded_on_the_left() {
    let mut case = specification().into_iter().find(|case| case.type_name() == "ATTESTATION").unwrap();
    case.request["attestation"]["beacon_block_root"] = json!("0x1111");
    let padded = parse(&case.request, &case.network).unwrap();
    case.request["attestation"]["beacon_block_root"] = json!(format!("0x{:0>64}", "1111"));
    assert_eq!(parse(&case.request, &case.network).unwrap().signing_root(), padded.signing_root());
}

fn all() -> impl Iterator<Item = Case> {
    specification().into_iter().chain(lodestar())
}

fn for_every_case(respell: fn(&str) -> Value) {
    for case in all() {
        assert_same_root(&case, &respelt(&case.request, respell));
    }
}

fn assert_same_root(case: &Case, request: &Value) {
    let duty = parse(request, &case.network).unwrap_or_else(|refusal| panic!("{}: {refusal}", case.id));
    assert_eq!(duty.signing_root().to_string(), case.signing_root, "{}", case.id);
}

fn respelt(value: &Value, respell: fn(&str) -> Value) -> Value {
    match value {
        Value::String(text) => respell(text),
        Value::Array(items) => items.iter().map(|item| respelt(item, respell)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), respelt(member, respell))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn with_strangers(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(with_strangers).collect(),
        Value::Object(members) => {
            let mut members: Map<_, _> =
                members.iter().map(|(name, member)| (name.clone(), with_strangers(member))).collect();
            members.insert("a_stranger".to_owned(), json!({"epoch": -1.5e3, "list": [null, [{}], 1e300]}));
            members.insert("Slot".to_owned(), json!(18_446_744_073_709_551_615_u64));
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
