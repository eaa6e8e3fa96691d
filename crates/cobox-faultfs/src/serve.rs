//! Answers the system's questions about a disk from its tree, after the gate has let them pass.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno as SystemError;

use crate::plan::{Gate, Operation};
use crate::tree::{Kind, Node, Tree, link_to};

/// How long the system may remember what it was told: it is told when anything changes behind its back.
const TTL: Duration = Duration::from_secs(3600);
const BLOCK_BYTES: u32 = 4096;
const NAME_BYTES_MAX: u32 = 255;
/// What `statfs` tells: a disk of 16 GiB, always half free.
const BLOCKS: u64 = 4 << 20;

/// What the mount and its owner both see.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tree: Tree,
    pub(crate) gate: Gate,
}

pub(crate) struct Server(pub(crate) Arc<Mutex<State>>);

/// Whether an operation changes the disk, or makes a change sure.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Look,
    Change,
}
use Does::{Change, Look};

impl Server {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the tree if the gate lets it pass. `name`: beneath `ino`.
    fn at<T>(
        &self,
        request: &Request,
        (verb, does): (&'static str, Does),
        ino: INodeNo,
        name: Option<&OsStr>,
        work: impl FnOnce(&mut Tree) -> Result<T, SystemError>,
    ) -> Result<T, Errno> {
        let mut state = self.lock();
        let State { tree, gate } = &mut *state;
        let what = || name.map_or_else(|| tree.name(ino.0), |name| name.to_string_lossy().into_owned());
        // SQLite maps it into memory, where a failure is a signal and no error; it is made anew at each start.
        if !what().ends_with("-shm") {
            let operation = Operation { verb, changes: does == Change, pid: request.pid(), what: &what };
            gate.pass(&operation).map_err(Errno::from_i32)?;
        }
        work(tree).map_err(|error| Errno::from_i32(error.raw_os_error()))
    }

    fn make(
        &self,
        request: &Request,
        verb: &'static str,
        (parent, name): (INodeNo, &OsStr),
        kind: Kind,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        let owner = (request.uid(), request.gid());
        self.at(request, (verb, Change), parent, Some(name), |tree| {
            let ino = tree.create(parent.0, name, kind, (mode & 0o7777) as u16, owner)?;
            attributes(tree, ino)
        })
    }

    fn entry(&self, reply: ReplyEntry, result: Result<FileAttr, Errno>) {
        match result {
            Ok(found) => reply.entry(&self.name_ttl(), &found, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    /// The system takes other spellings of a name for other entries, and would remember them after the entry is gone.
    fn name_ttl(&self) -> Duration {
        if self.lock().tree.folds_case { Duration::ZERO } else { TTL }
    }
}

fn attributes(tree: &Tree, ino: u64) -> Result<FileAttr, SystemError> {
    let node = tree.node(ino)?;
    let size = match &node.kind {
        Kind::File => tree.bytes(ino).len() as u64,
        Kind::Link(target) => target.as_os_str().len() as u64,
        Kind::Dir(_) => u64::from(BLOCK_BYTES),
    };
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: node.accessed,
        mtime: node.modified,
        ctime: node.changed,
        crtime: node.changed,
        kind: kind_of(node),
        perm: node.mode,
        nlink: node.links,
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

fn kind_of(node: &Node) -> FileType {
    match node.kind {
        Kind::File => FileType::RegularFile,
        Kind::Dir(_) => FileType::Directory,
        Kind::Link(_) => FileType::Symlink,
    }
}

fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    }
}

/// Answers with nothing but success, or the error.
fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Server {
    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let find = |tree: &mut Tree| attributes(tree, tree.find(parent.0, name)?);
        self.entry(reply, self.at(request, ("look up", Look), parent, Some(name), find));
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.at(request, ("stat", Look), ino, None, |tree| attributes(tree, ino.0)) {
            Ok(found) => reply.attr(&TTL, &found),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = |tree: &mut Tree| {
            if let Some(len) = size {
                tree.set_len(ino.0, len)?;
            }
            let node = tree.node_mut(ino.0)?;
            node.mode = mode.map_or(node.mode, |mode| (mode & 0o7777) as u16);
            node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
            node.accessed = accessed.map_or(node.accessed, time);
            node.modified = modified.map_or(node.modified, time);
            node.changed = SystemTime::now();
            attributes(tree, ino.0)
        };
        match self.at(request, ("set", Change), ino, None, set) {
            Ok(found) => reply.attr(&TTL, &found),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let read = |tree: &mut Tree| match &tree.node(ino.0)?.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(SystemError::INVAL),
        };
        match self.at(request, ("read link", Look), ino, None, read) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        // Only plain files: nobody here makes pipes.
        self.entry(reply, self.make(request, "make", (parent, name), Kind::File, mode & !umask));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry(reply, self.make(request, "mkdir", (parent, name), Kind::Dir(Arc::default()), mode & !umask));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.entry(reply, self.make(request, "symlink", (parent, name), link_to(target), 0o777));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(request, "create", (parent, name), Kind::File, mode & !umask) {
            Ok(made) => reply.created(&self.name_ttl(), &made, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let remove = |tree: &mut Tree| tree.remove(parent.0, name, false);
        done(reply, self.at(request, ("unlink", Change), parent, Some(name), remove));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let remove = |tree: &mut Tree| tree.remove(parent.0, name, true);
        done(reply, self.at(request, ("rmdir", Change), parent, Some(name), remove));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let replaces = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let exchanges = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let rename = |tree: &mut Tree| tree.rename((parent.0, name), (new_parent.0, new_name), replaces, exchanges);
        done(reply, self.at(request, ("rename", Change), parent, Some(name), rename));
    }

    fn link(&self, request: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let link = |tree: &mut Tree| {
            tree.link(ino.0, parent.0, name)?;
            attributes(tree, ino.0)
        };
        self.entry(reply, self.at(request, ("link", Change), parent, Some(name), link));
    }

    fn open(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.at(request, ("open", Look), ino, None, |tree| tree.node(ino.0).map(drop)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.at(request, ("open", Look), ino, None, |tree| tree.node(ino.0).map(drop)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = |tree: &mut Tree| {
            let bytes = tree.bytes(ino.0);
            let from = bytes.len().min(offset as usize);
            Ok(bytes[from..bytes.len().min(from + size as usize)].to_vec())
        };
        match self.at(request, ("read", Look), ino, None, read) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.at(request, ("write", Change), ino, None, |tree| tree.write(ino.0, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, request: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let sync = |tree: &mut Tree| {
            tree.sync(ino.0);
            Ok(())
        };
        done(reply, self.at(request, ("sync", Change), ino, None, sync));
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, handle: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.fsync(request, ino, handle, datasync, reply);
    }

    fn readdir(&self, request: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        // In the order of their numbers: where a listing goes on does not move when entries come and go.
        let list = |tree: &mut Tree| {
            let entries = tree.node(ino.0)?.entries()?;
            let of = |(name, entry): (&OsString, &u64)| Ok((*entry, kind_of(tree.node(*entry)?), name.clone()));
            let mut entries = entries.iter().map(of).collect::<Result<Vec<_>, SystemError>>()?;
            entries.retain(|(entry, ..)| *entry > offset);
            entries.sort_by_key(|(entry, ..)| *entry);
            Ok(entries)
        };
        let entries = match self.at(request, ("list", Look), ino, None, list) {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        for (entry, kind, name) in entries {
            if reply.add(INodeNo(entry), entry, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS / 2, BLOCKS / 2, BLOCKS, BLOCKS / 2, BLOCK_BYTES, NAME_BYTES_MAX, BLOCK_BYTES);
    }
}
