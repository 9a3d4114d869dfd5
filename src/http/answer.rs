//! What a handler gives back: a status, a media type, a body.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A complete answer. Bodies are small, so they are made whole.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    media_type: MediaType,
    body: Bytes,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, media_type: MediaType::Text, body: body.into(), header: None }
    }

    /// JSON already written.
    pub(crate) fn raw_json(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, media_type: MediaType::Json, body: body.into(), header: None }
    }

    /// The JSON form of `value`. Our own types cannot fail to serialise; if one did, the answer is 500, not a panic.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::raw_json(body),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                let body = r#"{"code":500,"message":"the answer could not be written","error":"the answer could not be written"}"#;
                Self::raw_json(body).with_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.media_type.header());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}

#[derive(Clone, Copy, Debug)]
enum MediaType {
    Text,
    Json,
}

impl MediaType {
    fn header(self) -> HeaderValue {
        match self {
            Self::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
        }
    }
}
