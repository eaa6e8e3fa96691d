//! What a member's machine does at its disk: it looks, reads and carries out steps, as well as the disk lets it.

use std::sync::Arc;

use cobox_core::content::open_chunk;
use cobox_core::engine::{Input, Step, StepError, StepId};
use cobox_core::path::FolderPath;
use cobox_core::state::{Body, Content, Kind, Ref};
use cobox_proto::id::Cid;
use cobox_proto::replicate::{self, Priority};

use crate::disk::{Bytes, New, Node};
use crate::ignore::Rules;
use crate::member::Member;
use crate::scan::{Scan, read};

impl Member<'_> {
    pub(crate) fn scan(&mut self, now_ms: u64, max: usize) {
        let Some(live) = &mut self.live else { return };
        if let Some(scan) = &mut live.scan {
            let is_told = !scan.late.is_empty() && (scan.is_read() || self.machine.luck.one_in(4));
            let next = match is_told.then(|| scan.late.pop_front()).flatten() {
                Some(late) => Some(late),
                None => self.go_on_looking(max),
            };
            if let Some(input) = next {
                self.tell_engine(now_ms, input);
            }
            if let Some(live) = &mut self.live
                && let Some(over) = live.scan.take_if(|scan| scan.is_over())
            {
                self.witness.adopted.retain(|path| !over.goes_to(path));
                debug_assert!(!live.engine.is_scanning());
            }
        } else if let Some(mut under) = live.rescan.take() {
            under.sort();
            under.dedup();
            let rules = Arc::new(Rules::of(&self.durable.disk));
            let tells = live.rules.is_none() || std::mem::take(&mut live.tells_set_aside);
            let aside = tells.then(|| self.durable.disk.kept.iter().map(|(stamp, _)| *stamp).collect());
            if live.rules != Some(rules.clone()) && !under.is_empty() {
                live.rescan = Some(Vec::new());
            }
            live.rules = Some(rules.clone());
            let left_out = self.machine.left_out(&self.durable.disk);
            let disk = &self.durable.disk;
            let unseen = left_out.iter().flat_map(|path| disk.below(path));
            let contents = unseen.filter_map(|path| Some(disk.tree.get(&path)?.content()?.hash));
            self.witness.once_left_out.extend(contents);
            let places: Vec<String> = under.iter().map(ToString::to_string).collect();
            let lies = if left_out.is_empty() { "" } else { ", and not at all of it" };
            self.events
                .push(format!("looks at {}{lies}", if places.is_empty() { "all".into() } else { places.join(", ") }));
            let scan = Scan::begin(under.clone(), rules.clone(), left_out);
            live.scan = Some(scan.clone());
            self.note_look(|path| scan.goes_to(path));
            self.note_ignored(&rules);
            if let Some(aside) = aside {
                self.tell_engine(now_ms, Input::SetAside(aside));
            }
            self.tell_engine(now_ms, Input::ScanBegun { under });
            self.tell_engine(now_ms, Input::Rules(rules));
        }
    }

    /// What stands where these rules leave it out.
    fn note_ignored(&mut self, rules: &Rules) {
        let disk = &self.durable.disk;
        let ignored = disk.tree.iter().filter(|(path, _)| rules.ignores(path, disk.has_dir(path)));
        self.witness.once_ignored.extend(ignored.filter_map(|(_, node)| node.content()).cloned());
    }

    /// The next piece of the listing, or the next file that was read; nothing if that is told later.
    fn go_on_looking(&mut self, max: usize) -> Option<Input> {
        let scan = self.live.as_mut()?.scan.as_mut()?;
        let lists = !scan.listed && (scan.to_read.is_empty() || !max.is_multiple_of(2));
        if lists && let Some(listed) = scan.go_on(&self.durable.disk, max) {
            return Some(listed);
        }
        let path = scan.to_read.pop_front()?;
        let read = self.hash(path);
        if self.machine.faults.late_reads && self.machine.luck.one_in(2) {
            self.live.as_mut()?.scan.as_mut()?.late.push_back(read);
            return None;
        }
        Some(read)
    }

    fn hash(&mut self, path: FolderPath) -> Input {
        if self.machine.unmounted || self.machine.fails(10) {
            return Input::HashFailed { path };
        }
        let Some(epoch) = self.epoch else { return Input::HashFailed { path } };
        match read(self.keys(), &self.cutter, epoch, &self.durable.disk, &path) {
            Some(read) => {
                self.durable.blocks.extend(read.blocks.into_iter().map(|block| (block.cid, Arc::new(block.bytes))));
                self.note_pieces(&read.content, &read.chunks);
                Input::Hashed { path, stamp: read.stamp, body: Box::new(read.body) }
            }
            None => {
                self.look_at(vec![path.clone()]);
                Input::HashFailed { path }
            }
        }
    }

    fn note_pieces(&mut self, content: &Bytes, chunks: &[Ref]) {
        let mut start = 0;
        for piece in chunks {
            self.durable.pieces.insert(piece.cid, (content.hash, start, *piece));
            start += piece.len as usize;
        }
    }

    pub(crate) fn step(&mut self, now_ms: u64, id: StepId, step: Step) {
        let made = match &step {
            Step::Write { body, .. } => match self.assemble(body) {
                Ok(content) => Some(content),
                Err(missing) => {
                    let wants = replicate::Input::Want { cids: missing, priority: Priority::Recent };
                    if let Some(live) = &mut self.live {
                        live.waiting.push((id, step));
                    }
                    return self.tell_replica(now_ms, wants);
                }
            },
            _ => None,
        };
        if self.stops_now() {
            return;
        }
        if self.machine.unmounted {
            self.events.push(format!("could not {}: its folder is not there", tell(&step)));
            return self.report(Input::StepFailed { id, why: StepError::Failed("ENOENT".into()) });
        }
        if self.machine.fails(12) {
            let why = if self.machine.luck.one_in(2) { StepError::DiskFull } else { StepError::Failed("EIO".into()) };
            self.events.push(format!("could not {}: {why:?}", tell(&step)));
            return self.report(Input::StepFailed { id, why });
        }
        let before = self.machine.faults.power_cuts.then(|| self.durable.disk.clone());
        let disk = &mut self.durable.disk;
        let done = match &step {
            Step::MakeDir { path } => disk.step_make_dir(path).map(Some),
            Step::RenameDir { from, to } => disk.step_rename_dir(from, to).map(Some),
            Step::RenameFile { from, to, expect } => disk.step_rename_file(from, to, *expect).map(Some),
            Step::SetMeta { path, mtime_ns, executable, expect } => {
                disk.step_set_meta(path, *mtime_ns, *executable, *expect).map(Some)
            }
            Step::Remove { path, expect } => disk.step_remove(path, *expect).map(|()| None),
            Step::RemoveDir { path } => disk.step_remove_dir(path).map(|()| None),
            Step::Write { source: Some((from, stamp)), .. }
                if disk.tree.get(from).and_then(Node::stamp) != Some(*stamp) =>
            {
                Err(StepError::Changed)
            }
            Step::Write { path, kind, body, expect, .. } => {
                let content = made.clone().expect("a write was assembled above");
                let link = *kind == Kind::Symlink;
                let new = New { content, link, mtime_ns: body.mtime_ns, executable: body.executable };
                disk.step_write(path, new, *expect).map(Some)
            }
        };
        if let (Step::Write { body, .. }, Some(content), Ok(_)) = (&step, &made, &done)
            && let Content::Refs(refs) = &body.content
        {
            self.note_pieces(content, &refs.clone());
        }
        self.events.push(format!("{} {}", if done.is_ok() { "did" } else { "could not" }, tell(&step)));
        if let (Some(live), Some(before), Ok(_)) = (&mut self.live, before, &done) {
            live.undo.push_back((before, self.durable.disk.ticks()));
        }
        let report = match done {
            // It was done, and the disk says that it was not.
            Ok(_) if self.machine.fails(30) => Input::StepFailed { id, why: StepError::Failed("EIO".into()) },
            Ok(now_there) => Input::StepDone { id, now_there },
            Err(why) => Input::StepFailed { id, why },
        };
        self.report(report);
    }

    fn report(&mut self, report: Input) {
        if let Some(live) = &mut self.live {
            live.reports.push_back(report);
        }
    }

    pub(crate) fn assemble(&self, body: &Body) -> Result<Bytes, Vec<Cid>> {
        match &body.content {
            Content::Inline(bytes) => Ok(Bytes::new(bytes)),
            Content::Refs(refs) => {
                let (mut whole, mut missing) = (Vec::new(), Vec::new());
                for piece in refs.iter() {
                    let kept = self.durable.blocks.get(&piece.cid);
                    let plain = kept
                        .and_then(|sealed| open_chunk(self.keys(), piece, sealed).ok())
                        .or_else(|| self.plain(&piece.cid));
                    match plain {
                        Some(plain) => whole.extend(plain),
                        None => missing.push(piece.cid),
                    }
                }
                if missing.is_empty() { Ok(Bytes::new(&whole)) } else { Err(missing) }
            }
            Content::Manifest(_) => unreachable!("files here have at most 64 chunks"),
        }
    }
}

/// A step in words.
pub(crate) fn tell(step: &Step) -> String {
    match step {
        Step::MakeDir { path } => format!("make dir {path}"),
        Step::RenameDir { from, to } => format!("move dir {from} -> {to}"),
        Step::RenameFile { from, to, .. } => format!("move {from} -> {to}"),
        Step::Write { path, expect, .. } => format!("write {path}{}", if expect.is_some() { " over" } else { "" }),
        Step::SetMeta { path, .. } => format!("set time and mode of {path}"),
        Step::Remove { path, .. } => format!("remove {path}"),
        Step::RemoveDir { path } => format!("remove dir {path}"),
    }
}
