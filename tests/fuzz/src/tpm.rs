//! What a TPM answers.

use bls_signer::fuzz_internals::tpm_answer;

use crate::assert_is_a_message;

/// Bytes are an answer to one sort of command at most, and a value is the eight bytes of it that stand in their place.
pub fn tpm(bytes: &[u8]) {
    let answers = tpm_answer(bytes);
    for message in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_is_a_message(message);
    }
    let values: Vec<_> =
        answers.iter().filter_map(|answer| answer.as_ref().ok().copied().flatten()).collect();
    if let [value] = values[..] {
        assert_eq!(bytes.len(), 29);
        assert_eq!(bytes[16..24], value.to_be_bytes());
    }
    let nothing = answers.iter().filter(|answer| matches!(answer, Ok(None))).count();
    assert!(values.len() <= 1 && (nothing == 0 || values.is_empty()), "{answers:?}");
}
