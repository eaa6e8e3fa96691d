//! Who has a file open: what is seen of that here is told to the members' devices that are connected, and what they tell is remembered
//! until it is over. Sealed for the members, as every word about names is; never a part of the history.

use cobox_core::editing::{EditingNote, Sign};
use cobox_core::state::Kind;

use super::*;
use crate::disk_tree::Seen;

/// What the note is sealed as.
const OBJECT: &str = "editing";

impl FolderActor {
    /// Editors' locks that came, went, or were there when the watch began.
    pub(super) fn locks_changed(&mut self, locks: BTreeSet<FolderPath>) {
        let now = self.around.now_ms();
        for lock in locks {
            match self.lock_made_ms(&lock) {
                Some(made_ms) => self.edited_here.locked(now, lock, made_ms),
                None => self.edited_here.unlocked(now, &lock),
            }
        }
    }

    /// Locks whose going was not heard of.
    fn look_at_locks(&mut self, now: u64) {
        let gone = |lock: &&FolderPath| self.lock_made_ms(lock).is_none();
        let gone: Vec<FolderPath> = self.edited_here.locks().filter(gone).cloned().collect();
        for lock in gone {
            self.edited_here.unlocked(now, &lock);
        }
    }

    /// When a lock was laid; `None` if there is none.
    fn lock_made_ms(&self, lock: &FolderPath) -> Option<u64> {
        let seen = self.disk_tree()?.stat(lock).ok()??;
        let (Seen::File(stamp) | Seen::Symlink { stamp, .. }) = seen else { return None };
        Some(u64::try_from(stamp.mtime_ns / 1_000_000).unwrap_or(0))
    }

    /// A file was read because it is another than it was.
    pub(super) fn note_save(&mut self, path: &FolderPath, digest: &[u8; 32]) {
        let known = self.engine.as_ref().and_then(|engine| engine.synced().get(path));
        if known.is_some_and(|known| known.kind == Kind::File && known.digest != *digest) {
            self.edited_here.saved(self.around.now_ms(), path);
        }
    }

    /// Whether anything is told: who may only read edits nothing that is anybody else's.
    fn tells_editing(&self) -> bool {
        let may_write = self.replica.membership().roster().can_write(&self.device.public().sig);
        may_write && self.engine.is_some() && self.epoch().is_some()
    }

    /// Tells the others, if it is time.
    pub(super) fn tell_editing(&mut self) {
        let now = self.around.now_ms();
        if self.edited_here.due_ms().is_none_or(|due| due > now) || !self.tells_editing() {
            return;
        }
        self.look_at_locks(now);
        let Some(engine) = &self.engine else { return };
        let Some(note) = self.edited_here.tell(now, &engine.view().entries) else { return };
        let device = self.device.public().sig;
        let (Some(keys), Some(epoch)) = (&self.keys, self.epoch()) else { return };
        let Ok(sealed) = keys.seal_note(&epoch, OBJECT, &device.0, &note.to_bytes()) else { return };
        let sealed = [&epoch.0[..], &sealed].concat();
        for row in self.peers.values().filter(|row| row.who.kind == KeyKind::Device) {
            row.peer.send(Message::Editing { sealed: sealed.clone() });
        }
    }

    /// When there is something to tell, or something may be over.
    pub(super) fn editing_due_ms(&self) -> Option<u64> {
        let tell = self.edited_here.due_ms().filter(|_| self.tells_editing());
        tell.into_iter().chain(self.edited_elsewhere.due_ms()).min()
    }

    /// A connected device says what it has open. What can not be read, or is nothing of the kind, says nothing.
    pub(super) fn editing_heard(&mut self, device: SigKey, sealed: &[u8]) {
        if self.replica.membership().roster().device(&device).is_none() {
            return;
        }
        let opened = || {
            let (epoch, sealed) = sealed.split_first_chunk::<16>()?;
            let plain = self.keys.as_deref()?.open_note(&EpochTag(*epoch), OBJECT, &device.0, sealed).ok()?;
            EditingNote::from_bytes(&plain).ok()
        };
        let Some(note) = opened() else { return };
        let news = self.edited_elsewhere.heard(self.around.now_ms(), device, note);
        self.tell_signs(news);
    }

    /// Forgets what was not repeated.
    pub(super) fn end_signs(&mut self, now: u64) {
        let roster = self.replica.membership().roster();
        let news = self.edited_elsewhere.expire(now, &|device| roster.device(device).is_some());
        self.tell_signs(news);
    }

    fn tell_signs(&self, news: Vec<Sign>) {
        for Sign { device, path, open } in news {
            let roster = self.replica.membership().roster();
            let member = roster.device(&device).map(|(_, member)| member);
            let (grant, key) = member.map_or((None, device), |member| (Some(member.grant), member.sig));
            let name = grant.and_then(|grant| self.member_name(&grant)).unwrap_or_else(|| key.short());
            self.around.tell(&self.config, Happened::Editing { name, key, path, open });
        }
    }
}
