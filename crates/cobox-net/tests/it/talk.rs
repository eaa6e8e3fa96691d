//! What two honest endpoints rely on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cobox_net::{CloseReason, Config, Connection, Endpoint, EndpointAddrs, Event, Listen, NetError, Rate, Rates};
use cobox_proto::id::{Cid, SigKey};
use cobox_proto::limits::{BLOCK_BYTES_MAX, FRAME_BYTES_BEFORE_AUTH_MAX, FRAME_BYTES_MAX};
use cobox_proto::sign::SecretKey;

use crate::{connect, endpoint, frame, soon, trusted};

/// A block of `len` bytes that differs from every other `n`.
fn block(n: u32, len: usize) -> Bytes {
    let mut bytes = vec![n as u8; len];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_whole_and_in_order_both_ways() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    assert_eq!((at_alice.remote_key(), at_bob.remote_key()), (bob.id(), alice.id()));
    assert_eq!(alice.id(), SecretKey::from_seed(&[1; 32]).public());
    assert!(at_alice.is_dialer() && !at_bob.is_dialer());
    // The accepting side may speak first.
    at_bob.send_frame(b"hello".to_vec()).await.unwrap();
    assert_eq!(frame(&at_alice).await, b"hello");
    for len in [1, 4, 1000, FRAME_BYTES_BEFORE_AUTH_MAX, FRAME_BYTES_MAX] {
        at_alice.send_frame(vec![7; len]).await.unwrap();
        assert_eq!(frame(&at_bob).await, vec![7; len]);
    }
    for n in 0..1000u32 {
        at_alice.send_frame(n.to_le_bytes().to_vec()).await.unwrap();
    }
    for n in 0..1000u32 {
        assert_eq!(frame(&at_bob).await, n.to_le_bytes());
    }
    let path = at_alice.path().unwrap();
    assert_eq!(path.address, bob.addrs().addrs.first().copied());
}

#[tokio::test]
async fn x13_the_exporter_is_equal_on_both_sides_and_new_for_every_connection() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = connect(&alice, &bob).await;
    let secret = at_alice.exporter(b"cobox v1 open", b"folder");
    assert_eq!(secret, at_bob.exporter(b"cobox v1 open", b"folder"));
    assert_ne!(secret, at_alice.exporter(b"cobox v1 open", b"another"));
    assert_ne!(secret, at_alice.exporter(b"cobox v1 claim", b"folder"));
    let (again, _at_bob) = connect(&alice, &bob).await;
    assert_ne!(secret, again.exporter(b"cobox v1 open", b"folder"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e8_many_blocks_arrive_intact_while_frames_keep_flowing() {
    const BLOCKS: u32 = 256;
    const LEN: usize = 256 << 10;
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    let started = Instant::now();
    let sender = at_alice.clone();
    let blocks = tokio::spawn(async move {
        for n in 0..BLOCKS {
            sender.send_block(n % 3, block(n, LEN)).await.unwrap();
        }
    });
    // Alice asks again as soon as she is answered, all through the transfer.
    let asker = at_alice.clone();
    let questions = tokio::spawn(async move {
        let mut worst = Duration::ZERO;
        for n in 0u32..200 {
            let asked = Instant::now();
            asker.send_frame(n.to_le_bytes().to_vec()).await.unwrap();
            assert_eq!(frame(&asker).await, n.to_le_bytes());
            worst = worst.max(asked.elapsed());
        }
        worst
    });
    let (mut seen, mut answered) = (vec![false; BLOCKS as usize], 0);
    let mut answered_before_last_block = 0;
    while answered < 200 || seen.contains(&false) {
        match soon(at_bob.next()).await {
            Event::Frame(question) => {
                at_bob.send_frame(question).await.unwrap();
                answered += 1;
                answered_before_last_block =
                    answered_before_last_block.max(answered * u32::from(seen.contains(&false)));
            }
            Event::Block { channel, cid, bytes } => {
                let n = u32::from_le_bytes(bytes[..4].try_into().unwrap());
                assert_eq!((channel, cid, &bytes), (n % 3, Cid::of(&bytes), &block(n, LEN)));
                assert!(!std::mem::replace(&mut seen[n as usize], true), "block {n} came twice");
            }
            Event::Closed { reason } => panic!("{reason}"),
        }
    }
    blocks.await.unwrap();
    let worst = questions.await.unwrap();
    assert!(answered_before_last_block > 10, "frames waited for the blocks: {answered_before_last_block}");
    let mib_per_second = f64::from(BLOCKS) / 4.0 / started.elapsed().as_secs_f64();
    println!("{mib_per_second:.0} MiB/s, slowest answer {worst:?}, {answered_before_last_block} answers meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_who_does_not_read_stops_the_sender_but_not_the_frames() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    // Bob takes nothing. Whatever Alice gets rid of lies in queues and windows.
    let mut sent = 0;
    let stuck = Duration::from_millis(700);
    while let Ok(queued) = tokio::time::timeout(stuck, at_alice.send_block(0, block(sent, 1 << 20))).await {
        queued.unwrap();
        sent += 1;
        assert!(sent < 60, "nothing holds the sender back");
    }
    // Frames pass all the same, and reach Bob before the blocks he has left lying.
    at_alice.send_frame(b"still here?".to_vec()).await.unwrap();
    let mut got = 0;
    loop {
        match soon(at_bob.next()).await {
            Event::Frame(question) => {
                assert_eq!(question, b"still here?");
                break;
            }
            Event::Block { .. } => got += 1,
            Event::Closed { reason } => panic!("{reason}"),
        }
    }
    assert!(got < sent, "the frame waited for all blocks");
    // A lagging reader keeps its connection and gets everything in the end.
    while got < sent {
        assert!(matches!(soon(at_bob.next()).await, Event::Block { .. }));
        got += 1;
    }
}

/// Sends two seconds' worth of blocks, and asks meanwhile; how long the blocks took, and how many answers came before the last.
async fn two_seconds_of_blocks(at_alice: &Connection, at_bob: &Connection, rate: u64) -> (Duration, u32) {
    const BLOCKS: u32 = 8;
    let len = (2 * rate) as usize / BLOCKS as usize;
    let (begun, sender) = (Instant::now(), at_alice.clone());
    let blocks = tokio::spawn(async move {
        for n in 0..BLOCKS {
            sender.send_block(0, block(n, len)).await.unwrap();
        }
    });
    let (mut left, mut answers) = (BLOCKS, 0);
    at_alice.send_frame(b"?".to_vec()).await.unwrap();
    while left > 0 {
        match soon(at_bob.next()).await {
            Event::Frame(question) => {
                at_bob.send_frame(question).await.unwrap();
                answers += 1;
                at_alice.send_frame(frame(at_alice).await).await.unwrap();
            }
            Event::Block { cid, bytes, .. } => {
                assert_eq!((cid, bytes.len()), (Cid::of(&bytes), len));
                left -= 1;
            }
            Event::Closed { reason } => panic!("{reason}"),
        }
    }
    blocks.await.unwrap();
    (begun.elapsed(), answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n10_blocks_keep_to_the_rate_of_either_side_and_frames_do_not_wait() {
    const RATE: u64 = 1_500_000;
    let limited = Rate::BytesPerSecond(RATE);
    for (alices, bobs) in [
        (Rates { send: limited, on_lan: true, ..Rates::default() }, Rates::default()),
        (Rates::default(), Rates { receive: limited, on_lan: true, ..Rates::default() }),
    ] {
        let (alice, bob) = (endpoint(1).await, endpoint(2).await);
        alice.set_rates(alices);
        bob.set_rates(bobs);
        let (at_alice, at_bob) = trusted(&alice, &bob).await;
        let (took, answers) = two_seconds_of_blocks(&at_alice, &at_bob, RATE).await;
        assert!(took >= Duration::from_millis(1_900), "{took:?} with {alices:?}, {bobs:?}");
        assert!(answers > 20, "frames waited for the blocks: {answers} with {alices:?}, {bobs:?}");
        // From now on as fast as it goes, over more streams than one again.
        alice.set_rates(Rates::default());
        bob.set_rates(Rates::default());
        let (took, _) = two_seconds_of_blocks(&at_alice, &at_bob, RATE).await;
        assert!(took < Duration::from_millis(1_900), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n10_a_pause_holds_blocks_back_until_it_ends_and_a_neighbour_is_left_out() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let paused = Rates { send: Rate::Paused, receive: Rate::Paused, on_lan: false };
    alice.set_rates(paused);
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    at_alice.send_block(0, block(1, 1000)).await.unwrap();
    assert!(matches!(soon(at_bob.next()).await, Event::Block { .. }), "Bob is a neighbour");
    alice.set_rates(Rates { on_lan: true, ..paused });
    at_alice.send_block(0, block(2, 1000)).await.unwrap();
    at_alice.send_frame(b"still here".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"still here");
    let early = tokio::time::timeout(Duration::from_millis(300), at_bob.next()).await;
    assert!(early.is_err(), "{early:?}");
    alice.set_rates(Rates::default());
    assert!(matches!(soon(at_bob.next()).await, Event::Block { .. }));
    // Who waits at a pause learns that the other is gone.
    alice.set_rates(Rates { on_lan: true, ..paused });
    at_alice.send_block(0, block(3, 1000)).await.unwrap();
    at_bob.close("enough");
    assert!(matches!(soon(at_alice.closed()).await, CloseReason::ByPeer(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_wait_until_the_receiver_vouches_for_the_sender() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = connect(&alice, &bob).await;
    at_alice.send_block(5, block(1, 1000)).await.unwrap();
    at_alice.send_frame(b"my proof".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"my proof");
    // A large frame behind the proof waits for the verdict instead of breaking the connection.
    at_alice.send_frame(vec![1; FRAME_BYTES_MAX]).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), at_bob.next()).await;
    assert!(early.is_err(), "nothing large may come before the verdict: {early:?}");
    at_bob.set_authenticated();
    let mut events = [soon(at_bob.next()).await, soon(at_bob.next()).await];
    events.sort_by_key(|event| matches!(event, Event::Frame(_)));
    assert!(matches!(&events[0], Event::Block { channel: 5, bytes, .. } if *bytes == block(1, 1000)));
    assert_eq!(events[1], Event::Frame(vec![1; FRAME_BYTES_MAX]));
}

#[tokio::test]
async fn g3_a_silent_peer_is_closed_and_both_sides_know_why() {
    let config = Config { auth_timeout: Duration::from_millis(200), ..Config::loopback() };
    let bob = Endpoint::bind(config, &[2; 32]).await.unwrap();
    let alice = endpoint(1).await;
    let (at_alice, at_bob) = connect(&alice, &bob).await;
    assert_eq!(soon(at_bob.next()).await, Event::Closed { reason: CloseReason::NoProof });
    let told = soon(at_alice.closed()).await;
    assert_eq!(told, CloseReason::ByPeer("no proof in time".into()));
    let refused = at_alice.send_frame(b"hello?".to_vec()).await;
    assert!(matches!(refused, Ok(()) | Err(NetError::Closed(CloseReason::ByPeer(_)))), "{refused:?}");
}

#[tokio::test]
async fn n2_last_words_arrive_before_the_close() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, at_bob) = connect(&alice, &bob).await;
    at_bob.send_frame(b"no such folder".to_vec()).await.unwrap();
    at_bob.close_when_sent("refused").await;
    assert_eq!(frame(&at_alice).await, b"no such folder");
    let end = Event::Closed { reason: CloseReason::ByPeer("refused".into()) };
    assert_eq!(soon(at_alice.next()).await, end);
    assert_eq!(soon(at_alice.next()).await, end);
    assert_eq!(soon(at_bob.next()).await, Event::Closed { reason: CloseReason::ByUs("refused".into()) });
}

#[tokio::test]
async fn n7_peers_meet_again_after_every_cut_and_a_dropped_connection_is_closed() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    for round in 0..20u8 {
        let (at_alice, at_bob) = trusted(&alice, &bob).await;
        at_alice.send_frame(vec![round]).await.unwrap();
        assert_eq!(frame(&at_bob).await, [round]);
        match round % 3 {
            0 => drop(at_alice),
            1 => at_alice.close("cut"),
            _ => at_bob.close("cut"),
        }
        soon(at_bob.closed()).await;
    }
}

#[tokio::test]
async fn n4_a_restarted_peer_is_found_at_its_old_address() {
    let alice = endpoint(1).await;
    let bob = endpoint(2).await;
    let (before, port) = (bob.addrs(), bob.port());
    let (at_alice, _at_bob) = trusted(&alice, &bob).await;
    bob.close().await;
    soon(at_alice.closed()).await;
    assert!(soon(bob.accept()).await.is_none());
    assert!(matches!(bob.dial(&alice.addrs()).await, Err(NetError::Shutdown)));
    drop((bob, _at_bob));
    let listen = Listen::Address(([127, 0, 0, 1], port).into());
    let bob = Endpoint::bind(Config { listen, ..Config::loopback() }, &[2; 32]).await.unwrap();
    assert_eq!(bob.addrs(), before);
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    at_alice.send_frame(b"back".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"back");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let bob = endpoint(2).await;
    let listen = Listen::Address(([127, 0, 0, 1], bob.port()).into());
    let error = Endpoint::bind(Config { listen, ..Config::loopback() }, &[3; 32]).await.unwrap_err();
    assert!(error.to_string().contains(&bob.port().to_string()) && error.to_string().contains("--listen"), "{error}");
}

#[tokio::test]
async fn an_endpoint_on_all_interfaces_lists_loopback_last_and_answers_there() {
    let bob = Endpoint::bind(Config::default(), &[2; 32]).await.unwrap();
    let addrs = bob.addrs();
    let loopback = addrs.addrs.iter().position(|addr| addr.ip().is_loopback()).unwrap();
    assert!(addrs.addrs[loopback..].iter().all(|addr| addr.ip().is_loopback()), "{addrs:?}");
    assert!(addrs.addrs.iter().all(|addr| addr.port() == bob.port()), "{addrs:?}");
    let alice = Endpoint::bind(Config::default(), &[1; 32]).await.unwrap();
    let (at_alice, at_bob) = trusted(&alice, &bob).await;
    at_alice.send_frame(b"hi".to_vec()).await.unwrap();
    assert_eq!(frame(&at_bob).await, b"hi");
}

#[tokio::test]
async fn what_is_too_large_or_no_key_is_refused_before_it_is_sent() {
    let (alice, bob) = (endpoint(1).await, endpoint(2).await);
    let (at_alice, _at_bob) = connect(&alice, &bob).await;
    assert!(matches!(at_alice.send_frame(vec![0; FRAME_BYTES_MAX + 1]).await, Err(NetError::TooLarge { .. })));
    let large = Bytes::from(vec![0; BLOCK_BYTES_MAX + 1]);
    assert!(matches!(at_alice.send_block(0, large).await, Err(NetError::TooLarge { .. })));
    assert!(matches!(at_alice.send_block(0, Bytes::new()).await, Err(NetError::TooLarge { .. })));
    let nobody = EndpointAddrs { key: SigKey([2; 32]), addrs: bob.addrs().addrs, relays: vec![] };
    assert!(matches!(alice.dial(&nobody).await, Err(NetError::BadKey { .. } | NetError::Unreachable { .. })));
    let relays = vec!["not a url".into()];
    let error = alice.dial(&EndpointAddrs { relays, ..bob.addrs() }).await.unwrap_err();
    assert!(matches!(error, NetError::BadRelay { .. }), "{error}");
}

#[tokio::test]
async fn g6_somebody_else_at_the_peers_address_is_not_the_peer() {
    let (alice, mallory) = (endpoint(1).await, endpoint(3).await);
    let bob = SecretKey::from_seed(&[2; 32]).public();
    let lie = EndpointAddrs { key: bob, ..mallory.addrs() };
    let error = alice.dial(&lie).await.unwrap_err();
    assert!(matches!(error, NetError::Unreachable { .. }), "{error}");
}

fn _connections_are_shared_between_tasks(connection: Connection) -> impl Clone + Send + Sync {
    connection
}

#[tokio::test]
#[ignore = "needs a network interface with multicast"]
async fn n4_peers_on_one_lan_find_each_other_by_key_alone() {
    let config = || Config { lan_discovery: true, ..Config::default() };
    let bob = Endpoint::bind(config(), &[2; 32]).await.unwrap();
    let alice = Endpoint::bind(config(), &[1; 32]).await.unwrap();
    let key_alone = EndpointAddrs { key: bob.id(), addrs: vec![], relays: vec![] };
    assert_eq!(alice.dial(&key_alone).await.unwrap().remote_key(), bob.id());
}
