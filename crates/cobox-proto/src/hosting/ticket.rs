//! How to reach a machine, as a code that can be pasted: `cbt1...`. It holds no secret; who dials it must still prove a key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::EndpointId;
use crate::limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX};
use crate::text::{self, TextError};
use crate::wire::Party;

/// The prefix of a ticket.
pub const TICKET_PREFIX: &str = "cbt1";
/// The ticket format of this program.
pub const TICKET_VERSION: u8 = 1;

/// One way to reach a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An address and port.
    Direct(IpAddr, u16),
    /// Through a relay, named by URL.
    Relay(String),
}

impl Address {
    /// The socket address, if it is direct.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Address::Direct(ip, port) => Some(SocketAddr::new(*ip, *port)),
            Address::Relay(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    /// Flow label and scope of IPv6 mean nothing elsewhere and are dropped.
    fn from(address: SocketAddr) -> Self {
        Address::Direct(address.ip(), address.port())
    }
}

impl Canonical for Address {
    fn encode(&self, w: &mut Writer) {
        match self {
            Address::Direct(IpAddr::V4(ip), port) => w.u8(4).fixed(&ip.octets()).u16(*port),
            Address::Direct(IpAddr::V6(ip), port) => w.u8(6).fixed(&ip.octets()).u16(*port),
            Address::Relay(url) => w.u8(1).text(url),
        };
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            4 => Address::Direct(Ipv4Addr::from(r.fixed::<4>()?).into(), r.u16()?),
            6 => Address::Direct(Ipv6Addr::from(r.fixed::<16>()?).into(), r.u16()?),
            1 => Address::Relay(r.text(ADDRESS_BYTES_MAX, "relay")?.to_owned()),
            other => return Err(DecodeError::BadValue { what: "address kind", found: other.into() }),
        })
    }
}

/// A machine and the ways to it, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which program answers there.
    pub party: Party,
    /// The key its transport proves.
    pub endpoint: EndpointId,
    /// The ways.
    pub addresses: Vec<Address>,
}

impl Ticket {
    /// As a code.
    pub fn to_text(&self) -> String {
        text::write_value(TICKET_PREFIX, self)
    }
    /// Reads a pasted code.
    pub fn from_text(text: &str) -> Result<Self, TextError> {
        text::read_value(TICKET_PREFIX, text)
    }
}

impl Canonical for Ticket {
    fn encode(&self, w: &mut Writer) {
        w.u8(TICKET_VERSION).put(&self.party).put(&self.endpoint).list(&self.addresses);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != TICKET_VERSION {
            return Err(DecodeError::UnknownVersion { what: "ticket", found: version.into() });
        }
        Ok(Self { party: r.get()?, endpoint: r.get()?, addresses: r.list(ADDRESSES_MAX, "addresses")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i7_a_ticket_survives_pasting() {
        let ticket = Ticket {
            party: Party::Seeder,
            endpoint: EndpointId([5; 32]),
            addresses: vec![
                Address::from("192.0.2.7:4433".parse::<SocketAddr>().unwrap()),
                Address::from("[2001:db8::1]:4433".parse::<SocketAddr>().unwrap()),
                Address::Relay("https://relay.example".into()),
            ],
        };
        let text = ticket.to_text();
        assert!(text.starts_with("cbt1"));
        assert_eq!(Ticket::from_text(&format!(" \"{}\"\n", text.to_uppercase())).unwrap(), ticket);
    }
}
