//! Reads and, when `COBOX_BLESS=1` is set, rewrites the vectors in `spec/vectors`. A format is a promise: a vector that changes
//! means that what others have stored can no longer be read.

#![allow(clippy::disallowed_methods, reason = "the crate is pure; its vectors lie on a disk")]

use std::path::PathBuf;

use serde_json::Value;

/// Compares what this program makes with what the file says, and hands back the file for the checks that read it.
#[track_caller]
pub(crate) fn check(name: &str, made: Value) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(format!("{name}.json"));
    if std::env::var_os("COBOX_BLESS").is_some_and(|set| set == "1") {
        let mut text = serde_json::to_string_pretty(&made).unwrap();
        text.push('\n');
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in made.as_object().unwrap() {
        assert_eq!(&file[key], value, "{name}.json, {key}: the format has changed");
    }
    assert_eq!(file.as_object().unwrap().len(), made.as_object().unwrap().len(), "{name}.json has more than was made");
    file
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(bytes.as_ref())
}

#[track_caller]
pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(value).as_bytes()).unwrap()
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text was expected, not {value}"))
}

#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap_or_else(|| panic!("a list was expected, not {value}"));
    assert!(!list.is_empty(), "an empty list checks nothing");
    list
}
