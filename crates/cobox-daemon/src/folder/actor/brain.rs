//! The member's engine: started once there are keys, and what it asks carried out in order.
//!
//! What must hold: a head is durable before it is published; a folder that was not remembered begins empty and deletes nothing (i5).

use cobox_core::engine::Synced;

use super::*;
use crate::folder::db::Remembered;

/// Nodes that came share one sync of the disk: so many bytes at most, and no longer than this after the first. A stop loses them, and they
/// are fetched again.
const FRESH_NODES_BYTES_MAX: usize = 4 << 20;
const FRESH_NODES_MS_MAX: u64 = 1_000;

/// Nodes that came for the engine and are not durable yet.
#[derive(Default)]
pub(super) struct FreshNodes {
    by_cid: BTreeMap<Cid, bytes::Bytes>,
    bytes: usize,
    /// When they are to be made durable, however few they are.
    pub(super) due_ms: Option<u64>,
}

/// What an engine goes on with.
struct BeforeStop {
    state: State,
    tree: Tree,
    frontier: BTreeSet<HeadId>,
    synced: BTreeMap<FolderPath, Arc<Synced>>,
}

impl FolderActor {
    /// Starts the engine once there are keys: with what was remembered, or empty.
    pub(super) fn start_engine(&mut self) {
        if self.engine.is_some() || self.unkept.is_some() {
            return;
        }
        let (Some(keys), Some(epoch)) = (self.keys.clone(), self.epoch()) else { return };
        self.publish_what_was_remembered();
        if self.unkept.is_some() {
            return;
        }
        let remembered = self.read_what_was_remembered(&keys);
        if remembered.is_none()
            // Nothing was remembered, or it can not be read: begin empty. The heads are joined again, and what lies on
            // the disk is compared with them file by file; equal content merges, nothing is deleted (I5).
            // What was known of the disk belongs to the state that is lost: an entry that stayed would be taken for a
            // deletion at the next start.
            && let Err(why) = self.db.forget_disk()
        {
            return self.not_kept(why);
        }
        let setup = Setup {
            folder: self.folder,
            keys: (*keys).clone(),
            device: self.device.sig.clone(),
            entropy: self.around.random(),
            standing: self.standing(),
        };
        let now = self.around.now_ms();
        let mut engine = match remembered {
            Some(BeforeStop { state, tree, frontier, synced }) => {
                let known = self.heads_of(&frontier);
                Engine::new(setup, now, state, tree, frontier, &known, synced)
            }
            None => Engine::anew(setup, now, epoch, &self.heads_of(&BTreeSet::new())),
        };
        engine.handle(now, Input::Brake(self.around.brake()));
        if self.config.sort == Sort::Vault {
            engine.run_without_disk();
        }
        self.engine = Some(engine);
        self.look_at(Vec::new());
        if self.config.reseal {
            self.tell_engine(Input::ResealContents);
        }
    }

    /// `None` if nothing was remembered, or it can not be read. With many files each half takes a while, so one is read beside the other.
    fn read_what_was_remembered(&self, keys: &FolderKeys) -> Option<BeforeStop> {
        let Remembered { root, frontier, .. } = self.db.remembered().ok()??;
        let blocks = &*self.blocks;
        let (loaded, synced) = std::thread::scope(|scope| {
            let loading = scope.spawn(|| load(blocks, root, keys));
            let synced = self.db.synced();
            (loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), synced)
        });
        if let Err(why) = &synced {
            tracing::error!(%why, "what a folder remembered of its disk can not be read; it is compared anew");
        }
        let (state, tree) = loaded?;
        Some(BeforeStop { state, tree, frontier, synced: synced.ok()? })
    }

    /// The heads that count for an engine whose state is the join of these.
    fn heads_of(&self, frontier: &BTreeSet<HeadId>) -> Vec<SignedHead> {
        let graph = self.replica.heads();
        let mut ids = graph.counting_or_behind(frontier);
        ids.extend(self.adopted().iter().map(SignedHead::id));
        ids.iter().filter_map(|id| graph.get(id)).cloned().collect()
    }

    /// Heads that a stop kept from being published: what they say stands in the remembered state already.
    fn publish_what_was_remembered(&mut self) {
        let heads = match self.db.own_heads() {
            Ok(heads) => heads,
            Err(why) => return self.trouble(why.to_string()),
        };
        for head in heads {
            if self.replica.heads().get(&head.id()).is_none() {
                self.publish_head(Box::new(head));
            }
        }
    }

    fn publish_head(&mut self, head: Box<SignedHead>) {
        let now = self.around.now_ms();
        if let Err(why) = self.records.put_head(&head, HeadState::Accepted, now) {
            // It is remembered, and published once it can be kept.
            return self.not_kept(why);
        }
        self.db.head_is_kept(head.id());
        self.replica.handle(now, replicate::Input::LocalHead(head));
    }

    pub(super) fn tell_engine(&mut self, input: Input) {
        let now = self.around.now_ms();
        if let Some(engine) = &mut self.engine {
            engine.handle(now, input);
        }
    }

    pub(super) fn carry_out_engine(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            any = true;
            self.engine_output(output);
        }
        any
    }

    pub(super) fn engine_output(&mut self, output: Output) {
        let now = self.around.now_ms();
        match output {
            Output::Hash(files) => {
                if let (Some(disk), Some(keys)) = (&self.disk, &self.keys)
                    && let Some(epoch) = self.epoch()
                {
                    self.reading += files.len() as u64;
                    let _ = disk.hasher.send(Ask::Read(files, keys.clone(), epoch));
                } else {
                    for (path, _) in files {
                        self.tell_engine(Input::HashFailed { path });
                    }
                }
            }
            Output::Store(blocks) => {
                self.keep_memory();
                let rows: Vec<(Cid, &[u8])> = blocks.iter().map(|b| (b.cid, b.bytes.as_slice())).collect();
                if let Err(why) = self.blocks.put_many(&rows) {
                    self.not_kept(why);
                }
            }
            Output::Remember(memory) => match &mut self.memory {
                Some(before) => before.absorb(memory),
                None => self.memory = Some(memory),
            },
            Output::SendDelta(SealedBlock { cid, bytes }) => {
                self.replica.handle(now, replicate::Input::LocalDelta { cid, bytes });
            }
            Output::Publish(head) => {
                self.keep_memory();
                if self.unkept.is_none() {
                    self.publish_head(head);
                    // Others hear of it before anything is planned here.
                    self.carry_out_replica();
                }
            }
            Output::Want(cids) => self.engine_wanted(now, cids),
            Output::Do(steps) => {
                if let Some(disk) = &self.disk {
                    let _ = disk.applier.send(Order::Do(steps));
                } else {
                    // They are planned again when the directory is back.
                    for (id, _) in steps {
                        self.tell_engine(Input::StepFailed { id, why: StepError::NoContent });
                    }
                }
            }
            Output::Cancel(id) => {
                if let Some(disk) = &self.disk {
                    let _ = disk.applier.send(Order::Cancel(id));
                }
            }
            Output::Rescan(paths) => self.look_at_soon(paths),
            Output::Tell(Event::BadHead { head, why }) => {
                let device = self.replica.heads().get(&head).map(|signed| signed.head().device.short());
                let device = device.unwrap_or_default();
                self.trouble(format!("a change of device {device} was refused: {why} (head {})", head.short()));
            }
            Output::Tell(event @ Event::Resealed { .. }) => {
                self.resealed();
                self.around.tell(&self.config, Happened::Engine(event));
            }
            Output::Tell(event) => self.around.tell(&self.config, Happened::Engine(event)),
            Output::WakeAt(at) => self.wake_ms = Some(self.wake_ms.map_or(at, |due| due.min(at))),
        }
    }

    /// Makes durable what the engine wants remembered. Many steps that end together cost one transaction; nothing else that
    /// is made durable, or told to others, overtakes it.
    pub(super) fn keep_memory(&mut self) {
        if self.memory.is_some() {
            // What is remembered rests on them.
            self.keep_nodes();
        }
        if let Some(memory) = self.memory.take()
            && let Err(why) = self.db.remember(&memory)
        {
            self.not_kept(why);
        }
    }

    /// A node that the engine waits for.
    pub(super) fn node_came(&mut self, cid: Cid, bytes: bytes::Bytes) {
        self.tell_engine(Input::Block { cid, bytes: bytes.to_vec() });
        let fresh = &mut self.fresh_nodes;
        fresh.due_ms.get_or_insert(self.around.now_ms() + FRESH_NODES_MS_MAX);
        fresh.bytes += bytes.len();
        fresh.by_cid.insert(cid, bytes);
    }

    /// Makes the nodes that came durable if no more are waited for, if they are many, or if they came a while ago: one sync for each of them was
    /// most of the time that a large tree takes to come.
    pub(super) fn keep_nodes_if_due(&mut self) {
        let fresh = &self.fresh_nodes;
        let is_due = fresh.due_ms.is_some_and(|due| due <= self.around.now_ms());
        if self.engine_wants.is_empty() || fresh.bytes >= FRESH_NODES_BYTES_MAX || is_due {
            self.keep_nodes();
        }
    }

    /// Makes them durable now.
    pub(super) fn keep_nodes(&mut self) {
        let nodes = std::mem::take(&mut self.fresh_nodes).by_cid;
        let rows: Vec<(Cid, &[u8])> = nodes.iter().map(|(cid, bytes)| (*cid, &bytes[..])).collect();
        if !rows.is_empty()
            && let Err(why) = self.blocks.put_many(&rows)
        {
            self.not_kept(why);
        }
    }

    /// Nodes of a tree: from the kept blocks, else from peers.
    pub(super) fn engine_wanted(&mut self, now: u64, cids: Vec<Cid>) {
        let mut missing = Vec::new();
        for cid in cids {
            let fresh = self.fresh_nodes.by_cid.get(&cid).map(|bytes| bytes.to_vec());
            match fresh.map_or_else(|| self.blocks.get(&cid), |bytes| Ok(Some(bytes))) {
                Ok(Some(bytes)) => self.tell_engine(Input::Block { cid, bytes }),
                _ => {
                    if self.engine_wants.insert(cid) {
                        missing.push(cid);
                    }
                }
            }
        }
        if !missing.is_empty() {
            self.note_shared(&missing);
            self.expect_tree(now);
            self.replica.handle(now, replicate::Input::Want { cids: missing, priority: Priority::Tree });
        }
    }

    /// Whether every head that is known is joined, and at least one is.
    pub(crate) fn tree_is_known(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| !engine.frontier().is_empty() && engine.is_merged())
    }

    /// How many of these sealed nodes are missing or damaged.
    pub(crate) fn unreadable_records(&self, records: &[Cid]) -> usize {
        records.iter().filter(|cid| !matches!(self.blocks.get(cid), Ok(Some(_)))).count()
    }

    /// Writes the whole tree of the state once more.
    pub(crate) fn write_records_anew(&mut self) -> Result<(), String> {
        let (Some(engine), Some(keys)) = (&self.engine, &self.keys) else {
            return Err("the folder is not open".into());
        };
        let (_, blocks) = Tree::build(engine.state(), &**keys, engine.tree().epoch()).map_err(|why| why.to_string())?;
        let rows: Vec<(Cid, &[u8])> = blocks.iter().map(|block| (block.cid, block.bytes.as_slice())).collect();
        self.blocks.put_many(&rows).map_err(|why| why.to_string())
    }

    /// A person gives up a file that is not here.
    pub(crate) fn give_up(&mut self, path: &FolderPath) -> Result<(), GiveUpError> {
        let now = self.around.now_ms();
        self.engine.as_mut().ok_or(GiveUpError::NotMissing)?.give_up(now, path)?;
        self.carry_out_engine();
        Ok(())
    }

    /// A block that is kept here.
    pub(crate) fn kept_block(&self, cid: &Cid) -> Option<Vec<u8>> {
        self.blocks.get(cid).ok().flatten()
    }

    /// A person decided about held changes of this device. Errors: they can not be let out now, and stay held.
    pub(crate) fn decide(&mut self, approve: bool) -> Result<(), NotLetOut> {
        if let Some(engine) = self.engine.as_ref().filter(|_| approve) {
            engine.may_let_out()?;
        }
        self.tell_engine(Input::Decide { approve });
        Ok(())
    }

    /// ... and about those of others.
    pub(crate) fn decide_incoming(&mut self, approve: bool) {
        self.tell_engine(Input::DecideIncoming { approve });
    }

    /// The heads whose join the state is, for the newest state's date and author.
    pub(crate) fn frontier_heads(&self) -> Vec<HeadId> {
        self.engine.as_ref().map(|engine| engine.frontier().iter().copied().collect()).unwrap_or_default()
    }
}

/// Reads a whole state back from kept blocks; `None` if one is missing or damaged.
pub(super) fn load(blocks: &dyn BlockStore, root: Cid, keys: &FolderKeys) -> Option<(State, Tree)> {
    let mut fetch = Fetch::new(root, None);
    loop {
        let wanted = fetch.wanted(256);
        if wanted.is_empty() {
            break;
        }
        for cid in wanted {
            let bytes = blocks.get(&cid).ok()??;
            fetch.supply(cid, &bytes, keys).ok()?;
        }
    }
    let mut state = State::new();
    let remote = fetch.done(&state, keys).ok()?;
    state.join_with(&remote.ctx, &remote.forks, &remote.theirs, &|_: &EpochTag| 0);
    Some((state, remote.tree))
}
