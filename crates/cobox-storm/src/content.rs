//! Files that prove themselves: the whole content follows from the line it begins with, so that one look tells a whole version from a
//! mix, a stub or an invention (O3).

use crate::dice::Dice;

/// One version that somebody wrote, and nobody else ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// Who wrote it.
    pub(crate) writer: u8,
    /// Their how many-th.
    pub(crate) number: u32,
    /// What most of the bytes follow from. A version made from another keeps it, so that they differ as an edit's do: in places.
    pub(crate) base: u64,
    /// Its length.
    pub(crate) bytes: u32,
}

/// The first line: of a fixed length, so that an edit moves nothing.
const HEADER: usize = "storm 000 0000000000 0000000000000000 0000000000\n".len();
/// The shortest a file can be.
pub(crate) const BYTES_MIN: u32 = HEADER as u32;
/// Bytes besides the first line that an edit changes.
const PATCH: usize = 300;

impl Version {
    fn header(self) -> String {
        format!("storm {:03} {:010} {:016x} {:010}\n", self.writer, self.number, self.base, self.bytes)
    }

    /// Where the bytes lie that no other version of the same base has.
    fn patch(self) -> std::ops::Range<usize> {
        let body = self.bytes as usize - HEADER;
        let at = HEADER + Dice::new(u64::from(self.number)).below(body + 1);
        at..(at + PATCH).min(self.bytes as usize)
    }

    /// All of it.
    pub(crate) fn content(self) -> Vec<u8> {
        let mut content = noise(self.base, self.bytes as usize);
        content[..HEADER].copy_from_slice(self.header().as_bytes());
        let patch = self.patch();
        let own = noise(u64::from(self.number) << 8 | u64::from(self.writer), patch.len());
        content[patch].copy_from_slice(&own);
        content
    }

    /// Which version this is, or what is wrong with it.
    pub(crate) fn read(content: &[u8]) -> Result<Self, String> {
        let odd = |why: &str| format!("{} bytes, {why}", content.len());
        let header = content.get(..HEADER).ok_or_else(|| odd("no whole first line"))?;
        let header = std::str::from_utf8(header).map_err(|_| odd("no first line"))?;
        let words: Vec<&str> = header.split_whitespace().collect();
        let &["storm", writer, number, base, bytes] = words.as_slice() else { return Err(odd("another first line")) };
        let version = (|| {
            let base = u64::from_str_radix(base, 16).ok()?;
            Some(Self { writer: writer.parse().ok()?, number: number.parse().ok()?, base, bytes: bytes.parse().ok()? })
        })();
        let version =
            version.filter(|version| version.header() == header).ok_or_else(|| odd("a damaged first line"))?;
        if version.bytes as usize != content.len() {
            return Err(odd(&format!("but {version:?}")));
        }
        let whole = version.content();
        match whole.iter().zip(content).position(|(wanted, there)| wanted != there) {
            None => Ok(version),
            Some(at) => Err(odd(&format!("not as written from byte {at} on: {version:?}"))),
        }
    }
}

/// Reproducible bytes that nothing compresses.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend(dice.next().to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_its_content_and_nothing_else_is() {
        for (number, bytes) in [(0, BYTES_MIN), (1, BYTES_MIN + 1), (7, 4096), (8, 100_000)] {
            let version = Version { writer: 2, number, base: 9, bytes };
            let content = version.content();
            assert_eq!(Version::read(&content), Ok(version));
            let next = Version { number: number + 1, ..version }.content();
            let mix = [&content[..HEADER], &next[HEADER..]].concat();
            assert!(mix == content || Version::read(&mix).is_err(), "o3: a mix of two edits is seen");
            assert!(Version::read(&content[..content.len() - 1]).is_err());
            assert!(Version::read(&[&content[..], b" "].concat()).is_err());
            let mut torn = content.clone();
            torn[content.len() - 1] ^= 1;
            assert!(Version::read(&torn).is_err());
        }
        assert!(Version::read(b"").is_err() && Version::read(&[0; 4096]).is_err());
    }
}
