//! Names and paths inside a folder. A [`Name`] can be stored: valid UTF-8, 1 to 255 bytes, no `/`, no NUL, not `.` or `..`,
//! and no disguise of the control directory. What one machine's disk can not hold is that machine's matter (design 12).

/// One component, valid by construction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
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
