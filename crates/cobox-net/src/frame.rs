//! The bytes on the streams. Control stream: `len u32le | frame`, an empty frame only opens the stream. Block stream:
//! `channel u32le | len u32le | block`, many blocks one after the other. Lengths are judged before anything is allocated.

use iroh::endpoint::{ReadExactError, RecvStream, SendStream, WriteError};

use bytes::Bytes;
use cobox_proto::limits::{BLOCK_BYTES_MAX, FRAME_BYTES_MAX};

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The peer finished it between two items, or the connection is over.
    Over,
    /// The peer broke the rules; the text says how.
    Violation(String),
}

/// The head of a block on its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub(crate) channel: u32,
    pub(crate) len: usize,
}

/// Reads the length of the next frame.
pub(crate) async fn read_frame_len(stream: &mut RecvStream) -> Result<usize, StreamEnd> {
    let mut head = [0; 4];
    read(stream, &mut head).await?;
    judged(u32::from_le_bytes(head), "frame", FRAME_BYTES_MAX)
}

/// Reads the head of the next block.
pub(crate) async fn read_block_head(stream: &mut RecvStream) -> Result<BlockHead, StreamEnd> {
    let mut head = [0; 8];
    read(stream, &mut head).await?;
    let [a, b, c, d, e, f, g, h] = head;
    let len = judged(u32::from_le_bytes([e, f, g, h]), "block", BLOCK_BYTES_MAX)?;
    if len == 0 {
        return Err(StreamEnd::Violation("an empty block".into()));
    }
    Ok(BlockHead { channel: u32::from_le_bytes([a, b, c, d]), len })
}

/// Reads exactly `len` bytes, for which the caller has made room.
pub(crate) async fn read_body(stream: &mut RecvStream, len: usize) -> Result<Vec<u8>, StreamEnd> {
    // Appended as it comes: a body is large, and zeros that are written over at once cost as much as the copy.
    let mut body = Vec::with_capacity(len);
    while body.len() < len {
        match stream.read_chunk(len - body.len()).await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Err(cut_inside()),
            Err(_) => return Err(StreamEnd::Over),
        }
    }
    Ok(body)
}

/// Writes one frame.
pub(crate) async fn write_frame(stream: &mut SendStream, frame: Vec<u8>) -> Result<(), WriteError> {
    let head = u32::try_from(frame.len()).expect("send_frame bounds frames far below 4 GiB").to_le_bytes();
    stream.write_all_chunks(&mut [Bytes::copy_from_slice(&head), frame.into()]).await
}

/// Writes one block.
pub(crate) async fn write_block(stream: &mut SendStream, channel: u32, block: Bytes) -> Result<(), WriteError> {
    let head = block_head(channel, block.len());
    stream.write_all_chunks(&mut [Bytes::copy_from_slice(&head), block]).await
}

/// Writes the head of a block whose bytes follow piece by piece.
pub(crate) async fn write_block_head(stream: &mut SendStream, channel: u32, len: usize) -> Result<(), WriteError> {
    stream.write_all(&block_head(channel, len)).await
}

fn block_head(channel: u32, len: usize) -> [u8; 8] {
    let len = u32::try_from(len).expect("send_block bounds blocks far below 4 GiB");
    let mut head = [0; 8];
    head[..4].copy_from_slice(&channel.to_le_bytes());
    head[4..].copy_from_slice(&len.to_le_bytes());
    head
}

fn judged(len: u32, what: &str, bytes_max: usize) -> Result<usize, StreamEnd> {
    let len = len as usize;
    if len > bytes_max {
        return Err(StreamEnd::Violation(format!("a {what} of {len} bytes")));
    }
    Ok(len)
}

fn cut_inside() -> StreamEnd {
    StreamEnd::Violation("a stream cut inside an item".into())
}

async fn read(stream: &mut RecvStream, head: &mut [u8]) -> Result<(), StreamEnd> {
    match stream.read_exact(head).await {
        Ok(()) => Ok(()),
        Err(ReadExactError::FinishedEarly(0)) => Err(StreamEnd::Over),
        Err(ReadExactError::FinishedEarly(_)) => Err(cut_inside()),
        Err(ReadExactError::ReadError(_)) => Err(StreamEnd::Over),
    }
}
