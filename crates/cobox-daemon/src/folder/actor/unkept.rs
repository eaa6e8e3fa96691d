//! When something can not be made durable: a full disk, a broken one.
//!
//! The engine then believes more than is kept: it would build on a head that nobody has, and whoever reads on from there would wait for
//! ever. So it ends, as at a crash, and begins anew from what is kept once everything can be kept again. Meanwhile nothing is
//! published, nothing on the disk is touched, and status says why. What must hold: what the replica took is kept before the engine begins.

use super::*;
use crate::folder::db::DbError;
use cobox_store::StoreError;

/// Why something could not be made durable.
#[derive(Debug, Clone)]
pub(crate) struct Unkept {
    /// Whether there was no room for it.
    pub(crate) disk_full: bool,
    /// In words.
    pub(crate) message: String,
}

impl From<StoreError> for Unkept {
    fn from(why: StoreError) -> Self {
        Self { disk_full: matches!(why, StoreError::DiskFull { .. }), message: why.to_string() }
    }
}

impl From<DbError> for Unkept {
    fn from(why: DbError) -> Self {
        Self { disk_full: why.is_disk_full(), message: why.to_string() }
    }
}

impl FolderActor {
    /// Ends the engine until everything can be kept again.
    pub(super) fn not_kept(&mut self, why: impl Into<Unkept>) {
        let why = why.into();
        if self.unkept.is_none() {
            self.trouble(why.message.clone());
        }
        self.unkept = Some(why);
        self.engine = None;
        self.memory = None;
        self.engine_wants.clear();
        self.fresh_nodes = brain::FreshNodes::default();
        self.wake_ms = None;
        self.reading = 0;
        // Its steps and looks end with it: what its threads still tell is not for the next engine. Whoever waits for a look hears
        // that there is none.
        self.detach_disk();
        self.life += 1;
        self.looks.end(self.around.now_ms());
        self.scan_waiters.clear();
        self.scan_requested.clear();
        let now = self.around.now_ms();
        self.next_attach_ms = now + STUCK_RETRY_MS;
        self.next_retry_ms = now + STUCK_RETRY_MS;
    }

    /// Tries to keep what was not kept, and begins anew.
    pub(super) fn keep_again(&mut self, now: u64) {
        if self.unkept.is_none() {
            return;
        }
        match self.keep_all(now) {
            Ok(()) => {
                self.unkept = None;
                self.next_attach_ms = now;
                self.start_engine();
                self.find_root_again(now);
            }
            Err(why) => self.unkept = Some(why),
        }
    }

    /// Everything the replica took, in the records. What is there already is not written twice.
    fn keep_all(&self, now: u64) -> Result<(), Unkept> {
        self.db.try_write()?;
        let log = self.replica.membership().log();
        for sent in log.ops().filter_map(|op| self.replica.envelopes().of(&op.id())) {
            self.records.put_envelopes(&sent)?;
        }
        self.records.put_ops(log.ops())?;
        let heads = self.replica.heads();
        for head in heads.iter() {
            let state = if heads.counts(&head.id()) { HeadState::Accepted } else { HeadState::Quarantined };
            self.records.put_head(head, state, now)?;
        }
        Ok(())
    }
}
