//! Names and paths inside a folder. A [`Name`] can be stored: valid UTF-8, 1 to 255 bytes, no `/`, no NUL, not `.` or `..`,
//! and no disguise of the control directory. What one machine's disk can not hold is that machine's matter (design 12).

use cobox_proto::limits::NAME_BYTES_MAX;

/// One component, valid by construction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a name a folder can hold")]
pub struct NameError;

impl Name {
    /// A name, if the text can be one.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bad = text.is_empty() || text.len() > NAME_BYTES_MAX || text == "." || text == "..";
        if bad || text.contains(['/', '\0']) {
            return Err(NameError);
        }
        Ok(Self(text.into()))
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Name")
    }
}
