//! Pieces of files that lie here already: in another file of the folder, in a version set aside, in a kept block.

use cobox_core::content;
use cobox_core::keys::FolderKeys;
use cobox_core::state::Ref;
use cobox_store::BlockStore;

use super::db::FolderDb;
use super::seen::read_piece;
use crate::disk_tree::DiskTree;

/// The bytes of a piece and their digest, if they are here and are what the folder lists.
pub(super) fn piece_here(
    (db, disk): (&FolderDb, &DiskTree),
    blocks: &dyn BlockStore,
    keys: &FolderKeys,
    piece: &Ref,
) -> Option<(Vec<u8>, [u8; 32])> {
    for (place, part) in db.pieces(&piece.cid).unwrap_or_default() {
        if let Ok(bytes) = read_piece(disk, &place, &part)
            && let Some((_, digest)) = content::reseal_digested(keys, piece, &bytes)
        {
            return Some((bytes, digest));
        }
    }
    let sealed = blocks.get(&piece.cid).ok()??;
    content::open_digested(keys, piece, &sealed).ok()
}
