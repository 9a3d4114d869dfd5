//! `Accept` rules of Web3Signer, which validator clients depend on in every variant.

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// What a route can produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Produces {
    /// `text/plain`, or `application/json` for those who accept nothing else; an `Accept` that excludes both is
    /// refused.
    TextOrJson,
    /// `application/json`; an `Accept` that excludes it is refused.
    Json,
    /// `application/json`, whatever is asked for.
    JsonAlways,
    /// Either: see [`prefers_json`].
    JsonOrText,
    /// Prometheus' text, or that of OpenMetrics: see [`accepts_openmetrics`].
    Exposition,
}

impl Produces {
    /// Whether the caller's `Accept` can be satisfied. None, or an empty one, accepts everything.
    pub(crate) fn satisfies(self, headers: &HeaderMap) -> bool {
        match self {
            Self::TextOrJson => accepts_text(headers) || Self::Json.satisfies(headers),
            Self::Json => accepts(headers, "application/json", "application/*"),
            Self::JsonAlways | Self::JsonOrText | Self::Exposition => true,
        }
    }
}

/// Whether a signature is answered as JSON: only if an entry of `Accept` is `application/json` or `*/*`, quality
/// values ignored. No `Accept` at all means text: Teku and Prysm send none and parse the bare signature.
pub(crate) fn prefers_json(headers: &HeaderMap) -> bool {
    entries(headers).any(|entry| entry == "*/*" || entry.eq_ignore_ascii_case("application/json"))
}

/// Whether metrics are wanted as OpenMetrics, which Prometheus names first and others do not know.
pub(crate) fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    entries(headers).any(|entry| entry.eq_ignore_ascii_case("application/openmetrics-text"))
}

/// Whether plain text will do.
pub(crate) fn accepts_text(headers: &HeaderMap) -> bool {
    accepts(headers, "text/plain", "text/*")
}

fn accepts(headers: &HeaderMap, exact: &str, family: &str) -> bool {
    let mut any = false;
    for entry in entries(headers) {
        if entry == "*/*" || entry.eq_ignore_ascii_case(exact) || entry.eq_ignore_ascii_case(family) {
            return true;
        }
        any = true;
    }
    !any
}

/// The media ranges of all `Accept` headers, without parameters.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|entry| entry.split(';').next().unwrap_or_default().trim())
        .filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn a_signature_is_json_only_when_json_or_anything_is_named() {
        for accept in
            ["application/json", "*/*", "text/plain, */*;q=0.1", "Application/JSON; q=0.2", "text/html,*/*"]
        {
            assert!(prefers_json(&headers(accept)), "{accept}");
        }
        for accept in ["text/plain", "application/*", "text/html", "", "text/*"] {
            assert!(!prefers_json(&headers(accept)), "{accept}");
        }
        assert!(!prefers_json(&HeaderMap::new()));
    }

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                          q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert!(accepts_openmetrics(&headers(prometheus)));
        for accept in ["*/*", "text/plain;version=0.0.4", "application/*", ""] {
            assert!(!accepts_openmetrics(&headers(accept)), "{accept}");
        }
        assert!(!accepts_openmetrics(&HeaderMap::new()));
    }

    #[test]
    fn a_fixed_media_type_is_refused_only_when_excluded() {
        for (accept, text, json) in [
            ("application/json", false, true),
            ("text/plain", true, false),
            ("text/*;q=0.5", true, false),
            ("application/*", false, true),
            ("*/*", true, true),
            ("", true, true),
            ("image/png", false, false),
        ] {
            assert_eq!(accepts_text(&headers(accept)), text, "{accept}");
            assert_eq!(Produces::TextOrJson.satisfies(&headers(accept)), text || json, "{accept}");
            assert_eq!(Produces::Json.satisfies(&headers(accept)), json, "{accept}");
            assert!(Produces::JsonAlways.satisfies(&headers(accept)));
        }
        assert!(Produces::TextOrJson.satisfies(&HeaderMap::new()));
    }
}
