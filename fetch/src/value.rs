//! Keys in what a source says: raw ones in hexadecimal, or keystores with their passwords.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::trouble::{Kind, Trouble};

/// A key as it goes to the signer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// 64 hexadecimal digits, with or without `0x`.
    Raw { name: String, public_key: Option<String>, secret: Secret },
    /// EIP-2335 JSON in one line.
    Keystore { name: String, keystore: String, password: Secret },
    /// It is listed, and gave no key.
    Missing { name: String, trouble: Trouble },
}

/// A secret text. Wiped, and never shown.
#[derive(PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// One line of a command's: digits, or a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    public_key: Option<String>,
    #[serde(default)]
    secret: Option<Zeroizing<String>>,
    #[serde(borrow, default)]
    keystore: Option<&'a RawValue>,
    #[serde(default)]
    password: Option<Zeroizing<String>>,
}

/// The keys in a text: one a line, as digits, or as `{"secret", "public_key"?, "name"?}` or
/// `{"keystore", "password", "name"?}`.
pub(crate) fn items(name: &str, text: &str) -> Vec<Item> {
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
    let read = |(number, line): (usize, &str)| {
        let name = format!("{name}, line {number}");
        item(name.clone(), line).unwrap_or_else(|reason| missing(name, reason))
    };
    lines.map(read).collect()
}

/// The keys in a text that may as well be one JSON object with members (`of_members`).
pub(crate) fn of_text(name: &str, text: &str, field: &str) -> Vec<Item> {
    let text = text.trim();
    if text.is_empty() {
        return vec![missing(name.to_owned(), "it is empty")];
    }
    match serde_json::from_str::<HashMap<String, &RawValue>>(text) {
        // One with `secret` is a line.
        Ok(members) if !members.contains_key("secret") => of_members(name, &members, field),
        Ok(_) | Err(_) => items(name, text),
    }
}

/// The member that has the key, where a source's file names none.
pub(crate) fn usual_field() -> String {
    "value".to_owned()
}

/// The keys in the members of a secret: one with a keystore and a password is that, whatever `field` says.
pub(crate) fn of_members(name: &str, members: &HashMap<String, &RawValue>, field: &str) -> Vec<Item> {
    let text = |member: &str| {
        let value = members.get(member)?;
        serde_json::from_str::<Zeroizing<String>>(value.get()).ok()
    };
    let none = |reason: &str| vec![missing(name.to_owned(), reason)];
    if let (Some(value), Some(password)) = (members.get("keystore"), text("password")) {
        return match keystore(name.to_owned(), value, &password) {
            Ok(item) => vec![item],
            Err(reason) => none(reason),
        };
    }
    let Some(value) = text(field) else {
        return none("it has no text under the name that `field` says, and no keystore with a password");
    };
    let public_key = text("public_key").or_else(|| text("pubkey")).map(|key| key.to_string());
    match (public_key, value.trim()) {
        (Some(public_key), digits) if !digits.contains('\n') => {
            match raw(name.to_owned(), Some(public_key), digits) {
                Ok(item) => vec![item],
                Err(reason) => none(reason),
            }
        }
        (_, "") => none("it is empty"),
        (_, lines) => items(name, lines),
    }
}

fn item(default_name: String, line: &str) -> Result<Item, &'static str> {
    if !line.starts_with('{') {
        return raw(default_name, None, line);
    }
    let Ok(Line { name, public_key, secret, keystore, password }) = serde_json::from_str(line) else {
        return Err("it is not {secret, public_key?, name?} nor {keystore, password, name?} in one line");
    };
    let name = name.unwrap_or(default_name);
    match (secret, keystore, password) {
        (Some(secret), None, None) => raw(name, public_key, &secret),
        (None, Some(keystore), Some(password)) => {
            Ok(Item::Keystore { name, keystore: one_line(keystore), password: Secret(password) })
        }
        _ => Err("it has to have a secret, or a keystore and its password"),
    }
}

/// A raw key. Digits are looked at here, so that nothing else reaches the signer's socket.
fn raw(name: String, public_key: Option<String>, digits: &str) -> Result<Item, &'static str> {
    let bare = digits.strip_prefix("0x").unwrap_or(digits);
    if bare.len() != DIGITS || !bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("it is not 64 hexadecimal digits");
    }
    Ok(Item::Raw { name, public_key, secret: Secret::new(digits) })
}

/// A keystore as an object, or as a text with one.
fn keystore(name: String, value: &RawValue, password: &str) -> Result<Item, &'static str> {
    let text = value.get();
    let keystore = if text.starts_with('"') {
        let text: String = serde_json::from_str(text).map_err(|_| "its keystore is no text")?;
        let inner: &RawValue = serde_json::from_str(&text).map_err(|_| "its keystore is no JSON")?;
        one_line(inner)
    } else {
        one_line(value)
    };
    Ok(Item::Keystore { name, keystore, password: Secret::new(password) })
}

/// JSON may stand on several lines, and the protocol has one a line. Within its texts there is no line end.
fn one_line(value: &RawValue) -> String {
    value.get().replace(['\n', '\r'], " ")
}

fn missing(name: String, reason: &str) -> Item {
    Item::Missing { name, trouble: Trouble::new(Kind::Malformed, reason) }
}

const DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_digits_objects_and_keystores_and_says_what_is_none() {
        let digits = "ab".repeat(32);
        let text = format!(
            "0x{digits}\n\n{digits}\r\n{{\"secret\": \"{digits}\", \"public_key\": \"0x01\", \"name\": \"n\"}}\n\
             {{\"keystore\": {{\"version\": 4}}, \"password\": \"p\"}}\n<html>\n{{\"secret\": 1}}\n{{\"password\": \"p\"}}"
        );
        let items = items("c", &text);
        assert!(matches!(&items[0], Item::Raw { name, .. } if name == "c, line 1"));
        assert!(matches!(&items[1], Item::Raw { name, .. } if name == "c, line 3"));
        assert!(
            matches!(&items[2], Item::Raw { name, public_key: Some(key), .. } if name == "n" && key == "0x01")
        );
        assert!(matches!(&items[3], Item::Keystore { keystore, .. } if keystore == "{\"version\": 4}"));
        assert_eq!(items.iter().filter(|item| matches!(item, Item::Missing { .. })).count(), 3);
        assert!(!format!("{items:?}").contains(&digits), "no secret is shown");
    }

    fn of(members: &str, field: &str) -> Vec<Item> {
        let members: HashMap<String, &RawValue> = serde_json::from_str(members).unwrap();
        of_members("n", &members, field)
    }

    #[test]
    fn a_secret_is_a_key_several_or_a_keystore() {
        let digits = "ab".repeat(32);
        let one = of(&format!(r#"{{"value": "0x{digits}\n", "public_key": "0x01"}}"#), "value");
        assert!(matches!(&*one, [Item::Raw { public_key: Some(key), .. }] if key == "0x01"));
        assert_eq!(of(&format!(r#"{{"key": "{digits}\n0x{digits}"}}"#), "key").len(), 2);
        for keystore in [r#"{"version": 4}"#, r#""{\"version\": 4}""#] {
            let items = of(&format!(r#"{{"keystore": {keystore}, "password": "p"}}"#), "value");
            assert!(matches!(&*items, [Item::Keystore { keystore, .. }] if keystore == "{\"version\": 4}"));
        }
        for wrong in
            ["{}", r#"{"value": 1}"#, r#"{"value": ""}"#, r#"{"value": "<html>"}"#, r#"{"keystore": {}}"#]
        {
            assert!(matches!(&*of(wrong, "value"), [Item::Missing { .. }]), "{wrong}");
        }
    }

    #[test]
    fn a_text_is_lines_or_one_object() {
        let digits = "ab".repeat(32);
        assert!(matches!(&*of_text("n", &format!("{digits}\n"), "value"), [Item::Raw { .. }]));
        assert_eq!(of_text("n", &format!("{digits}\n0x{digits}\n"), "value").len(), 2);
        let object = format!("{{\n  \"k\": \"{digits}\",\n  \"public_key\": \"0x01\"\n}}");
        assert!(matches!(&*of_text("n", &object, "k"), [Item::Raw { public_key: Some(_), .. }]));
        let keystore = "{\"keystore\": {\n\"version\": 4},\n\"password\": \"p\"}";
        assert!(matches!(&*of_text("n", keystore, "value"), [Item::Keystore { .. }]));
        let line = format!("{{\"secret\": \"{digits}\", \"public_key\": \"0x01\"}}");
        assert!(matches!(&*of_text("n", &line, "value"), [Item::Raw { public_key: Some(_), .. }]));
        for wrong in ["", "<html>", "{\"a\": 1}"] {
            assert!(matches!(&*of_text("n", wrong, "value"), [Item::Missing { .. }]), "{wrong}");
        }
    }
}
