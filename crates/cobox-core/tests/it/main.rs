//! What cobox-core promises to its callers, tried from outside.

mod tree;
