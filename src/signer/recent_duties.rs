//! Duties that were read lately, found by their bodies: keys that vote alike are asked to with the same bytes, and to
//! read them takes as long as a hundredth of a signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use crate::duty::Duty;

/// A bounded cache without locks. What a body says does not change, so what was read once holds for the same bytes.
#[derive(Default)]
pub(crate) struct RecentDuties {
    places: [ArcSwapOption<Read>; PLACES],
    next: AtomicUsize,
}

struct Read {
    body: Box<[u8]>,
    duty: Duty,
}

impl RecentDuties {
    /// The duty of this body, as it was read before or as `read` does. What it refuses is not kept.
    pub(crate) fn find_or<E>(&self, body: &[u8], read: impl FnOnce() -> Result<Duty, E>) -> Result<Duty, E> {
        if body.len() > MAX_BODY_BYTES {
            return read();
        }
        let known = self.places.iter().find_map(|place| {
            let held = place.load();
            held.as_ref().filter(|known| *known.body == *body).map(|known| known.duty.clone())
        });
        if let Some(duty) = known {
            return Ok(duty);
        }
        let duty = read()?;
        let next = self.next.fetch_add(1, Ordering::Relaxed).rem_euclid(PLACES);
        if let Some(place) = self.places.get(next) {
            place.store(Some(Arc::new(Read { body: body.into(), duty: duty.clone() })));
        }
        Ok(duty)
    }
}

/// As many as are in the hands of one slot's clients at a time, more or less; each is compared.
const PLACES: usize = 4;

/// Votes have some hundred bytes. What is larger, such as a block, comes once.
const MAX_BODY_BYTES: usize = 2 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duty::Refusal;
    use crate::network::Network;
    use crate::primitives::SigningRoot;

    #[test]
    fn a_body_is_read_once_while_it_is_among_the_last_few() {
        let (duties, network) = (RecentDuties::default(), Network::load("mainnet").unwrap());
        let body = |byte: u8| {
            format!(r#"{{"signingRoot": "{}", "domain_name": "randao"}}"#, SigningRoot([byte; 32]))
        };
        let find = |byte: u8| {
            let (body, mut was_read) = (body(byte), false);
            let duty = duties.find_or(body.as_bytes(), || {
                was_read = true;
                Duty::parse(body.as_bytes(), &network)
            });
            assert_eq!(duty.unwrap(), Duty::parse(body.as_bytes(), &network).unwrap());
            was_read
        };
        assert_eq!([1, 1, 2, 2, 1, 3, 4, 1].map(find), [true, false, true, false, false, true, true, false]);
        assert_eq!([5, 1, 5, 4].map(find), [true, true, false, false], "the oldest made room");
    }

    #[test]
    fn a_refusal_is_found_each_time_and_a_body_with_one_other_byte_is_read() {
        let (duties, network) = (RecentDuties::default(), Network::load("mainnet").unwrap());
        let parse = |body: &str| -> Result<Duty, Refusal> {
            duties.find_or(body.as_bytes(), || Duty::parse(body.as_bytes(), &network))
        };
        assert!(parse("{").is_err() && parse("{").is_err());
        let root = SigningRoot([1; 32]);
        let body = format!(r#"{{"signingRoot": "{root}", "domain_name": "randao"}}"#);
        assert_eq!(parse(&body).unwrap().signing_root(), root);
        let other = body.replacen("01", "02", 1);
        assert_ne!(parse(&other).unwrap().signing_root(), root);
        assert_eq!(parse(&body).unwrap().signing_root(), root);
    }
}
