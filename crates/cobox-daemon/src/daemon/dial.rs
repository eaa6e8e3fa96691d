//! Whom this device calls: the seeders of its folders and the members whose addresses it knows. One connection to a machine
//! serves all folders shared with it. A machine that does not answer is called again later and later, with jitter (N7, E7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cobox_net::{EndpointAddrs, Host, Opener, drive};
use cobox_proto::hosting::Ticket;
use cobox_proto::id::{FolderId, SigKey};

use super::{Daemon, random};
use crate::tickets::to_endpoint;

/// It is looked whom to call when something changed, at most this often ...
const ROUND: Duration = Duration::from_millis(500);
/// ... while a machine that is there has not let a folder of ours in, more and more rarely up to this ...
const ROUND_WAITING_MAX: Duration = Duration::from_secs(5);
/// ... and this often when all is as it should be.
const ROUND_AT_REST: Duration = Duration::from_secs(20);
/// The first pause after a call in vain, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A machine to be called.
pub(super) struct Target {
    addrs: EndpointAddrs,
    /// The folders it is called about that are not open with it.
    missing: BTreeSet<FolderId>,
}

/// By machine.
pub(super) type Targets = BTreeMap<SigKey, Target>;

/// Takes incoming connections until the network is closed.
pub(super) async fn accept(daemon: Arc<Daemon>) {
    let endpoint = daemon.endpoint.clone();
    while let Some(conn) = endpoint.accept().await {
        let host: Arc<dyn Host> = daemon.clone();
        drive(conn, endpoint.id(), host);
    }
}

/// Calls, again and again, until the daemon is gone.
pub(super) async fn keep_calling(daemon: Weak<Daemon>) {
    let Some(changed) = daemon.upgrade().map(|daemon| daemon.to_call.clone()) else { return };
    let mut pauses: BTreeMap<SigKey, (Instant, Duration)> = BTreeMap::new();
    let mut waiting = ROUND;
    loop {
        let begun = Instant::now();
        let Some(daemon) = daemon.upgrade() else { return };
        let mut next = ROUND_AT_REST;
        for (key, Target { addrs, missing }) in daemon.targets().await {
            if let Some(opener) = daemon.link(&key) {
                pauses.remove(&key);
                if !missing.is_empty() {
                    daemon.open_on(&opener, &missing);
                    next = next.min(waiting);
                }
                continue;
            }
            let due = pauses.get(&key).map(|(at, _)| at.saturating_duration_since(begun)).filter(|due| !due.is_zero());
            if let Some(due) = due {
                next = next.min(due);
                continue;
            }
            if !daemon.begin_dialing(key) {
                next = next.min(PAUSE_MIN);
                continue;
            }
            let pause = pauses.get(&key).map_or(PAUSE_MIN, |(_, pause)| (*pause * 2).min(PAUSE_MAX));
            let jitter = f64::from(random::<1>()[0]) / 255.0;
            let pause_now = pause.mul_f64(0.5 + jitter);
            next = next.min(pause_now);
            pauses.insert(key, (begun + pause_now, pause));
            let calling = daemon.clone();
            tokio::spawn(async move {
                if let Err(why) = calling.call(&addrs).await {
                    tracing::debug!(%why, "nobody answered");
                }
                calling.end_dialing(&addrs.key);
            });
        }
        drop(daemon);
        tokio::select! {
            () = changed.notified() => {
                waiting = ROUND;
                tokio::time::sleep(ROUND.saturating_sub(begun.elapsed())).await;
            }
            () = tokio::time::sleep(next.max(ROUND)) => waiting = (waiting * 2).min(ROUND_WAITING_MAX),
        }
    }
}

impl Daemon {
    /// The live connection to a machine.
    pub(super) fn link(&self, key: &SigKey) -> Option<Opener> {
        self.links.get(key)
    }

    fn begin_dialing(&self, key: SigKey) -> bool {
        self.dialing.write().expect("no thread panics while it holds this lock").insert(key)
    }

    fn end_dialing(&self, key: &SigKey) {
        self.dialing.write().expect("no thread panics while it holds this lock").remove(key);
    }

    /// A connection to a machine: the one that stands, or a new one.
    pub(super) async fn call(&self, addrs: &EndpointAddrs) -> Result<Opener, cobox_net::NetError> {
        if let Some(opener) = self.link(&addrs.key) {
            return Ok(opener);
        }
        let conn = self.endpoint.dial(addrs).await?;
        let me = self.me.upgrade().ok_or(cobox_net::NetError::Shutdown)?;
        let ours = drive(conn, self.endpoint.id(), me);
        // It may have called us meanwhile, and ours be one too many.
        Ok(self.link(&addrs.key).unwrap_or(ours))
    }

    /// A connection to the machine of a ticket.
    pub(super) async fn call_ticket(&self, ticket: &Ticket) -> Result<Opener, cobox_net::NetError> {
        self.call(&to_endpoint(ticket)).await
    }

    /// Everybody to be called, from what the folders know.
    async fn targets(&self) -> Targets {
        let mut targets = Targets::new();
        for running in self.running() {
            if running.config.paused {
                continue;
            }
            let Some(folder) = running.config.folder() else { continue };
            let known = running.handle.ask(|actor| {
                let called = actor.whom_to_call();
                let with_peer = |ticket: Ticket| {
                    let addrs = to_endpoint(&ticket);
                    let has_peer = actor.has_peer_at(&addrs.key);
                    (addrs, has_peer)
                };
                called.into_iter().map(with_peer).collect::<Vec<_>>()
            });
            for (addrs, has_peer) in known.await.into_iter().flatten() {
                if addrs.key == self.endpoint.id() {
                    continue;
                }
                let empty =
                    || Target { addrs: EndpointAddrs { addrs: Vec::new(), ..addrs.clone() }, missing: BTreeSet::new() };
                let target = targets.entry(addrs.key).or_insert_with(empty);
                for socket in addrs.addrs {
                    if !target.addrs.addrs.contains(&socket) {
                        target.addrs.addrs.push(socket);
                    }
                }
                if !has_peer {
                    target.missing.insert(folder);
                }
            }
        }
        targets
    }

    /// Opens folders on a connection; those open already stay as they are.
    fn open_on(&self, opener: &Opener, folders: &BTreeSet<FolderId>) {
        for folder in folders {
            let Some(running) = self.running_folder(folder) else { continue };
            let opener = opener.clone();
            tokio::spawn(async move {
                let remote = opener.remote();
                let pass =
                    running.handle.ask(move |actor| (!actor.has_peer_at(&remote)).then(|| actor.pass_at(remote))).await;
                if let Some(Some(pass)) = pass {
                    opener.open(running.handle.id, pass);
                }
            });
        }
    }
}
