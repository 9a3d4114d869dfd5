//! A genesis validators root together with the name of its network, for messages.

use std::fmt;

use super::Network;
use crate::primitives::Root;

/// Shown as `0x4b36… (mainnet)`, the digits in full; without a name if no built-in network has the root.
#[derive(Clone, Copy)]
pub(crate) struct NamedRoot(pub(crate) Root);

impl fmt::Display for NamedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Network::name_of_root(self.0) {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_root_has_its_network_beside_it() {
        let hoodi = Network::by_name("hoodi").unwrap().genesis_validators_root().unwrap();
        assert_eq!(NamedRoot(hoodi).to_string(), format!("{hoodi} (hoodi)"));
        assert_eq!(NamedRoot(Root([1; 32])).to_string(), Root([1; 32]).to_string());
    }
}
