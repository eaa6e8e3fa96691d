//! Names and paths inside a folder. A [`Name`] can be stored: valid UTF-8, 1 to 255 bytes, no `/`, no NUL, not `.` or `..`,
//! and no disguise of those or of the control directory. Otherwise names are stored as they were created: what one machine's
//! disk can not hold (`:` on Windows, two names that differ in case) is that machine's matter (design 12).
//!
//! Disguises count because disks fold names: APFS and HFS+ ignore case and zero-width letters, NTFS ignores case, trailing dots
//! and spaces, and opens streams behind `:`. A name that any of them could take for the control directory could carry a
//! stranger's bytes into it.
//!
//! Names are private: `Debug` prints none.

use std::cmp::Ordering;
use std::sync::Arc;

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::limits::NAME_BYTES_MAX;
use icu_casemap::CaseMapper;
use unicode_normalization::UnicodeNormalization;

/// Where a folder keeps what is not part of it: marker, temporary files, versions put aside.
pub const CONTROL_DIR: &str = ".cobox";
/// Where a folder keeps its rules of what is no content: in its root.
pub const IGNORE_FILE: &str = ".cobox-ignore";

/// Why a text is no name or path. The text itself is private and never stands in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("a name can not be empty")]
    Empty,
    /// Over 255 bytes.
    #[error("a name of {bytes} bytes is too long, {NAME_BYTES_MAX} are the most; rename it")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A slash or NUL.
    #[error("a name can not contain a slash or a NUL byte")]
    Forbidden,
    /// `.`, `..`, or something a disk may take for it.
    #[error("a name that stands for this or the upper directory can not be used; rename it")]
    Dots,
    /// `.cobox`, or something a disk may take for it.
    #[error("names that look like {CONTROL_DIR} are kept for cobox itself; rename it")]
    Control,
}

/// One component, valid by construction. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a text from a disk, a person or another member.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text).map(|()| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Equal for names that a case-insensitive or normalising disk may hold as one: Unicode canonical caseless matching
    /// (Unicode 3.13, D145), in NFC.
    pub fn comparison_key(&self) -> Box<str> {
        let decomposed: String = self.0.nfd().collect();
        let folded = CaseMapper::new().fold_string(&decomposed).nfc().collect::<String>();
        folded.into()
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Name")
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl Canonical for Name {
    fn encode(&self, w: &mut Writer) {
        w.text(&self.0);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = r.text(NAME_BYTES_MAX, "name")?;
        Self::new(text).map_err(|_| DecodeError::BadValue { what: "name", found: text.len() as u64 })
    }
}

/// Whether a text is a name.
fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    if text.contains(['/', '\0']) {
        return Err(NameError::Forbidden);
    }
    let bare = bare(text);
    if is_dots(&bare) {
        return Err(NameError::Dots);
    }
    if is_control(&bare) {
        return Err(NameError::Control);
    }
    Ok(())
}

/// A name without what some disk ignores inside it: case, compatibility forms, letters without width. What disks ignore at
/// its ends, the callers cut off.
fn bare(text: &str) -> String {
    // Nearly all names are plain ASCII: they need no tables.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let visible: String = text.nfkc().filter(|c| !is_ignorable(*c)).collect();
    CaseMapper::new().fold_string(&visible).nfkc().collect()
}

fn is_dots(bare: &str) -> bool {
    let dots = bare.split(':').next().unwrap_or_default();
    let dots: String = dots.chars().filter(|c| !c.is_whitespace()).collect();
    dots == "." || dots == ".."
}

fn is_control(bare: &str) -> bool {
    // NTFS: `name:stream` and `name::$INDEX_ALLOCATION` open `name`.
    let stem = bare.split(':').next().unwrap_or_default();
    let stem = stem.trim_end_matches(|c: char| c == '.' || c.is_whitespace()).trim_start();
    // Windows calls `.cobox` also by its short name, COBOX~1 or with another digit.
    let short = stem.strip_prefix("cobox~").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    stem == CONTROL_DIR || short
}

/// Default_Ignorable_Code_Point of Unicode: letters that show as nothing, some of which HFS+ leaves out of comparisons.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// A path below a folder's root; the root itself is empty. Ordered component by component, so that what lies in a directory
/// follows it at once. A clone shares the text: a large folder names each of its files in several tables.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FolderPath(
    /// Names with a slash between.
    Arc<str>,
);

impl FolderPath {
    /// Of these components, outermost first.
    pub fn new(components: &[Name]) -> Self {
        Self(components.iter().map(Name::as_str).collect::<Vec<_>>().join("/").into())
    }
    /// The folder itself.
    pub fn root() -> Self {
        Self::default()
    }
    /// Reads names with single slashes between; the empty text is the root.
    ///
    /// Errors: a component is no name; so are absolute paths and doubled or trailing slashes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !text.is_empty() {
            text.split('/').try_for_each(check)?;
        }
        Ok(Self(text.into()))
    }
    /// This path and one name more.
    pub fn join(&self, name: &Name) -> Self {
        if self.is_root() { Self(name.as_str().into()) } else { Self([&self.0, "/", name.as_str()].concat().into()) }
    }
    /// The directory it lies in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => Some(Self(parent.into())),
            None if self.is_root() => None,
            None => Some(Self::root()),
        }
    }
    /// Its last component; `None` for the root.
    pub fn name(&self) -> Option<Name> {
        self.iter().next_back()
    }
    /// Its components, outermost first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Name> {
        self.components().map(|name| Name(name.into()))
    }
    /// Its components as text.
    fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }
    /// The directories it lies in, outermost first, then itself; nothing for the root.
    pub fn descent(&self) -> impl Iterator<Item = Self> {
        let ends = self.0.match_indices('/').map(|(end, _)| end).chain((!self.is_root()).then_some(self.0.len()));
        ends.map(|end| if end == self.0.len() { self.clone() } else { Self(self.0[..end].into()) })
    }
    /// How many components it has.
    pub fn depth(&self) -> usize {
        self.components().count()
    }
    /// Its text: names with a slash between.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether it is the folder itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
    /// The same place below `to` instead of `from`; `None` if it does not lie there.
    pub fn rebased(&self, from: &Self, to: &Self) -> Option<Self> {
        let below = self.below(from)?;
        Some(match (to.is_root(), below.is_empty()) {
            (_, true) => to.clone(),
            (true, _) => Self(below.into()),
            (false, _) => Self([&to.0, "/", below].concat().into()),
        })
    }

    /// Whether it is `directory` or lies somewhere below; whole components count.
    pub fn starts_with(&self, directory: &Self) -> bool {
        self.below(directory).is_some()
    }

    /// Behind nearly all that can lie below it: no name that people give begins with the last letter there is.
    pub(crate) fn end_of_below(&self) -> Self {
        Self([&self.0, "/\u{10ffff}"].concat().into())
    }

    /// What comes after a directory; nothing if it is the directory itself.
    fn below(&self, directory: &Self) -> Option<&str> {
        let rest = self.0.strip_prefix(&*directory.0)?;
        if directory.is_root() || rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

impl Default for FolderPath {
    fn default() -> Self {
        Self("".into())
    }
}

impl Ord for FolderPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // Where they part, the one whose component ends there comes first.
        let mut pairs = self.0.bytes().zip(other.0.bytes());
        match pairs.find(|(a, b)| a != b) {
            None => self.0.len().cmp(&other.0.len()),
            Some((b'/', _)) => Ordering::Less,
            Some((_, b'/')) => Ordering::Greater,
            Some((a, b)) => a.cmp(&b),
        }
    }
}

impl PartialOrd for FolderPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for FolderPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for FolderPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FolderPath({} names)", self.depth())
    }
}

impl std::str::FromStr for FolderPath {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spellings that must never reach a disk as a name.
    const HOSTILE_NAMES: &[(&str, NameError)] = &[
        ("", NameError::Empty),
        (".", NameError::Dots),
        ("..", NameError::Dots),
        (". ", NameError::Dots),
        (".. ", NameError::Dots),
        (" ..", NameError::Dots),
        (". .", NameError::Dots),
        ("..\u{200B}", NameError::Dots),
        ("\u{200C}..", NameError::Dots),
        (".\u{200D}.", NameError::Dots),
        ("..\u{FEFF}", NameError::Dots),
        ("..\u{202E}", NameError::Dots),
        ("..\u{E0041}", NameError::Dots),
        ("..:", NameError::Dots),
        ("..::$DATA", NameError::Dots),
        ("\u{2025}", NameError::Dots),
        ("\u{2024}\u{2024}", NameError::Dots),
        ("\u{FF0E}\u{FF0E}", NameError::Dots),
        ("\u{FF0E}", NameError::Dots),
        ("..\u{00A0}", NameError::Dots),
        ("/", NameError::Forbidden),
        ("/etc/passwd", NameError::Forbidden),
        ("../x", NameError::Forbidden),
        ("a/../../x", NameError::Forbidden),
        ("a/", NameError::Forbidden),
        ("a\0b", NameError::Forbidden),
        ("\0", NameError::Forbidden),
        ("..\0", NameError::Forbidden),
        (".cobox", NameError::Control),
        (".Cobox", NameError::Control),
        (".COBOX", NameError::Control),
        (".cObOx", NameError::Control),
        (".cobox.", NameError::Control),
        (".cobox ", NameError::Control),
        (".cobox. . .", NameError::Control),
        (" .cobox", NameError::Control),
        (".cobox:", NameError::Control),
        (".cobox:x", NameError::Control),
        (".cobox::$INDEX_ALLOCATION", NameError::Control),
        (".COBOX ::$DATA", NameError::Control),
        ("cobox~1", NameError::Control),
        ("COBOX~1", NameError::Control),
        ("Cobox~12", NameError::Control),
        ("cobox~1.", NameError::Control),
        (".co\u{200C}box", NameError::Control),
        ("\u{200B}.cobox", NameError::Control),
        (".cobox\u{200D}", NameError::Control),
        (".c\u{00AD}obox", NameError::Control),
        (".cob\u{2060}ox", NameError::Control),
        (".cobox\u{FE0F}", NameError::Control),
        ("\u{FEFF}.cobox", NameError::Control),
        ("\u{202E}.cobox", NameError::Control),
        (".co\u{034F}box", NameError::Control),
        (".cobo\u{E0020}x", NameError::Control),
        (".\u{FF23}\u{FF2F}\u{FF22}\u{FF2F}\u{FF38}", NameError::Control),
        ("\u{FF0E}cobox", NameError::Control),
        ("\u{2024}cobox", NameError::Control),
        (".\u{24D2}obox", NameError::Control),
        (".c\u{00BA}box", NameError::Control),
        (".cobo\u{02E3}", NameError::Control),
        (".\u{1D41C}\u{1D428}box", NameError::Control),
        (".\u{216D}obo\u{2179}", NameError::Control),
        (".cobox\u{3000}", NameError::Control),
        (".cobox\u{FF1A}x", NameError::Control),
        (".COB\u{200F}OX\u{00A0}.", NameError::Control),
    ];

    #[test]
    fn x1_x3_l17_hostile_spellings_are_refused() {
        assert!(HOSTILE_NAMES.len() >= 60);
        for (spelling, error) in HOSTILE_NAMES {
            assert_eq!(Name::new(spelling), Err(*error), "{}", spelling.escape_unicode());
            if !spelling.is_empty() && !spelling.contains('/') {
                assert_eq!(FolderPath::parse(&format!("a/{spelling}/b")), Err(*error), "{}", spelling.escape_unicode());
            }
        }
        assert_eq!(Name::new(&"x".repeat(256)), Err(NameError::TooLong { bytes: 256 }));
    }

    #[test]
    fn x1_hostile_paths_are_refused_whole() {
        for path in
            ["/", "/etc/passwd", "a//b", "a/", "/a", "./a", "a/./b", "../a", "a/../b", "a/..", "//", "a/.cobox/b"]
        {
            assert!(FolderPath::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn l12_odd_but_honest_names_are_kept_byte_for_byte() {
        let longest = "é".repeat(127) + "x";
        let names = [
            "a\\b",
            "C:\\Windows",
            "C:",
            "CON",
            "nul.txt",
            "-rf",
            "a\nb",
            "\u{1b}[31mred",
            "\u{202E}txt.exe",
            " a",
            "a ",
            "a.",
            "...",
            "....",
            "~",
            "*",
            "?",
            "a:b",
            ".cobox-ignore",
            ".coboxes",
            "cobox",
            "my.cobox",
            ".cobo",
            "cobox~x",
            ".c\u{0301}obox",
            ".\u{0441}obox",
            "e\u{0301}",
            "é",
            "👩‍👩‍👧",
            "$HOME",
            "%2e%2e",
            "&amp;",
            "\u{FFFD}",
            &longest,
        ];
        for name in names {
            let kept = Name::new(name).unwrap_or_else(|error| panic!("{}: {error}", name.escape_unicode()));
            assert_eq!(kept.as_str(), name);
            assert_eq!(Name::from_bytes(&kept.to_bytes()), Ok(kept));
        }
        assert!(Name::from_bytes(b"\x02..").is_err());
        assert_eq!(Name::from_bytes(b"\x01\xff"), Err(DecodeError::NotUtf8 { what: "name" }));
    }

    #[test]
    fn names_that_a_disk_may_hold_as_one_have_one_comparison_key() {
        let key = |name: &str| Name::new(name).unwrap().comparison_key();
        let same = [
            ("README", "readme"),
            ("é", "e\u{0301}"),
            ("É", "e\u{0301}"),
            ("Straße", "STRASSE"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("\u{212A}", "k"),
            ("ﬁ", "FI"),
            ("\u{1E9E}", "ss"),
            ("\u{0390}", "\u{1FD3}"),
            ("Å", "\u{212B}"),
        ];
        for (a, b) in same {
            assert_eq!(key(a), key(b), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("a", "a "), ("\u{FF21}", "A"), ("и", "й"), ("o", "ö")] {
            assert_ne!(key(a), key(b), "{a} {b}");
        }
    }

    #[test]
    fn paths_are_taken_apart_and_put_together() {
        let path = FolderPath::parse("a/b/c").unwrap();
        assert_eq!(path.to_string(), "a/b/c");
        assert_eq!(path.name().as_ref().map(Name::as_str), Some("c"));
        assert_eq!(path.parent(), Some(FolderPath::parse("a/b").unwrap()));
        assert_eq!(path.parent().unwrap().join(&Name::new("c").unwrap()), path);
        assert!(path.starts_with(&FolderPath::root()) && path.starts_with(&FolderPath::parse("a/b").unwrap()));
        assert!(!FolderPath::parse("ab/c").unwrap().starts_with(&FolderPath::parse("a").unwrap()));
        assert!(FolderPath::root().is_root() && FolderPath::root().parent().is_none());
        assert_eq!(FolderPath::parse(""), Ok(FolderPath::root()));
    }

    #[test]
    fn what_lies_in_a_directory_follows_it_at_once() {
        let mut paths: Vec<FolderPath> =
            ["a b", "a", "a/x", "a-b", "a/x/y", "b"].iter().map(|path| FolderPath::parse(path).unwrap()).collect();
        paths.sort();
        let sorted: Vec<String> = paths.iter().map(FolderPath::to_string).collect();
        assert_eq!(sorted, ["a", "a/x", "a/x/y", "a b", "a-b", "b"]);
    }

    #[test]
    fn x11_names_print_as_nothing() {
        let path = FolderPath::parse("secret/plan").unwrap();
        assert_eq!(format!("{path:?} {:?}", path.name()), "FolderPath(2 names) Some(Name)");
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_not_and_a_path_reads_back(text: String, parts in proptest::collection::vec("\\PC{1,20}", 0..5)) {
            if let Ok(name) = Name::new(&text) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(!text.contains('/'));
            }
            let names: Vec<Name> = parts.iter().filter_map(|part| Name::new(part).ok()).collect();
            let path = FolderPath::new(&names);
            prop_assert_eq!(FolderPath::parse(path.as_str()), Ok(path.clone()));
            prop_assert_eq!((path.depth(), path.iter().collect::<Vec<_>>()), (names.len(), names.clone()));
            prop_assert_eq!(path.name(), names.last().cloned());
            prop_assert_eq!(path.parent(), names.split_last().map(|(_, above)| FolderPath::new(above)));
        }

        #[test]
        fn paths_are_ordered_and_compared_by_whole_components(
            a in proptest::collection::vec("[a /.é-]{1,2}", 0..4), b in proptest::collection::vec("[a /.é-]{1,2}", 0..4),
        ) {
            let names = |parts: &[String]| parts.iter().filter_map(|part| Name::new(part).ok()).collect::<Vec<_>>();
            let (a, b) = (names(&a), names(&b));
            let (path, other) = (FolderPath::new(&a), FolderPath::new(&b));
            prop_assert_eq!(path.cmp(&other), a.cmp(&b));
            prop_assert_eq!(path.starts_with(&other), a.starts_with(&b));
            let both = [a.as_slice(), b.as_slice()].concat();
            let below = FolderPath::new(&both);
            prop_assert_eq!(below.rebased(&path, &other), Some(FolderPath::new(&[b.as_slice(), b.as_slice()].concat())));
            let descent = (1..=both.len()).map(|depth| FolderPath::new(&both[..depth])).collect::<Vec<_>>();
            prop_assert_eq!(below.descent().collect::<Vec<_>>(), descent);
            let joined = b.iter().fold(path, |path, name| path.join(name));
            prop_assert_eq!(joined, below);
        }

        #[test]
        fn l17_zero_width_letters_and_case_never_hide_the_control_directory(
            upper in proptest::collection::vec(any::<bool>(), 6),
            hidden in proptest::collection::vec((0_usize..=6, 0_usize..8), 0..4),
            tail in "[. ]{0,3}",
        ) {
            const INVISIBLE: [char; 8] =
                ['\u{200B}', '\u{200C}', '\u{200D}', '\u{FEFF}', '\u{00AD}', '\u{2060}', '\u{202E}', '\u{FE0F}'];
            let mut letters: Vec<char> = CONTROL_DIR.chars().zip(&upper)
                .map(|(c, upper)| if *upper { c.to_ascii_uppercase() } else { c }).collect();
            for (at, which) in hidden {
                letters.insert(at, INVISIBLE[which]);
            }
            let name: String = letters.into_iter().chain(tail.chars()).collect();
            prop_assert_eq!(Name::new(&name), Err(NameError::Control));
        }
    }
}
