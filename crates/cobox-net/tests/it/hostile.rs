//! Mallory speaks QUIC and our protocol name, but keeps no rule.

use std::net::UdpSocket;
use std::time::Duration;

use cobox_net::{ALPN, CloseReason, Config, Connection, Endpoint, EndpointAddrs, Event, NetError};
use cobox_proto::limits::{BLOCK_BYTES_MAX, FRAME_BYTES_BEFORE_AUTH_MAX, FRAME_BYTES_MAX};
use iroh::EndpointAddr;
use iroh::endpoint::presets;

use crate::{connect, endpoint, frame, soon, trusted};

/// A connection of Mallory's, raw on her side.
async fn mallory(bob: &Endpoint) -> (iroh::Endpoint, iroh::endpoint::Connection, Connection) {
    let raw = iroh::Endpoint::bind(presets::Minimal).await.unwrap();
    let id = iroh::PublicKey::from_bytes(&bob.id().0).unwrap();
    let addr = bob.addrs().addrs.iter().fold(EndpointAddr::new(id), |addr, socket| addr.with_ip_addr(*socket));
    let (hers, at_bob) = tokio::join!(raw.connect(addr, ALPN), bob.accept());
    (raw, hers.unwrap(), at_bob.unwrap())
}

fn frame_head(len: usize) -> [u8; 4] {
    (len as u32).to_le_bytes()
}

async fn violation(at_bob: &Connection) -> String {
    loop {
        match soon(at_bob.next()).await {
            Event::Closed { reason: CloseReason::Violation(what) } => return what,
            Event::Closed { reason } => panic!("closed, but as {reason:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn g2_a_large_first_frame_closes_before_a_byte_of_it_is_read() {
    let bob = endpoint(2).await;
    let (_raw, hers, at_bob) = mallory(&bob).await;
    let (mut send, _recv) = hers.open_bi().await.unwrap();
    send.write_all(&frame_head(FRAME_BYTES_BEFORE_AUTH_MAX + 1)).await.unwrap();
    assert!(violation(&at_bob).await.contains("16385"));
    let told = soon(hers.closed()).await.to_string();
    assert!(told.contains("first frame"), "{told}");
}

#[tokio::test]
async fn i3_hostile_lengths_close_even_when_trusted() {
    for len in [FRAME_BYTES_MAX + 1, u32::MAX as usize] {
        let bob = endpoint(2).await;
        let (_raw, hers, at_bob) = mallory(&bob).await;
        at_bob.set_authenticated();
        let (mut send, _recv) = hers.open_bi().await.unwrap();
        send.write_all(&frame_head(len)).await.unwrap();
        assert!(violation(&at_bob).await.contains("frame"));
    }
    for len in [0, BLOCK_BYTES_MAX + 1, u32::MAX as usize] {
        let bob = endpoint(2).await;
        let (_raw, hers, at_bob) = mallory(&bob).await;
        at_bob.set_authenticated();
        let mut send = hers.open_uni().await.unwrap();
        send.write_all(&[0; 4]).await.unwrap();
        send.write_all(&frame_head(len)).await.unwrap();
        assert!(violation(&at_bob).await.contains("block"));
    }
}

#[tokio::test]
async fn n2_a_stream_cut_inside_a_frame_or_block_is_no_frame_and_no_block() {
    let bob = endpoint(2).await;
    let (_raw, hers, at_bob) = mallory(&bob).await;
    at_bob.set_authenticated();
    let (mut send, _recv) = hers.open_bi().await.unwrap();
    send.write_all(&[5, 0, 0, 0, b'h', b'a']).await.unwrap();
    send.finish().unwrap();
    assert!(violation(&at_bob).await.contains("cut"));

    let (_raw, hers, at_bob) = mallory(&bob).await;
    at_bob.set_authenticated();
    let mut send = hers.open_uni().await.unwrap();
    send.write_all(&[1, 0, 0, 0, 9, 0, 0, 0, b'b']).await.unwrap();
    send.finish().unwrap();
    assert!(violation(&at_bob).await.contains("cut"));
}

#[tokio::test]
async fn g2_a_stranger_can_open_neither_block_streams_nor_a_second_control_stream() {
    let bob = endpoint(2).await;
    let (_raw, hers, _at_bob) = mallory(&bob).await;
    let patience = Duration::from_millis(200);
    assert!(tokio::time::timeout(patience, hers.open_uni()).await.is_err());
    let (mut first, _recv) = hers.open_bi().await.unwrap();
    first.write_all(&frame_head(0)).await.unwrap();
    assert!(tokio::time::timeout(patience, hers.open_bi()).await.is_err());
}

#[tokio::test]
async fn g2_a_stranger_can_make_us_hold_little() {
    let bob = endpoint(2).await;
    let (_raw, hers, at_bob) = mallory(&bob).await;
    let (mut send, _recv) = hers.open_bi().await.unwrap();
    // Small frames that nobody takes, then as much as the windows let through.
    let mut written = 0;
    let small = [frame_head(1000).as_slice(), &[7; 1000]].concat();
    while let Ok(done) = tokio::time::timeout(Duration::from_millis(300), send.write_all(&small)).await {
        done.unwrap();
        written += small.len();
        assert!(written < 4 << 20, "a stranger filled {written} bytes");
    }
    assert_eq!(frame(&at_bob).await, [7; 1000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_junk_and_foreign_protocols_do_not_disturb_members() {
    let bob = endpoint(2).await;
    let alice = endpoint(1).await;
    let addr = bob.addrs().addrs[0];
    let junk = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..2000usize {
        let bytes: Vec<u8> = (0..n % 1400).map(|i| (i * 31 + n * 17) as u8).collect();
        junk.send_to(&bytes, addr).unwrap();
    }
    let foreign = iroh::Endpoint::bind(presets::Minimal).await.unwrap();
    let id = iroh::PublicKey::from_bytes(&bob.id().0).unwrap();
    assert!(soon(foreign.connect(EndpointAddr::new(id).with_ip_addr(addr), b"other/1")).await.is_err());
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    at_alice.send_frame(b"all well".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"all well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_crowd_of_silent_strangers_is_capped_and_its_places_come_back() {
    /// As many as one source may have.
    const CROWD: usize = 64;
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    let raw = iroh::Endpoint::bind(presets::Minimal).await.unwrap();
    let id = iroh::PublicKey::from_bytes(&bob.id().0).unwrap();
    let addr = EndpointAddr::new(id).with_ip_addr(bob.addrs().addrs[0]);
    let (mut crowd, mut at_the_door) = (Vec::new(), Vec::new());
    for _ in 0..CROWD {
        let (hers, his) = tokio::join!(raw.connect(addr.clone(), ALPN), bob.accept());
        crowd.push(hers.unwrap());
        at_the_door.push(his);
    }
    let one_more = tokio::time::timeout(Duration::from_millis(300), raw.connect(addr.clone(), ALPN)).await;
    assert!(one_more.is_err(), "the door let one more in");
    at_alice.send_frame(b"all well".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"all well");
    crowd.pop().unwrap().close(0u8.into(), b"");
    assert!(soon(raw.connect(addr, ALPN)).await.is_ok());
}

#[tokio::test]
async fn unlike_strangers_a_peer_with_proof_outlives_the_deadline() {
    let config = || Config { auth_timeout: Duration::from_millis(100), ..Config::loopback() };
    let bob = Endpoint::bind(config(), &[2; 32]).await.unwrap();
    let alice = Endpoint::bind(config(), &[1; 32]).await.unwrap();
    let (at_alice, at_bob) = connect(&alice, &bob).await;
    at_alice.set_authenticated();
    at_bob.set_authenticated();
    assert!(tokio::time::timeout(Duration::from_millis(400), at_bob.closed()).await.is_err());
    at_alice.send_frame(b"still here".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"still here");
}

/// An address of Bob's is Mallory's, who answers there with a key of her own, and the more quickly. Alice is told of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g6_a_false_address_beside_the_true_one_keeps_nobody_from_calling() {
    let (bob, mallory) = (endpoint(2).await, endpoint(3).await);
    let [false_address, true_address] = [&mallory, &bob].map(|endpoint| endpoint.addrs().addrs[0]);
    for round in 0..12 {
        let alice = endpoint(100 + round).await;
        // One more leads nowhere.
        let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addrs = vec![false_address, nowhere.local_addr().unwrap(), true_address];
        let addrs = EndpointAddrs { key: bob.id(), addrs, relays: Vec::new() };
        let (dialed, accepted) = tokio::join!(soon(alice.dial(&addrs)), soon(bob.accept()));
        let (at_alice, at_bob) = (dialed.unwrap(), accepted.unwrap());
        assert_eq!(
            (at_alice.remote_key(), at_bob.remote_key()),
            (bob.id(), alice.id()),
            "nobody else is taken for Bob"
        );
        at_alice.set_authenticated();
        at_bob.set_authenticated();
        at_alice.send_frame(b"are you Bob?".to_vec()).await.unwrap();
        assert_eq!(frame(&at_bob).await, b"are you Bob?");
        soon(alice.close()).await;
        assert!(matches!(soon(at_bob.next()).await, Event::Closed { reason: CloseReason::ByPeer(_) }), "he is told");
    }
}

#[tokio::test]
async fn g6_where_all_addresses_are_false_nobody_is_reached_and_nothing_hangs() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let others = [endpoint(3).await, endpoint(4).await];
    let addrs = others.iter().map(|endpoint| endpoint.addrs().addrs[0]).collect();
    let addrs = EndpointAddrs { key: bob.id(), addrs, relays: Vec::new() };
    let reached = soon(alice.dial(&addrs)).await;
    assert!(matches!(reached, Err(NetError::Unreachable { .. })), "{reached:?}");
}
