//! HTTP/1.1 client for one server: bounded answers, no redirects, tries again where that may help.

mod address;
mod endpoint;
mod known_servers;

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

pub(crate) use self::address::{Address, NoAddress, encoded};
pub(crate) use self::endpoint::{ClientCertificate, Endpoint, Trust};
use crate::trouble::{Kind, Trouble};

/// A client with a connection of its own, which is made when it is needed.
pub(crate) struct Client {
    endpoint: Endpoint,
    connection: Option<SendRequest<Full<Bytes>>>,
    judge: Judge,
    patience: Duration,
    tries: usize,
}

/// What is asked.
pub(crate) struct Question<'q> {
    pub(crate) method: Method,
    /// With the query, encoded.
    pub(crate) path: &'q str,
    /// `host` is not among them.
    pub(crate) headers: &'q [(&'static str, &'q str)],
    pub(crate) body: &'q str,
}

/// What was answered: status and body.
pub(crate) type Answer = (StatusCode, Zeroizing<Vec<u8>>);

/// Whether an answer is one to go on with; if not, what is wrong, as an end of a sentence about the server.
pub(crate) type Judge = fn(StatusCode, &[u8]) -> Result<(), (Kind, String)>;

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None, judge: by_status, patience: ANSWER_TIMEOUT, tries: TRIES }
    }

    /// Judges answers by more than their status.
    pub(crate) fn judging(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }

    /// Waits so long for an answer, and asks once: for servers that only may be there.
    pub(crate) fn probing(self, patience: Duration) -> Self {
        Self { patience, tries: 1, ..self }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.endpoint.address
    }

    /// Asks, several times where it may help, and reads an answer that the judge lets pass.
    ///
    /// # Errors
    /// What came, at last, was none. By its status alone, 404 passes.
    pub(crate) async fn ask(&mut self, question: &Question<'_>) -> Result<Answer, Trouble> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 0_usize;
        loop {
            let Failure { trouble, wait } = match self.try_once(question).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tries = tries.saturating_add(1);
            if tries >= self.most_tries(trouble.kind) {
                return Err(trouble);
            }
            sleep(wait.unwrap_or_default().max(pause).min(LONGEST_WAIT)).await;
            pause = pause.saturating_mul(4);
        }
    }

    fn most_tries(&self, kind: Kind) -> usize {
        match kind {
            // It is there, and some count what they answer by ten seconds.
            Kind::Busy => self.tries.saturating_mul(2),
            Kind::Unreachable | Kind::Timeout => self.tries,
            Kind::Denied | Kind::NotFound | Kind::Malformed | Kind::TooLarge => 1,
        }
    }

    async fn try_once(&mut self, question: &Question<'_>) -> Result<Answer, Failure> {
        let patience = self.patience;
        let outcome = timeout(patience, self.exchange(question)).await.unwrap_or_else(|_| {
            let reason = format!("{}: no answer within {} s", self.endpoint.address, patience.as_secs());
            Err(Trouble::new(Kind::Timeout, reason).into())
        });
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    async fn exchange(&mut self, question: &Question<'_>) -> Result<Answer, Failure> {
        let mut sender = match self.connection.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.endpoint.connect().await?,
        };
        let address = &self.endpoint.address;
        let unreachable =
            |error: hyper::Error| Trouble::new(Kind::Unreachable, format!("{address}: {error}"));
        sender.ready().await.map_err(unreachable)?;
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(question.path)
            .header("host", address.authority());
        for (name, value) in question.headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(question.body.as_bytes())))
            .map_err(|error| Trouble::new(Kind::Malformed, format!("{address} cannot be asked: {error}")))?;
        let answer = sender.send_request(request).await.map_err(unreachable)?;
        let (head, body) = answer.into_parts();
        let body = self.body(body).await?;
        (self.judge)(head.status, &body).map_err(|(kind, what)| Failure {
            trouble: Trouble::new(kind, format!("{address} {what} ({})", head.status)),
            wait: retry_after(&head.headers),
        })?;
        self.connection = Some(sender);
        Ok((head.status, body))
    }

    /// In a buffer of fixed size: one that grows leaves its old places unwiped.
    async fn body(&self, mut body: hyper::body::Incoming) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let address = &self.endpoint.address;
        let mut read = Zeroizing::new(Vec::new());
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Trouble::new(Kind::Unreachable, format!("{address}: {error}")))?;
            let Some(data) = frame.data_ref() else { continue };
            let length = read.len().saturating_add(data.len());
            if length > LONGEST_ANSWER_BYTES {
                let reason = format!("{address} answers with more than {LONGEST_ANSWER_BYTES} bytes");
                return Err(Trouble::new(Kind::TooLarge, reason));
            }
            if length > read.capacity() {
                let mut larger = Zeroizing::new(Vec::with_capacity(length.saturating_mul(2)));
                larger.extend_from_slice(&read);
                read = larger;
            }
            read.extend_from_slice(data);
        }
        Ok(read)
    }
}

/// An attempt that failed, and how long the server asks to be left alone.
struct Failure {
    trouble: Trouble,
    wait: Option<Duration>,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, wait: None }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Judges an answer by its status alone.
pub(crate) fn by_status(status: StatusCode, _: &[u8]) -> Result<(), (Kind, String)> {
    let trouble = |kind, what: &str| Err((kind, what.to_owned()));
    match status.as_u16() {
        200..=299 | 404 => Ok(()),
        300..=399 => {
            trouble(Kind::Malformed, "answers with a redirect, which is not followed: give its own address")
        }
        401 | 403 => trouble(Kind::Denied, "does not allow it: look at the login's policy"),
        429 | 500..=599 => trouble(Kind::Busy, "cannot answer now"),
        _ => trouble(Kind::Malformed, "does not understand the question"),
    }
}

/// JSON of an answer, which may hold secrets: what is wrong with it is not shown.
pub(crate) fn json<'a, T: serde::Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = match error.classify() {
            serde_json::error::Category::Data => "has not the form that was expected",
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => "is no JSON",
        };
        Trouble::new(Kind::Malformed, format!("the answer about {what} {problem}"))
    })
}

const TRIES: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// What a server may ask for; in all less than the silence after which a reading is given up.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A list of 32,768 names of public keys; a keystore has 64 KiB at most.
const LONGEST_ANSWER_BYTES: usize = 4 << 20;
