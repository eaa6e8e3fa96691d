//! The seeder's two keys: one by which the network knows its machine, one by which folders know it as their seeder. Made at the first
//! start; whoever loses them can not be found by what was offered before.

use std::io;
use std::path::PathBuf;

use cobox_proto::sign::SecretKey;
use zeroize::Zeroizing;

use crate::files::write_new;
use crate::home::Home;

/// See the module's text.
pub(crate) struct Keys {
    /// Of the machine.
    pub(crate) endpoint: Zeroizing<[u8; 32]>,
    /// Signs offers, receipts and witnesses, and proves itself in folders.
    pub(crate) seeder: SecretKey,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The system refused.
    #[error("the key file {path} can not be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its length is wrong.
    #[error("the key file {path} is damaged; put it back from a copy, or start with another --home")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Keys {
    /// Reads the keys, or makes them.
    pub(crate) fn open(home: &Home) -> Result<Self, KeysError> {
        Ok(Self {
            endpoint: seed(home.keys().join("machine"))?,
            seeder: SecretKey::from_seed(&*seed(home.keys().join("seeder"))?),
        })
    }
}

fn seed(path: PathBuf) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let io = |source| KeysError::Io { path: path.clone(), source };
    if !path.exists() {
        write_new(&path, &*random::<32>()).map_err(io)?;
    }
    let bytes = Zeroizing::new(std::fs::read(&path).map_err(io)?);
    let seed = bytes.as_slice().try_into().map_err(|_| KeysError::Damaged { path: path.clone() })?;
    Ok(Zeroizing::new(seed))
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).expect("a system without randomness can not run anything that keeps secrets");
    bytes
}
