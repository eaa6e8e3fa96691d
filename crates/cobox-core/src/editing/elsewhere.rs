//! What the other devices have open, by what they said last.

use std::collections::BTreeMap;

use cobox_proto::id::SigKey;
use cobox_proto::limits::EDITING_DEVICES_MAX;

use super::LASTS_MS;
use super::note::EditingNote;
use crate::path::FolderPath;

/// So many changes of one device are told to people in a minute; the list itself is always right.
const NEWS_MAX: u32 = 32;
const NEWS_MS: u64 = 60_000;

/// A sign appeared, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// On which device.
    pub device: SigKey,
    /// The file.
    pub path: FolderPath,
    /// Whether it is open now.
    pub open: bool,
}

/// One device's word.
#[derive(Debug)]
struct Word {
    heard_ms: u64,
    /// And since when, by our clock.
    open: BTreeMap<FolderPath, u64>,
    /// News of it since that time.
    news: (u64, u32),
}

/// See the module. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub struct EditedElsewhere {
    words: BTreeMap<SigKey, Word>,
}

impl EditedElsewhere {
    /// A connected device says what it has open. Returns what is news.
    pub fn heard(&mut self, now_ms: u64, device: SigKey, note: EditingNote) -> Vec<Sign> {
        if self.words.len() >= EDITING_DEVICES_MAX && !self.words.contains_key(&device) {
            return Vec::new();
        }
        let fresh = || Word { heard_ms: now_ms, open: BTreeMap::new(), news: (now_ms, 0) };
        let word = self.words.entry(device).or_insert_with(fresh);
        let before = std::mem::take(&mut word.open);
        word.heard_ms = now_ms;
        word.open = note
            .files
            .into_iter()
            .map(|file| {
                // What was known before does not jump with each word.
                let since_ms = before.get(&file.path).copied();
                let told_ms = || now_ms.saturating_sub(file.open_s.saturating_mul(1000));
                (file.path, since_ms.unwrap_or_else(told_ms))
            })
            .collect();
        let began = word.open.keys().filter(|path| !before.contains_key(*path)).map(|path| (path.clone(), true));
        let ended = before.keys().filter(|path| !word.open.contains_key(*path)).map(|path| (path.clone(), false));
        let mut news: Vec<Sign> = began.chain(ended).map(|(path, open)| Sign { device, path, open }).collect();
        if now_ms.abs_diff(word.news.0) > NEWS_MS {
            word.news = (now_ms, 0);
        }
        news.truncate((NEWS_MAX - word.news.1.min(NEWS_MAX)) as usize);
        word.news.1 += news.len() as u32;
        news
    }

    /// When something may be over.
    pub fn due_ms(&self) -> Option<u64> {
        self.words.values().map(|word| word.heard_ms + LASTS_MS).min()
    }

    /// What is over because it was not repeated, or because its device is none of the folder any more.
    pub fn expire(&mut self, now_ms: u64, belongs: &dyn Fn(&SigKey) -> bool) -> Vec<Sign> {
        let is_over = |device: &SigKey, word: &mut Word| word.heard_ms + LASTS_MS <= now_ms || !belongs(device);
        let over = self.words.extract_if(.., is_over);
        let signs = |(device, word): (SigKey, Word)| {
            word.open.into_keys().map(move |path| Sign { device, path, open: false }).collect::<Vec<_>>()
        };
        over.flat_map(signs).collect()
    }

    /// Device, file and since when, by device and path.
    pub fn iter(&self) -> impl Iterator<Item = (&SigKey, &FolderPath, u64)> {
        self.words
            .iter()
            .flat_map(|(device, word)| word.open.iter().map(move |(path, since_ms)| (device, path, *since_ms)))
    }

    /// The clock was set back: what was to last lasts no longer for it (T2).
    pub fn clock_set_back(&mut self, by_ms: u64) {
        for word in self.words.values_mut() {
            word.heard_ms = word.heard_ms.saturating_sub(by_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::editing::EditedFile;

    const NOW: u64 = 1_000_000_000_000;
    const ANA: SigKey = SigKey([1; 32]);

    fn note(files: &[(&str, u64)]) -> EditingNote {
        EditingNote::of(
            files.iter().map(|(path, open_s)| EditedFile { path: FolderPath::parse(path).unwrap(), open_s: *open_s }),
        )
    }

    fn shown(there: &EditedElsewhere) -> Vec<(String, u64)> {
        there.iter().map(|(_, path, since_ms)| (path.to_string(), since_ms)).collect()
    }

    fn told(signs: &[Sign]) -> Vec<(String, bool)> {
        signs.iter().map(|sign| (sign.path.to_string(), sign.open)).collect()
    }

    #[test]
    fn c1_who_has_what_open_since_when_is_known_until_it_is_not_repeated() {
        let mut there = EditedElsewhere::default();
        assert_eq!(
            told(&there.heard(NOW, ANA, note(&[("a", 60), ("b", 0)]))),
            [("a".into(), true), ("b".into(), true)]
        );
        // Its clock may run otherwise: the time stays.
        assert!(there.heard(NOW + 60_000, ANA, note(&[("a", 119), ("b", 61)])).is_empty());
        assert_eq!(shown(&there), [("a".into(), NOW - 60_000), ("b".into(), NOW)]);
        assert_eq!(told(&there.heard(NOW + 61_000, ANA, note(&[("a", 121)]))), [("b".into(), false)]);
        let (due, all) = (there.due_ms().unwrap(), |_: &SigKey| true);
        assert_eq!(due, NOW + 61_000 + LASTS_MS);
        assert!(there.expire(due - 1, &all).is_empty());
        assert_eq!(told(&there.expire(due, &all)), [("a".into(), false)]);
        assert_eq!((shown(&there), there.due_ms()), (vec![], None));
    }

    #[test]
    fn c1_who_was_sent_away_has_nothing_open() {
        let mut there = EditedElsewhere::default();
        there.heard(NOW, ANA, note(&[("a", 0)]));
        assert_eq!(there.expire(NOW, &|device| *device != ANA).len(), 1);
        assert!(shown(&there).is_empty());
    }

    #[test]
    fn g2_a_member_that_says_much_is_told_of_little_and_the_list_is_right() {
        let mut there = EditedElsewhere::default();
        let mut news = 0;
        for n in 0..1000 {
            news += there.heard(NOW + n, ANA, note(&[(&n.to_string(), 0)])).len();
        }
        assert_eq!(news, NEWS_MAX as usize);
        assert_eq!(shown(&there), [("999".into(), NOW + 999)]);
        assert_eq!(there.heard(NOW + 1000 + NEWS_MS, ANA, note(&[])).len(), 1, "a minute later it is told again");
    }

    #[test]
    fn t2_a_clock_that_is_set_back_makes_no_sign_last() {
        let mut there = EditedElsewhere::default();
        there.heard(NOW, ANA, note(&[("a", 0)]));
        there.clock_set_back(NOW / 2);
        assert_eq!(there.due_ms(), Some(NOW / 2 + LASTS_MS));
    }
}
