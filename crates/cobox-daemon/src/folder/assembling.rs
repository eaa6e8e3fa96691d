//! Puts the content of a file together from its pieces, wherever they come from.
//!
//! What must hold: what went into the sink, if that ended well, is the content that the record names, each piece verified against its
//! name and all of it at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use cobox_core::content::{self, ManifestReader};
use cobox_core::keys::FolderKeys;
use cobox_core::state::{Body, Content, Ref};
use cobox_proto::id::Cid;

use super::restoring::NotRestored;

/// Bytes of pieces that are asked for together.
pub(super) const TOGETHER_BYTES: u64 = 32 << 20;

/// Takes bytes of a file, each with where they begin.
pub(super) type Sink<'s> = &'s mut dyn FnMut(u64, &[u8]) -> Result<(), NotRestored>;

/// Where the pieces of a file come from.
pub(super) trait Source {
    /// A node of the list of a long file's pieces.
    fn node(&mut self, cid: Cid) -> Option<Vec<u8>>;
    /// A piece that need not be fetched, and its digest.
    fn here(&self, keys: &FolderKeys, piece: &Ref) -> Option<(Vec<u8>, [u8; 32])>;
    /// As many of these blocks as can be had, sealed.
    fn fetch(&mut self, cids: &[Cid]) -> BTreeMap<Cid, Bytes>;
}

/// See the module.
pub(super) struct Assembler<S> {
    pub(super) keys: Arc<FolderKeys>,
    pub(super) source: S,
}

impl<S: Source> Assembler<S> {
    /// The pieces of a file in their order.
    pub(super) fn pieces(&mut self, body: &Body) -> Result<Vec<Ref>, NotRestored> {
        let refs = match &body.content {
            Content::Inline(_) => return Ok(Vec::new()),
            Content::Refs(refs) => refs.to_vec(),
            Content::Manifest(manifest) => {
                let mut reader = ManifestReader::new(manifest, body.size);
                while let Some(cid) = reader.wanted() {
                    let bytes = self.source.node(cid).ok_or(NotRestored::NotKept)?;
                    reader.supply(&bytes, &self.keys);
                }
                reader.finish().map_err(|_| NotRestored::Broken)?
            }
        };
        let bytes = refs.iter().fold(0u64, |sum, piece| sum.saturating_add(piece.len.into()));
        if bytes == body.size { Ok(refs) } else { Err(NotRestored::Broken) }
    }

    /// Pieces of small files that are not here, fetched in one go.
    pub(super) fn fetch_missing(&mut self, listed: &[Result<Vec<Ref>, NotRestored>]) -> BTreeMap<Cid, Bytes> {
        let bytes: u64 = listed.iter().flatten().flatten().map(|piece| u64::from(piece.len)).sum();
        if bytes > TOGETHER_BYTES {
            return BTreeMap::new();
        }
        let missing: BTreeSet<Cid> = listed
            .iter()
            .flatten()
            .flatten()
            .filter(|piece| self.source.here(&self.keys, piece).is_none())
            .map(|piece| piece.cid)
            .collect();
        self.source.fetch(&missing.into_iter().collect::<Vec<_>>())
    }

    /// Writes a file's content into `sink`, piece by piece, each verified; and all of it at the end.
    pub(super) fn assemble(
        &mut self,
        body: &Body,
        refs: &[Ref],
        fetched: &BTreeMap<Cid, Bytes>,
        sink: Sink<'_>,
    ) -> Result<(), NotRestored> {
        if let Content::Inline(bytes) = &body.content {
            return sink(0, bytes);
        }
        let keys = self.keys.clone();
        let open = |piece: &Ref, sealed: &[u8]| content::open_digested(&keys, piece, sealed).ok();
        let mut digests = vec![[0; 32]; refs.len()];
        let (mut at, mut from) = (0u64, 0);
        while from < refs.len() {
            let mut bytes = 0;
            let fits = |piece: &&Ref| {
                bytes += u64::from(piece.len);
                bytes <= TOGETHER_BYTES
            };
            let window = &refs[from..from + refs[from..].iter().take_while(fits).count().max(1)];
            let mut late = Vec::new();
            let begin = at;
            for (n, piece) in window.iter().enumerate() {
                let here = fetched
                    .get(&piece.cid)
                    .and_then(|sealed| open(piece, sealed))
                    .or_else(|| self.source.here(&keys, piece));
                match here {
                    Some((plain, digest)) => {
                        digests[from + n] = digest;
                        sink(at, &plain)?;
                    }
                    None => late.push((n, at)),
                }
                at += u64::from(piece.len);
            }
            debug_assert!(at >= begin);
            if !late.is_empty() {
                let cids: Vec<Cid> = late.iter().map(|(n, _)| window[*n].cid).collect();
                let came = self.source.fetch(&cids);
                for (n, start) in late {
                    let sealed = came.get(&window[n].cid).ok_or(NotRestored::NotKept)?;
                    let (plain, digest) = open(&window[n], sealed).ok_or(NotRestored::Broken)?;
                    digests[from + n] = digest;
                    sink(start, &plain)?;
                }
            }
            from += window.len();
        }
        match content::is_what_was_said(&keys, body, refs, &digests) {
            true => Ok(()),
            false => Err(NotRestored::Broken),
        }
    }
}
