//! `GET /api/v1/eth2/publicKeys`: the keys that can sign. Source: ethereum/remote-signing-api.

use std::sync::{Arc, Weak};

use hyper::body::Bytes;

use super::Api;
use crate::http::response::ApiResponse;
use crate::keys::Snapshot;
use crate::mutex::Mutex;

/// Answers a JSON array of public keys, `0x` and lower case, sorted.
pub(crate) fn list(api: &Api) -> ApiResponse {
    ApiResponse::shared_json(api.public_keys.of(&api.signer.keystores.ring().snapshot()))
}

/// The list of public keys, written once for each change of the keys: all answers share its bytes.
#[derive(Default)]
pub(crate) struct WrittenList(Mutex<Written>);

#[derive(Default)]
struct Written {
    /// Weak, so that no key stays for the list's sake. While it is here no other snapshot can have its address.
    keys: Weak<Snapshot>,
    json: Bytes,
}

impl WrittenList {
    fn of(&self, keys: &Arc<Snapshot>) -> Bytes {
        let mut written = self.0.lock();
        if !Weak::ptr_eq(&written.keys, &Arc::downgrade(keys)) {
            *written = Written { keys: Arc::downgrade(keys), json: write(keys).into() };
        }
        written.json.clone()
    }
}

fn write(keys: &Snapshot) -> String {
    let quoted: Vec<_> = keys.keys().map(|key| format!("\"{key}\"")).collect();
    format!("[{}]", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Key, OpenedKey, Ring, SecretKey};
    use crate::ledger::Activated;
    use crate::sys::locked_memory::LockedMemory;

    #[test]
    fn the_list_is_written_again_when_the_keys_change_and_only_then() {
        let (ring, written) = (Ring::new(), WrittenList::default());
        let list = || written.of(&ring.snapshot());
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
