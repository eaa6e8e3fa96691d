//! One call at each address apart (G6). A call goes to all addresses of a peer at once, and the first that answers decides: if that is
//! somebody else, who has no such key, the call fails though the right one would have answered, too. Addresses are hints of others; one
//! may be false on purpose, or be somebody else's in this network.
//!
//! The transport remembers for a minute where a key was looked for and sends to all of these places, so each address is called from a
//! socket of its own, under our key. Who proves the peer's key keeps that socket for as long as the connection stands. Owns these sockets.
//!
//! What must hold: nobody is taken for the peer who has not its key; nothing is answered on these sockets; what is not needed is closed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cobox_proto::id::SigKey;
use cobox_proto::limits::ADDRESSES_MAX;
use iroh::endpoint::{ConnectOptions, Connection};
use iroh::{EndpointAddr, PublicKey};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::endpoint::{CLOSE_WAIT, Traffic, traffic_of};
use crate::error::NetError;
use crate::lan::Heard;
use crate::transport::{Side, builder, quic_config};
use crate::{ALPN, Config, Listen};

/// How long one address has to prove the key.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The next address is called so long after the one before, or once that has failed.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// A peer that nobody answers for is called like this so often only: most are away, and this costs a socket for each address.
const SILENT_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Peers remembered for that.
const SILENT_MAX: usize = 1024;

/// The sockets beside the service's own.
#[derive(Clone, Default)]
pub(crate) struct Detours(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    open: Vec<Arc<Socket>>,
    /// Of those that are closed.
    traffic: Traffic,
    /// When somebody was called in vain who did not answer.
    silent: BTreeMap<SigKey, Instant>,
    over: bool,
}

impl Detours {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went over these sockets.
    pub(crate) fn traffic(&self) -> Traffic {
        let state = self.state();
        state.open.iter().fold(state.traffic, |sum, socket| sum.plus(traffic_of(&socket.quic)))
    }

    /// Whether a peer that did not answer at all is to be called at each address apart; not again for a while if so.
    pub(crate) fn may_try(&self, key: SigKey) -> bool {
        let (now, silent) = (Instant::now(), &mut self.state().silent);
        silent.retain(|_, at| now.duration_since(*at) < SILENT_AGAIN_AFTER);
        if silent.contains_key(&key) || silent.len() >= SILENT_MAX {
            return false;
        }
        silent.insert(key, now);
        true
    }

    /// Calls a peer at its addresses, one after the other without waiting long for any. `None` if nobody there has its key.
    pub(crate) async fn call(
        &self,
        config: &Config,
        seed: &Zeroizing<[u8; 32]>,
        peer: PublicKey,
        addresses: &[SocketAddr],
    ) -> Option<Connection> {
        let mut waiting = addresses.iter().take(ADDRESSES_MAX).copied();
        let mut calls: JoinSet<Option<(Socket, Connection)>> = JoinSet::new();
        let found = loop {
            if let Some(address) = waiting.next() {
                let (config, seed) = (config.clone(), seed.clone());
                calls.spawn(async move { attempt(&config, &seed, peer, address).await });
            }
            let next = match waiting.len() {
                0 => calls.join_next().await,
                _ => tokio::time::timeout(NEXT_AFTER, calls.join_next()).await.unwrap_or(Some(Ok(None))),
            };
            match next {
                Some(Ok(Some(found))) => break found,
                Some(_) => {}
                None if waiting.len() == 0 => return None,
                None => {}
            }
        };
        // The others end as they are dropped; who proved the key a moment later is told goodbye.
        tokio::spawn(async move {
            while let Some(late) = calls.join_next().await {
                if let Ok(Some((socket, _))) = late {
                    socket.close().await;
                }
            }
        });
        let (socket, connection) = found;
        self.keep(socket, connection.clone()).await.then_some(connection)
    }

    /// Keeps a socket until its connection is over. `false`: the service has stopped.
    async fn keep(&self, socket: Socket, connection: Connection) -> bool {
        let socket = Arc::new(socket);
        let is_over = {
            let mut state = self.state();
            if !state.over {
                state.open.push(socket.clone());
            }
            state.over
        };
        if is_over {
            socket.close().await;
            return false;
        }
        let detours = self.clone();
        tokio::spawn(async move {
            connection.closed().await;
            socket.close().await;
            let mut state = detours.state();
            state.traffic = state.traffic.plus(traffic_of(&socket.quic));
            state.open.retain(|open| !Arc::ptr_eq(open, &socket));
        });
        true
    }

    /// Tells everybody on these sockets that we go.
    pub(crate) async fn close(&self) {
        let open = {
            let mut state = self.state();
            state.over = true;
            state.open.clone()
        };
        futures_util::future::join_all(open.iter().map(|socket| socket.close())).await;
    }
}

/// A socket that calls and does not answer, under our key.
struct Socket {
    quic: iroh::Endpoint,
    _deaf: AbortOnDropHandle<()>,
}

impl Socket {
    async fn bind(config: &Config, seed: &[u8; 32]) -> Result<Self, NetError> {
        let (listen, address) = match config.listen {
            Listen::AllInterfaces { .. } => {
                (Listen::AllInterfaces { port: 0 }, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
            }
            Listen::Address(address) => {
                let address = SocketAddr::new(address.ip(), 0);
                (Listen::Address(address), address)
            }
        };
        let quiet = Config { listen, lan_discovery: false, relays: Vec::new(), ..config.clone() };
        let failed = |why: String| NetError::Listen { addr: address, reason: why };
        let quic = Box::pin(builder(&quiet, address, seed, &Heard::default())?.bind())
            .await
            .map_err(|why| failed(why.to_string()))?;
        let knocked_at = quic.clone();
        let deaf = tokio::spawn(async move {
            while let Some(incoming) = knocked_at.accept().await {
                incoming.ignore();
            }
        });
        Ok(Self { quic, _deaf: AbortOnDropHandle::new(deaf) })
    }

    async fn close(&self) {
        let _told_or_gone = tokio::time::timeout(CLOSE_WAIT, self.quic.close()).await;
    }
}

/// Calls one address from a socket of its own.
async fn attempt(
    config: &Config,
    seed: &[u8; 32],
    peer: PublicKey,
    address: SocketAddr,
) -> Option<(Socket, Connection)> {
    let socket = Socket::bind(config, seed).await.inspect_err(|why| tracing::debug!(%why, "no detour")).ok()?;
    let options = ConnectOptions::new().with_transport_config(quic_config(Side::Dialer));
    let connecting = async {
        let address = EndpointAddr::new(peer).with_ip_addr(address);
        let connecting = socket.quic.connect_with_opts(address, ALPN, options).await.map_err(|why| why.to_string())?;
        connecting.await.map_err(|why| why.to_string())
    };
    match tokio::time::timeout(ATTEMPT_TIMEOUT, Box::pin(connecting)).await {
        Ok(Ok(connection)) => Some((socket, connection)),
        failed => {
            tracing::debug!(?failed, "an address did not lead to the peer");
            socket.close().await;
            None
        }
    }
}
