//! EIP-3076, version 5 of the interchange format: protection history in and out, as JSON.
//!
//! Coming in, a key's history is folded into its [`Watermark`] while it is read, so that its length costs no memory.
//! Signing roots are not taken over: a watermark that came from elsewhere may stand for several messages, and no
//! client needs a message signed again that another signer signed. Going out, each key has at most one block and one
//! attestation, its highest ("minimal" data).

mod incoming;
mod outgoing;

use std::collections::HashMap;
use std::io;

pub(super) use self::outgoing::write;

use self::incoming::WireFile;
use super::rules::Watermark;
use crate::bls::PublicKey;
use crate::primitives::Root;
use crate::text::{self, Bounded, JsonError};

/// Protection history that someone wants to bring in: well-formed, not yet judged.
#[derive(Clone, Debug)]
pub(crate) struct Interchange {
    pub(super) genesis_validators_root: Root,
    /// What became of each key's history: its watermark, or why it cannot be read.
    pub(super) histories: HashMap<PublicKey, Result<Watermark, String>>,
}

impl Interchange {
    /// Reads an interchange file. Public keys may lack `0x` and be in either case; unknown members are ignored; a key
    /// that stands there twice has both histories. A list that is null is an empty one, as Go writes it; a list that is
    /// missing says nothing, and is refused.
    ///
    /// # Errors
    /// It is no JSON of that form, or of another version. A history that cannot be read is an error of its key alone,
    /// kept for the answer about that key.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InterchangeError> {
        Self::of(text::json(json))
    }

    /// The same from a stream, of which no more than one key's history is in memory at a time.
    ///
    /// # Errors
    /// As for [`Interchange::parse`], or the stream cannot be read.
    pub(crate) fn read(json: impl io::Read) -> Result<Self, InterchangeError> {
        Self::of(text::json_from(json))
    }

    /// A key's watermark or why its history cannot be read; `None` if the file is not about this key.
    pub(crate) fn history(&self, public_key: &PublicKey) -> Option<Result<&Watermark, &str>> {
        self.histories.get(public_key).map(|history| history.as_ref().map_err(String::as_str))
    }

    /// The keys whose history cannot be read, each with the reason, in the order of the keys.
    pub(crate) fn unreadable(&self) -> Vec<(PublicKey, &str)> {
        let reasons =
            self.histories.iter().filter_map(|(key, history)| Some((*key, history.as_ref().err()?.as_str())));
        let mut unreadable: Vec<_> = reasons.collect();
        unreadable.sort_unstable();
        unreadable
    }

    /// All that a ledger takes of these keys' histories, as an interchange file: small, however long they were. What
    /// cannot be read is not in it.
    pub(crate) fn minimal(&self, keys: impl Fn(&PublicKey) -> bool) -> String {
        let readable =
            self.histories.iter().filter_map(|(key, history)| Some((*key, *history.as_ref().ok()?)));
        let mut histories: Vec<_> = readable.filter(|(key, _)| keys(key)).collect();
        histories.sort_unstable_by_key(|(key, _)| *key);
        write(Some(self.genesis_validators_root), histories.into_iter())
    }

    fn of(wire: Result<WireFile, JsonError>) -> Result<Self, InterchangeError> {
        let WireFile { version, chain, histories } = wire.map_err(InterchangeError::Form)?;
        if version != VERSION {
            return Err(InterchangeError::Version { found: Bounded(version).to_string() });
        }
        let genesis_validators_root =
            const_hex::decode_to_array(&chain).map(Root).map_err(|_| InterchangeError::ChainHex)?;
        Ok(Self { genesis_validators_root, histories })
    }

    /// The keys that the file is about.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.histories.keys()
    }

    /// The chain that the history is of.
    pub(crate) fn genesis_validators_root(&self) -> Root {
        self.genesis_validators_root
    }

    /// The number of keys with a history.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.histories.len()
    }
}

/// Why an interchange file is of no use as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InterchangeError {
    #[error("the slashing protection data is not EIP-3076 JSON")]
    Form(#[source] JsonError),
    #[error("the slashing protection data has interchange_format_version {found:?}; only \"5\" is known")]
    Version { found: String },
    #[error("the slashing protection data's genesis_validators_root is not 32 bytes of hexadecimal digits")]
    ChainHex,
}

const VERSION: &str = "5";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rules::{SignedAttestation, SignedBlock};
    use crate::primitives::{Epoch, SigningRoot, Slot};

    #[test]
    fn reads_keys_in_any_form_and_merges_those_that_stand_twice() {
        let upper = "AB".repeat(48);
        let lower = format!("0x{}", "ab".repeat(48));
        let json = format!(
            r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}", "extra": 1}},
                "data": [
                  {{"pubkey": "{upper}", "signed_blocks": [{{"slot": "7", "signing_root": null}}, {{"slot": 5}}],
                    "signed_attestations": []}},
                  {{"pubkey": "{lower}", "signed_blocks": [], "more": {{}},
                    "signed_attestations": [{{"source_epoch": "1", "target_epoch": "4", "signing_root": "0x00"}},
                                            {{"source_epoch": "2", "target_epoch": "3"}}]}}]}}"#
        );
        let interchange = Interchange::parse(json.as_bytes()).unwrap();
        assert_eq!(interchange.len(), 1);
        let watermark = interchange.histories[&PublicKey([0xAB; 48])].as_ref().unwrap();
        assert_eq!(watermark.block, Some(SignedBlock { slot: Slot(7), signing_root: None }));
        assert_eq!(
            watermark.attestation,
            Some(SignedAttestation { source: Epoch(2), target: Epoch(4), signing_root: None })
        );
    }

    #[test]
    fn an_unreadable_history_is_an_error_of_its_key_alone() {
        for bad in ["-1", "1.5", "18446744073709551616", "+1", "", "0x1", "1e3"] {
            let json = format!(
                r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}},
                    "data": [{{"pubkey": "{}", "signed_blocks": [{{"slot": "{bad}"}}], "signed_attestations": []}},
                             {{"pubkey": "{}", "signed_blocks": [{{"slot": "1"}}], "signed_attestations": []}}]}}"#,
                "01".repeat(48),
                "02".repeat(48),
            );
            let interchange = Interchange::parse(json.as_bytes()).unwrap();
            let reason = interchange.histories[&PublicKey([1; 48])].as_ref().unwrap_err();
            assert!(reason.contains("signed_blocks"), "{reason}");
            assert!(interchange.histories[&PublicKey([2; 48])].is_ok());
        }
    }

    #[test]
    fn what_is_no_interchange_file_is_refused_whole() {
        let with = |version: &str, chain: &str, pubkey: &str| {
            let json = format!(
                r#"{{"metadata": {{"interchange_format_version": {version}, "genesis_validators_root": "{chain}"}},
                    "data": [{{"pubkey": "{pubkey}", "signed_blocks": [], "signed_attestations": []}}]}}"#
            );
            Interchange::parse(json.as_bytes())
        };
        let key = "01".repeat(48);
        assert!(with("\"5\"", CHAIN, &key).is_ok());
        assert!(
            matches!(with("\"4\"", CHAIN, &key), Err(InterchangeError::Version { found }) if found == "4")
        );
        assert!(matches!(with("5", CHAIN, &key), Err(InterchangeError::Form(_))));
        assert!(matches!(with("\"5\"", "0x00", &key), Err(InterchangeError::ChainHex)));
        let error = with("\"5\"", CHAIN, "0x01").unwrap_err();
        let InterchangeError::Form(cause) = &error else { panic!("{error}") };
        assert!(cause.to_string().starts_with("data[0].pubkey: invalid value: string \"0x01\""), "{cause}");
        assert!(matches!(Interchange::parse(b"[]"), Err(InterchangeError::Form(_))));
        assert!(matches!(Interchange::parse(b""), Err(InterchangeError::Form(_))));
    }

    #[test]
    fn a_null_list_is_an_empty_one_and_a_missing_list_is_refused() {
        let with = |entry: &str| {
            let json = format!(
                r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}},
                    "data": [{{"pubkey": "{}"{entry}}}]}}"#,
                "01".repeat(48)
            );
            Interchange::parse(json.as_bytes()).unwrap().histories[&PublicKey([1; 48])].clone()
        };
        let block = r#"[{"slot": "7"}]"#;
        let blocks = with(&format!(r#", "signed_blocks": {block}, "signed_attestations": null"#)).unwrap();
        assert_eq!(blocks.block.unwrap().slot, Slot(7));
        assert_eq!(
            with(r#", "signed_blocks": null, "signed_attestations": null"#).unwrap(),
            Watermark::default()
        );
        for (entry, missing) in [
            (format!(r#", "signed_blocks": {block}"#), "signed_attestations"),
            (r#", "signed_attestations": []"#.to_owned(), "signed_blocks"),
            (String::new(), "signed_blocks"),
        ] {
            assert_eq!(
                with(&entry).unwrap_err(),
                format!("its {missing} is missing: give [] if there is none")
            );
        }
        let metadata = format!(
            r#""metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}}"#
        );
        assert_eq!(
            Interchange::parse(format!(r#"{{{metadata}, "data": null}}"#).as_bytes()).unwrap().len(),
            0
        );
        let error = Interchange::parse(format!("{{{metadata}}}").as_bytes()).unwrap_err();
        let InterchangeError::Form(cause) = error else { panic!("{error}") };
        assert!(cause.to_string().starts_with("missing field `data`"), "{cause}");
    }

    #[test]
    fn every_error_names_its_member_in_one_short_line() {
        let long = "9".repeat(1 << 20);
        let key = "01".repeat(48);
        let file = |metadata: &str, data: &str| format!(r#"{{"metadata": {metadata}, "data": {data}}}"#);
        let metadata =
            format!(r#"{{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}}"#);
        let double = serde_json::to_string(&file(&metadata, &format!("[{long}]"))).unwrap();
        let whole = [
            (double, "encoded twice"),
            (
                file(&format!(r#"{{"interchange_format_version": "{long}"}}"#), "[]"),
                "genesis_validators_root",
            ),
            (
                file(
                    &format!(r#"{{"interchange_format_version": {long}, "genesis_validators_root": ""}}"#),
                    "[]",
                ),
                "metadata.interchange_format_version",
            ),
            (
                file(
                    &format!(
                        r#"{{"interchange_format_version": "{long}", "genesis_validators_root": "{CHAIN}"}}"#
                    ),
                    "[]",
                ),
                "interchange_format_version",
            ),
            (
                file(r#"{"interchange_format_version": "5", "genesis_validators_root": 7}"#, "[]"),
                "metadata.genesis_validators_root",
            ),
            (file(&metadata, &format!("\"{long}\"")), "data"),
            (file(&metadata, &format!(r#"[{{"pubkey": "{long}"}}]"#)), "data[0].pubkey"),
            (
                file(
                    &metadata,
                    &format!(r#"[{{"pubkey": "{key}", "signed_blocks": [], "signed_attestations": []}}, 7]"#),
                ),
                "data[1]",
            ),
            (file(&metadata, r#"[{"signed_blocks": []}]"#), "data[0].pubkey"),
        ];
        for (json, member) in whole {
            let error = Interchange::parse(json.as_bytes()).unwrap_err();
            let message = match &error {
                InterchangeError::Form(cause) => format!("{error}: {cause}"),
                InterchangeError::Version { .. } | InterchangeError::ChainHex => error.to_string(),
            };
            assert!(message.contains(member) && message.len() < 500, "{member}: {message}");
        }
        for (lists, member) in [
            (
                format!(r#""signed_blocks": [{{"slot": "1"}}, {{"slot": "{long}"}}], "signed_attestations": []"#),
                "signed_blocks[1].slot",
            ),
            (
                r#""signed_blocks": [{}], "signed_attestations": []"#.to_owned(),
                "signed_blocks[0]: missing field `slot`",
            ),
            (
                r#""signed_blocks": [], "signed_attestations": [{"source_epoch": "1", "target_epoch": null}]"#
                    .to_owned(),
                "signed_attestations[0].target_epoch",
            ),
            (
                r#""signed_blocks": [], "signed_attestations": [{"source_epoch": {}, "target_epoch": 1}]"#.to_owned(),
                "signed_attestations[0].source_epoch",
            ),
            (r#""signed_blocks": {}, "signed_attestations": []"#.to_owned(), "signed_blocks"),
        ] {
            let json = file(&metadata, &format!(r#"[{{"pubkey": "{key}", {lists}}}]"#));
            let interchange = Interchange::parse(json.as_bytes()).unwrap();
            let reason = interchange.histories[&PublicKey([1; 48])].clone().unwrap_err();
            assert!(reason.contains(member) && reason.len() < 400, "{member}: {reason}");
        }
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let watermark = Watermark {
            block: Some(SignedBlock { slot: Slot(9), signing_root: Some(SigningRoot([1; 32])) }),
            attestation: Some(SignedAttestation {
                source: Epoch(2),
                target: Epoch(u64::MAX),
                signing_root: None,
            }),
        };
        let json = write(Some(Root([0xC4; 32])), [(PublicKey([1; 48]), watermark)].into_iter());
        assert_eq!(
            json,
            format!(
                concat!(
                    r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"0x{}"}},"#,
                    r#""data":[{{"pubkey":"0x{}","signed_blocks":[{{"slot":"9","signing_root":"0x{}"}}],"#,
                    r#""signed_attestations":[{{"source_epoch":"2","target_epoch":"18446744073709551615"}}]}}]}}"#
                ),
                "c4".repeat(32),
                "01".repeat(48),
                "01".repeat(32),
            )
        );
        let interchange = Interchange::parse(json.as_bytes()).unwrap();
        assert_eq!(interchange.genesis_validators_root, Root([0xC4; 32]));
        let read = interchange.histories[&PublicKey([1; 48])].as_ref().unwrap();
        assert_eq!(read.merged(watermark), *read);
        assert_eq!(read.attestation, watermark.attestation);
    }

    #[test]
    fn a_stream_reads_like_the_text_and_what_it_comes_to_is_small() {
        let attestations: Vec<_> = (0..1000)
            .map(|epoch| format!(r#"{{"source_epoch":"{epoch}","target_epoch":"{}"}}"#, epoch + 1))
            .collect();
        let json = format!(
            r#"{{"metadata": {{"interchange_format_version": "5", "genesis_validators_root": "{CHAIN}"}}, "data": [
                {{"pubkey": "{}", "signed_blocks": [], "signed_attestations": [{}]}},
                {{"pubkey": "{}", "signed_blocks": [], "signed_attestations": []}},
                {{"pubkey": "{}", "signed_blocks": [{{"slot": "x"}}], "signed_attestations": []}}]}}"#,
            "01".repeat(48),
            attestations.join(","),
            "02".repeat(48),
            "03".repeat(48),
        );
        let streamed = Interchange::read(json.as_bytes()).unwrap();
        assert_eq!(streamed.histories, Interchange::parse(json.as_bytes()).unwrap().histories);
        let [(unreadable, _)] = streamed.unreadable()[..] else { panic!("{streamed:?}") };
        assert_eq!(unreadable, PublicKey([3; 48]));

        let minimal = streamed.minimal(|_| true);
        assert!(minimal.len() < 600, "{minimal}");
        let mut expected = streamed.histories;
        expected.remove(&unreadable);
        assert_eq!(Interchange::parse(minimal.as_bytes()).unwrap().histories, expected);
    }

    #[test]
    fn a_stream_that_breaks_off_is_refused_whole() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let error = Interchange::read(Broken).unwrap_err();
        assert!(matches!(error, InterchangeError::Form(JsonError::Read(_))), "{error:?}");
    }

    const CHAIN: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";
}
