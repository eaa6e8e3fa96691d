//! Finds the bytes of blocks that peers ask for: kept blocks first, then the working files, sealed again and compared with
//! the name (design 3.5). One thread per folder reads; each block then waits for its own peer alone.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use cobox_core::content;
use cobox_core::keys::FolderKeys;
use cobox_core::state::Ref;
use cobox_net::Peer;
use cobox_proto::id::Cid;
use cobox_proto::replicate::PeerId;
use cobox_store::BlockStore;
use tokio::runtime::Handle;

use super::db::FolderDb;
use super::seen::read_piece;
use crate::disk_tree::DiskTree;

/// A block somebody asks for.
#[derive(Debug)]
pub(super) struct Serve {
    pub(super) peer: Peer,
    pub(super) cid: Cid,
    pub(super) keys: Option<Arc<FolderKeys>>,
    /// The folder, if it is there now.
    pub(super) disk: Option<DiskTree>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Served {
    /// It is on its way.
    Sent(PeerId, Cid),
    /// It is not here, or the file has changed.
    Missing(PeerId, Cid),
}

pub(super) struct Server {
    pub(super) db: FolderDb,
    pub(super) blocks: Arc<dyn BlockStore>,
    pub(super) runtime: Handle,
}

impl Server {
    pub(super) fn run(self, asked: &Receiver<Serve>, tell: impl Fn(Served) + Clone + Send + 'static) {
        while let Ok(Serve { peer, cid, keys, disk }) = asked.recv() {
            let Some(bytes) = self.bytes(&cid, keys.as_deref(), disk.as_ref()) else {
                tell(Served::Missing(peer.id, cid));
                continue;
            };
            let tell = tell.clone();
            // The replica asks for few blocks of one peer at a time, so few of these wait.
            self.runtime.spawn(async move {
                let sent = peer.send_block(bytes).await;
                tell(if sent.is_ok() { Served::Sent(peer.id, cid) } else { Served::Missing(peer.id, cid) });
            });
        }
    }

    fn bytes(&self, cid: &Cid, keys: Option<&FolderKeys>, disk: Option<&DiskTree>) -> Option<Bytes> {
        match self.blocks.get(cid) {
            Ok(Some(bytes)) => return Some(bytes.into()),
            Ok(None) => {}
            Err(why) => tracing::warn!(%why, "a kept block could not be read"),
        }
        let (disk, keys) = (disk?, keys?);
        for (place, piece) in self.db.pieces(cid).ok()? {
            let listed = Ref { cid: *cid, len: piece.len, epoch: piece.epoch };
            if let Ok(plain) = read_piece(disk, &place, &piece)
                && let Some(sealed) = content::reseal(keys, &listed, &plain)
            {
                return Some(sealed.bytes.into());
            }
        }
        None
    }
}
