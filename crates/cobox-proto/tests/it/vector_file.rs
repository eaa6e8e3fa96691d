//! One file of `spec/vectors`: compared, or rewritten when `COBOX_BLESS=1` is set.

// Vectors live in files outside the crate.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::path::Path;

use serde_json::Value;

/// Compares what this program makes with what the file says.
pub(crate) fn compare(name: &str, made: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(name);
    if std::env::var_os("COBOX_BLESS").is_some() {
        let text = serde_json::to_string_pretty(made).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read(&path).expect("the file of vectors exists; COBOX_BLESS=1 writes it");
    let kept: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(&kept, made, "{name} differs from what this program makes");
}
