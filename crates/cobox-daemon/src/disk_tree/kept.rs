//! Versions set aside: what a remote change replaced or removed stays in `.cobox/keep` until it is dropped by rule. Named by
//! time and inode, so that names never meet.

use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir};

use super::DiskTree;

/// Names a version set aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeptId(String);

impl KeptId {
    /// A new name.
    pub(super) fn new(ino: u64) -> Self {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(format!("{:016x}-{ino:x}", at.as_nanos() as u64))
    }
    /// From its text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (plain && !text.is_empty() && text.len() <= 64).then(|| Self(text.to_owned()))
    }
    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
    /// When it was set aside.
    pub(crate) fn kept_at(&self) -> Option<SystemTime> {
        let nanos = u64::from_str_radix(self.0.split('-').next()?, 16).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
    }
}

impl std::fmt::Display for KeptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl DiskTree {
    /// All versions set aside, oldest first.
    pub(crate) fn list_kept(&self) -> Result<Vec<KeptId>, std::io::Error> {
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.keep)? {
            let entry = entry?;
            all.extend(entry.file_name().to_str().ok().and_then(KeptId::parse));
        }
        all.sort();
        Ok(all)
    }

    /// Drops one for good.
    pub(crate) fn drop_kept(&self, kept: &KeptId) -> Result<(), std::io::Error> {
        Ok(rustix::fs::unlinkat(&self.keep, kept.as_str(), AtFlags::empty())?)
    }
}
