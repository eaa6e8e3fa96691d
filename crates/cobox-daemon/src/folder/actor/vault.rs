//! The few small files of a person's vault, which lie in no directory.

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
