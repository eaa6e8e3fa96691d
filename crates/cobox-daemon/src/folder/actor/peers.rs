//! Those at the other end: channels that open and close, what they say, a claim on a seeder, and where this device is.

use super::*;

/// Of the heads that a peer names at the beginning, so many are remembered.
const CAME_WITH_MAX: usize = 1024;
/// Asking in vain, this device introduces itself a few times (an ask while the last one is not answered counts for nothing) ...
const INTRODUCED_TIMES: u32 = 4;
/// ... and again after so many.
const INTRODUCED_EVERY: u32 = 16;

impl FolderActor {
    pub(super) fn peer_event(&mut self, event: FolderEvent) {
        let now = self.around.now_ms();
        match event {
            FolderEvent::MayEnter { who, introduction, answer } => {
                if !self.config.paused && !introduction.is_empty() {
                    self.replica.handle(now, replicate::Input::Introduced { who, ops: introduction });
                }
                if !self.config.paused {
                    let told = match self.replica.reach(&who, now) {
                        Some(_) => Answer::Enter(Box::new(self.pass())),
                        None => Answer::Removed(self.replica.removal_of(&who)),
                    };
                    let _ = answer.send(told);
                }
            }
            FolderEvent::Removed { told } => {
                let device = self.device.public().sig;
                self.replica.handle(now, replicate::Input::ToldRemoved { device, told });
            }
            // It was asked for before the folder was paused.
            FolderEvent::Opened { peer, .. } if self.config.paused => peer.close(),
            FolderEvent::Opened { peer, who } => self.peer_opened(now, peer, who),
            FolderEvent::Closed { peer } => {
                self.peers.remove(&peer);
                self.claiming.remove(&peer);
                self.attaching.remove(&peer);
                self.drill_peer_closed(peer);
                self.replica.handle(now, replicate::Input::PeerClosed { peer });
                self.around.tell(&self.config, Happened::PeersChanged);
            }
            FolderEvent::Message { peer, message } => self.message(now, peer, message),
            FolderEvent::Block { peer, cid, bytes } => {
                let len = bytes.len() as u64;
                self.received_blocks += 1;
                if self.drill_block(peer, &cid, &bytes) {
                    return;
                }
                self.arriving = Some(bytes);
                self.replica.handle(now, replicate::Input::BlockArrived { peer, cid, bytes: len });
                self.carry_out_replica();
                self.arriving = None;
            }
        }
    }

    /// A block is known by its bytes alone, so a wrong one is one that nobody asked for. An honest peer sends few: it had not heard yet
    /// that they came from elsewhere.
    pub(super) fn block_unasked(&mut self, peer: PeerId, cid: Cid) {
        self.drill_other(peer, cid);
        let Some(row) = self.peers.get_mut(&peer) else { return };
        row.unasked_blocks += 1;
        if row.unasked_blocks.is_power_of_two() {
            let (key, count) = (row.who.key.short(), row.unasked_blocks);
            tracing::warn!(key = %key, kind = ?row.who.kind, count, last = %cid.short(), "blocks that were not asked for are dropped");
        }
    }

    /// Our key here.
    pub(crate) fn pass(&self) -> Pass {
        Pass { kind: KeyKind::Device, key: self.device.sig.clone(), introduction: vec![] }
    }

    /// The same for a machine that is asked to let us in, perhaps again and again. One that refused may not have heard how this
    /// device was admitted.
    pub(crate) fn pass_at(&mut self, remote: SigKey) -> Pass {
        let asked = self.asked_to_enter.entry(remote).or_insert(0);
        let introduces = *asked > 0 && *asked % INTRODUCED_EVERY < INTRODUCED_TIMES;
        *asked = asked.saturating_add(1);
        let mut pass = self.pass();
        if introduces {
            pass.introduction = self.replica.introduction(&pass.key.public());
        }
        pass
    }

    pub(super) fn peer_opened(&mut self, now: u64, peer: Peer, who: Who) {
        if who.kind == KeyKind::Seeder
            && let Some(answer) = self.claims.remove(&who.key)
        {
            for part in self.log_parts() {
                peer.send(Message::Claim(part));
            }
            self.claiming.insert(peer.id, (peer, answer));
            return;
        }
        if who.kind == KeyKind::Seeder {
            self.seeder_is_at(who.key, peer.remote);
        }
        let id = peer.id;
        self.asked_to_enter.remove(&peer.remote);
        self.peers.insert(id, PeerRow { who, progress: None, came_with: None, unasked_blocks: 0, peer });
        self.replica.handle(now, replicate::Input::PeerOpened { peer: id, who, ours: KeyKind::Device });
        self.told_progress = None;
        self.edited_here.somebody_came(now);
        self.around.tell(&self.config, Happened::PeersChanged);
        // A holder of what was missing may be here now.
        self.next_retry_ms = self.next_retry_ms.min(now + 200);
        self.expect_tree(now);
    }

    pub(super) fn message(&mut self, now: u64, peer: PeerId, message: Message) {
        if let Some((channel, answer)) = self.claiming.remove(&peer) {
            let told = match message {
                Message::Claimed => Ok(()),
                Message::ClaimRefused(why) => Err(why.to_string()),
                _ => Err("the seeder answered something else".into()),
            };
            channel.close();
            let _ = answer.send(told);
            return;
        }
        match message {
            Message::VaultAttached | Message::VaultRefused(_) => {
                if let Some(answer) = self.attaching.remove(&peer) {
                    let told = if let Message::VaultRefused(why) = message { Err(why.to_string()) } else { Ok(()) };
                    let _ = answer.send(told);
                }
            }
            Message::Progress { root, missing_files } => {
                if let Some(row) = self.peers.get_mut(&peer) {
                    row.progress = Some((root, missing_files));
                }
            }
            Message::Editing { sealed } => {
                let row = self.peers.get(&peer).filter(|row| row.who.kind == KeyKind::Device);
                if let Some(device) = row.map(|row| row.who.key) {
                    self.editing_heard(device, &sealed);
                }
            }
            message => {
                if let (Message::HeadsHave { tips, .. }, Some(row)) = (&message, self.peers.get_mut(&peer)) {
                    let heads = tips.iter().take(CAME_WITH_MAX).map(|tip| tip.head);
                    row.came_with.get_or_insert_with(|| heads.collect());
                }
                if let Message::Gone { cids } = &message {
                    self.drill_gone(peer, cids);
                }
                self.replica.handle(now, replicate::Input::Received { peer, message });
            }
        }
    }

    /// The log in pieces, for a seeder that does not know the folder.
    pub(crate) fn log_parts(&self) -> Vec<LogPart> {
        let log = self.replica.membership().log();
        let ops: Vec<Vec<u8>> = log.ops().map(|op| op.bytes().to_vec()).collect();
        let parts = ops.len().div_ceil(CLAIM_OPS_PART).max(1);
        (0..parts)
            .map(|i| LogPart {
                genesis: if i == 0 { log.genesis().to_bytes() } else { Vec::new() },
                ops: ops.iter().skip(i * CLAIM_OPS_PART).take(CLAIM_OPS_PART).cloned().collect(),
                last: i + 1 == parts,
            })
            .collect()
    }

    /// Hands the log to a seeder as soon as a channel to it is open; the answer says whether it keeps the folder.
    pub(crate) fn claim_when_open(&mut self, seeder: SigKey) -> oneshot::Receiver<Result<(), String>> {
        let (answer, answered) = oneshot::channel();
        self.claims.insert(seeder, answer);
        // A connection carries one channel of a folder: that of a seeder which keeps it already makes room for the claim.
        for row in self.peers.values().filter(|row| row.who.kind == KeyKind::Seeder && row.who.key == seeder) {
            row.peer.close();
        }
        answered
    }

    /// Asks a connected seeder of this folder to keep the person's vault too.
    pub(crate) fn attach_vault(
        &mut self,
        seeder: SigKey,
        vault: Vec<LogPart>,
    ) -> Option<oneshot::Receiver<Result<(), String>>> {
        let row = self.peers.values().find(|row| row.who.kind == KeyKind::Seeder && row.who.key == seeder)?;
        for part in vault {
            row.peer.send(Message::AttachVault(part));
        }
        let (answer, answered) = oneshot::channel();
        self.attaching.insert(row.peer.id, answer);
        Some(answered)
    }

    /// Tells connected members how far we are, so that they can say whether all are in step.
    pub(super) fn tell_progress(&mut self) {
        let Some(engine) = &self.engine else { return };
        let summary = engine.summary_pending();
        let now = (engine.root(), summary);
        if self.told_progress == Some(now) {
            return;
        }
        let before = self.told_progress.replace(now);
        if now.1 == 0 && before.is_some_and(|(_, missing)| missing > 0) {
            // Blocks that we did not have when somebody asked are here now.
            self.replica.handle(self.around.now_ms(), replicate::Input::HoldsMore);
        }
        for row in self.peers.values().filter(|row| row.who.kind == KeyKind::Device) {
            row.peer.send(Message::Progress { root: now.0, missing_files: now.1 });
        }
    }

    /// Machines to be called about this folder: its seeders, members that an invite named, members that said where they are.
    pub(crate) fn contacts(&self) -> Vec<Ticket> {
        let seeders = self.config.seeders.iter().filter_map(|seeder| seeder.ticket());
        let contacts = self.config.contacts.iter().filter_map(|text| Ticket::from_text(text).ok());
        let own = self.device.public().sig;
        let has_place = |device| device != own && self.replica.membership().is_device(&device);
        let others = self.replica.addresses().filter(|note| has_place(note.device));
        let notes = others.flat_map(|note| self.open_note(note));
        seeders.chain(contacts).chain(notes).collect()
    }

    /// A seeder's key and its machine's key are not the same: whoever comes with tickets of several seeders learns which is whose
    /// when they open the folder.
    fn seeder_is_at(&mut self, key: SigKey, machine: SigKey) {
        let there = |text: &str| Ticket::from_text(text).is_ok_and(|ticket| ticket.endpoint.0 == machine.0);
        let known = self.contacts().into_iter().find(|ticket| ticket.endpoint.0 == machine.0);
        let Some(ticket) = known.map(|ticket| ticket.to_text()) else { return };
        let own = self.config.seeders.iter().position(|seeder| seeder.sig_key() == Some(key));
        match own {
            Some(own) if there(&self.config.seeders[own].ticket) => return,
            Some(own) => {
                let before = std::mem::replace(&mut self.config.seeders[own].ticket, ticket.clone());
                let others = self.config.seeders.iter_mut().enumerate().filter(|(at, _)| *at != own);
                for (_, other) in others.filter(|(_, other)| other.ticket == ticket) {
                    other.ticket.clone_from(&before);
                }
            }
            None => {
                let Some(hired) = self.replica.membership().roster().seeders().iter().find(|hired| hired.key == key)
                else {
                    return;
                };
                let quota_bytes = hired.quota_bytes;
                self.config.seeders.push(SeederConfig { key: key.to_string(), ticket, quota_bytes });
            }
        }
        self.save_config();
        self.around.tell(&self.config, Happened::ConfigChanged);
    }

    /// Seeders that have the folder open with us and whose place is known.
    pub(crate) fn connected_seeders(&self) -> Vec<(SigKey, SeederConfig)> {
        let rows = self.peers.values().filter(|row| row.who.kind == KeyKind::Seeder);
        let known = |key: &SigKey| self.config.seeders.iter().find(|entry| entry.sig_key() == Some(*key)).cloned();
        rows.filter_map(|row| Some((row.who.key, known(&row.who.key)?))).collect()
    }

    /// The machine of a connected seeder.
    pub(crate) fn machine_of(&self, seeder: &SigKey) -> Option<SigKey> {
        let rows = self.peers.values().filter(|row| row.who.kind == KeyKind::Seeder);
        rows.filter(|row| row.who.key == *seeder).map(|row| row.peer.remote).next()
    }

    /// Notes the new ticket of a machine; true if the folder knows it and that was news.
    pub(crate) fn seeder_moved(&mut self, machine: EndpointId, ticket: &str) -> bool {
        let seeders = self.config.seeders.iter_mut().map(|seeder| &mut seeder.ticket);
        let mut moved = false;
        for old in seeders.chain(&mut self.config.contacts) {
            if *old != ticket && Ticket::from_text(old).is_ok_and(|known| known.endpoint == machine) {
                ticket.clone_into(old);
                moved = true;
            }
        }
        if moved {
            self.save_config();
        }
        moved
    }

    /// The newest heads that the seeder on this machine came with; `None` if it has not named them yet.
    pub(crate) fn seeder_came_with(&self, machine: &SigKey) -> Option<&[HeadId]> {
        let mut rows = self.peers.values().filter(|row| row.who.kind == KeyKind::Seeder);
        rows.find(|row| row.peer.remote == *machine)?.came_with.as_deref()
    }

    /// Where a device is, and then the seeders it knows; nothing from a note that is not as it should be.
    fn open_note(&self, note: &AddressNote) -> Vec<Ticket> {
        let opened = || {
            let (epoch, sealed) = note.sealed.split_first_chunk::<16>()?;
            let plain = self.keys.as_deref()?.open_note(&EpochTag(*epoch), "addresses", &note.device.0, sealed).ok()?;
            let mut r = Reader::new(&plain);
            let mut tickets = vec![Ticket::decode(&mut r).ok()?];
            while r.left() > 0 && tickets.len() < NOTE_TICKETS_MAX {
                tickets.push(Ticket::decode(&mut r).ok().filter(|ticket| ticket.party == Party::Seeder)?);
            }
            r.finish().ok()?;
            Some(tickets)
        };
        opened().unwrap_or_default()
    }

    /// Where this device is, then the seeders that are hired and whose place it knows, as far as they fit in a note: a member who was
    /// there before them has no other way to hear where they are.
    fn to_announce(&self) -> Option<Vec<u8>> {
        let mut plain = self.around.ticket()?.to_bytes();
        let membership = self.replica.membership();
        let hired = self.config.seeders.iter().filter(|s| s.sig_key().is_some_and(|key| membership.is_seeder(&key)));
        for ticket in hired.filter_map(SeederConfig::ticket).take(NOTE_TICKETS_MAX - 1) {
            let bytes = ticket.to_bytes();
            if ticket.party == Party::Seeder && plain.len() + bytes.len() <= NOTE_PLAIN_BYTES_MAX {
                plain.extend(bytes);
            }
        }
        Some(plain)
    }

    /// Tells the other members, sealed, where this device and the folder's seeders are, if that is news.
    pub(super) fn announce(&mut self) {
        let now = self.around.now_ms();
        let (Some(plain), Some(epoch)) = (self.to_announce(), self.epoch()) else { return };
        if self.announced.as_ref() == Some(&plain) || self.author().is_none() {
            return;
        }
        let device = self.device.public().sig;
        let Some(Ok(sealed)) = self.keys.as_deref().map(|keys| keys.seal_note(&epoch, "addresses", &device.0, &plain))
        else {
            return;
        };
        let note = AddressNote::sign(&self.device.sig, &self.folder, now, [&epoch.0[..], &sealed].concat());
        self.announced = Some(plain);
        self.replica.handle(now, replicate::Input::LocalAddresses(note));
    }

    /// Whether this machine has the folder open with us already.
    pub(crate) fn has_peer_at(&self, remote: &SigKey) -> bool {
        self.peers.values().any(|row| row.peer.remote == *remote)
            || self.claiming.values().any(|(p, _)| p.remote == *remote)
    }
}
