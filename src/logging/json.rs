//! Log as JSON, one object a line, with the fields and names of the journal, as `journalctl -o json` prints them.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::record::Record;

/// The line of a record.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let now = humantime::format_rfc3339_micros(SystemTime::now().max(SystemTime::UNIX_EPOCH)).to_string();
    let mut object = Map::with_capacity(record.fields.len());
    object.insert("TIMESTAMP".to_owned(), Value::String(now));
    for (name, value) in &record.fields {
        object.insert(name.clone().into_owned(), Value::String(value.clone()));
    }
    let mut line = Value::Object(object).to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_it_holds() {
        let line = encode(&Record::error("a \"quoted\"\nline"));
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let object: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(object["MESSAGE"], "a \"quoted\"\nline");
        assert_eq!(object["PRIORITY"], "3");
        assert!(object["TIMESTAMP"].as_str().unwrap().ends_with('Z'));
    }
}
