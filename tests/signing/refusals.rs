//! What is refused, with the field at fault in the message. Every member of every type is tried in every wrong way.

use bls_signer::duty::{Duty, Refusal};
use serde_json::{Value, json};

use crate::vectors::{case_of, network, one_of_each_type, parse};

#[test]
fn a_missing_member_is_named() {
    for case in one_of_each_type() {
        for path in paths(&case.request) {
            let Some(Step::Member(name)) = path.last() else { continue };
            if may_be_missing(&path) {
                continue;
            }
            for empty in [None, Some(Value::Null)] {
                let mut request = case.request.clone();
                let parent = at(&mut request, &path[..path.len() - 1]).as_object_mut().unwrap();
                match empty {
                    None => parent.remove(name),
                    Some(null) => parent.insert(name.clone(), null),
                };
                let refusal = parse(&request, &case.network).unwrap_err();
                let field = shown(&path);
                assert!(
                    matches!(&refusal, Refusal::Missing { field: missing } if *missing == field),
                    "{} {field}: {refusal}",
                    case.type_name()
                );
            }
        }
    }
}

#[test]
fn a_value_of_another_form_is_named_and_never_truncated() {
    let wrong = [
        json!(1.0),
        json!(0.5),
        json!(1e3),
        json!(-1),
        json!("-1"),
        json!("+1"),
        json!("01"),
        json!("00"),
        json!(" 1"),
        json!("1e3"),
        json!("1.0"),
        json!("0x"),
        json!("0xg0"),
        json!("0x0x00"),
        json!("0x123"),
        json!(""),
        json!("18446744073709551616x"),
        json!([]),
        json!([1]),
        json!({}),
        json!("٣"),
    ];
    for case in one_of_each_type() {
        for path in paths(&case.request) {
            for value in &wrong {
                let mut request = case.request.clone();
                let place = at(&mut request, &path);
                let no_bytes = value == ""
                    && ["extra_data", "block_access_list", "transactions", "builder_request_auth.data"]
                        .iter()
                        .any(|list| shown(&path).contains(list));
                if same_form(place, value) || no_bytes {
                    continue;
                }
                place.clone_from(value);
                let refusal = parse(&request, &case.network).unwrap_err().to_string();
                let field = shown(&path);
                assert!(refusal.starts_with(&field), "{} {field} = {value}: {refusal}", case.type_name());
            }
        }
    }
}

#[test]
fn a_number_above_its_range_is_refused() {
    for case in one_of_each_type() {
        for path in paths(&case.request) {
            let mut request = case.request.clone();
            let place = at(&mut request, &path);
            if !place
                .as_str()
                .is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            {
                continue;
            }
            // 2^256 is too much everywhere, 2^64 everywhere but in the only uint256.
            let too_much = if shown(&path).ends_with("base_fee_per_gas") {
                "115792089237316195423570985008687907853269984665640564039457584007913129639936"
            } else {
                "18446744073709551616"
            };
            *place = json!(too_much);
            let refusal = parse(&request, &case.network).unwrap_err().to_string();
            assert!(
                refusal.starts_with(&shown(&path)) && refusal.contains("to 18446744073709551615")
                    || refusal.contains("2^256 - 1"),
                "{refusal}"
            );
            let body = request.to_string().replace(&format!("\"{too_much}\""), too_much);
            let refusal = Duty::parse(body.as_bytes(), &case.network).unwrap_err().to_string();
            assert!(refusal.starts_with(&shown(&path)), "{refusal}");
        }
    }
}

#[test]
fn a_member_given_twice_is_named() {
    for case in one_of_each_type() {
        for path in paths(&case.request) {
            let Some(Step::Member(name)) = path.last() else { continue };
            let mut request = case.request.clone();
            let value = at(&mut request, &path).take();
            *at(&mut request, &path) = json!("the place");
            // The same value twice: even an agreeing repetition can be read in two ways by two programs.
            let twice = format!("{value},\"{name}\":{value}");
            let body = request.to_string().replace("\"the place\"", &twice);
            let refusal = Duty::parse(body.as_bytes(), &case.network).unwrap_err();
            assert!(matches!(refusal, Refusal::Json(_)), "{refusal}");
            let twice = format!("{} is given twice", shown(&path));
            assert!(refusal.to_string().contains(&twice), "{refusal}");
        }
    }
}

#[test]
fn a_name_in_escapes_is_the_same_name() {
    let case = case_of("AGGREGATION_SLOT");
    let body = case.request.to_string().replacen('{', r#"{"\u0074ype":"DEPOSIT","#, 1);
    let refusal = Duty::parse(body.as_bytes(), &case.network).unwrap_err().to_string();
    assert!(refusal.contains("type is given twice"), "{refusal}");
}

#[test]
fn both_names_of_the_root_at_once_are_refused_even_when_they_agree() {
    let mut case = case_of("RANDAO_REVEAL");
    case.request["signingRoot"] = json!(case.signing_root);
    case.request["signing_root"] = json!(case.signing_root);
    let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
    assert!(refusal.contains("signingRoot and signing_root"), "{refusal}");
}

#[test]
fn a_root_that_is_no_root_is_refused() {
    for given in [json!("zz"), json!(5), json!(format!("0x{}", "11".repeat(33))), json!({})] {
        let mut case = case_of("RANDAO_REVEAL");
        case.request["signingRoot"] = given;
        let refusal = parse(&case.request, &case.network).unwrap_err().to_string();
        assert!(refusal.starts_with("signingRoot must be"), "{refusal}");
    }
}

#[test]
fn the_root_of_one_kind_is_not_accepted_for_another() {
    let attestation = case_of("ATTESTATION");
    let mut randao = case_of("RANDAO_REVEAL");
    randao.request["signingRoot"] = json!(attestation.signing_root);
    let refusal = parse(&randao.request, &randao.network).unwrap_err();
    assert!(matches!(refusal, Refusal::RootMismatch { .. }), "{refusal}");
}

#[test]
fn the_payload_of_another_type_is_none() {
    let mut case = case_of("ATTESTATION");
    case.request["type"] = json!("BLOCK_V2");
    assert_eq!(parse(&case.request, &case.network).unwrap_err().to_string(), "beacon_block is missing");
}

#[test]
fn an_unknown_type_is_refused_with_the_known_ones() {
    for unknown in ["BLOB_SIDECAR", "", "ATTESTATION ", "RAW_ROOT", "BLS_TO_EXECUTION_CHANGE"] {
        let refusal = parse(&json!({"type": unknown}), &network("mainnet")).unwrap_err().to_string();
        assert!(refusal.starts_with("type must be one of AGGREGATION_SLOT, "), "{refusal}");
        assert!(refusal.ends_with(&format!("not \"{unknown}\"")), "{refusal}");
    }
}

#[test]
fn a_body_that_is_not_one_json_object_is_refused() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_stranger = format!(r#"{{"type":"ATTESTATION","stranger":{deep}}}"#);
    let wide = format!("{{{}}}", (0..65).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(","));
    let many = format!(r#"{{"stranger":[{}0]}}"#, "0,".repeat(200_000));
    for (body, said) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("nonsense", "expected"),
        ("[]", "must be a JSON object, not a list"),
        ("null", "must be a JSON object, not null"),
        ("\"ATTESTATION\"", "must be a JSON object"),
        ("{} {}", "trailing"),
        ("{\"type\":01}", "invalid number"),
        ("{\"type\":'a'}", "expected value"),
        ("{\"type\":\"a\",}", "trailing comma"),
        ("{}", "type is missing"),
        (&deep, "recursion limit"),
        (&deep_stranger, "recursion limit"),
        (&wide, "more than 64 members"),
        (&many, "more than 131072 values"),
    ] {
        let refusal = Duty::parse(body.as_bytes(), &network("mainnet")).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
    }
    let not_utf8 = b"{\"type\":\"\xff\"}";
    assert!(matches!(Duty::parse(not_utf8, &network("mainnet")), Err(Refusal::Json(_))));
}

#[test]
fn a_long_value_is_shortened_and_its_control_characters_are_not_repeated() {
    let unknown = format!("\n\u{1b}[31m{}", "A".repeat(100_000));
    let refusal = parse(&json!({"type": unknown}), &network("mainnet")).unwrap_err().to_string();
    assert!(refusal.len() < 1000 && !refusal.contains(['\n', '\u{1b}']), "{refusal}");
}

#[test]
fn a_path_through_a_body_nested_for_the_sake_of_it_is_shortened() {
    let name = "n".repeat(500);
    let body = format!("{}{{\"a\":1,\"a\":1}}{}", format!("{{\"{name}\":").repeat(100), "}".repeat(100));
    let refusal = Duty::parse(body.as_bytes(), &network("mainnet")).unwrap_err().to_string();
    assert!(
        refusal.contains("….n") && refusal.contains(".a is given twice") && refusal.len() < 3000,
        "{refusal}"
    );
}

/// A way from the top of a request to a value.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Item(usize),
}

/// The paths to everything but what only other kinds read.
fn paths(request: &Value) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    collect(request, &mut Vec::new(), &mut found);
    found.retain(|path| !matches!(&path[0], Step::Member(name) if name == "type"));
    found
}

fn collect(value: &Value, path: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    let steps: Vec<(Step, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (Step::Member(name.clone()), member)).collect()
        }
        // The items of a list are alike: the first and the last stand for all.
        Value::Array(items) => [0, items.len().saturating_sub(1)]
            .into_iter()
            .filter_map(|index| Some((Step::Item(index), items.get(index)?)))
            .collect(),
        _ => return,
    };
    for (step, member) in steps {
        path.push(step);
        found.push(path.clone());
        collect(member, path, found);
        path.pop();
    }
}

fn at<'v>(value: &'v mut Value, path: &[Step]) -> &'v mut Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(name) => &mut value[name],
        Step::Item(index) => &mut value[index],
    })
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => text.push_str(&format!(".{name}")),
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// A wrapper's version; a wrapper's content, without which the message is looked for beside it; and a header, for
/// want of which the whole block is asked for where that is the usual form.
fn may_be_missing(path: &[Step]) -> bool {
    let [Step::Member(outer), Step::Member(inner)] = path else { return false };
    match inner.as_str() {
        "version" => outer != "beacon_block",
        "data" => true,
        "block_header" => true,
        _ => false,
    }
}

/// Whether the wrong value happens to be right in this place.
fn same_form(place: &Value, value: &Value) -> bool {
    match (place, value) {
        // In the place of this one wrapped message, text is a member of the bare form.
        (Value::Object(members), Value::String(_)) => {
            members.len() == 2 && members.get("data").is_some_and(Value::is_string)
        }
        // An empty object lacks something, and then that is named.
        (Value::Object(_), Value::Object(_)) => true,
        (Value::Array(_), Value::Array(_)) => true,
        // Short roots are padded, and byte lists have any length.
        (Value::String(text), Value::String(wrong)) if text.starts_with("0x") => {
            !wrong.is_empty() && const_hex::decode(wrong).is_ok() && !wrong.starts_with("0x0x")
        }
        _ => false,
    }
}
