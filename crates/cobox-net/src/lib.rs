//! Connections between devices and seeders, by public key, over QUIC (iroh). Blind: it moves frames and sealed blocks and
//! knows neither folders nor members.
//!
//! What runs: one [`Endpoint`] per service owns the UDP socket and one task that admits incoming connections. Each
//! [`Connection`] owns a task per stream; they end with the connection. Everything runs on the caller's tokio runtime; a
//! current-thread runtime for the network is 15-20 % faster than a shared one.
//!
//! What must hold:
//! * nothing is sent to anybody but the addresses given, the relays configured and, if asked for, the local network;
//! * every queue is bounded in bytes, so a consumer that stops reading stops its peer and nobody else;
//! * before the caller vouches for a peer ([`Connection::set_authenticated`]) it may send small frames only, no block, and
//!   has a few seconds.
//!
//! What shutdown loses: frames and blocks that are queued or in flight. Whoever needs them to arrive waits for
//! [`Connection::close_when_sent`].

mod admission;
mod congestion;
mod connection;
mod detour;
mod endpoint;
mod error;
mod frame;
mod lan;
mod local;
mod post;
mod pump;
mod queue;
mod throttle;
mod transport;

pub use connection::{CloseReason, Connection, Event, Path};
pub use endpoint::{Config, Endpoint, EndpointAddrs, Listen, Traffic};
pub use error::NetError;
pub use post::{Knock, Post};
pub use pump::{Admitted, Answer, FolderEvent, Host, INBOX_MAX, Inbox, Opened, Opener, Pass, Peer, drive, end_inbox};
pub use throttle::{Rate, Rates};

/// Whether this can be the address of a relay.
pub fn is_relay(text: &str) -> bool {
    transport::relay_url(text).is_ok()
}

/// The protocol name both sides must agree on; the version is part of it.
pub const ALPN: &[u8] = b"cobox/1";
