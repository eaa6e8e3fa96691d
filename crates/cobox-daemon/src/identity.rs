//! Who uses this device: a name, the root secret from which all the person's keys grow, and this device's own network key.

use std::path::PathBuf;

use cobox_core::keys::{RootSecret, Slot};
use zeroize::Zeroizing;

use crate::files::replace;
use crate::keystore::{Keystore, KeystoreError};
use crate::{Home, StartError};

/// Bytes of a person's name.
const NAME_BYTES_MAX: usize = cobox_proto::limits::LABEL_BYTES_MAX;
const ROOT: &str = "root";
const ENDPOINT: &str = "endpoint";

/// A person on a device.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) root: RootSecret,
    pub(crate) endpoint_seed: Zeroizing<[u8; 32]>,
}

/// Whether this home has an identity, so that `up` need not ask for a name.
pub fn has_identity(home: &Home) -> bool {
    home.keys().join(ROOT).exists()
}

impl Identity {
    /// Opens the home's identity, or makes one the first time; a typed name renames.
    pub(crate) fn open(home: &Home, keys: &Keystore, typed: Option<String>) -> Result<Self, StartError> {
        let typed = typed.as_deref().map(suitable).transpose()?;
        let name_file = name_file(home);
        let kept = if has_identity(home) { std::fs::read_to_string(&name_file).ok() } else { None };
        let name = typed.or_else(|| kept.clone()).ok_or(StartError::NameNeeded)?;
        let root = secret::<16>(keys, ROOT)?;
        let endpoint_seed = secret::<32>(keys, ENDPOINT)?;
        let identity = Self { name, root: RootSecret::from_entropy(*root), endpoint_seed };
        if kept.as_ref() != Some(&identity.name) {
            identity.keep_name(home)?;
        }
        Ok(identity)
    }

    /// Takes the place of the identity that is here.
    pub(crate) fn replace_root(&mut self, keys: &Keystore, root: RootSecret) -> Result<(), KeystoreError> {
        keys.put(ROOT, root.words().entropy().as_slice())?;
        self.root = root;
        Ok(())
    }

    /// Takes another name.
    pub(crate) fn rename(&mut self, home: &Home, name: &str) -> Result<(), StartError> {
        let before = std::mem::replace(&mut self.name, suitable(name)?);
        self.keep_name(home).inspect_err(|_| self.name = before)
    }

    /// Keeps the name.
    pub(crate) fn keep_name(&self, home: &Home) -> Result<(), StartError> {
        let path = name_file(home);
        replace(&path, self.name.as_bytes()).map_err(|source| StartError::Io { path, source })
    }

    /// The CoBox key as a text.
    pub(crate) fn cobox_key(&self) -> String {
        self.root.contact().public().to_string()
    }

    /// The person's keys for one folder.
    pub(crate) fn slot(&self, number: u16) -> Slot {
        self.root.slot(number)
    }
}

/// A name as it is kept.
fn suitable(typed: &str) -> Result<String, StartError> {
    let name = typed.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(StartError::NameUnsuitable);
    }
    Ok(name.to_owned())
}

fn name_file(home: &Home) -> PathBuf {
    home.state().join("name")
}

/// A secret of the home, drawn the first time.
fn secret<const N: usize>(keys: &Keystore, name: &str) -> Result<Zeroizing<[u8; N]>, StartError> {
    if let Some(kept) = keys.get(name)? {
        let bytes = kept.as_slice().try_into().map_err(|_| StartError::KeyDamaged { path: PathBuf::from(name) })?;
        return Ok(Zeroizing::new(bytes));
    }
    let mut drawn = Zeroizing::new([0; N]);
    getrandom::fill(drawn.as_mut_slice()).map_err(|e| StartError::Random(e.to_string()))?;
    keys.put(name, drawn.as_slice())?;
    Ok(drawn)
}
