//! What people decide about people and devices: who is sent away, what becomes of what they wrote meanwhile.

use cobox_core::members::{
    Change, RemovalError, approve_join, cancel_invite, refuse_join, rekey, remove_device, remove_member,
    set_approve_joins, set_role,
};

use super::*;

impl FolderActor {
    /// Takes a member out, or only says what that would do.
    pub(crate) fn remove_member(&mut self, member: OpId, dry_run: bool) -> Result<Change, RemovalError> {
        let cut = self.replica.heads().last_of(|_, author| *author == member);
        let change = remove_member(&self.seat(), member, cut, &self.chances())?;
        Ok(self.changed(change, dry_run))
    }

    /// Changes what a member may do, or only says what that would do.
    pub(crate) fn set_role(&mut self, member: OpId, role: Role, dry_run: bool) -> Result<Change, RemovalError> {
        let cut = self.replica.heads().last_of(|_, author| *author == member);
        let change = set_role(&self.seat(), member, role, cut, &self.chances())?;
        Ok(self.changed(change, dry_run))
    }

    /// Takes another device of the person out, or only says what that would do.
    pub(crate) fn remove_device(&mut self, device: SigKey, dry_run: bool) -> Result<Change, RemovalError> {
        let cut = self.replica.heads().last_of(|author, _| *author == device);
        let change = remove_device(&self.seat(), device, cut, &self.chances())?;
        Ok(self.changed(change, dry_run))
    }

    /// Closes an invite.
    pub(crate) fn cancel_invite(&mut self, invite: OpId) -> Result<Change, RemovalError> {
        let change = cancel_invite(&self.seat(), invite, self.around.now_ms(), &self.chances())?;
        Ok(self.changed(change, false))
    }

    /// Lets somebody in who asks.
    pub(crate) fn approve_join(&mut self, join: OpId) -> Result<Change, RemovalError> {
        let change = approve_join(&self.seat(), join, self.around.now_ms(), &self.chances())?;
        Ok(self.changed(change, false))
    }

    /// Refuses somebody who asks, and closes the invite.
    pub(crate) fn refuse_join(&mut self, join: OpId) -> Result<Change, RemovalError> {
        let change = refuse_join(&self.seat(), join, self.around.now_ms(), &self.chances())?;
        Ok(self.changed(change, false))
    }

    /// Calls a member something else on this device, or by their own name again.
    pub(crate) fn set_nickname(&mut self, member: OpId, nickname: Option<String>) {
        match nickname {
            Some(nickname) => self.config.nicknames.insert(member.to_string(), nickname),
            None => self.config.nicknames.remove(&member.to_string()),
        };
        self.save_config();
    }

    /// Says whether whoever joins has to be approved.
    pub(crate) fn set_approve_joins(&mut self, approve_joins: bool) -> Result<Change, RemovalError> {
        let change = set_approve_joins(&self.seat(), approve_joins, &self.chances())?;
        Ok(self.changed(change, false))
    }

    /// Starts a new epoch because a person wants one.
    pub(crate) fn rekey(&mut self) -> Result<Change, RemovalError> {
        let change = rekey(&self.seat(), &self.chances())?;
        Ok(self.changed(change, false))
    }

    /// Seals the contents of this disk under the newest keys; it goes on over restarts until it is done.
    pub(crate) fn reseal_contents(&mut self) {
        self.config.reseal = true;
        self.save_config();
        self.tell_engine(Input::ResealContents);
    }

    /// It is done, or has ended with files left out.
    pub(super) fn resealed(&mut self) {
        self.config.reseal = false;
        self.save_config();
    }

    fn changed(&mut self, change: Change, dry_run: bool) -> Change {
        if !dry_run {
            self.carry_out_deed(change.deed.clone());
        }
        change
    }

    /// States of removed devices that do not count, and that nobody here has put out of sight.
    pub(crate) fn quarantined(&self) -> Vec<HeadId> {
        let mut heads = self.replica.heads().quarantined();
        heads.retain(|id| !self.config.discarded.contains(&id.to_string()));
        heads
    }

    /// Takes what was held aside into the folder after all: the next head of this device vouches for it. Its blocks may be long in
    /// coming; a stop meanwhile changes nothing.
    pub(crate) fn adopt(&mut self, head: HeadId) {
        let adopted = head.to_string();
        if !self.config.adopted.contains(&adopted) {
            self.config.adopted.push(adopted);
            self.save_config();
        }
        for head in self.held_at(&head) {
            self.tell_engine(Input::Head(Box::new(head)));
        }
    }

    /// A head with what it rests on and that does not count either, the oldest first.
    fn held_at(&self, head: &HeadId) -> Vec<SignedHead> {
        let heads = self.replica.heads();
        let held = heads.past(head, |head| !heads.counts(&head.id()));
        held.iter().rev().filter_map(|id| heads.get(id)).cloned().collect()
    }

    /// What was taken in and does not count yet, the oldest first.
    pub(super) fn adopted(&self) -> Vec<SignedHead> {
        let adopted = self.config.adopted.iter().filter_map(|id| id.parse().ok());
        adopted.flat_map(|id: HeadId| self.held_at(&id)).collect()
    }

    /// A head counts now: if it was to be taken in, it is.
    pub(super) fn adoption_is_done(&mut self, head: &HeadId) {
        if !self.config.adopted.is_empty() {
            let before = self.config.adopted.len();
            let head = head.to_string();
            self.config.adopted.retain(|adopted| *adopted != head);
            if self.config.adopted.len() < before {
                self.save_config();
            }
        }
    }

    /// Does not show it on this device any more. Nothing is deleted anywhere.
    pub(crate) fn discard(&mut self, head: HeadId) {
        self.config.discarded.push(head.to_string());
        self.save_config();
    }
}
