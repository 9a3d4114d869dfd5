//! Framing of an HTTP/1 request beyond what the parser checks: `Transfer-Encoding`.
//!
//! The parser takes any list of codings that ends in `chunked` and undoes `chunked` alone. What another coding left in
//! the body would then be read as if it were plain, and a proxy in front may see another end of it. So `chunked`, once,
//! is all that is taken (RFC 9112, 6.1).
//!
//! A line that ends in LF without CR is taken, as RFC 9112, 2.2 allows. That confuses nobody here: this server forwards
//! nothing, so no second parser reads the same bytes behind it, and one in front that lets LF into a field value breaks
//! RFC 9110, 5.5.

use hyper::header::{HeaderMap, TRANSFER_ENCODING};

/// Refuses every transfer coding but `chunked`, and `chunked` more than once.
pub(crate) fn admit(headers: &HeaderMap) -> Result<(), FramingRefusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if is_chunked && codings.next().is_none() { Ok(()) } else { Err(FramingRefusal) }
}

/// A request whose end two parsers may see in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this Transfer-Encoding is not read: send 'chunked' once, or Content-Length")]
pub(crate) struct FramingRefusal;

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(codings: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(TRANSFER_ENCODING, coding.parse().unwrap());
        }
        admit(&headers).is_ok()
    }

    #[test]
    fn chunked_once_is_all_that_is_taken() {
        for codings in [&[][..], &["chunked"], &["Chunked"], &[" chunked "]] {
            assert!(admitted(codings), "{codings:?}");
        }
        for codings in [
            &["chunked", "chunked"][..],
            &["chunked, chunked"],
            &["gzip, chunked"],
            &["gzip", "chunked"],
            &["identity"],
            &["chunked;q=1"],
            &["xchunked"],
            &[""],
        ] {
            assert!(!admitted(codings), "{codings:?}");
        }
    }
}
