//! Founding a folder or a vault (formats F6).

use cobox_proto::members::{FolderKind, Genesis, Log, Policy, resolve};

use super::epochs::{EpochError, NewEpoch, mint_epoch};
use super::ops::Author;
use crate::keys::{DeviceSecret, FolderKeys, Profile, ShapeKey, Slot};

/// What a new folder shall be.
#[derive(Debug, Clone, Copy)]
pub struct Founding<'a> {
    /// Folder or vault.
    pub kind: FolderKind,
    /// The founder's member keys; slot 0 for a vault and for nothing else.
    pub slot: &'a Slot,
    /// The founder's device.
    pub device: &'a DeviceSecret,
    /// How files are cut, for life.
    pub profile: Profile,
    /// Pad to fewer sizes.
    pub high_privacy: bool,
    /// The policy to begin with.
    pub policy: Policy,
}

/// 128 fresh random bytes.
#[derive(Clone)]
pub struct FoundingRandom {
    /// Makes the folder's id unique.
    pub nonce: [u8; 32],
    /// Becomes the shape key.
    pub shape: [u8; 32],
    /// For the first epoch.
    pub epoch: [u8; 64],
}

impl Drop for FoundingRandom {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.shape);
        zeroize::Zeroize::zeroize(&mut self.epoch);
    }
}

/// A new folder.
#[derive(Debug, Clone)]
pub struct Founded {
    /// Genesis and first epoch.
    pub log: Log,
    /// Its keys.
    pub keys: FolderKeys,
    /// The first epoch; its op is in the log already.
    pub epoch: NewEpoch,
}

/// Why a folder can not be founded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoundingError {
    /// Slot 0 is what recovery by words looks for.
    #[error("slot {slot} can not found this: slot 0 is for the vault and for it alone")]
    WrongSlot {
        /// The slot.
        slot: u16,
    },
    /// The first epoch.
    #[error(transparent)]
    Epoch(#[from] EpochError),
}

/// Founds a folder with its first epoch.
pub fn found(founding: Founding<'_>, random: &FoundingRandom) -> Result<Founded, FoundingError> {
    let Founding { kind, slot, device, profile, high_privacy, policy } = founding;
    if (kind == FolderKind::Vault) != (slot.number() == 0) {
        return Err(FoundingError::WrongSlot { slot: slot.number() });
    }
    let shape = ShapeKey::from_bytes(random.shape);
    let (member, first) = (slot.public(), device.public());
    let shape_id = shape.id(profile);
    let mut genesis =
        Genesis { kind, nonce: random.nonce, member, device: first, shape: shape_id, policy, founder_sig: None };
    if kind == FolderKind::Vault {
        genesis = genesis.sign_founder(&slot.sig);
    }
    let author = Author { grant: genesis.op_id(), key: &device.sig };
    let mut log = Log::new(genesis);
    let mut keys = FolderKeys::new(log.folder(), shape, profile);
    let params = FolderKeys::params_for(profile, high_privacy);
    let epoch = mint_epoch(&log, &resolve(&log), &mut keys, author, params, &random.epoch)?;
    log.add(epoch.op.clone()).expect("the first op fits on its own genesis");
    Ok(Founded { log, keys, epoch })
}
