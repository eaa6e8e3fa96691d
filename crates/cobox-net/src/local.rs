//! The unique local IPv6 addresses of this machine (`fc00::/7`, RFC 4193). The transport tells them only if there is nothing better; but what is
//! better here may be nothing to the other side: two machines may have that network alone in common, or one of them loses the rest (N4).
//! So they are always told, after the others.
//!
//! Owns a list that is asked for anew now and then: the system is not asked each time somebody wants to know where we are.

use std::net::Ipv6Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old the list may be.
const FRESH: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct LocalAddresses(Mutex<Option<(Instant, Vec<Ipv6Addr>)>>);

impl LocalAddresses {
    /// Those of all interfaces that are up.
    pub(crate) fn get(&self) -> Vec<Ipv6Addr> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((since, addresses)) if since.elapsed() < FRESH => addresses.clone(),
            _ => {
                let interfaces = netdev::get_interfaces();
                let up = interfaces.iter().filter(|interface| interface.is_up() && !interface.is_loopback());
                let addresses: Vec<Ipv6Addr> =
                    up.flat_map(|interface| &interface.ipv6).map(|net| net.addr()).filter(is_unique_local).collect();
                *known = Some((Instant::now(), addresses.clone()));
                addresses
            }
        }
    }
}

fn is_unique_local(address: &Ipv6Addr) -> bool {
    address.octets()[0] & 0xfe == 0xfc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n4_local_addresses_are_told_from_global_link_local_and_loopback_ones() {
        for (text, is_local) in [
            ("fd12:3456::1", true),
            ("fc00::1", true),
            ("fe80::1", false),
            ("2001:db8::1", false),
            ("::1", false),
            ("ff02::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_unique_local(&text.parse().unwrap()), is_local, "{text}");
        }
    }
}
