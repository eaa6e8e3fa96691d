//! A peer far away, over a bad line. The line is a forwarder that delays every datagram and drops some. Alice speaks IPv4 and
//! Bob IPv6 only, or they would find the short way between them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cobox_net::{Config, Endpoint, EndpointAddrs, Event, Listen};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::{endpoint, soon};

const DELAY: Duration = Duration::from_millis(12);
/// One datagram of so many is lost, each way.
const LOSS: usize = 100;

/// Moves datagrams from one socket to `to` through the other, late and not all of them. Tells who sends them.
fn forward(
    from: Arc<UdpSocket>,
    through: Arc<UdpSocket>,
    to: Arc<OnceLock<SocketAddr>>,
    sender: Arc<OnceLock<SocketAddr>>,
) {
    let (on_the_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        for n in 1usize.. {
            let Ok((len, from)) = from.recv_from(&mut buffer).await else { return };
            sender.get_or_init(|| from);
            let lost = n.is_multiple_of(LOSS);
            if !lost && on_the_way.send((Instant::now() + DELAY, buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((arrival, datagram)) = arriving.recv().await {
            tokio::time::sleep_until(arrival.into()).await;
            let Some(to) = to.get() else { continue };
            // A datagram that cannot be sent is one more that is lost.
            let _ = through.send_to(&datagram, to).await;
        }
    });
}

/// An address that leads to `bob` by the bad line.
async fn bad_line(bob: SocketAddr) -> SocketAddr {
    let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let far = Arc::new(UdpSocket::bind("[::1]:0").await.unwrap());
    let (alice, bob) = (Arc::default(), Arc::new(OnceLock::from(bob)));
    forward(near.clone(), far.clone(), bob.clone(), Arc::clone(&alice));
    forward(far, near.clone(), alice, bob);
    near.local_addr().unwrap()
}

/// Cubic alone would move less than 1 MB/s here and never be done in time. A machine that has other things to do may be late as well, but not
/// each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n1_blocks_come_fast_over_a_long_line_that_loses_packets() {
    const BLOCKS: usize = 160;
    const LEN: usize = 256 << 10;
    const ENOUGH: Duration = Duration::from_secs(30);
    const TRIES: usize = 3;
    let listen = Listen::Address("[::1]:0".parse().unwrap());
    let Ok(bob) = Endpoint::bind(Config { listen, ..Config::default() }, &[2; 32]).await else {
        eprintln!("no IPv6 on this machine: nothing was tested");
        return;
    };
    let alice = endpoint(1).await;
    let line = bad_line(bob.addrs().addrs[0]).await;
    let addrs = EndpointAddrs { addrs: vec![line], ..bob.addrs() };
    let (at_alice, at_bob) = tokio::join!(alice.dial(&addrs), bob.accept());
    let (at_alice, at_bob) = (at_alice.unwrap(), at_bob.unwrap());
    at_alice.set_authenticated();
    at_bob.set_authenticated();
    let path = at_alice.path().unwrap();
    assert!(path.rtt >= 2 * DELAY && path.address == Some(line), "{path:?}");
    for _ in 0..TRIES {
        let sender = at_alice.clone();
        tokio::spawn(async move {
            for _ in 0..BLOCKS {
                sender.send_block(0, Bytes::from(vec![7; LEN])).await.unwrap();
            }
        });
        let started = Instant::now();
        for _ in 0..BLOCKS {
            assert!(matches!(soon(at_bob.next()).await, Event::Block { .. }));
        }
        let took = started.elapsed();
        println!("{:.1} MB/s", (BLOCKS * LEN) as f64 / 1e6 / took.as_secs_f64());
        if took < ENOUGH {
            return;
        }
    }
    panic!("{} MB took longer than {ENOUGH:?}, {TRIES} times", BLOCKS * LEN / 1_000_000);
}
