//! Secrets at rest: one file each in `HOME/keys`, readable by their owner only.
//!
//! A file is whole or it is refused with a reason: it opens with what it is and its length, and ends with a checksum over its name
//! and content (i1, i6), so a cut, damaged or renamed file is never taken for a key. It is written beside, synced and renamed: after a crash
//! there is the old secret or the new. Permissions that let others read are taken back, and said.
//!
//! Bytes are `magic (12) | length (u32, big-endian) | secret | BLAKE3 of name, 0 and all before (32)`. They are not encrypted: who can read
//! a person's files can read their keys.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cobox_proto::id::Cid;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// What a file opens with; the last byte is the version.
const MAGIC: [u8; 12] = *b"cobox key \n\x01";
const SUM_BYTES: usize = Cid::LEN;
const HEADER_BYTES: usize = MAGIC.len() + 4;
/// Bytes of one secret. All keys of a folder with a thousand epochs stay far below.
const SECRET_BYTES_MAX: usize = 1 << 20;
const NAME_BYTES_MAX: usize = 128;
/// Ends the name of a file that is being written.
const UNFINISHED: &str = ".new";

/// A secret was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The file ends early.
    #[error("the key file {} is cut off: it has {found} of {expected} bytes; restore it from a backup or recover with your words", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Bytes it has.
        found: usize,
        /// Bytes it should have at least.
        expected: usize,
    },
    /// Its checksum does not hold, or it is another secret's file.
    #[error("the key file {} is damaged or belongs under another name; restore it from a backup or recover with your words", .0.display())]
    Damaged(PathBuf),
    /// Not written by cobox.
    #[error("{} is no key file of cobox; move it elsewhere", .0.display())]
    NotAKey(PathBuf),
    /// Written by a later cobox.
    #[error("the key file {} was written by a newer version of cobox (format {version}); update cobox", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u8,
    },
    /// Names are lower-case ASCII letters, digits, `-`, `_` and inner dots.
    #[error("\"{0}\" can not name a secret")]
    BadName(String),
    /// Over the limit.
    #[error("a secret of {0} bytes is too long")]
    TooLong(usize),
    /// Someone else's file or directory, or a symlink.
    #[error("{} is not a plain file or directory of yours; keys are kept in your own only", .0.display())]
    NotYours(PathBuf),
    /// The system refuses.
    #[error("can not {doing} {}: {source}", path.display())]
    Io {
        /// A verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A directory of secrets.
#[derive(Debug)]
pub struct Keystore {
    dir: PathBuf,
    repairs: Vec<String>,
}

impl Keystore {
    /// Opens the directory, or makes it. Closes what others could read, and removes what a crash left half written.
    pub fn open(dir: &Path) -> Result<Self, KeystoreError> {
        let failed = |doing| io_error(doing, dir);
        std::fs::create_dir_all(dir).map_err(failed("make"))?;
        let meta = std::fs::symlink_metadata(dir).map_err(failed("look at"))?;
        if !meta.is_dir() || !is_ours(&meta) {
            return Err(KeystoreError::NotYours(dir.to_owned()));
        }
        let mut store = Self { dir: dir.to_owned(), repairs: Vec::new() };
        if meta.mode() & 0o077 != 0 {
            // A fresh directory is as open as the umask says: nothing to report yet.
            let fresh = std::fs::read_dir(dir).map_err(failed("list"))?.next().is_none();
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(failed("protect"))?;
            if !fresh {
                store.repaired(dir, meta.mode());
            }
        }
        for entry in std::fs::read_dir(dir).map_err(failed("list"))? {
            let path = entry.map_err(failed("list"))?.path();
            let failed = |doing| io_error(doing, &path);
            let meta = std::fs::symlink_metadata(&path).map_err(failed("look at"))?;
            if !meta.is_file() {
                continue;
            }
            if path.to_str().is_some_and(|name| name.ends_with(UNFINISHED)) {
                std::fs::remove_file(&path).map_err(failed("remove"))?;
            } else if meta.mode() & 0o077 != 0 && is_ours(&meta) {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
                store.repaired(&path, meta.mode());
            }
        }
        Ok(store)
    }

    /// What could be read by others and no longer can; for the person, who may want new keys.
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    /// Reads a secret; `None` if there is none of that name.
    pub fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        let path = self.path(name)?;
        let failed = |doing| io_error(doing, &path);
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(KeystoreError::NotYours(path));
            }
            Err(error) => return Err(failed("read")(error)),
        };
        let meta = file.metadata().map_err(failed("look at"))?;
        if !meta.is_file() || !is_ours(&meta) {
            return Err(KeystoreError::NotYours(path));
        }
        if meta.mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
            tracing::warn!("a key file could be read by other users of this machine; its permissions are set right");
        }
        // Room for all of it at once: growing would leave copies behind.
        let most = HEADER_BYTES + SECRET_BYTES_MAX + SUM_BYTES;
        let mut bytes = Zeroizing::new(Vec::with_capacity((meta.len() as usize).min(most) + 1));
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed("read"))?;
        parse(name, &path, &bytes).map(Some)
    }

    /// Stores a secret, in place of an earlier one of that name. It is durable when this returns.
    pub fn put(&self, name: &str, secret: &[u8]) -> Result<(), KeystoreError> {
        let path = self.path(name)?;
        if secret.len() > SECRET_BYTES_MAX {
            return Err(KeystoreError::TooLong(secret.len()));
        }
        let failed = |doing| io_error(doing, &path);
        let fresh = self.dir.join(format!("{name}{UNFINISHED}"));
        let written = write_new(&fresh, &frame(name, secret)).and_then(|()| std::fs::rename(&fresh, &path));
        if written.is_err() {
            // What is left of it is a part of a secret.
            let _ = std::fs::remove_file(&fresh);
        }
        written.and_then(|()| self.sync()).map_err(failed("write"))
    }

    /// Removes a secret for good; one that is not there is fine.
    pub fn remove(&self, name: &str) -> Result<(), KeystoreError> {
        let path = self.path(name)?;
        let removed = match std::fs::remove_file(&path) {
            // Perhaps an earlier try removed it and could not make that durable.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        removed.and_then(|()| self.sync()).map_err(io_error("remove", &path))
    }

    /// Names of all secrets, sorted. Files that can not be ones are passed over.
    pub fn list(&self) -> Result<Vec<String>, KeystoreError> {
        let failed = |source| KeystoreError::Io { doing: "list", path: self.dir.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_file = entry.file_type().map_err(failed)?.is_file();
            names.extend(entry.file_name().into_string().ok().filter(|name| is_file && is_name(name)));
        }
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeystoreError> {
        match is_name(name) {
            true => Ok(self.dir.join(name)),
            false => Err(KeystoreError::BadName(name.to_owned())),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn repaired(&mut self, path: &Path, mode: u32) {
        let mode = mode & 0o777;
        let said = format!(
            "other users of this machine could read {} (mode {mode:03o}); they no longer can. If one may have, make new keys",
            path.display()
        );
        tracing::warn!(
            "key files or their directory could be read by other users of this machine; their permissions are set right"
        );
        self.repairs.push(said);
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> KeystoreError {
    move |source| KeystoreError::Io { doing, path: path.to_owned(), source }
}

fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(good)
        && !name.starts_with('.')
        && !name.ends_with(UNFINISHED)
}

fn is_ours(meta: &std::fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// Writes a file that must not exist, after removing what a crash left under its name.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn frame(name: &str, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + secret.len() + SUM_BYTES));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(secret.len() as u32).to_be_bytes());
    bytes.extend_from_slice(secret);
    let sum = checksum(name, &bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

fn checksum(name: &str, bytes: &[u8]) -> [u8; SUM_BYTES] {
    let mut named = Zeroizing::new(Vec::with_capacity(name.len() + 1 + bytes.len()));
    named.extend_from_slice(name.as_bytes());
    named.push(0);
    named.extend_from_slice(bytes);
    *Cid::of(&named).as_bytes()
}

fn parse(name: &str, path: &Path, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let cut_off = |expected| KeystoreError::CutOff { path: path.to_owned(), found: bytes.len(), expected };
    let known = bytes.len().min(MAGIC.len() - 1);
    if bytes[..known] != MAGIC[..known] {
        return Err(KeystoreError::NotAKey(path.to_owned()));
    }
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Err(cut_off(HEADER_BYTES + SUM_BYTES)) };
    let version = header[MAGIC.len() - 1];
    if version != MAGIC[MAGIC.len() - 1] {
        return Err(KeystoreError::Newer { path: path.to_owned(), version });
    }
    let mut len = [0; 4];
    len.copy_from_slice(&header[MAGIC.len()..]);
    let len = u32::from_be_bytes(len) as usize;
    if len > SECRET_BYTES_MAX {
        return Err(KeystoreError::Damaged(path.to_owned()));
    }
    let expected = HEADER_BYTES + len + SUM_BYTES;
    if bytes.len() < expected {
        return Err(cut_off(expected));
    }
    let (body, sum) = bytes.split_at(HEADER_BYTES + len);
    if sum != checksum(name, body) {
        return Err(KeystoreError::Damaged(path.to_owned()));
    }
    Ok(Zeroizing::new(body[HEADER_BYTES..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Keystore) {
        let dir = tempfile::tempdir().unwrap();
        let store = Keystore::open(&dir.path().join("keys")).unwrap();
        (dir, store)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn secrets_are_kept_and_closed_to_others() {
        let (_dir, store) = store();
        assert_eq!(store.get("device").unwrap(), None);
        store.put("device", b"old").unwrap();
        store.put("device", b"new").unwrap();
        store.put("folder-1.keys", &[]).unwrap();
        assert_eq!(store.get("device").unwrap().unwrap().as_slice(), b"new");
        assert_eq!(store.get("folder-1.keys").unwrap().unwrap().as_slice(), b"");
        assert_eq!(store.list().unwrap(), ["device", "folder-1.keys"]);
        assert_eq!((mode(&store.dir), mode(&store.dir.join("device"))), (0o700, 0o600));
        store.remove("device").unwrap();
        store.remove("device").unwrap();
        assert_eq!(store.list().unwrap(), ["folder-1.keys"]);
        assert!(store.repairs().is_empty());
        assert!(matches!(store.put("big", &vec![0; SECRET_BYTES_MAX + 1]), Err(KeystoreError::TooLong(_))));
    }

    #[test]
    fn i6_a_cut_key_file_says_so_at_every_length() {
        let (_dir, store) = store();
        store.put("device", b"thirty-two bytes of secret, more").unwrap();
        let path = store.dir.join("device");
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = store.get("device").unwrap_err();
            assert!(matches!(error, KeystoreError::CutOff { found, .. } if found == cut), "cut at {cut}: {error}");
            assert!(error.to_string().contains("cut off"));
        }
        assert_eq!(store.list().unwrap(), ["device"], "other keys stay usable");
    }

    #[test]
    fn i1_every_flipped_bit_is_refused() {
        let (_dir, store) = store();
        store.put("device", b"secret").unwrap();
        let path = store.dir.join("device");
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            assert!(store.get("device").is_err(), "bit {bit}");
        }
        std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(matches!(store.get("device"), Err(KeystoreError::Damaged(_))));
    }

    #[test]
    fn i2_newer_foreign_and_swapped_files_are_told_apart() {
        let (_dir, store) = store();
        store.put("a", b"secret a").unwrap();
        let path = |name: &str| store.dir.join(name);
        std::fs::copy(path("a"), path("b")).unwrap();
        assert!(matches!(store.get("b"), Err(KeystoreError::Damaged(_))), "another name's secret");
        let mut newer = std::fs::read(path("a")).unwrap();
        newer[MAGIC.len() - 1] = 2;
        std::fs::write(path("a"), &newer).unwrap();
        assert!(matches!(store.get("a"), Err(KeystoreError::Newer { version: 2, .. })));
        std::fs::write(path("a"), b"-----BEGIN OPENSSH PRIVATE KEY-----").unwrap();
        assert!(matches!(store.get("a"), Err(KeystoreError::NotAKey(_))));
        let mut lies = frame("a", b"x").to_vec();
        lies[MAGIC.len()..HEADER_BYTES].copy_from_slice(&u32::MAX.to_be_bytes());
        std::fs::write(path("a"), &lies).unwrap();
        assert!(matches!(store.get("a"), Err(KeystoreError::Damaged(_))), "i3: a length of 4 GiB");
    }

    #[test]
    fn permissions_that_let_others_read_are_taken_back_and_said() {
        let (_dir, store) = store();
        store.put("device", b"secret").unwrap();
        let path = store.dir.join("device");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::set_permissions(&store.dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        let again = Keystore::open(&store.dir).unwrap();
        assert_eq!(again.repairs().len(), 2);
        assert!(again.repairs().iter().any(|said| said.contains("device") && said.contains("644")));
        assert_eq!((mode(&store.dir), mode(&path)), (0o700, 0o600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(again.get("device").unwrap().is_some());
        assert_eq!(mode(&path), 0o600, "also when it is opened later");
    }

    #[test]
    fn k1_what_a_crash_left_is_removed_and_the_old_secret_is_there() {
        let (_dir, store) = store();
        store.put("device", b"old").unwrap();
        std::fs::write(store.dir.join("device.new"), &frame("device", b"new")[..20]).unwrap();
        assert_eq!(store.list().unwrap(), ["device"]);
        let again = Keystore::open(&store.dir).unwrap();
        assert!(!store.dir.join("device.new").exists());
        assert_eq!(again.get("device").unwrap().unwrap().as_slice(), b"old");
    }

    #[test]
    fn x1_names_and_links_never_lead_elsewhere() {
        let (dir, store) = store();
        for bad in
            ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "A", "a b", "a\0", "x.new", &"a".repeat(129)]
        {
            assert!(matches!(store.put(bad, b"x"), Err(KeystoreError::BadName(_))), "{bad:?}");
        }
        let outside = dir.path().join("outside");
        std::fs::write(&outside, frame("device", b"planted").as_slice()).unwrap();
        std::os::unix::fs::symlink(&outside, store.dir.join("device")).unwrap();
        assert!(matches!(store.get("device"), Err(KeystoreError::NotYours(_))));
        store.put("device", b"mine").unwrap();
        assert_eq!(std::fs::read(&outside).unwrap(), frame("device", b"planted").as_slice(), "not written through");
        assert_eq!(store.get("device").unwrap().unwrap().as_slice(), b"mine");
    }
}
