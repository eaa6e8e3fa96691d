//! The files of the story: a choir's directory, made from a fixed seed, with planted strings in contents and names.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// The folder's name.
pub(crate) const FOLDER: &str = "Choir of Ulmenried";
/// Who takes part; only members may know.
pub(crate) const ANA: &str = "Ana Zwetschgenau";
pub(crate) const BEN: &str = "Ben Kirchdorfer";
pub(crate) const CLEO: &str = "Cleo Immergrün";

/// Planted file names.
const NAMES: [&str; 8] = [
    "plum cake rota.txt",
    "elderberry motet, second voice.txt",
    "letter to the bishop.txt",
    "who pays late.csv",
    "Veilchenau sheet music.pdf",
    "addresses of all singers.txt",
    "solo for Whitsun ☂.txt",
    "recording of Thursday.raw",
];

/// Planted sentences, in files small and large.
const CONTENTS: [&str; 12] = [
    "Rehearsal moves to Thursday at seven, bring the plum cake.",
    "The second alto must not know about the surprise party.",
    "Dear bishop, the organ leaks again and so does the roof.",
    "Florian Abendroth owes forty-two crowns since Candlemas.",
    "Kyrie eleison, verse two, softer than you think.",
    "Gisela Morgentau, Lindenhof 7, telephone 0815 4711.",
    "Breathe before the long note, not in it.",
    "The key of the sacristy lies under the third flowerpot.",
    "Ana writes: the tenors shall enter four bars later.",
    "Ben writes: the tenors shall stay silent until the end.",
    "Ben, on the train: here is the list of the spring tour.",
    "Ana, at home: the concert is sold out, seventy-one seats.",
];

/// The file that both edit at the same time.
pub(crate) const ROTA: &str = "plum cake rota.txt";
/// The file that Ben deletes.
pub(crate) const LETTER: &str = "correspondence/letter to the bishop.txt";

/// A sentence somebody writes in the course of the story.
pub(crate) enum Line {
    /// Ana's version of the rota.
    AnaOnRota = 8,
    /// Ben's version of the rota.
    BenOnRota = 9,
    /// Ben's new file.
    BenOnTour = 10,
    /// Ana's new file.
    AnaOnTickets = 11,
}

impl Line {
    /// Its words.
    pub(crate) fn text(self) -> &'static str {
        CONTENTS[self as usize]
    }
}

/// All planted strings: people, the folder, names of files, contents.
pub(crate) fn planted() -> Vec<&'static str> {
    [ANA, BEN, CLEO, FOLDER].into_iter().chain(NAMES).chain(CONTENTS).collect()
}

/// Makes the directory.
pub(crate) fn plant(root: &Path) -> io::Result<()> {
    for dir in ["correspondence", "scores/soprano/old/very old", "scores/alto", "money", "empty"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let mut noise = Noise(0x0c0b_0cb0);
    fs::write(root.join(ROTA), format!("{}\n", CONTENTS[0]))?;
    fs::write(root.join("scores/alto").join(NAMES[1]), repeated(CONTENTS[1], 300))?;
    fs::write(root.join(LETTER), repeated(CONTENTS[2], 40))?;
    fs::write(root.join("money").join(NAMES[3]), format!("name;owes\n{}\n", CONTENTS[3]))?;
    fs::write(root.join("scores/soprano").join(NAMES[4]), noise.around(CONTENTS[4], 700_000))?;
    fs::write(root.join(NAMES[5]), repeated(CONTENTS[5], 2000))?;
    fs::write(root.join("scores/soprano/old/very old").join(NAMES[6]), CONTENTS[6])?;
    fs::write(root.join(NAMES[7]), noise.around(CONTENTS[7], 5_000_000))?;
    fs::write(root.join("nothing yet.txt"), "")?;
    for n in 0..150 {
        let size = 40 + noise.below(30_000);
        fs::write(root.join(format!("scores/alto/page {n:03}.bin")), noise.bytes(size))?;
    }
    let script = root.join("money/add up.sh");
    fs::write(&script, "#!/bin/sh\necho 71\n")?;
    fs::set_permissions(script, Permissions::from_mode(0o755))?;
    symlink("../scores/alto", root.join("correspondence/the pages"))
}

fn repeated(text: &str, times: usize) -> String {
    (0..times).map(|n| format!("{n}: {text}\n")).collect()
}

/// Reproducible noise (xorshift), which nothing compresses.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, max: usize) -> usize {
        (self.next() % max as u64) as usize
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(size);
        bytes
    }

    /// A sentence in the middle of noise.
    fn around(&mut self, text: &str, size: usize) -> Vec<u8> {
        let mut bytes = self.bytes(size);
        let at = size / 2 + 1;
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
        bytes
    }
}
