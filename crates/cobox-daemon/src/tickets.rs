//! Between how the network names an endpoint and how tickets do.

use cobox_net::EndpointAddrs;
use cobox_proto::hosting::{Address, Ticket};
use cobox_proto::id::{EndpointId, SigKey};
use cobox_proto::limits::ADDRESSES_MAX;
use cobox_proto::wire::Party;

/// A ticket for an endpoint.
pub(crate) fn of_endpoint(addrs: &EndpointAddrs, party: Party) -> Ticket {
    let sockets = addrs.addrs.iter().map(|socket| Address::from(*socket));
    let relays = addrs.relays.iter().map(|relay| Address::Relay(relay.clone()));
    let addresses = relays.chain(sockets).take(ADDRESSES_MAX).collect();
    Ticket { party, endpoint: EndpointId(addrs.key.0), addresses }
}

/// Where a ticket leads.
pub(crate) fn to_endpoint(ticket: &Ticket) -> EndpointAddrs {
    let relays = ticket.addresses.iter().filter_map(|address| match address {
        Address::Relay(relay) => Some(relay.clone()),
        _ => None,
    });
    EndpointAddrs {
        key: SigKey(ticket.endpoint.0),
        addrs: ticket.addresses.iter().filter_map(Address::socket).collect(),
        relays: relays.collect(),
    }
}
