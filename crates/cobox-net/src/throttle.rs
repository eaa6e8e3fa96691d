//! How fast contents go out and come in, with all peers together. Blocks wait at a gate before each piece of theirs is written or read;
//! frames never wait, and what they take is counted. So small messages are as quick as ever, and what is over the rate is made up for by
//! the blocks.
//!
//! Owns the rates and, for each direction, how far what has passed lies ahead of its time; no bytes.
//! What must hold: over any stretch of time no more blocks pass than the rate allows, a credit of [`CREDIT_NS`] and one piece apart; who
//! waits is served in turn; another rate holds at once, also for who waits already.
//! What it does not know: what the transport adds around contents (some percent), and when rates change: that is the caller's.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Bytes that pass a gate at once.
pub(crate) const PIECE_BYTES: usize = 16 << 10;
/// What was not used for so long is not made up for later: a rate is a rate, not a budget.
const CREDIT_NS: u64 = 50_000_000;

/// How fast blocks may go in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rate {
    /// As fast as they can.
    #[default]
    Unlimited,
    /// So many bytes a second; 0 is taken as 1.
    BytesPerSecond(u64),
    /// Not at all.
    Paused,
}

/// The rates of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Of what is sent.
    pub send: Rate,
    /// Of what is received. The peer is held back by credit that is granted late: what it may send ahead on its streams comes at once.
    pub receive: Rate,
    /// Whether they hold for peers in the local network and on this machine too.
    pub on_lan: bool,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
}

/// See the module. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Throttle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rates: watch::Sender<Rates>,
    send: Gate,
    receive: Gate,
    begun: Instant,
}

#[derive(Debug, Default)]
struct Gate {
    /// Held by who is next: first come, first served.
    turn: tokio::sync::Mutex<()>,
    flow: Mutex<Flow>,
}

impl Throttle {
    /// One without any limit.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            rates: watch::Sender::new(Rates::default()),
            send: Gate::default(),
            receive: Gate::default(),
            begun: Instant::now(),
        }))
    }

    /// These rates from now on.
    pub(crate) fn set(&self, rates: Rates) {
        self.0.rates.send_if_modified(|now| {
            let is_news = *now != rates;
            *now = rates;
            is_news
        });
    }

    /// Tells of other rates.
    pub(crate) fn changes(&self) -> watch::Receiver<Rates> {
        self.0.rates.subscribe()
    }

    /// The rate for a peer at this address; `None`: a relay stands between.
    pub(crate) fn rate(&self, direction: Direction, peer: Option<SocketAddr>) -> Rate {
        let rates = *self.0.rates.borrow();
        if !rates.on_lan && peer.is_some_and(|peer| is_on_lan(peer.ip())) {
            return Rate::Unlimited;
        }
        match direction {
            Direction::Send => rates.send,
            Direction::Receive => rates.receive,
        }
    }

    /// Whether there is any limit in this direction for anybody: what is asked before anything that costs.
    pub(crate) fn is_idle(&self, direction: Direction) -> bool {
        let rates = self.0.rates.borrow();
        let rate = match direction {
            Direction::Send => rates.send,
            Direction::Receive => rates.receive,
        };
        rate == Rate::Unlimited
    }

    /// Waits until so many bytes of a block may pass. Cancel safe: what did not wait to the end passed nothing.
    pub(crate) async fn pass(&self, direction: Direction, peer: Option<SocketAddr>, bytes: usize) {
        if self.rate(direction, peer) == Rate::Unlimited {
            return;
        }
        let gate = self.gate(direction);
        let _turn = gate.turn.lock().await;
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let wait = match self.rate(direction, peer) {
                Rate::Unlimited => return,
                Rate::BytesPerSecond(rate) => match gate.flow().take(self.now_ns(), rate, bytes) {
                    Ok(()) => return,
                    Err(wait_ns) => Some(Duration::from_nanos(wait_ns)),
                },
                Rate::Paused => None,
            };
            let over = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            // The sender lives as long as this does.
            tokio::select! {
                () = over => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// So many bytes go without waiting; what waits makes up for them.
    pub(crate) fn count(&self, direction: Direction, peer: Option<SocketAddr>, bytes: usize) {
        if let Rate::BytesPerSecond(rate) = self.rate(direction, peer) {
            self.gate(direction).flow().count(self.now_ns(), rate, bytes);
        }
    }

    fn gate(&self, direction: Direction) -> &Gate {
        match direction {
            Direction::Send => &self.0.send,
            Direction::Receive => &self.0.receive,
        }
    }

    fn now_ns(&self) -> u64 {
        self.0.begun.elapsed().as_nanos() as u64
    }
}

impl Gate {
    fn flow(&self) -> std::sync::MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bucket of tokens, kept as a time: when all that has passed would have passed at the rate. Pure.
#[derive(Debug, Default)]
struct Flow {
    rate: u64,
    passed_ns: u64,
}

impl Flow {
    /// Lets bytes pass, or says how long to wait first, in nanoseconds.
    fn take(&mut self, now_ns: u64, rate: u64, bytes: usize) -> Result<(), u64> {
        self.settle(now_ns, rate);
        if self.passed_ns > now_ns {
            return Err(self.passed_ns - now_ns);
        }
        self.count(now_ns, rate, bytes);
        Ok(())
    }

    fn count(&mut self, now_ns: u64, rate: u64, bytes: usize) {
        self.settle(now_ns, rate);
        let cost_ns = (bytes as u128) * 1_000_000_000 / u128::from(rate.max(1));
        self.passed_ns = self.passed_ns.saturating_add(u64::try_from(cost_ns).unwrap_or(u64::MAX));
    }

    /// Credit is bounded, and what was owed at another rate is owed no more.
    fn settle(&mut self, now_ns: u64, rate: u64) {
        if self.rate != rate {
            (self.rate, self.passed_ns) = (rate, now_ns);
        }
        self.passed_ns = self.passed_ns.max(now_ns.saturating_sub(CREDIT_NS));
    }
}

/// Whether an address is one of those that only a local network or this machine has (RFC 1918, 3927, 4193, 4291).
fn is_on_lan(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_on_lan(IpAddr::V4(v4)),
            None => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Bytes that pass until a time when somebody always wants a piece to.
    fn passes(flow: &mut Flow, from_ns: u64, until_ns: u64, rate: u64) -> u64 {
        let (mut now_ns, mut bytes) = (from_ns, 0);
        while now_ns < until_ns {
            match flow.take(now_ns, rate, PIECE_BYTES) {
                Ok(()) => bytes += PIECE_BYTES as u64,
                Err(wait_ns) => now_ns += wait_ns,
            }
        }
        bytes
    }

    #[test]
    fn n10_what_passes_is_the_rate_and_no_more_at_any_rate() {
        for rate in [1_000, 20_000, 1_000_000, 250_000_000, 4_000_000_000] {
            let bytes = passes(&mut Flow::default(), 7 * SECOND_NS, 17 * SECOND_NS, rate);
            let most = 10 * rate + rate / 20 + PIECE_BYTES as u64;
            assert!(bytes <= most, "{bytes} of {most} at {rate}");
            assert!(bytes >= 10 * rate, "{bytes} at {rate}");
        }
    }

    #[test]
    fn n10_a_pause_gives_no_right_to_a_burst() {
        let (rate, mut flow) = (1_000_000, Flow::default());
        passes(&mut flow, 0, SECOND_NS, rate);
        let after = passes(&mut flow, 3_600 * SECOND_NS, 3_601 * SECOND_NS, rate);
        assert!(after <= rate + rate / 20 + PIECE_BYTES as u64, "{after}");
    }

    #[test]
    fn n10_frames_do_not_wait_and_blocks_make_up_for_them() {
        let (rate, mut flow) = (100_000, Flow::default());
        flow.count(0, rate, 200_000);
        assert_eq!(flow.take(0, rate, PIECE_BYTES), Err(2 * SECOND_NS));
        // Another rate forgets what was owed at the old one.
        assert_eq!(flow.take(0, 2 * rate, PIECE_BYTES), Ok(()));
    }

    #[tokio::test]
    async fn n10_another_rate_holds_at_once_for_who_waits_already() {
        let throttle = Throttle::new();
        let far = Some(SocketAddr::from(([203, 0, 113, 7], 7)));
        assert!(throttle.pass(Direction::Send, far, 1 << 20).now_or_never().is_some());
        throttle.set(Rates { send: Rate::Paused, receive: Rate::BytesPerSecond(1), on_lan: false });
        let waiting = tokio::spawn({
            let throttle = throttle.clone();
            async move { throttle.pass(Direction::Send, far, 1).await }
        });
        tokio::task::yield_now().await;
        assert!(throttle.pass(Direction::Send, far, 1).now_or_never().is_none());
        assert!(!waiting.is_finished());
        // The local network is another matter, unless it is not.
        let near = Some(SocketAddr::from(([192, 168, 1, 7], 7)));
        assert!(throttle.pass(Direction::Send, near, 1).now_or_never().is_some());
        throttle.set(Rates { send: Rate::Paused, receive: Rate::Unlimited, on_lan: true });
        assert!(throttle.pass(Direction::Send, near, 1).now_or_never().is_none());
        throttle.set(Rates::default());
        waiting.await.unwrap();
    }

    #[test]
    fn addresses_of_the_local_network_are_told_from_others() {
        for (text, near) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("192.168.0.1", true),
            ("169.254.3.4", true),
            ("::1", true),
            ("fe80::1", true),
            ("fd12::1", true),
            ("::ffff:192.168.0.1", true),
            ("172.32.0.1", false),
            ("100.64.0.1", false),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
            ("::ffff:8.8.8.8", false),
        ] {
            assert_eq!(is_on_lan(text.parse().unwrap()), near, "{text}");
        }
    }
}
