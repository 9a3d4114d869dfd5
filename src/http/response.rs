//! Response of a handler: a status, a media type, a body; and the same on its way to the client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Buf, Bytes, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::memory_budget::{Reservation, Watch};

/// A complete answer. Bodies are small, so they are made whole.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    status: StatusCode,
    media_type: MediaType,
    body: Bytes,
    is_shared: bool,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiResponse {
    /// Text, with status 200.
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self {
            status: Default::default(),
            media_type: MediaType::Text,
            body: body.into(),
            is_shared: false,
            header: None,
        }
    }

    /// Metrics in Prometheus' text format 0.0.4.
    pub(crate) fn prometheus(body: String) -> Self {
        Self { media_type: MediaType::Prometheus, ..Self::text(body) }
    }

    /// Metrics in the text format of OpenMetrics 1.0.
    pub(crate) fn openmetrics(body: String) -> Self {
        Self { media_type: MediaType::OpenMetrics, ..Self::text(body) }
    }

    /// JSON already written.
    pub(crate) fn raw_json(body: impl Into<Bytes>) -> Self {
        Self { media_type: MediaType::Json, ..Self::text(body) }
    }

    /// JSON already written that many answers share: it takes no memory of its own.
    pub(crate) fn shared_json(body: Bytes) -> Self {
        Self { is_shared: true, ..Self::raw_json(body) }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Bytes of memory that it takes until it is written.
    pub(crate) fn weight(&self) -> usize {
        if self.is_shared { 0 } else { self.body.len() }
    }

    /// The answer to a HEAD request: that to GET without its body, but with its length (RFC 9110, 9.3.2).
    pub(crate) fn into_head_response(self) -> Response<ResponseBody> {
        let length = HeaderValue::from(self.body.len());
        let mut response = Self { body: Bytes::new(), ..self }.into_response(None);
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response
    }

    /// What is held is let go when the body is written.
    pub(crate) fn into_response(self, held: Option<Held>) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody(Some(ResponseBytes { bytes: self.body, held })));
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
    Prometheus,
    OpenMetrics,
}

impl MediaType {
    fn header(self) -> HeaderValue {
        match self {
            Self::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
            Self::Prometheus => HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            Self::OpenMetrics => {
                HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
        }
    }
}

/// What an answer holds while it waits for its client to read it.
pub(crate) struct Held {
    pub(crate) watch: Watch,
    pub(crate) _reservation: Reservation,
}

/// An answer's body, in one piece.
pub(crate) struct ResponseBody(Option<ResponseBytes>);

impl Body for ResponseBody {
    type Data = ResponseBytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ResponseBytes>, Infallible>>> {
        Poll::Ready(self.0.take().filter(Buf::has_remaining).map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|bytes| !bytes.has_remaining())
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.0.as_ref().map_or(0, Buf::remaining);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// Bytes of an answer that hold their memory until the transport has taken the last of them.
pub(crate) struct ResponseBytes {
    bytes: Bytes,
    held: Option<Held>,
}

impl Buf for ResponseBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(held) = &mut self.held {
            held.watch.moved(count);
        }
    }
}
