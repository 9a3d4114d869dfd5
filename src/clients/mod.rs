//! Clients: who may have what signed with which keys, by what the kernel, TLS and tokens tell of a caller.
//!
//! Without a `[[client]]` in the configuration everybody whom a listener lets in is one implicit client with all keys
//! and duties. With one, who is none of them gets nothing. A caller is the first client in the order of the
//! configuration whose every demand it meets. No header but the bearer token counts.

mod client;
mod load;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::credentials::TokenDigest;

pub(crate) use self::client::{Client, ClientName, Identity, Keys, Requester, group_of};
pub(crate) use self::load::LoadError;

/// All clients, as one reading of the configuration gives them.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Arc<Client>>,
    tokens: Vec<TokenDigest>,
    /// What is allowed but deserves a word in the log.
    warnings: Vec<String>,
}

impl Default for Clients {
    fn default() -> Self {
        Self::everybody()
    }
}

impl Clients {
    /// Where none is named: everybody.
    fn everybody() -> Self {
        Self { clients: vec![Arc::new(Client::everybody())], tokens: Vec::new(), warnings: Vec::new() }
    }

    fn named(clients: Vec<Arc<Client>>, warnings: Vec<String>) -> Self {
        let tokens = clients.iter().flat_map(|client| client.identity.token_digests()).copied().collect();
        Self { clients, tokens, warnings }
    }

    /// The first client that the requester is.
    pub(crate) fn client_of(&self, requester: &Requester<'_>) -> Option<&Arc<Client>> {
        self.clients.iter().find(|client| client.identity.fits(requester))
    }

    /// So many clients, known by the first users, each with all of these keys listed and every duty.
    #[cfg(feature = "bench-internals")]
    pub(crate) fn of_users(users: u32, keys: &[crate::bls::PublicKey]) -> Self {
        let client = |user| Client {
            identity: Identity { users: Some(vec![user]), ..Identity::default() },
            keys: Keys::Listed(keys.iter().copied().collect()),
            ..Client::everybody()
        };
        Self::named((0..users).map(|user| Arc::new(client(user))).collect(), Vec::new())
    }

    #[cfg(any(test, feature = "bench-internals"))]
    pub(crate) fn first(&self) -> Option<&Arc<Client>> {
        self.clients.first()
    }

    /// The tokens that some client is known by.
    pub(crate) fn token_digests(&self) -> &[TokenDigest] {
        &self.tokens
    }

    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The clients that the configuration names, in its order.
    pub(crate) fn named_clients(&self) -> impl Iterator<Item = (&ClientName, &Client)> {
        self.clients.iter().filter_map(|client| Some((client.name()?, client.as_ref())))
    }

    /// Whether the configuration names any.
    pub(crate) fn are_named(&self) -> bool {
        self.named_clients().next().is_some()
    }
}
