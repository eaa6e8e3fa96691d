//! Where people meet by a nameplate: keeps what was laid here, tells it to whoever asks, and carries one guess to the inviter and its answer
//! back. Owns the mailbox and who waits for what; decides nothing about words, which it never sees.
//!
//! What must hold: whoever is told no is told so after the same time, whatever the reason; nothing is kept longer than the mailbox says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cobox_proto::hosting::{AskedFrom, Found, Mailbox};
use cobox_proto::id::{EndpointId, SigKey};
use cobox_proto::limits::MAILBOX_REFUSAL_MS;
use cobox_proto::wire::{Guess, Half, Nameplate, Told};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::admission::Source;
use crate::pump::{Command, Host};

/// Somebody guesses the words of a nameplate of ours.
#[derive(Debug, Clone, Copy)]
pub struct Knock {
    /// The nameplate.
    pub nameplate: Nameplate,
    /// The machine it comes from: known by its key when it called us, and as the mailbox says otherwise.
    pub joiner: EndpointId,
    /// The guess.
    pub guess: Guess,
}

/// Who is knocked at.
enum Inviter {
    Us,
    /// By its connection.
    At(mpsc::UnboundedSender<Command>),
}

/// See the module's text.
pub struct Post {
    begun: Instant,
    /// Whether others may lay nameplates here, too.
    for_others: bool,
    mailbox: Mutex<Mailbox>,
    inviters: Mutex<BTreeMap<Nameplate, Inviter>>,
    /// Guesses on their way to an inviter, by nameplate: there is one for each.
    on_the_way: Mutex<BTreeMap<Nameplate, oneshot::Sender<Option<Vec<u8>>>>>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.mailbox())
    }
}

impl Post {
    /// A seeder's: for whoever it serves. `secret` are 32 fresh random bytes. Must be called within a runtime.
    pub fn for_others(secret: [u8; 32]) -> Self {
        Self::new(secret, true)
    }

    /// A member's: for itself alone.
    pub fn for_us(secret: [u8; 32]) -> Self {
        Self::new(secret, false)
    }

    fn new(secret: [u8; 32], for_others: bool) -> Self {
        Self {
            begun: Instant::now(),
            for_others,
            mailbox: Mutex::new(Mailbox::new(secret)),
            inviters: Mutex::default(),
            on_the_way: Mutex::default(),
        }
    }

    /// Lays a nameplate of our own; `us` is our endpoint. `false`: the number is taken.
    pub fn lay(&self, us: SigKey, nameplate: Nameplate, half: Half, stay: Duration) -> bool {
        self.lay_of(us, Inviter::Us, nameplate, half, stay)
    }

    /// Takes one of our own back.
    pub fn lift(&self, us: SigKey, nameplate: Nameplate) {
        self.lift_of(us, nameplate);
    }

    pub(crate) fn lay_for(
        &self,
        remote: SigKey,
        way: mpsc::UnboundedSender<Command>,
        nameplate: Nameplate,
        half: Half,
        stay: Duration,
    ) -> bool {
        self.for_others && self.lay_of(remote, Inviter::At(way), nameplate, half, stay)
    }

    fn lay_of(&self, who: SigKey, inviter: Inviter, nameplate: Nameplate, half: Half, stay: Duration) -> bool {
        let stay_ms = u64::try_from(stay.as_millis()).unwrap_or(u64::MAX);
        let lies = self.mailbox().lay(self.now_ms(), EndpointId(who.0), nameplate, half, stay_ms);
        if lies {
            // As many as there are nameplates, at most; one that is over is replaced by the next of its number.
            lock(&self.inviters).insert(nameplate, inviter);
        }
        lies
    }

    pub(crate) fn lift_of(&self, who: SigKey, nameplate: Nameplate) {
        self.mailbox().lift(&EndpointId(who.0), nameplate);
    }

    /// What whoever asks from this address is told.
    pub(crate) fn ask(&self, from: Option<SocketAddr>, nameplate: Nameplate) -> Found {
        self.mailbox().ask(self.now_ms(), asked_from(from), nameplate)
    }

    /// Carries a guess to the inviter. `told` is what the joiner was told, if the nameplate lies here. What was given, or nothing, after
    /// a fixed while.
    pub(crate) async fn guess(
        &self,
        host: &Arc<dyn Host>,
        joiner: SigKey,
        told: Option<Told>,
        nameplate: Nameplate,
        guess: Guess,
    ) -> Option<Vec<u8>> {
        let refused_at = Instant::now() + Duration::from_millis(MAILBOX_REFUSAL_MS);
        let knock = Knock { nameplate, joiner: EndpointId(joiner.0), guess };
        let given = match told {
            Some(told) => self.carry(host, told, knock, refused_at).await,
            None => None,
        };
        if given.is_none() {
            tokio::time::sleep_until(refused_at).await;
        }
        given
    }

    async fn carry(&self, host: &Arc<dyn Host>, told: Told, knock: Knock, until: Instant) -> Option<Vec<u8>> {
        // In this order: an inviter that is gone costs nobody their guess.
        let way = match lock(&self.inviters).get(&knock.nameplate)? {
            Inviter::Us => None,
            Inviter::At(way) if way.is_closed() => return None,
            Inviter::At(way) => Some(way.clone()),
        };
        self.mailbox().take(self.now_ms(), knock.nameplate, &told)?;
        let Some(way) = way else { return tokio::time::timeout_at(until, host.knocked(knock)).await.ok().flatten() };
        let (answer, answered) = oneshot::channel();
        lock(&self.on_the_way).insert(knock.nameplate, answer);
        way.send(Command::Knock(knock)).ok()?;
        let given = tokio::time::timeout_at(until, answered).await;
        lock(&self.on_the_way).remove(&knock.nameplate);
        given.ok()?.ok().flatten()
    }

    /// An inviter answered.
    pub(crate) fn gave(&self, nameplate: Nameplate, sealed: Option<Vec<u8>>) {
        if let Some(answer) = lock(&self.on_the_way).remove(&nameplate) {
            let _ = answer.send(sealed);
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        lock(&self.mailbox)
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }
}

/// Each is changed in one step, so a panic elsewhere can not leave one half changed.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One IPv4 address, one IPv6 network, or all that comes through relays.
fn asked_from(address: Option<SocketAddr>) -> AskedFrom {
    let source = address.map_or_else(Source::relay, |address| Source::address(address.ip()));
    AskedFrom(match source.ip() {
        Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(ip)) => ip.octets(),
        None => [0; 16],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> AskedFrom {
        asked_from(Some(text.parse().unwrap()))
    }

    #[test]
    fn g4_guesses_are_counted_by_address_and_by_ipv6_network() {
        assert_eq!(from("10.0.0.1:1"), from("10.0.0.1:2"), "another port is the same source");
        assert_eq!(from("10.0.0.1:1"), from("[::ffff:10.0.0.1]:1"));
        assert_ne!(from("10.0.0.1:1"), from("10.0.0.2:1"));
        assert_eq!(from("[2001:db8::1]:1"), from("[2001:db8::2]:1"));
        assert_ne!(from("[2001:db8::1]:1"), from("[2001:db8:0:1::1]:1"));
        assert_eq!(asked_from(None), AskedFrom([0; 16]));
    }
}
