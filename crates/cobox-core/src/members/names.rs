//! What members call themselves and their devices, and which path is to be forgotten: a text in an op's `sealed` field, which only
//! members read.
//!
//! ```text
//! sealed = epoch tag [16] | note("op", ad = the op's signed bytes with an empty sealed field)
//! ```

use cobox_proto::codec::{DecodeError, Reader};
use cobox_proto::id::EpochTag;
use cobox_proto::limits::{FORGET_PATH_BYTES_MAX, LABEL_BYTES_MAX};
use cobox_proto::members::{Op, OpBody, OpError};

use crate::keys::FolderKeys;
use crate::seal::SealError;

/// A text to seal into an op.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// The folder's keys.
    pub keys: &'a FolderKeys,
    /// The epoch to seal under.
    pub epoch: EpochTag,
    /// The text, 1 to 128 bytes; of what is to be forgotten, 1 to 384.
    pub text: &'a str,
}

/// Why a label can not be sealed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Empty or too long.
    #[error("a name must have 1 to {most} bytes, this one has {bytes}")]
    Length {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// The seal.
    #[error("the sealed name can not be read or written: {0}")]
    Seal(#[from] SealError),
    /// What was sealed is no text.
    #[error("the sealed name is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The op around it.
    #[error(transparent)]
    Op(#[from] OpError),
}

impl Label<'_> {
    /// Fills the op's sealed field; nothing else of the op may change after that.
    pub(super) fn seal_into(&self, op: &mut Op) -> Result<(), LabelError> {
        check_length(self.text, &op.body)?;
        op.sealed.clear();
        let note = self.keys.seal_note(&self.epoch, "op", &op.to_bytes(), self.text.as_bytes())?;
        op.sealed = [&self.epoch.0[..], &note].concat();
        Ok(())
    }
}

/// The text sealed into an op; `None` if there is none.
///
/// Errors: the epoch is not known here, or the op's author sealed something else.
pub fn open_label(keys: &FolderKeys, op: &Op) -> Result<Option<String>, LabelError> {
    if op.sealed.is_empty() {
        return Ok(None);
    }
    let mut r = Reader::new(&op.sealed);
    let epoch = r.get()?;
    let bare = Op { sealed: Vec::new(), ..op.clone() };
    let text = keys.open_note(&epoch, "op", &bare.to_bytes(), r.rest())?;
    let text = String::from_utf8(text).map_err(|_| DecodeError::NotUtf8 { what: "sealed name" })?;
    check_length(&text, &op.body)?;
    Ok(Some(text))
}

fn check_length(text: &str, of: &OpBody) -> Result<(), LabelError> {
    let most = match of {
        OpBody::Forget { .. } => FORGET_PATH_BYTES_MAX,
        _ => LABEL_BYTES_MAX,
    };
    if text.is_empty() || text.len() > most {
        return Err(LabelError::Length { bytes: text.len(), most });
    }
    Ok(())
}
