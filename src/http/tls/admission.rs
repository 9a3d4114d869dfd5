//! Reason for which a connection was let in, asked again when the files have been read again.

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::sleep;

use super::Tls;
use super::clients::VouchedBy;
use crate::caller::ClientCertificate;
use crate::credentials::Fingerprint;
use crate::der;

/// What a connection was let in by.
pub(crate) enum Admission {
    /// No client certificate was asked for.
    Open,
    Certificate(Presented),
}

/// A client certificate that was taken when the connection began.
pub(crate) struct Presented {
    tls: Tls,
    /// The client's own first.
    chain: Vec<CertificateDer<'static>>,
    vouched_by: VouchedBy,
    shown: Arc<ClientCertificate>,
    /// The reading of the files by which it was judged last, and taken.
    taken_by: AtomicU64,
}

impl Admission {
    /// Of a handshake that has taken this certificate. An error if that has changed since.
    pub(super) fn certificate(tls: Tls, chain: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let (reading, vouched_by) = tls.judge(&chain)?;
        let certificate = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let names = match vouched_by {
            VouchedBy::Authority => der::alternative_names(certificate),
            VouchedBy::Fingerprint => Vec::new(),
        };
        let shown = Arc::new(ClientCertificate { fingerprint: Fingerprint::of(certificate), names });
        Ok(Self::Certificate(Presented { tls, chain, vouched_by, shown, taken_by: AtomicU64::new(reading) }))
    }

    /// What the caller is known by.
    pub(crate) fn shown(&self) -> Option<Arc<ClientCertificate>> {
        match self {
            Self::Open => None,
            Self::Certificate(presented) => Some(Arc::clone(&presented.shown)),
        }
    }

    /// Whether it still holds. Costs next to nothing unless the files have been read since it was asked last.
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Certificate(presented) => {
                presented.taken_by.load(Ordering::Relaxed) == presented.tls.reading() || presented.is_taken()
            }
        }
    }

    /// Resolves when it does not hold any more: the files were read again without it, or it has expired.
    pub(crate) async fn withdrawn(&self) {
        let presented = match self {
            Self::Open => return future::pending().await,
            Self::Certificate(presented) => presented,
        };
        let mut readings = presented.tls.readings();
        while presented.is_taken() {
            tokio::select! {
                _ = readings.changed() => {}
                () = sleep(JUDGED_AGAIN_AFTER) => {}
            }
        }
    }
}

impl Presented {
    fn is_taken(&self) -> bool {
        match self.tls.judge(&self.chain) {
            // An authority that is gone vouches for no name any more, though the fingerprint be known.
            Ok((_, vouched_by)) if vouched_by != self.vouched_by => {
                tracing::debug!("a connection is closed: another one vouches for its certificate now");
                false
            }
            Ok((reading, _)) => {
                self.taken_by.store(reading, Ordering::Relaxed);
                true
            }
            Err(refused) => {
                tracing::debug!(%refused, "a connection is closed");
                false
            }
        }
    }
}

/// For certificates that expire while their connection is open.
const JUDGED_AGAIN_AFTER: Duration = Duration::from_secs(600);
