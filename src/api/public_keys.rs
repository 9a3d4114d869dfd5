//! `GET /api/v1/eth2/publicKeys`: the keys that can sign. Source: ethereum/remote-signing-api.

use std::sync::{Arc, Weak};

use hyper::body::Bytes;

use super::Api;
use super::problem::Problem;
use crate::clients::{Client, Requester};
use crate::http::response::ApiResponse;
use crate::keys::Snapshot;
use crate::mutex::Mutex;

/// Answers a JSON array of the client's public keys, `0x` and lower case, sorted.
pub(crate) fn list(api: &Api, requester: Requester<'_>) -> Result<ApiResponse, Problem> {
    let grant = api.signer.grant(requester)?;
    let keys = api.signer.keystores.ring().snapshot();
    Ok(ApiResponse::shared_json(api.public_keys.of(grant.client(), &keys)))
}

/// The lists of public keys, one for each client, written once for each change of the keys: all answers to a client
/// share its bytes.
#[derive(Default)]
pub(crate) struct WrittenLists(Mutex<Vec<Written>>);

struct Written {
    /// Weak, so that no client and no key stays for the list's sake. While they are here nothing else can have their
    /// addresses.
    client: Weak<Client>,
    keys: Weak<Snapshot>,
    json: Bytes,
}

impl WrittenLists {
    fn of(&self, client: &Arc<Client>, keys: &Arc<Snapshot>) -> Bytes {
        let (this_client, these_keys) = (Arc::downgrade(client), Arc::downgrade(keys));
        let mut lists = self.0.lock();
        let is_current = |written: &&Written| {
            Weak::ptr_eq(&written.client, &this_client) && Weak::ptr_eq(&written.keys, &these_keys)
        };
        if let Some(written) = lists.iter().find(is_current) {
            return written.json.clone();
        }
        // Lists of other keys, and of clients that there are no more, are of no use to anybody.
        lists.retain(|written| Weak::ptr_eq(&written.keys, &these_keys) && written.client.strong_count() > 0);
        let json = Bytes::from(write(client, keys));
        lists.push(Written { client: this_client, keys: these_keys, json: json.clone() });
        json
    }
}

fn write(client: &Client, keys: &Snapshot) -> String {
    let own = keys.keys().filter(|key| client.sees(key));
    let quoted: Vec<_> = own.map(|key| format!("\"{key}\"")).collect();
    format!("[{}]", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Clients;
    use crate::keys::{Key, OpenedKey, Ring, SecretKey};
    use crate::ledger::Activated;
    use crate::sys::locked_memory::LockedMemory;

    #[test]
    fn the_list_is_written_again_when_the_keys_change_and_only_then() {
        let (ring, written) = (Ring::new(), WrittenLists::default());
        let clients = Clients::default();
        let everybody = clients.first().unwrap();
        let list = || written.of(everybody, &ring.snapshot());
        assert_eq!(list(), "[]");
        let secret = SecretKey::new(&[1; 32], &LockedMemory::new().unwrap()).unwrap();
        let key = Key::imported(Activated::unrecorded(OpenedKey::new(secret, None)));
        let name = key.public_key().to_string();
        ring.insert([key]);
        let first = list();
        assert_eq!(serde_json::from_slice::<Vec<String>>(&first).unwrap(), [name.as_str()]);
        assert_eq!(list().as_ptr(), first.as_ptr());
        ring.dismiss(&[name.parse().unwrap()]);
        assert_eq!(list(), "[]");
    }
}
