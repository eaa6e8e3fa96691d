//! What can go wrong on the way to a peer, said so that a person knows what to do next.

use std::net::SocketAddr;

use crate::connection::CloseReason;

/// Why an endpoint could not listen, or a peer could not be reached or written to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    /// Somebody else listens there.
    #[error("UDP port {} on {} is taken by another program; stop it or choose another address with --listen", .addr.port(), .addr.ip())]
    PortTaken {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// The operating system does not let us listen there.
    #[error("cannot listen on {addr}: {reason}; choose another address with --listen")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// A relay address that does not parse.
    #[error("`{relay}` is not the address of a relay (expected https://host)")]
    BadRelay {
        /// The text.
        relay: String,
    },
    /// A key that is no point of the curve.
    #[error("{key} is no valid device or seeder key")]
    BadKey {
        /// The key, short.
        key: String,
    },
    /// Nobody answered at any address.
    #[error("{key} did not answer: {reason}")]
    Unreachable {
        /// The peer's key, short.
        key: String,
        /// What the last attempt said.
        reason: String,
    },
    /// The connection is over.
    #[error("the connection is closed: {0}")]
    Closed(CloseReason),
    /// A frame or block larger than the other side accepts.
    #[error("{what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Frame or block.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The local network can not be asked.
    #[error("the local network can not be looked through: {reason}")]
    NoLan {
        /// What the system said.
        reason: String,
    },
    /// This service was shut down.
    #[error("the network is shut down")]
    Shutdown,
}
