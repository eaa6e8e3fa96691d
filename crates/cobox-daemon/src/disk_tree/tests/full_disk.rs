//! A disk that is really full (d1). Needs the right to mount; elsewhere the story is not told.

use super::*;

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
            .arg(place.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(place)),
            _ => None,
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: handles may still be open.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[test]
fn d1_a_full_disk_harms_nothing_and_the_transfer_goes_on_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not told: nothing can be mounted here");
        return;
    };
    let root = disk.0.path().join("folder");
    std::fs::create_dir(&root).unwrap();
    let tree = DiskTree::adopt(&root, FOLDER, &OffLimits::default()).unwrap();
    std::fs::write(root.join("x"), "old").unwrap();
    std::fs::write(root.join("ballast"), vec![1; 700_000]).unwrap();
    let mut temp = tree.temp("x").unwrap();
    let mut written = 0;
    let error = loop {
        match temp.write_at(written, &[2; 65_536]) {
            Ok(()) => written += 65_536,
            Err(error) => break error,
        }
    };
    assert_eq!(error.trouble(), Trouble::DiskFull);
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(std::fs::read(root.join("x")).unwrap(), b"old");
    std::fs::remove_file(root.join("ballast")).unwrap();
    while written < 600_000 {
        temp.write_at(written, &[2; 65_536]).unwrap();
        written += 65_536;
    }
    let expect = Expect::from(&tree.stat(&path("x")).unwrap().unwrap());
    let applied = tree.replace(temp, &path("x"), expect, 0, false).unwrap();
    assert_eq!((applied.stamp.size, std::fs::read(root.join("x")).unwrap()), (written, vec![2; written as usize]));
}

#[test]
fn h1_a_disk_that_is_unmounted_or_mounted_over_is_noticed() {
    let Some(disk) = SmallDisk::mount() else { return };
    let tree = DiskTree::adopt(disk.0.path(), FOLDER, &OffLimits::default()).unwrap();
    std::fs::write(disk.0.path().join("x"), "x").unwrap();
    let root = disk.0.path().to_owned();
    let walk = || tree.walk(&Ignore::default(), None, &mut |_, _| {});
    walk().unwrap();
    let umount = std::process::Command::new("umount").arg("--lazy").arg(&root).status().unwrap();
    assert!(umount.success());
    assert!(matches!(walk(), Err(RootError::MarkerMissing(_))), "the empty mount point is not the folder");
}

#[test]
fn d10_another_disk_mounted_inside_is_a_clear_error() {
    let Some(disk) = SmallDisk::mount() else { return };
    let above = disk.0.path().parent().unwrap().join(format!("above-{}", std::process::id()));
    std::fs::create_dir(&above).unwrap();
    let tree = DiskTree::adopt(&above, FOLDER, &OffLimits::default()).unwrap();
    std::fs::create_dir(above.join("inner")).unwrap();
    let bind =
        |args: &[&str], at: &Path| std::process::Command::new(args[0]).args(&args[1..]).arg(at).status().unwrap();
    assert!(bind(&["mount", "--bind", disk.0.path().to_str().unwrap()], &above.join("inner")).success());
    let mut temp = tree.temp("t").unwrap();
    temp.write_at(0, b"bytes").unwrap();
    let error = tree.replace(temp, &path("inner/x"), Expect::Absent, 0, false).unwrap_err();
    std::fs::write(above.join("inner/y"), "y").unwrap();
    let expect = Expect::from(&tree.stat(&path("inner/y")).unwrap().unwrap());
    let removed = tree.remove(&path("inner/y"), expect);
    let kept = std::fs::read(above.join("inner/y"));
    assert!(bind(&["umount", "--lazy"], &above.join("inner")).success());
    std::fs::remove_dir_all(&above).unwrap();
    assert!(matches!(&error, ApplyError::Disk(disk) if disk.trouble() == Trouble::OtherDisk), "{error}");
    assert!(matches!(removed, Err(ApplyError::Disk(_))));
    assert_eq!(kept.unwrap(), b"y");
}
