//! The one UDP socket of a service: binds it, dials peers by key, admits those who dial us. Owns the accept task, which
//! ends with the endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use cobox_proto::id::SigKey;
use cobox_proto::limits::{ADDRESSES_MAX, AUTH_TIMEOUT_MS};
use iroh::address_lookup::AddressLookupBuilder;
use iroh::endpoint::{ConnectOptions, Incoming, IncomingAddr};
use iroh::{EndpointAddr, PublicKey, Watcher};
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::ALPN;
use crate::admission::{Admission, Source, Ticket, Verdict};
use crate::connection::Connection;
use crate::detour::Detours;
use crate::error::NetError;
use crate::lan::{Heard, Lan};
use crate::local::LocalAddresses;
use crate::throttle::{Rates, Throttle};
use crate::transport::{Side, builder, lan_lookup, quic_config, relay_url};

/// Accepted connections nobody has taken yet.
const ACCEPTED_MAX: usize = 16;
/// How long a handshake or the search for a way to the peer may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long [`Endpoint::bind`] waits to learn the machine's addresses.
const ADDRESSES_WAIT: Duration = Duration::from_secs(1);
/// Attempts to listen, and the pause between them: a free port may be gone the moment after we found it, a named one may
/// still be held by a predecessor that is just going.
const LISTEN_ATTEMPTS: usize = 20;
const LISTEN_PAUSE: Duration = Duration::from_millis(100);
/// Connections to peers that have proved themselves, unless configured otherwise.
const CONNECTIONS_MAX: usize = 1024;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On every interface, IPv4 and, where there is, IPv6. Port 0 chooses one that is free: read it with
    /// [`Endpoint::port`] and keep it, so that addresses given away stay valid.
    AllInterfaces {
        /// The UDP port.
        port: u16,
    },
    /// On this address alone.
    Address(SocketAddr),
}

/// How an endpoint behaves. The default is silent: no relay, no discovery.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Whether to tell the local network our key and addresses, and to look there for peers whose addresses fail.
    pub lan_discovery: bool,
    /// Relays to register with and to be reached through: `https://host` each.
    pub relays: Vec<String>,
    /// How long a peer has until [`Connection::set_authenticated`], whoever dialed; then the connection is closed.
    pub auth_timeout: Duration,
    /// Accepted connections of peers that have proved themselves.
    pub connections_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen::AllInterfaces { port: 0 },
            lan_discovery: false,
            relays: Vec::new(),
            auth_timeout: Duration::from_millis(AUTH_TIMEOUT_MS),
            connections_max: CONNECTIONS_MAX,
        }
    }
}

impl Config {
    /// Reachable from this machine only.
    pub fn loopback() -> Self {
        Self { listen: Listen::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), ..Self::default() }
    }
}

/// Who a peer is and where it may be found. Addresses are hints: only the key counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAddrs {
    /// The peer's key.
    pub key: SigKey,
    /// UDP addresses, the best first.
    pub addrs: Vec<SocketAddr>,
    /// Relays it registers with.
    pub relays: Vec<String>,
}

/// How long a goodbye may take.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_millis(400);

/// Bytes in datagrams, with all that QUIC adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// To others.
    pub sent_bytes: u64,
    /// From others.
    pub received_bytes: u64,
}

impl Traffic {
    pub(crate) fn plus(self, other: Self) -> Self {
        let (sent_bytes, received_bytes) =
            (self.sent_bytes + other.sent_bytes, self.received_bytes + other.received_bytes);
        Self { sent_bytes, received_bytes }
    }
}

/// What went through one socket.
pub(crate) fn traffic_of(quic: &iroh::Endpoint) -> Traffic {
    let counted = &quic.metrics().socket;
    Traffic {
        sent_bytes: counted.send_ipv4.get() + counted.send_ipv6.get() + counted.send_relay.get(),
        received_bytes: counted.recv_data_ipv4.get() + counted.recv_data_ipv6.get() + counted.recv_data_relay.get(),
    }
}

/// The network of one service. Share it in an `Arc`.
pub struct Endpoint {
    quic: iroh::Endpoint,
    key: SigKey,
    port: u16,
    config: Config,
    detours: Detours,
    local: LocalAddresses,
    heard: Heard,
    throttle: Throttle,
    accepted: Mutex<mpsc::Receiver<Connection>>,
    _accept_task: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({}, port {})", self.key.short(), self.port)
    }
}

impl Endpoint {
    /// Listens. `secret_seed` is the seed of the Ed25519 key by which peers know us.
    ///
    /// Errors: the port is taken or not ours to use; a relay's address does not parse.
    pub async fn bind(config: Config, secret_seed: &[u8; 32]) -> Result<Self, NetError> {
        let heard = Heard::default();
        let quic = bind_socket(&config, secret_seed, &heard).await?;
        let port = quic.bound_sockets().first().map_or(0, SocketAddr::port);
        let admission = Admission::new(config.connections_max);
        let (ready, accepted) = mpsc::channel(ACCEPTED_MAX);
        let throttle = Throttle::new();
        let accepting = accept_all(quic.clone(), admission, ready, config.auth_timeout, throttle.clone());
        let endpoint = Self {
            key: SigKey(*quic.id().as_bytes()),
            quic,
            port,
            config,
            detours: Detours::default(),
            local: LocalAddresses::default(),
            heard,
            throttle,
            accepted: Mutex::new(accepted),
            _accept_task: AbortOnDropHandle::new(tokio::spawn(accepting)),
        };
        let mut watcher = endpoint.quic.watch_addr();
        let known = async { while watcher.get().is_empty() && watcher.updated().await.is_ok() {} };
        // Without any interface there is nothing to wait for: the loopback address is added anyway.
        let _ = tokio::time::timeout(ADDRESSES_WAIT, known).await;
        Ok(endpoint)
    }

    /// Our key.
    pub fn id(&self) -> SigKey {
        self.key
    }

    /// The UDP port, to be kept for the next start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where we can be reached: the addresses of all interfaces, loopback last; at most
    /// [`ADDRESSES_MAX`]. They change when the machine moves, so ask again.
    pub fn addrs(&self) -> EndpointAddrs {
        let sockets = self.quic.bound_sockets();
        let addr = self.quic.addr();
        let everywhere = sockets.iter().find(|socket| socket.is_ipv6() && socket.ip().is_unspecified());
        let local = everywhere
            .into_iter()
            .flat_map(|socket| self.local.get().into_iter().map(|address| SocketAddr::from((address, socket.port()))));
        let found = addr.ip_addrs().copied().chain(local);
        EndpointAddrs { key: self.key, addrs: addresses(&sockets, found), relays: self.config.relays.clone() }
    }

    /// Devices heard in the local network, with where they say they are. None unless [`Config::lan_discovery`] is on.
    pub fn heard(&self) -> Vec<EndpointAddrs> {
        self.heard.all()
    }

    /// From now on blocks go out and come in no faster than this, with all peers together. Frames never wait. Also for connections that
    /// stand; what a peer was allowed to send ahead still comes.
    pub fn set_rates(&self, rates: Rates) {
        self.throttle.set(rates);
    }

    /// Begins or stops to tell the local network our key and addresses, and to look there for peers; see [`Config::lan_discovery`].
    ///
    /// Errors: the network allows no multicast, or this endpoint is shut down.
    pub fn set_lan_discovery(&self, on: bool) -> Result<(), NetError> {
        let lookups = self.quic.address_lookup().map_err(|_| NetError::Shutdown)?;
        // The local network is all that is ever looked in.
        lookups.clear();
        self.heard.forget();
        if on {
            let lan = Lan { lookup: lan_lookup(), heard: self.heard.clone() }.into_address_lookup(&self.quic);
            lookups.add(lan.map_err(|why| NetError::NoLan { reason: why.to_string() })?);
        }
        Ok(())
    }

    /// What went over the wire since the start, with everybody.
    pub fn traffic(&self) -> Traffic {
        traffic_of(&self.quic).plus(self.detours.traffic())
    }

    /// Connects to a peer, trying all its addresses at once; and, if somebody else answered at one, each apart.
    ///
    /// Errors: the key is no key, nobody with that key answers within 15 seconds, or at any address within some more, or this endpoint is shut down.
    pub async fn dial(&self, peer: &EndpointAddrs) -> Result<Connection, NetError> {
        if self.quic.is_closed() {
            return Err(NetError::Shutdown);
        }
        let key = peer.key.short();
        let id = PublicKey::from_bytes(&peer.key.0).map_err(|_| NetError::BadKey { key: key.clone() })?;
        let mut addr = EndpointAddr::new(id);
        for socket in &peer.addrs {
            addr = addr.with_ip_addr(*socket);
        }
        for relay in &peer.relays {
            addr = addr.with_relay_url(relay_url(relay)?);
        }
        let unreachable = |reason: String| NetError::Unreachable { key: key.clone(), reason };
        let options = ConnectOptions::new().with_transport_config(quic_config(Side::Dialer));
        let connecting = async {
            let connecting = self.quic.connect_with_opts(addr, ALPN, options).await.map_err(|e| e.to_string())?;
            connecting.await.map_err(|e| e.to_string())
        };
        let reached = tokio::time::timeout(DIAL_TIMEOUT, Box::pin(connecting)).await;
        let is_silent = reached.is_err();
        let quic = match reached.unwrap_or_else(|_| Err("no answer in 15 seconds".to_owned())) {
            Ok(quic) => quic,
            Err(why) => {
                let worth_it = peer.addrs.len() > 1 && (!is_silent || self.detours.may_try(peer.key));
                let found = if worth_it { self.call_apart(id, &peer.addrs).await } else { None };
                found.ok_or_else(|| unreachable(why))?
            }
        };
        Ok(Connection::start(quic, Side::Dialer, self.config.auth_timeout, None, self.throttle.clone()))
    }

    /// Somebody else may have answered at one of the addresses (G6).
    async fn call_apart(&self, id: PublicKey, addrs: &[SocketAddr]) -> Option<iroh::endpoint::Connection> {
        let seed = Zeroizing::new(self.quic.secret_key().to_bytes());
        Box::pin(self.detours.call(&self.config, &seed, id, addrs)).await
    }

    /// The next peer that dialed us; its key is proved, nothing else. `None` after [`Self::close`]. Cancel safe.
    pub async fn accept(&self) -> Option<Connection> {
        self.accepted.lock().await.recv().await
    }

    /// Tells all peers that we go. Whoever hears it confirms within moments; whoever can not be reached is not waited for.
    pub async fn close(&self) {
        let _told_or_gone = tokio::join!(tokio::time::timeout(CLOSE_WAIT, self.quic.close()), self.detours.close());
    }
}

/// Binds to what is configured; chooses a free port where none is named.
async fn bind_socket(config: &Config, secret_seed: &[u8; 32], heard: &Heard) -> Result<iroh::Endpoint, NetError> {
    let wanted = match config.listen {
        Listen::AllInterfaces { port } => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        Listen::Address(addr) => addr,
    };
    let mut failure = NetError::PortTaken { addr: wanted };
    for attempt in 0..LISTEN_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(LISTEN_PAUSE).await;
        }
        match free_address(wanted) {
            Ok(addr) => match Box::pin(builder(config, addr, secret_seed, heard)?.bind()).await {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) => failure = NetError::Listen { addr, reason: error.to_string() },
            },
            Err(taken @ NetError::PortTaken { .. }) => failure = taken,
            Err(other) => return Err(other),
        }
    }
    Err(failure)
}

/// The address with a free port in place of port 0. Binds it for a moment, which also tells a taken port from other troubles.
fn free_address(wanted: SocketAddr) -> Result<SocketAddr, NetError> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AddrInUse => NetError::PortTaken { addr: wanted },
        _ => NetError::Listen { addr: wanted, reason: e.to_string() },
    };
    UdpSocket::bind(wanted).and_then(|socket| socket.local_addr()).map_err(failed)
}

/// Admits whoever knocks, as far as there are places, and hands over those whose handshake succeeds.
async fn accept_all(
    quic: iroh::Endpoint,
    admission: Admission,
    ready: mpsc::Sender<Connection>,
    auth_timeout: Duration,
    throttle: Throttle,
) {
    while let Some(incoming) = quic.accept().await {
        let source = match incoming.remote_addr() {
            IncomingAddr::Ip(addr) => Source::address(addr.ip()),
            _ => Source::relay(),
        };
        match admission.knock(source, incoming.remote_addr_validated()) {
            Verdict::Admit(ticket) => {
                tokio::spawn(handshake(incoming, ticket, ready.clone(), auth_timeout, throttle.clone()));
            }
            Verdict::ProveAddress => {
                // Fails only when the address is proved already, and then this is not asked.
                let _ = incoming.retry();
            }
            // Not a byte in answer: nothing to reflect at somebody else.
            Verdict::Refuse => incoming.ignore(),
        }
    }
}

async fn handshake(
    incoming: Incoming,
    ticket: Ticket,
    ready: mpsc::Sender<Connection>,
    auth_timeout: Duration,
    throttle: Throttle,
) {
    match tokio::time::timeout(DIAL_TIMEOUT, incoming.into_future()).await {
        Ok(Ok(quic)) => {
            let connection = Connection::start(quic, Side::Acceptor, auth_timeout, Some(ticket), throttle);
            // Fails only when the endpoint is gone; then so is the connection.
            let _ = ready.send(connection).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

/// Orders what was found: other machines can use the first ones, only this machine the last.
fn addresses(bound: &[SocketAddr], found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let mut addrs: Vec<SocketAddr> = found.filter(|addr| !addr.ip().is_loopback() && !link_local(addr.ip())).collect();
    addrs.sort();
    addrs.dedup();
    let mut loopback = Vec::new();
    for socket in bound {
        match socket.ip() {
            ip if ip.is_loopback() => loopback.push(*socket),
            IpAddr::V4(ip) if ip.is_unspecified() => loopback.push((Ipv4Addr::LOCALHOST, socket.port()).into()),
            IpAddr::V6(ip) if ip.is_unspecified() => loopback.push((Ipv6Addr::LOCALHOST, socket.port()).into()),
            _ => {}
        }
    }
    addrs.truncate(ADDRESSES_MAX - loopback.len().min(ADDRESSES_MAX));
    addrs.extend(loopback);
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_comes_last_and_unusable_addresses_not_at_all() {
        let bound = sockets(&["0.0.0.0:7", "[::]:7"]);
        let found = sockets(&["127.0.0.1:7", "[fe80::1]:7", "192.168.1.2:7", "[2001:db8::1]:7", "10.0.0.1:7"]);
        let expected = ["10.0.0.1:7", "192.168.1.2:7", "[2001:db8::1]:7", "127.0.0.1:7", "[::1]:7"];
        assert_eq!(addresses(&bound, found.into_iter()), sockets(&expected));
    }

    #[test]
    fn a_machine_with_many_interfaces_still_names_loopback() {
        let found = (0..100).map(|n| SocketAddr::from(([10, 0, 0, n], 7)));
        let addrs = addresses(&sockets(&["0.0.0.0:7"]), found);
        assert_eq!(addrs.len(), ADDRESSES_MAX);
        assert_eq!(addrs.last(), sockets(&["127.0.0.1:7"]).last());
    }
}
