//! What kind of disk a folder lies on, found out by trying in `.cobox/tmp`, since no system says it reliably.

use std::os::fd::OwnedFd;

use cobox_core::names::DiskKind;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::beneath::stat_at;

/// Tries out in this directory what its disk can and can not do; leaves nothing behind.
pub(crate) fn probe(tmp: &OwnedFd) -> Result<DiskKind, Errno> {
    let folds_case = finds_under(tmp, "probe-case", "PROBE-CASE")?;
    let folds_form = finds_under(tmp, "probe-\u{e9}", "probe-e\u{301}")?;
    let refuses_windows_names = match touch(tmp, "probe:") {
        Ok(()) => false,
        Err(Errno::INVAL | Errno::NOENT | Errno::ILSEQ | Errno::ACCESS) => true,
        Err(error) => return Err(error),
    };
    clear(tmp, "probe:");
    touch(tmp, "probe-one")?;
    touch(tmp, "probe-two")?;
    let exchanges = rustix::fs::renameat_with(tmp, "probe-one", tmp, "probe-two", RenameFlags::EXCHANGE).is_ok();
    clear(tmp, "probe-two");
    let renames_without_replacing =
        rustix::fs::renameat_with(tmp, "probe-one", tmp, "probe-two", RenameFlags::NOREPLACE).is_ok();
    clear(tmp, "probe-one");
    clear(tmp, "probe-two");
    Ok(DiskKind { folds_case, folds_form, refuses_windows_names, exchanges, renames_without_replacing })
}

fn finds_under(tmp: &OwnedFd, name: &str, other: &str) -> Result<bool, Errno> {
    clear(tmp, other);
    touch(tmp, name)?;
    let found = stat_at(tmp, other)?.is_some();
    clear(tmp, name);
    Ok(found)
}

fn touch(tmp: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(tmp, name, flags, Mode::RUSR | Mode::WUSR).map(drop)
}

/// A leftover is harmless: the next probe or clearing of temporary files removes it.
fn clear(tmp: &OwnedFd, name: &str) {
    let _ = rustix::fs::unlinkat(tmp, name, AtFlags::empty());
}
