//! `path.json`: names that can be stored, with their comparison keys, and spellings that can not (x1, x3, l12, l17).

use cobox_core::path::{FolderPath, Name};
use serde_json::{Value, json};

use crate::vector_file::{check, list, text};

const NAMES: &[&str] = &[
    "a",
    "README.md",
    "readme.md",
    "Straße",
    "STRASSE",
    "é",
    "e\u{301}",
    "İstanbul",
    "Σίσυφος",
    "ﬁle",
    "\u{212A}elvin",
    "a\\b",
    "C:",
    "CON",
    "-rf",
    "line\nbreak",
    "\u{1b}[31m",
    "trailing.",
    "trailing ",
    "...",
    ".cobox-ignore",
    ".coboxes",
    "cobox",
    "cobox~",
    "\u{202E}gpj.exe",
    "👩‍👩‍👧",
    "日本語",
];

const REFUSED: &[&str] = &[
    "",
    ".",
    "..",
    ".. ",
    " .",
    "..\u{200B}",
    "\u{2025}",
    "\u{FF0E}\u{FF0E}",
    "..::$DATA",
    "/",
    "/etc",
    "a/b",
    "../a",
    "a\0",
    ".cobox",
    ".Cobox",
    ".COBOX",
    ".cobox.",
    ".cobox ",
    " .cobox",
    ".cobox::$INDEX_ALLOCATION",
    "cobox~1",
    "COBOX~1",
    ".co\u{200C}box",
    "\u{FEFF}.cobox",
    ".c\u{AD}obox",
    "\u{2024}cobox",
    ".\u{24D2}obox",
    ".\u{FF23}\u{FF2F}\u{FF22}\u{FF2F}\u{FF38}",
    ".cobo\u{2179}",
    ".c\u{BA}box",
];

const PATHS_REFUSED: &[&str] = &["/", "/a", "a/", "a//b", "./a", "a/..", "a/../b", ".cobox/tmp", "a/.COBOX"];

fn made() -> Value {
    let key = |name: &str| Name::new(name).unwrap().comparison_key();
    let names: Vec<Value> = NAMES.iter().map(|n| json!({ "name": n, "comparison_key": key(n) })).collect();
    let refused: Vec<Value> = REFUSED
        .iter()
        .map(|name| json!({ "name": name, "because": Name::new(name).map(|_| ()).unwrap_err().to_string() }))
        .collect();
    json!({ "names": names, "refused_names": refused, "refused_paths": PATHS_REFUSED })
}

#[test]
fn names_are_judged_as_they_were() {
    let file = check("path", made());
    for case in list(&file["names"]) {
        let name = Name::new(text(&case["name"])).unwrap();
        assert_eq!(&*name.comparison_key(), text(&case["comparison_key"]));
    }
    for case in list(&file["refused_names"]) {
        assert!(Name::new(text(&case["name"])).is_err(), "{case}");
    }
    for path in list(&file["refused_paths"]) {
        assert!(FolderPath::parse(text(path)).is_err(), "{path}");
    }
}
