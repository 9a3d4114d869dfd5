//! Names of the audit's fields: one event a decision about a signature, with the same fields wherever it is written.
//!
//! `packaging/catalog/bls-signer.catalog` explains each message by its number. The names and numbers stay, as filters
//! and alerts ask for them.

/// What events of the audit have as their target.
pub(crate) const TARGET: &str = concat!(env!("CARGO_CRATE_NAME"), "::audit");

/// The fields that the message repeats, for who reads messages alone.
pub(super) const IN_MESSAGE: [&str; 2] = ["pubkey", "duty"];

/// A field's name in the journal.
pub(super) fn journal_name(name: &str) -> String {
    match name {
        "latency_us" => "LATENCY_US".to_owned(),
        name => format!("BLS_{}", name.to_ascii_uppercase()),
    }
}

/// The number of a message (`MESSAGE_ID`, systemd.journal-fields(7)) whose field `name` has this value.
pub(super) fn message_id(name: &str, value: &str) -> Option<&'static str> {
    if name != "verdict" {
        return None;
    }
    MESSAGE_IDS.iter().find(|(verdict, _)| *verdict == value).map(|(_, id)| *id)
}

/// By verdict.
const MESSAGE_IDS: [(&str, &str); 7] = [
    ("signed", "c037e4bf4ef346dd9a593af7dab67f06"),
    ("no-duty", "4e9d8c7af40e4d1599fb30ab14871cdf"),
    ("unknown-key", "86f0d628eb8f46ee9dc304e85d6c0cbb"),
    ("foreign-key", "26d8c6756b2c499ba7ac35dd507e90ad"),
    ("forbidden", "728daa1dc1bd4e03962a7c04916b5383"),
    ("slashable", "31989677de244be5b34cf7eeb88e3308"),
    ("fault", "dcd5179e53c643a69a506e4bc328b875"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_explains_every_message() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/catalog/bls-signer.catalog");
        let catalog = std::fs::read_to_string(path).unwrap();
        for (verdict, id) in MESSAGE_IDS {
            let entry = catalog.split("-- ").find(|entry| entry.starts_with(id));
            let entry = entry.unwrap_or_else(|| panic!("nothing about {verdict}"));
            assert!(entry.contains("\nSubject: ") && entry.contains("@BLS_"), "{entry}");
        }
        assert_eq!(catalog.matches("\nSubject: ").count(), MESSAGE_IDS.len());
    }
}
