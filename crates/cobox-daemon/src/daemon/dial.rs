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

/// How often it is looked whom to call.
const ROUND: Duration = Duration::from_millis(500);
/// The first pause after a call in vain, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A machine and the folders it is called about.
pub(super) type Targets = BTreeMap<SigKey, (EndpointAddrs, BTreeSet<FolderId>)>;

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
    let mut pauses: BTreeMap<SigKey, (Instant, Duration)> = BTreeMap::new();
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(daemon) = daemon.upgrade() else { return };
        for (key, (addrs, folders)) in daemon.targets().await {
            if let Some(opener) = daemon.link(&key) {
                daemon.open_on(&opener, &folders);
                pauses.remove(&key);
                continue;
            }
            let due = pauses.get(&key).is_none_or(|(at, _)| *at <= Instant::now());
            if !due || !daemon.begin_dialing(key) {
                continue;
            }
            let pause = pauses.get(&key).map_or(PAUSE_MIN, |(_, pause)| (*pause * 2).min(PAUSE_MAX));
            let jitter = f64::from(random::<1>()[0]) / 255.0;
            pauses.insert(key, (Instant::now() + pause.mul_f64(0.5 + jitter), pause));
            let calling = daemon.clone();
            tokio::spawn(async move {
                if let Err(why) = calling.call(&addrs).await {
                    tracing::debug!(%why, "nobody answered");
                }
                calling.end_dialing(&addrs.key);
            });
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
            let Some(tickets) = running.handle.ask(|actor| actor.contacts()).await else { continue };
            for ticket in tickets {
                let addrs = to_endpoint(&ticket);
                if addrs.key == self.endpoint.id() {
                    continue;
                }
                let target = targets.entry(addrs.key).or_insert_with(|| (addrs.clone(), BTreeSet::new()));
                for socket in addrs.addrs {
                    if !target.0.addrs.contains(&socket) {
                        target.0.addrs.push(socket);
                    }
                }
                target.1.insert(folder);
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
