//! The data of the benchmarks, the same on every machine: made from fixed seeds, nothing in it compresses by accident.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const MIB: u64 = 1 << 20;

/// What a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One incompressible file of 1 GiB.
    Big,
    /// 10,000 files in 100 directories, log-normal sizes of 1 to 64 KiB, half text, half noise.
    Small,
    /// 100,000 files of 200 bytes in 1,000 directories.
    Tree100k,
    /// One incompressible file of 4 GiB.
    Large,
}

impl Workload {
    /// Those that are timed.
    pub(crate) const USUAL: [Workload; 3] = [Workload::Big, Workload::Small, Workload::Tree100k];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Big => "big",
            Self::Small => "small",
            Self::Tree100k => "tree100k",
            Self::Large => "large",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::USUAL.into_iter().chain([Self::Large]).find(|workload| workload.name() == name)
    }
}

/// A directory of generated files.
pub(crate) struct Data {
    pub(crate) workload: Workload,
    pub(crate) root: PathBuf,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Data {
    /// Makes it below `place`, or finds it there.
    pub(crate) fn make(workload: Workload, scale: u64, place: &Path) -> Result<Self> {
        let root = place.join(workload.name());
        let done = place.join(format!("{}.done", workload.name()));
        if !(done.exists() && root.exists()) {
            println!("making {}", root.display());
            if root.exists() {
                fs::remove_dir_all(&root)?;
            }
            fs::create_dir_all(&root)?;
            match workload {
                Workload::Big => one_file(&root, 1024 * MIB / scale)?,
                Workload::Large => one_file(&root, 4096 * MIB / scale)?,
                Workload::Small => small(&root, 10_000 / scale)?,
                Workload::Tree100k => tree(&root, 100_000 / scale, 1000)?,
            }
            File::create(done)?;
        }
        Self::found(workload, root)
    }

    /// What [`Data::broad`] has all its directories in.
    pub(crate) const TOP: &str = "all";

    /// So many files of 200 bytes in directories of a hundred, all of them in one.
    pub(crate) fn broad(count: u64, place: &Path) -> Result<Self> {
        let root = place.join(format!("broad-{count}"));
        let done = place.join(format!("broad-{count}.done"));
        if !(done.exists() && root.exists()) {
            println!("making {}", root.display());
            tree(&root.join(Self::TOP), count, count.div_ceil(100))?;
            File::create(done)?;
        }
        Self::found(Workload::Tree100k, root)
    }

    fn found(workload: Workload, root: PathBuf) -> Result<Self> {
        let (mut files, mut bytes) = (0, 0);
        each_file(&root, &mut |path| {
            files += 1;
            bytes += fs::metadata(path)?.len();
            Ok(())
        })?;
        Ok(Self { workload, root, files, bytes })
    }

    /// Whether a directory holds exactly this, but for what cobox keeps there for itself.
    pub(crate) fn same(&self, other: &Path) -> Result<()> {
        self.same_but(other, ".cobox")
    }

    /// ... but for what a program keeps there for itself.
    pub(crate) fn same_but(&self, other: &Path, own: &str) -> Result<()> {
        let mut files = 0;
        each_file(&self.root, &mut |path| {
            files += 1;
            let there = other.join(path.strip_prefix(&self.root)?);
            ensure!(equal(path, &there)?, "{} is not the same", there.display());
            Ok(())
        })?;
        let mut found = 0;
        each_file(other, &mut |path| {
            found += u64::from(!path.starts_with(other.join(own)));
            Ok(())
        })?;
        ensure!(found == files, "{found} files instead of {files}");
        Ok(())
    }
}

fn equal(one: &Path, other: &Path) -> Result<bool> {
    let open = |path: &Path| File::open(path).with_context(|| format!("{} is missing", path.display()));
    let (mut one, mut other) = (open(one)?, open(other)?);
    let (mut a, mut b) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    loop {
        let read = one.read(&mut a)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut b[..read])?;
        if a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

fn each_file(root: &Path, act: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { todo.push(entry.path()) } else { act(&entry.path())? }
        }
    }
    Ok(())
}

fn one_file(root: &Path, size: u64) -> Result<()> {
    let mut noise = Noise(0x5eed_0001);
    let mut file = BufWriter::with_capacity(MIB as usize, File::create(root.join("big.bin"))?);
    for _ in 0..size / 8 {
        file.write_all(&noise.next().to_le_bytes())?;
    }
    Ok(file.flush()?)
}

fn small(root: &Path, count: u64) -> Result<()> {
    let mut noise = Noise(0x5eed_0002);
    let words: Vec<String> = (0..2000).map(|_| noise.word()).collect();
    for n in 0..count {
        let dir = root.join(format!("d{:03}", n % 100));
        fs::create_dir_all(&dir)?;
        let size = ((11.5 * 1024.0_f64).ln() + 0.8 * noise.normal()).exp().clamp(1024.0, 65536.0) as usize;
        let mut bytes = Vec::with_capacity(size + 1024);
        while bytes.len() < size {
            let text_ends = bytes.len() + 512;
            while bytes.len() < text_ends {
                bytes.extend_from_slice(words[(noise.next() % 2000) as usize].as_bytes());
                bytes.push(b' ');
            }
            bytes.extend((0..64).flat_map(|_| noise.next().to_le_bytes()));
        }
        bytes.truncate(size);
        fs::write(dir.join(format!("f{n:05}.dat")), bytes)?;
    }
    Ok(())
}

fn tree(root: &Path, count: u64, dirs: u64) -> Result<()> {
    let mut noise = Noise(0x5eed_0003);
    for n in 0..count {
        let dir = root.join(format!("t{:03}", n % dirs));
        fs::create_dir_all(&dir)?;
        let text: String = (0..13).map(|_| format!("{:016x}", noise.next())).collect();
        fs::write(dir.join(format!("n{n:06}.txt")), &text[..200])?;
    }
    Ok(())
}

/// Reproducible noise (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Normally distributed (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn word(&mut self) -> String {
        let letters = b"etaoinshrdlucmfwypvbgk";
        let length = 2 + self.next() % 9;
        (0..length).map(|_| char::from(letters[(self.next() % letters.len() as u64) as usize])).collect()
    }
}
