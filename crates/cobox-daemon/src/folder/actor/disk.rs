//! The folder's directory: the threads that work on it, when it is looked at, and what they report.
//!
//! What must hold: a directory that is gone ends the threads and is looked for, and nothing is concluded meanwhile (h1).

use super::*;

impl FolderActor {
    /// A directory that was not there may have come back.
    pub(super) fn find_root_again(&mut self, now: u64) {
        let wanted = self.disk.is_none() && self.unkept.is_none() && self.next_attach_ms <= now && !self.is_out();
        let Some(path) = self.config.path.clone().filter(|_| wanted) else { return };
        if self.applier_before.strong_count() > 0 {
            // Two that write never work in one directory.
            self.next_attach_ms = now + SETTLE_MS;
            return;
        }
        self.next_attach_ms = now + RESCAN_UNWATCHED_MS;
        match DiskTree::open(&path, &self.folder) {
            Ok(tree) => match self.attach_disk(tree) {
                Ok(true) => {
                    self.root_lost = None;
                    self.next_retry_ms = now;
                    self.look_at(Vec::new());
                }
                Ok(false) => {}
                Err(why) => self.trouble(why.to_string()),
            },
            Err(lost) => self.root_lost = Some(lost.to_string()),
        }
    }

    /// Starts to work in a directory. `false`: it is another copy of the folder than the one whose files are known, so nothing can
    /// be concluded from what is missing in it (h1).
    pub(super) fn attach_disk(&mut self, tree: DiskTree) -> Result<bool, DbError> {
        match self.db.note(COPY_NOTE)? {
            Some(known) if known != tree.copy_id() => {
                self.root_lost = Some(RootError::Replaced(tree.path().to_owned()).to_string());
                return Ok(false);
            }
            Some(_) => {}
            None => self.db.put_note(COPY_NOTE, &tree.copy_id())?,
        }
        let (applier, applier_rx) = std_mpsc::channel();
        let (hasher, hasher_rx) = std_mpsc::channel();
        let (looker, looker_rx) = std_mpsc::channel();
        let folder = self.folder;
        let unwritten = Arc::new(AtomicU64::new(0));
        let (disk, db, blocks, tell, written) = (
            tree.clone(),
            FolderDb::open_for_places(&self.db_path)?,
            self.blocks.clone(),
            self.disk_teller(),
            unwritten.clone(),
        );
        if let Some(keys) = self.keys.clone() {
            let _ = applier.send(Order::Keys(keys));
        }
        spawn(&folder, "apply", move || {
            while let Ok(order) = applier_rx.recv() {
                match order {
                    Order::Keys(keys) => {
                        let tell = Box::new(move |applied| tell(FromDisk::Applied(applied)));
                        return Applier::new(disk, db, blocks, keys, tell, written).run(&applier_rx);
                    }
                    Order::Stop => return,
                    // Without keys there is nothing to write.
                    _ => {}
                }
            }
        });
        let (disk, db, tell) = (tree.clone(), FolderDb::open_for_places(&self.db_path)?, self.disk_teller());
        spawn(&folder, "hash", move || {
            hash::run(&disk, db, &hasher_rx, &|hashed| tell(FromDisk::Hashed(hashed)));
        });
        let (disk, tell, around) = (tree.clone(), self.disk_teller(), self.around.clone());
        spawn(&folder, "look", move || {
            let now_ns = || i64::try_from(around.now_ms()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            look::run(&disk, &looker_rx, &now_ns, &|looked| tell(FromDisk::Looked(looked)));
        });
        let watch = Some(self.watch(&tree));
        self.disk = Some(Disk { tree, applier, unwritten, hasher, looker, watch });
        self.next_upkeep_ms = self.around.now_ms();
        Ok(true)
    }

    /// Hears of changes from now on; look at everything afterwards.
    fn watch(&mut self, tree: &DiskTree) -> Watch {
        let tell = self.disk_teller();
        // If the rules can not be read too much is heard of; the look that follows says what is wrong.
        let ignore = Ignore::load(tree).unwrap_or_default();
        self.rules = Some(Arc::new(ignore.clone()));
        let settings = WatchSettings { quiet_ms: WATCH_QUIET_MS, ..WatchSettings::default() };
        Watch::start(tree, ignore, settings, move |event| tell(FromDisk::Watched(event)))
    }

    /// How the threads that work in the directory are heard.
    fn disk_teller(&self) -> impl Fn(FromDisk) + Clone + Send + use<> {
        let (tell, life) = (self.inner.clone(), self.life);
        move |what| drop(tell.send(Inner::Disk(life, what)))
    }

    /// Whether the disk writes more slowly than peers send.
    pub(super) fn disk_is_behind(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.unwritten.load(Ordering::Relaxed) > UNWRITTEN_BYTES_MAX)
    }

    /// Ends the work in the directory. Steps that were under way are told as not done; the disk can be unmounted then.
    pub(super) fn detach_disk(&mut self) {
        if let Some(disk) = self.disk.take() {
            self.applier_before = Arc::downgrade(&disk.unwritten);
            let _ = disk.applier.send(Order::Stop);
            let _ = disk.hasher.send(Ask::Stop);
        }
        // With nobody there to do it, a look that waits would never end; whoever comes back is looked at whole. Who waits for it hears
        // that it is over.
        self.looks.forget_wanted();
        self.scan_requested.clear();
    }

    /// Plans a look at these paths; an empty list means everything.
    pub(crate) fn look_at(&mut self, paths: Vec<FolderPath>) {
        self.look_at_due(self.around.now_ms(), paths);
    }

    /// The same where somebody was seen at work: in a moment.
    pub(super) fn look_at_soon(&mut self, paths: Vec<FolderPath>) {
        self.look_at_due(self.around.now_ms() + SETTLE_MS, paths);
    }

    fn look_at_due(&mut self, due_ms: u64, paths: Vec<FolderPath>) {
        if self.disk.is_none() {
            return;
        }
        self.looks.want(due_ms, paths);
    }

    /// Whether something happened in the directory that is not looked at yet.
    pub(super) fn hears_somebody(&self) -> bool {
        let gathers = self.disk.as_ref().and_then(|disk| disk.watch.as_ref()).is_some_and(Watch::gathers);
        gathers || !self.looks.is_idle()
    }

    pub(super) fn look_if_due(&mut self, now: u64) {
        let asked = !self.scan_requested.is_empty();
        if self.disk.is_none() || !self.looks.is_due(now, asked) {
            return;
        }
        // While the disk is looked at nothing is planned: what the last look brought comes first.
        self.carry_out_engine();
        if self.engine.is_none() {
            return;
        }
        let Some(paths) = self.looks.begin(now, asked) else { return };
        if paths.is_empty() {
            // Whoever asked for a look at everything hears when this one is over.
            self.scan_waiters.extend(self.scan_requested.drain(..));
            let unwatched = self.disk.as_ref().is_some_and(|disk| disk.watch.is_none());
            let often_ms = if unwatched { RESCAN_UNWATCHED_MS } else { u64::MAX };
            self.next_rescan_ms = now + often_ms.min(self.around.rescan_ms());
        }
        self.tell_what_was_set_aside();
        self.tell_engine(Input::ScanBegun { under: paths.clone() });
        if let Some(disk) = &self.disk {
            let _ = disk.looker.send(look::Request { under: paths, after: disk.watch.as_ref().map(Watch::begun) });
        }
    }

    /// Before the first look, and after a step that may have done more than its failure says.
    fn tell_what_was_set_aside(&mut self) {
        if std::mem::replace(&mut self.told_set_aside, true) {
            return;
        }
        let Some(tree) = self.disk_tree() else { return };
        match tree.list_kept() {
            Ok(kept) => {
                let versions = kept.into_iter().map(|kept| seen::stamp(&kept.stamp)).collect();
                self.tell_engine(Input::SetAside(versions));
            }
            Err(why) => self.trouble(why.to_string()),
        }
    }

    /// Looks at everything; the receiver hears when what was found is committed.
    pub(crate) fn rescan(&mut self) -> Option<oneshot::Receiver<()>> {
        self.next_attach_ms = 0;
        self.find_root_again(self.around.now_ms());
        self.disk.as_ref()?;
        let (done, waits) = oneshot::channel();
        self.scan_requested.push_back(done);
        self.look_at(Vec::new());
        Some(waits)
    }

    pub(super) fn inner_event(&mut self, inner: Inner) {
        let now = self.around.now_ms();
        match inner {
            Inner::Disk(life, what) if life == self.life => self.disk_event(now, what),
            Inner::Disk(..) => {}
            Inner::Served(Served::Sent(peer, cid)) => {
                self.sent_blocks += 1;
                self.replica.handle(now, replicate::Input::BlockSent { peer, cid })
            }
            Inner::Served(Served::Missing(peer, cid)) => {
                self.replica.handle(now, replicate::Input::BlockMissing { peer, cid });
            }
        }
        self.look_if_due(now);
    }

    fn disk_event(&mut self, now: u64, what: FromDisk) {
        match what {
            FromDisk::Applied(Applied::Want(cids)) => {
                self.note_shared(&cids);
                self.replica.handle(now, replicate::Input::Want { cids, priority: Priority::Recent });
            }
            FromDisk::Applied(Applied::Unwant(cids)) => self.replica.handle(now, replicate::Input::Unwant { cids }),
            FromDisk::Applied(Applied::Done(id, now_there)) => self.step_done(id, now_there),
            FromDisk::Applied(Applied::Failed(id, why)) => {
                self.next_retry_ms = self.next_retry_ms.min(now + STUCK_RETRY_MS);
                self.told_set_aside &= !matches!(why, StepError::DiskFull | StepError::Failed(_));
                let path = self.engine.as_ref().and_then(|engine| engine.step(id)).map(|step| step.path());
                tracing::debug!(path = path.map(tracing::field::display), ?why, "a step was not taken");
                self.tell_engine(Input::StepFailed { id, why });
            }
            FromDisk::Hashed(hashed) => self.hashed(hashed),
            FromDisk::Looked(looked) => self.looked(looked),
            FromDisk::Watched(event) => self.watched(event),
        }
    }

    fn watched(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Changed(paths) => {
                let rules = |path: &FolderPath| path.as_str() == IGNORE_FILE;
                if paths.iter().any(rules) {
                    // Other directories are to be watched now, and files that were ignored may be content.
                    return self.watch_anew();
                }
                self.look_at(paths.into_iter().collect());
            }
            WatchEvent::Locks(locks) => self.locks_changed(locks),
            WatchEvent::NoContent => {
                // What has no path can be found by a look at everything alone: soon, and not all the time.
                let begun = self.next_rescan_ms.saturating_sub(self.around.rescan_ms());
                let due = (begun + NO_CONTENT_MS).max(self.around.now_ms() + UNSETTLED_MS);
                self.next_rescan_ms = self.next_rescan_ms.min(due);
            }
            WatchEvent::Rescan { why } => {
                tracing::debug!(%why, "everything is looked at");
                self.look_at(Vec::new());
            }
            WatchEvent::Dead { why } => {
                tracing::warn!(%why, "changes are not heard of any more; the folder is listed instead");
                if let Some(disk) = &mut self.disk {
                    disk.watch = None;
                }
                self.look_at(Vec::new());
            }
        }
    }

    /// Watches by the rules of now, and looks at everything once that is done.
    fn watch_anew(&mut self) {
        if let Some(tree) = self.disk.as_ref().map(|disk| disk.tree.clone()) {
            let watch = self.watch(&tree);
            if let Some(disk) = &mut self.disk {
                disk.watch = Some(watch);
            }
        }
        self.look_at(Vec::new());
    }

    /// What a look is about to leave out. Rules that nobody has heard the change of count for everything from now on.
    fn ruled(&mut self, found: Arc<Ignore>) {
        let rules = match &self.rules {
            Some(known) if known.same(&found) => known.clone(),
            _ => {
                self.rules = Some(found.clone());
                match self.disk.as_ref().is_some_and(|disk| disk.watch.is_some()) {
                    true => self.watch_anew(),
                    false => self.look_at(Vec::new()),
                }
                found
            }
        };
        self.tell_engine(Input::Rules(rules));
    }

    pub(super) fn step_done(&mut self, id: StepId, now_there: Option<Stat>) {
        self.tell_engine(Input::StepDone { id, now_there });
    }

    pub(super) fn hashed(&mut self, hashed: Vec<Hashed>) {
        let is_noise = |result: &Hashed| match result {
            Hashed::Done { path, noise: true, .. } => Some(path.clone()),
            _ => None,
        };
        let noise: Vec<FolderPath> = hashed.iter().filter_map(is_noise).collect();
        if !noise.is_empty() {
            self.tell_engine(Input::Noise(noise));
        }
        for result in hashed {
            self.reading = self.reading.saturating_sub(1);
            match result {
                Hashed::Done { path, stamp, body, blocks, .. } => {
                    if !blocks.is_empty() {
                        let rows: Vec<(Cid, &[u8])> = blocks.iter().map(|b| (b.cid, b.bytes.as_slice())).collect();
                        if let Err(why) = self.blocks.put_many(&rows) {
                            return self.not_kept(why);
                        }
                    }
                    self.note_save(&path, &body.plain_digest);
                    self.tell_engine(Input::Hashed { path, stamp, body });
                }
                Hashed::Failed { path, why } => {
                    tracing::debug!(%why, "a file could not be read");
                    if matches!(why, ReadError::Unreadable(_)) {
                        self.left_out.can_not_be_read(path.clone(), why.to_string());
                    } else {
                        self.look_at_soon(vec![path.clone()]);
                    }
                    self.tell_engine(Input::HashFailed { path });
                }
            }
        }
        self.scan_maybe_over();
    }

    pub(super) fn looked(&mut self, looked: Looked) {
        match looked {
            Looked::Rules(found) => self.ruled(found),
            Looked::Listed(entries) => self.tell_engine(Input::Listed(entries)),
            Looked::Ended(findings) => {
                self.root_lost = None;
                self.left_out.follow(&findings);
                self.look_once_more(findings.unsettled);
                let unreadable = findings.unreadable.into_iter().map(|(path, _)| path).collect();
                self.tell_engine(Input::ScanEnded { unreadable });
            }
            Looked::RootLost(lost) => {
                self.lost_root(&lost);
                self.tell_engine(Input::ScanEnded { unreadable: vec![FolderPath::root()] });
                self.detach_disk();
            }
        }
        self.carry_out_engine();
        self.scan_maybe_over();
    }

    /// Files written a moment ago may be written again without another time to tell it by: they are looked at later, too (l6).
    fn look_once_more(&mut self, mut unsettled: Vec<FolderPath>) {
        // Where nobody looks any more nothing is left for later.
        if unsettled.is_empty() || self.disk.is_none() {
            return;
        }
        let due = self.around.now_ms() + UNSETTLED_MS;
        if unsettled.iter().any(FolderPath::is_root) {
            unsettled.clear();
        }
        self.looks.want_later(due, unsettled);
    }

    pub(super) fn lost_root(&mut self, lost: &RootError) {
        if self.root_lost.is_none() {
            self.trouble(lost.to_string());
        }
        self.root_lost = Some(lost.to_string());
    }

    pub(super) fn scan_maybe_over(&mut self) {
        let is_over = self.engine.as_ref().is_some_and(|engine| !engine.is_scanning());
        if is_over && self.looks.end(self.around.now_ms()) {
            for waiter in self.scan_waiters.drain(..) {
                let _ = waiter.send(());
            }
        }
    }

    /// The folder's directory, if it has one.
    pub(crate) fn disk_tree(&self) -> Option<&DiskTree> {
        self.disk.as_ref().map(|disk| &disk.tree)
    }
}
