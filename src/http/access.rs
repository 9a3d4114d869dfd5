//! Access rights as files give them: tokens and TLS, read again together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::guard::TokenDigests;
use super::tls::{Expiry, Tls, TlsError};
use crate::config::{self, Exposure, Settings, TokenSources};
use crate::credentials::TokenDigest;

/// The tokens and certificates that are taken now. Each request and each connection goes by the newest reading.
pub(crate) struct Access {
    sources: TokenSources,
    tokens: ArcSwap<TokenDigests>,
    tls: Option<Tls>,
    /// What the listeners let callers do who show nothing.
    exposures: Vec<Exposure>,
    /// Whether the last reading failed.
    is_outdated: AtomicBool,
}

impl Access {
    /// Reads the TLS files; the tokens, and those of clients, have been read.
    pub(crate) fn load(
        settings: &Settings,
        of_clients: &[TokenDigest],
        exposures: Vec<Exposure>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            sources: settings.token_sources.clone(),
            tokens: ArcSwap::from_pointee(TokenDigests::of(&settings.tokens, of_clients)),
            tls: settings.tls.as_ref().map(Tls::load).transpose()?,
            exposures,
            is_outdated: AtomicBool::new(false),
        })
    }

    /// Reads everything again, but for the tokens of clients, which have been read; blocks. What was taken away is not
    /// let in any more from then on, on open connections too.
    ///
    /// # Errors
    /// A file cannot be used. Then nothing has changed: who was let in is let in still.
    pub(crate) fn reload(&self, of_clients: &[TokenDigest]) -> Result<(), AccessError> {
        let tokens = self.sources.read().map_err(AccessError::Tokens)?;
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        self.tokens.store(Arc::new(TokenDigests::of(&tokens, of_clients)));
        Ok(())
    }

    /// Notes whether the last reading failed, this one's or that of the clients.
    pub(crate) fn note_reading(&self, is_current: bool) {
        self.is_outdated.store(!is_current, Ordering::Relaxed);
    }

    pub(crate) fn tokens(&self) -> Arc<TokenDigests> {
        self.tokens.load_full()
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// When the certificate ends that TLS listeners show now; `None` without TLS.
    pub(crate) fn certificate_expiry(&self) -> Option<Expiry> {
        self.tls.as_ref().and_then(Tls::expiry)
    }

    pub(crate) fn exposures(&self) -> &[Exposure] {
        &self.exposures
    }

    /// Whether the files could not be used when they were read last, so that an older reading holds.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }
}

/// Why tokens and certificates could not be read again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error(transparent)]
    Tokens(config::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}
