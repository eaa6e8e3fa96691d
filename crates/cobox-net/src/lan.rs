//! Who is heard in the local network: devices tell their keys and addresses there by multicast DNS, and somebody who looks for a nameplate
//! asks those that are there. Owns the list; one task keeps it, and ends with the endpoint.
//!
//! What must hold: the list is bounded, whoever shouts how often. A key heard is a claim: dialing proves it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cobox_proto::id::SigKey;
use futures_util::StreamExt;
use iroh::Endpoint;
use iroh::address_lookup::{AddressLookup, AddressLookupBuilder, AddressLookupBuilderError};
use iroh_mdns_address_lookup::{DiscoveryEvent, MdnsAddressLookup, MdnsAddressLookupBuilder};

use crate::EndpointAddrs;

/// Devices remembered; a crowd beyond it is not heard.
const HEARD_MAX: usize = 256;

/// Devices heard in the local network, with where they say they are. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<BTreeMap<SigKey, Vec<SocketAddr>>>>);

impl Heard {
    /// All that are there now.
    pub(crate) fn all(&self) -> Vec<EndpointAddrs> {
        let told = |(key, addrs): (&SigKey, &Vec<SocketAddr>)| EndpointAddrs {
            key: *key,
            addrs: addrs.clone(),
            relays: Vec::new(),
        };
        self.list().iter().map(told).collect()
    }

    /// Nobody is heard any more.
    pub(crate) fn forget(&self) {
        self.list().clear();
    }

    fn note(&self, event: DiscoveryEvent) {
        let mut list = self.list();
        match event {
            DiscoveryEvent::Discovered { endpoint_info, .. } => {
                let key = SigKey(*endpoint_info.endpoint_id.as_bytes());
                if list.len() < HEARD_MAX || list.contains_key(&key) {
                    list.insert(key, endpoint_info.ip_addrs().copied().collect());
                }
            }
            DiscoveryEvent::Expired { endpoint_id } => {
                list.remove(&SigKey(*endpoint_id.as_bytes()));
            }
            _ => {}
        }
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<SigKey, Vec<SocketAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the look-up, and listens to what it hears.
#[derive(Debug)]
pub(crate) struct Lan {
    pub(crate) lookup: MdnsAddressLookupBuilder,
    pub(crate) heard: Heard,
}

impl AddressLookupBuilder for Lan {
    fn into_address_lookup(self, endpoint: &Endpoint) -> Result<impl AddressLookup, AddressLookupBuilderError> {
        let lookup: MdnsAddressLookup = self.lookup.build(endpoint.id())?;
        let (listening, heard) = (lookup.clone(), self.heard);
        tokio::spawn(async move {
            let mut events = listening.subscribe().await;
            // The look-up lives as long as somebody has it: it must end with the endpoint, not with who listens.
            drop(listening);
            while let Some(event) = events.next().await {
                heard.note(event);
            }
        });
        Ok(lookup)
    }
}
