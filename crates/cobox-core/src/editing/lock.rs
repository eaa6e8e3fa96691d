//! What editors lay beside a file while they have it open, and which file that is.

use std::collections::BTreeMap;

use crate::path::{FolderPath, Name};

/// Entries beneath a directory that are looked through for the file of a lock that does not name it whole.
const BESIDE_MAX: usize = 20_000;
/// Word puts `~$` in place of the first letters of longer names, two of them at most.
const LETTERS_LOST_MAX: usize = 2;
/// Of which files it does.
const WORD: [&str; 7] = [".doc", ".docx", ".docm", ".dot", ".dotx", ".dotm", ".rtf"];

/// What a lock's name says of the file's.
struct Spoken {
    /// It is one of these, the likeliest first.
    whole: Vec<String>,
    /// Or it ends so, after a letter or two.
    end: Option<String>,
}

/// Whether a file of this name is an editor's lock: of LibreOffice `.~lock.NAME#`, of Microsoft Office `~$NAME`, of Emacs `.#NAME`, of
/// vim `.NAME.swp`.
pub fn is_lock(name: &str) -> bool {
    spoken(name).is_some()
}

/// The file that a lock speaks of, among those that the folder shows. `None` if it is not there, or if it could be more than one.
pub fn file_of<V>(lock: &FolderPath, shown: &BTreeMap<FolderPath, V>) -> Option<FolderPath> {
    let (dir, name) = (lock.parent()?, lock.name()?);
    let Spoken { whole, end } = spoken(name.as_str())?;
    let mut named = whole.iter().filter_map(|name| Some(dir.join(&Name::new(name).ok()?)));
    if let Some(file) = named.find(|file| shown.contains_key(file)) {
        return Some(file);
    }
    let end = end?;
    let is_it = |path: &&FolderPath| {
        let name = path.name().filter(|_| path.parent().as_ref() == Some(&dir));
        let lost =
            name.as_ref().and_then(|name| name.as_str().strip_suffix(end.as_str())).map(|lost| lost.chars().count());
        lost.is_some_and(|lost| (1..=LETTERS_LOST_MAX).contains(&lost))
    };
    let beneath = shown.range(&dir..).map(|(path, _)| path).take_while(|path| path.starts_with(&dir));
    let mut found = beneath.take(BESIDE_MAX).filter(is_it);
    let file = found.next()?.clone();
    // A sign on the wrong file is worse than none.
    found.next().is_none().then_some(file)
}

fn spoken(name: &str) -> Option<Spoken> {
    let (whole, end) = if let Some(rest) = name.strip_prefix(".~lock.") {
        (vec![rest.strip_suffix('#')?.to_owned()], None)
    } else if let Some(rest) = name.strip_prefix("~$") {
        let lower = rest.to_lowercase();
        (vec![rest.to_owned()], WORD.iter().any(|end| lower.ends_with(end)).then(|| rest.to_owned()))
    } else if let Some(rest) = name.strip_prefix(".#") {
        (vec![rest.to_owned()], None)
    } else {
        let (stem, end) = name.strip_prefix('.')?.rsplit_once('.')?;
        let is_swap = matches!(end.as_bytes(), [b's', b'w', b'a'..=b'p']);
        // What begins with a dot already gets no second one.
        (is_swap.then(|| vec![stem.to_owned(), format!(".{stem}")])?, None)
    };
    whole.iter().all(|name| !name.is_empty() && name != ".").then_some(Spoken { whole, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FolderPath {
        FolderPath::parse(text).unwrap()
    }

    fn shown(paths: &[&str]) -> BTreeMap<FolderPath, ()> {
        paths.iter().map(|text| (path(text), ())).collect()
    }

    fn file(lock: &str, paths: &[&str]) -> Option<String> {
        file_of(&path(lock), &shown(paths)).map(|file| file.to_string())
    }

    #[test]
    fn c1_every_editors_lock_speaks_of_its_file() {
        let all = ["letter.odt", "notes", "a/Budget.xlsx", "a/Letter.docx", ".bashrc", "x.txt"];
        for (lock, told) in [
            (".~lock.letter.odt#", "letter.odt"),
            (".#notes", "notes"),
            (".x.txt.swp", "x.txt"),
            (".x.txt.swo", "x.txt"),
            (".bashrc.swp", ".bashrc"),
            ("a/~$Budget.xlsx", "a/Budget.xlsx"),
            ("a/~$tter.docx", "a/Letter.docx"),
        ] {
            assert!(is_lock(path(lock).name().unwrap().as_str()), "{lock}");
            assert_eq!(file(lock, &all).as_deref(), Some(told), "{lock}");
        }
        assert_eq!(file(".~lock.Letter.docx#", &all), None, "it lies elsewhere");
        assert_eq!(file("~$udget.xlsx", &["Budget.xlsx"]), None, "Word alone cuts names");
    }

    #[test]
    fn c1_a_cut_name_that_two_files_could_have_says_nothing() {
        assert_eq!(file("~$tter.docx", &["Letter.docx", "sub/Better.docx"]).as_deref(), Some("Letter.docx"));
        assert_eq!(file("~$tter.docx", &["Letter.docx", "Better.docx"]), None);
        assert_eq!(file("~$tter.docx", &["Letter.docx", "tter.docx"]).as_deref(), Some("tter.docx"));
        assert_eq!(file("~$tter.docx", &["Newsletter.docx"]), None, "more than two letters");
    }

    #[test]
    fn names_that_people_give_are_no_locks() {
        let odd = [
            "", ".", "swp", ".swp", ".#", "~$", ".~lock.#", ".~lock.x", "#x#", "x~", ".x.swq", ".x.swap", "~x", ".env",
        ];
        for name in odd {
            assert!(!is_lock(name), "{name:?}");
        }
    }
}
