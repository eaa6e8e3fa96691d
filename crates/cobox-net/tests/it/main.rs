//! Two endpoints on loopback, and strangers who speak the transport but not the protocol.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, helpers included")]

mod far;
mod hostile;
mod meeting;
mod talk;

use std::sync::Arc;
use std::time::Duration;

use cobox_net::{Config, Connection, Endpoint, Event};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// An endpoint only this machine reaches. A deadline for proofs far above what a loaded machine needs.
async fn endpoint(seed: u8) -> Arc<Endpoint> {
    let config = Config { auth_timeout: PATIENCE, ..Config::loopback() };
    Arc::new(Endpoint::bind(config, &[seed; 32]).await.unwrap())
}

/// Alice's side and Bob's side of one connection that Alice dialed.
async fn connect(alice: &Endpoint, bob: &Endpoint) -> (Connection, Connection) {
    let addrs = bob.addrs();
    let (dialed, accepted) = tokio::join!(alice.dial(&addrs), bob.accept());
    (dialed.unwrap(), accepted.unwrap())
}

/// The same, with both sides satisfied about each other.
async fn trusted(alice: &Endpoint, bob: &Endpoint) -> (Connection, Connection) {
    let (at_alice, at_bob) = connect(alice, bob).await;
    at_alice.set_authenticated();
    at_bob.set_authenticated();
    (at_alice, at_bob)
}

async fn frame(connection: &Connection) -> Vec<u8> {
    match soon(connection.next()).await {
        Event::Frame(frame) => frame,
        other => panic!("expected a frame, got {other:?}"),
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this should not take so long")
}
