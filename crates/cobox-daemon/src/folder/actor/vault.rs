//! The few small files of a person's vault, which lie in no directory.

use cobox_core::engine::HeadNote;

use super::*;

impl FolderActor {
    /// A file of a vault, whole. Vault files are small.
    pub(crate) fn vault_file(&self, path: &FolderPath) -> Option<Vec<u8>> {
        let (_, _, body) = self.engine.as_ref()?.leaf_at(path)?;
        match &body.content {
            cobox_core::state::Content::Inline(bytes) => Some(bytes.to_vec()),
            cobox_core::state::Content::Refs(refs) => {
                let keys = self.keys.as_deref()?;
                let mut whole = Vec::new();
                for r in refs.iter() {
                    let sealed = self.blocks.get(&r.cid).ok()??;
                    whole.extend(cobox_core::content::open_chunk(keys, r, &sealed).ok()?);
                }
                Some(whole)
            }
            cobox_core::state::Content::Manifest(_) => None,
        }
    }

    /// Writes a file of a vault.
    pub(crate) fn put_vault_file(&mut self, path: &FolderPath, bytes: &[u8]) {
        let now = self.around.now_ms();
        let (Some(keys), Some(epoch)) = (self.keys.clone(), self.epoch()) else { return };
        let sealed = cobox_core::content::seal_small(&keys, epoch, bytes, (now as i64).saturating_mul(1_000_000));
        let rows: Vec<(Cid, &[u8])> = sealed.blocks.iter().map(|b| (b.cid, b.bytes.as_slice())).collect();
        if let Err(why) = self.blocks.put_many(&rows) {
            return self.trouble(why.to_string());
        }
        if let Some(engine) = &mut self.engine {
            engine.put_virtual(now, path, sealed.body);
        }
    }

    /// The vault says how new it is; every other folder names that in its heads, so that an old vault is known for one.
    pub(super) fn pass_vault_mark(&mut self) {
        if self.config.sort == Sort::Folder {
            let mark = self.around.vault_mark();
            if let Some(mark) = mark.filter(|_| self.engine.is_some() && mark != self.told_vault) {
                self.told_vault = Some(mark);
                self.tell_engine(Input::Vault(mark));
            }
            return;
        }
        let heads = self.frontier_heads().into_iter().filter_map(|id| self.replica.heads().get(&id));
        let newest = heads.max_by_key(|head| (head.head().claimed_time_ms, head.head().seq));
        let mark = newest.map(|head| VaultMark { seq: head.head().seq, head: head.id() });
        if let Some(mark) = mark.filter(|_| mark != self.told_vault) {
            self.told_vault = Some(mark);
            self.around.vault_written(mark);
        }
    }

    /// What the person's own devices last knew of their vault, as the heads of this folder say.
    pub(crate) fn vault_marks(&self) -> Vec<VaultMark> {
        let Some(keys) = self.keys.as_deref() else { return Vec::new() };
        let membership = self.replica.membership();
        let mine = |device: &SigKey| {
            membership.roster().device(device).is_some_and(|(_, member)| member.sig == self.slot.sig.public())
        };
        let heads = self.replica.heads().maximal().filter(|head| mine(&head.head().device));
        heads.filter_map(|head| HeadNote::open(keys, head)?.vault).collect()
    }

    /// Asks for the chunks of the vault's files that are not here.
    pub(crate) fn want_vault_blocks(&mut self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let mut missing = Vec::new();
        for leaf in engine.view().entries.values().filter_map(cobox_core::state::ViewEntry::shown) {
            if let Some(cobox_core::state::Content::Refs(refs)) = leaf.body(engine.state()).map(|b| b.content.clone()) {
                missing.extend(refs.iter().map(|r| r.cid).filter(|cid| !self.blocks.has(cid).unwrap_or(false)));
            }
        }
        if missing.is_empty() {
            return false;
        }
        let now = self.around.now_ms();
        self.replica.handle(now, replicate::Input::Want { cids: missing, priority: Priority::Now });
        true
    }
}
